/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "store/spool-row.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/spool-sql.h"

/* The columns of a task. */
enum {
        COLUMN_KEY,
        COLUMN_ID,
        COLUMN_CONTEXT_ID,
        COLUMN_ARGV,
        COLUMN_OUTPUT,
        COLUMN_NAME,
        COLUMN_GIVE_UP_AT_US,
};

static bool is_zero(const uint8_t key[static TASK_KEY_BYTES]) {
        static const uint8_t zero[TASK_KEY_BYTES];

        return memcmp(key, zero, sizeof(zero)) == 0;
}

int spool_row_check(const SpoolTask *task) {
        if (is_zero(task->key) || task->context_id == 0)
                return -EINVAL;
        if (task->id > TASK_ID_MAX || task->context_id > INT64_MAX ||
            task->give_up_at_us > INT64_MAX)
                return -ERANGE;
        if (task->n_argv > SPOOL_BYTES_MAX ||
            (task->output && strlen(task->output) > SPOOL_BYTES_MAX) ||
            (task->name && strlen(task->name) > SPOOL_BYTES_MAX))
                return -E2BIG;
        return 0;
}

/* 0 is NULL. */
static void bind_number(sqlite3_stmt *statement, int column, uint64_t value) {
        if (value > 0)
                (void)sqlite3_bind_int64(statement, column + 1, (int64_t)value);
}

/* No text is NULL. */
static void bind_text(sqlite3_stmt *statement, int column, const char *text) {
        if (text)
                (void)sqlite3_bind_blob64(statement, column + 1, text, strlen(text), SQLITE_STATIC);
}

int spool_row_put(Db *db, const SpoolTask *task) {
        sqlite3_stmt *statement = NULL;
        int r;

        r = db_statement(db, SPOOL_SQL_TASK_PUT, &statement);
        if (r < 0)
                return r;
        (void)sqlite3_bind_blob(statement, COLUMN_KEY + 1, task->key, TASK_KEY_BYTES,
                                SQLITE_STATIC);
        bind_number(statement, COLUMN_ID, task->id);
        bind_number(statement, COLUMN_CONTEXT_ID, task->context_id);
        (void)sqlite3_bind_blob64(statement, COLUMN_ARGV + 1, task->n_argv > 0 ? task->argv : "",
                                  task->n_argv, SQLITE_STATIC);
        bind_text(statement, COLUMN_OUTPUT, task->output);
        bind_text(statement, COLUMN_NAME, task->name);
        bind_number(statement, COLUMN_GIVE_UP_AT_US, task->give_up_at_us);
        return db_run(statement);
}

int spool_row_copy_bytes(sqlite3_stmt *statement, int column, void **ret, size_t *ret_n) {
        const void *bytes = sqlite3_column_blob(statement, column); /* NULL if there are none */
        size_t n = (size_t)sqlite3_column_bytes(statement, column);
        char *copy;

        if (sqlite3_column_type(statement, column) != SQLITE_BLOB || n > SPOOL_BYTES_MAX)
                return -EUCLEAN;
        if (n > 0 && !bytes)
                return -ENOMEM;

        copy = malloc(n + 1);
        if (!copy)
                return -ENOMEM;
        if (n > 0)
                memcpy(copy, bytes, n);
        copy[n] = '\0';
        *ret = copy;
        *ret_n = n;
        return 0;
}

void spool_task_done(SpoolTask *task) {
        free(task->argv);
        free(task->output);
        free(task->name);
        *task = (SpoolTask){};
}

static int read_key(sqlite3_stmt *statement, int column, uint8_t key[static TASK_KEY_BYTES]) {
        const void *bytes = sqlite3_column_blob(statement, column);

        if (!bytes || sqlite3_column_bytes(statement, column) != TASK_KEY_BYTES)
                return -EUCLEAN;
        memcpy(key, bytes, TASK_KEY_BYTES);
        return is_zero(key) ? -EUCLEAN : 0;
}

/* NULL is 0. */
static int read_number(sqlite3_stmt *statement, int column, int64_t max, uint64_t *ret) {
        int64_t value = sqlite3_column_int64(statement, column);

        if (value < 0 || value > max)
                return -EUCLEAN;
        *ret = (uint64_t)value;
        return 0;
}

static int read_text(sqlite3_stmt *statement, int column, char **ret) {
        void *bytes = NULL;
        size_t n = 0;
        int r;

        if (sqlite3_column_type(statement, column) == SQLITE_NULL)
                return 0;
        r = spool_row_copy_bytes(statement, column, &bytes, &n);
        if (r < 0)
                return r;

        *ret = bytes;
        return strlen(*ret) == n ? 0 : -EUCLEAN;
}

static int read_task(sqlite3_stmt *statement, SpoolTask *task) {
        int r;

        r = read_key(statement, COLUMN_KEY, task->key);
        if (r == 0)
                r = read_number(statement, COLUMN_ID, (int64_t)TASK_ID_MAX, &task->id);
        if (r == 0)
                r = read_number(statement, COLUMN_CONTEXT_ID, INT64_MAX, &task->context_id);
        if (r == 0)
                r = spool_row_copy_bytes(statement, COLUMN_ARGV, &task->argv, &task->n_argv);
        if (r == 0)
                r = read_text(statement, COLUMN_OUTPUT, &task->output);
        if (r == 0)
                r = read_text(statement, COLUMN_NAME, &task->name);
        if (r == 0)
                r = read_number(statement, COLUMN_GIVE_UP_AT_US, INT64_MAX, &task->give_up_at_us);
        return r == 0 && spool_row_check(task) < 0 ? -EUCLEAN : r;
}

int spool_row_load(sqlite3_stmt *statement, SpoolTask *ret) {
        SpoolTask task = {};
        int r;

        r = db_step(statement);
        if (r > 0)
                r = read_task(statement, &task);
        else if (r == 0)
                r = -ENOENT;
        (void)sqlite3_reset(statement);
        (void)sqlite3_clear_bindings(statement);
        if (r < 0) {
                spool_task_done(&task);
                return r;
        }

        *ret = task;
        return 0;
}

int spool_row_read_entry(sqlite3_stmt *statement, SpoolEntry *ret) {
        int r;

        ret->row = sqlite3_column_int64(statement, 0);
        r = read_key(statement, 1, ret->key);
        if (r == 0)
                r = read_number(statement, 2, (int64_t)TASK_ID_MAX, &ret->id);
        if (r == 0)
                r = read_number(statement, 3, INT64_MAX, &ret->give_up_at_us);
        return r;
}
