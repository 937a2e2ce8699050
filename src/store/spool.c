/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "store/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/database.h"
#include "store/spool-context.h"
#include "store/spool-row.h"
#include "store/spool-sql.h"
#include "store/txn.h"
#include "util/cleanup.h"
#include "util/fd.h"

#define FILE_NAME   "agent.db"
#define BOOT_ID_KEY "boot_id"

struct Spool {
        Db db;
        Txn txn;
        uint64_t n;           /* tasks, in the open transaction */
        uint64_t n_committed; /* tasks */
        SpoolContexts contexts;
};

/* What the agent remembers */

static int get_meta(Db *db, const char *key, char **ret) {
        sqlite3_stmt *statement = NULL;
        const char *text;
        int r;

        r = db_statement(db, SPOOL_SQL_META_GET, &statement);
        if (r < 0)
                return r;
        (void)sqlite3_bind_text(statement, 1, key, -1, SQLITE_STATIC);
        r = db_step(statement);
        if (r > 0) {
                text = (const char *)sqlite3_column_text(statement, 0);
                *ret = text ? strdup(text) : NULL;
                r = *ret ? 0 : -ENOMEM;
        } else if (r == 0)
                r = -ENOENT;
        (void)sqlite3_reset(statement);
        return r;
}

static int put_meta(Db *db, const char *key, const char *value) {
        sqlite3_stmt *statement = NULL;
        int r;

        r = db_statement(db, value ? SPOOL_SQL_META_PUT : SPOOL_SQL_META_REMOVE, &statement);
        if (r < 0)
                return r;
        (void)sqlite3_bind_text(statement, 1, key, -1, SQLITE_STATIC);
        if (value)
                (void)sqlite3_bind_text(statement, 2, value, -1, SQLITE_STATIC);
        return db_run(statement);
}

static int load_boot_id(Database *database, _unused_ Error *error) {
        _cleanup_free_ char *boot_id = NULL;
        int r;

        r = get_meta(&database->db, BOOT_ID_KEY, &boot_id);
        if (r == 0)
                (void)snprintf(database->meta.boot_id, sizeof(database->meta.boot_id), "%s",
                               boot_id);
        return r == -ENOENT ? 0 : r;
}

static int put_boot_id(Db *db, const char *boot_id) {
        return put_meta(db, BOOT_ID_KEY, boot_id);
}

static const DatabaseKind database_spool = {
        .file = FILE_NAME,
        .application_id = SPOOL_SQL_APPLICATION_ID,
        .version = SPOOL_SCHEMA_VERSION,
        .migrations = spool_sql_migrations,
        .set_version = spool_sql_set_version,
        .sql = { spool_sql_statements, N_SPOOL_SQL },
        .load = load_boot_id,
        .put_boot_id = put_boot_id,
};

/* The open transaction is undone. */
static void forget_changes(Spool *spool) {
        spool->n = spool->n_committed;
        spool_contexts_forget(&spool->contexts);
}

/* The end of a change: @r of it, after undoing the whole transaction if it failed. */
static int changed(Spool *spool, int r) {
        if (r < 0)
                forget_changes(spool);
        return txn_changed(&spool->txn, r);
}

int spool_get_meta(Spool *spool, const char *key, char **ret) {
        return get_meta(&spool->db, key, ret);
}

int spool_put_meta(Spool *spool, const char *key, const char *value) {
        int r;

        if (key[0] == '\0' || strcmp(key, BOOT_ID_KEY) == 0)
                return -EINVAL;
        r = txn_begin(&spool->txn);
        if (r < 0)
                return r;
        return changed(spool, put_meta(&spool->db, key, value));
}

/* Opening */

Spool *spool_free(Spool *spool) {
        if (!spool)
                return NULL;

        db_done(&spool->db); /* rolls back */
        spool_contexts_forget(&spool->contexts);
        free(spool);
        return NULL;
}

static int count_tasks(Spool *spool) {
        sqlite3_stmt *statement = NULL;
        int64_t n;
        int r;

        r = db_statement(&spool->db, SPOOL_SQL_TASK_COUNT, &statement);
        if (r < 0)
                return r;
        r = db_first(statement, &n);
        if (r > 0)
                spool->n = spool->n_committed = (uint64_t)n;
        return r < 0 ? r : 0;
}

/* Return: as database_open(). */
static int open_database(Spool *spool, int dir_fd, const char *path, Error *error) {
        Database database;
        int r;

        r = database_open(&database, &database_spool, dir_fd, path, false, error);
        if (r != 0)
                return r;

        spool->db = database.db;
        spool->txn.db = &spool->db;
        r = count_tasks(spool);
        if (r == 0)
                r = spool_contexts_drop_unused(&spool->db); /* of tasks that then were not put */
        if (r == 0)
                r = txn_opened(&spool->txn);
        if (r == 0)
                return 0;

        if (r == -EUCLEAN)
                r = error_set(error, DATABASE_E_DAMAGED, "'%s' is damaged: %s", path,
                              sqlite3_errmsg(spool->db.handle));
        db_done(&spool->db);
        return r;
}

/* Return: as spool_open(); @error is set also to what was set aside. */
static int open_or_replace(Spool *spool, int dir_fd, const char *path, Error *error) {
        _cleanup_free_ char *name = NULL;
        int r;

        r = open_database(spool, dir_fd, path, error);
        if (r == DATABASE_E_DAMAGED) {
                Error damage = *error;

                r = database_set_aside(&database_spool, dir_fd, &name);
                if (r < 0)
                        return error_set(error, r, "%s, and cannot be set aside: %s", damage.text,
                                         strerror(-r));
                r = open_database(spool, dir_fd, path, error);
                if (r == 0)
                        return error_set(error, 0,
                                         "%s; it was set aside as '%s': what it knew of tasks that "
                                         "wait is lost",
                                         damage.text, name);
        }
        if (r == DATABASE_E_NEWER)
                return SPOOL_E_NEWER;
        if (r == DATABASE_E_BUSY)
                return SPOOL_E_BUSY;
        return r > 0 ? -EUCLEAN : r;
}

int spool_open(Spool **ret, const char *dir_path, Error *error) {
        _cleanup_(spool_freep) Spool *spool = calloc(1, sizeof(*spool));
        _cleanup_free_ char *path = NULL;
        _cleanup_close_ int dir_fd = -1;
        Error said = {};
        int r;

        if (error)
                *error = (Error){};
        if (!spool || asprintf(&path, "%s/" FILE_NAME, dir_path) < 0)
                return -ENOMEM;

        dir_fd = open(dir_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir_fd < 0) {
                r = -errno;
                return error_set(error, r, "cannot open '%s': %s", dir_path, strerror(-r));
        }

        r = open_or_replace(spool, dir_fd, path, &said);
        if (r < 0 && said.text[0] == '\0')
                (void)error_set(&said, r, "cannot open '%s': %s", path, strerror(-r));
        if (error)
                *error = said;
        if (r != 0)
                return r;

        *ret = TAKE_PTR(spool);
        return 0;
}

uint64_t spool_n(const Spool *spool) {
        return spool->n;
}

bool spool_is_broken(const Spool *spool) {
        return spool->txn.broken < 0;
}

bool spool_is_dirty(const Spool *spool) {
        return spool->txn.dirty;
}

int spool_commit(Spool *spool, bool sync) {
        int r;

        r = txn_commit(&spool->txn);
        if (r < 0) {
                forget_changes(spool);
                return r;
        }
        spool->n_committed = spool->n;
        return sync ? txn_sync(&spool->txn) : 0;
}

/* Contexts */

int spool_put_context(Spool *spool, const void *bytes, size_t n, uint64_t *ret_id) {
        int r;

        if (n == 0)
                return -EINVAL;
        if (n > SPOOL_BYTES_MAX)
                return -E2BIG;

        r = spool_context_find(&spool->contexts, &spool->db, bytes, n, ret_id);
        if (r != -ENOENT)
                return r;

        r = txn_begin(&spool->txn);
        if (r < 0)
                return r;
        return changed(spool, spool_context_put(&spool->contexts, &spool->db, bytes, n, ret_id));
}

int spool_load_context(Spool *spool, uint64_t context_id, void **ret, size_t *ret_n) {
        return spool_context_load(&spool->db, context_id, ret, ret_n);
}

/* Tasks */

int spool_put_task(Spool *spool, const SpoolTask *task, int64_t *ret_row) {
        int r;

        r = spool_row_check(task);
        if (r < 0)
                return r;
        r = txn_begin(&spool->txn);
        if (r < 0)
                return r;

        r = spool_row_put(&spool->db, task);
        if (r == 0) {
                *ret_row = sqlite3_last_insert_rowid(spool->db.handle);
                spool->n++;
                r = spool_context_ref(&spool->contexts, task->context_id);
        }
        return changed(spool, r);
}

/* A statement with the row and the key bound, which is borrowed. */
static int bind_task(Spool *spool,
                     SpoolSqlId id,
                     int64_t row,
                     const uint8_t key[static TASK_KEY_BYTES],
                     sqlite3_stmt **ret) {
        int r;

        r = db_statement(&spool->db, id, ret);
        if (r < 0)
                return r;
        (void)sqlite3_bind_int64(*ret, 1, row);
        (void)sqlite3_bind_blob(*ret, 2, key, TASK_KEY_BYTES, SQLITE_STATIC);
        return 0;
}

int spool_set_id(Spool *spool, int64_t row, const uint8_t key[static TASK_KEY_BYTES], uint64_t id) {
        sqlite3_stmt *statement = NULL;
        int r;

        if (id < 1 || id > TASK_ID_MAX)
                return -ERANGE;

        r = txn_begin(&spool->txn);
        if (r < 0)
                return r;
        r = bind_task(spool, SPOOL_SQL_TASK_SET_ID, row, key, &statement);
        if (r == 0) {
                (void)sqlite3_bind_int64(statement, 3, (int64_t)id);
                r = db_run(statement);
        }
        if (r == 0 && sqlite3_changes(spool->db.handle) == 0)
                return -ENOENT;
        return changed(spool, r);
}

/* Return: 1 if it was there, with @ret_context_id set; 0 if it was not; or negative errno. */
static int remove_task(Spool *spool, int64_t row, const uint8_t *key, uint64_t *ret_context_id) {
        sqlite3_stmt *statement = NULL;
        int64_t id;
        int r;

        r = bind_task(spool, SPOOL_SQL_TASK_REMOVE, row, key, &statement);
        if (r < 0)
                return r;
        r = db_first(statement, &id);
        if (r > 0)
                *ret_context_id = (uint64_t)id;
        return r;
}

int spool_remove_task(Spool *spool, int64_t row, const uint8_t key[static TASK_KEY_BYTES]) {
        uint64_t context_id = 0;
        int r;

        r = txn_begin(&spool->txn);
        if (r < 0)
                return r;

        r = remove_task(spool, row, key, &context_id);
        if (r > 0) {
                spool->n--;
                r = spool_context_unref(&spool->contexts, &spool->db, context_id);
        }
        return changed(spool, r);
}

int spool_load_task(Spool *spool,
                    int64_t row,
                    const uint8_t key[static TASK_KEY_BYTES],
                    SpoolTask *ret) {
        sqlite3_stmt *statement = NULL;
        SpoolTask task;
        int r;

        r = db_statement(&spool->db, SPOOL_SQL_TASK_GET, &statement);
        if (r < 0)
                return r;
        (void)sqlite3_bind_int64(statement, 1, row);
        r = spool_row_load(statement, &task);
        if (r < 0)
                return r;
        if (memcmp(task.key, key, TASK_KEY_BYTES) != 0) {
                spool_task_done(&task);
                return -ENOENT;
        }

        *ret = task;
        return 0;
}

int spool_each(Spool *spool, spool_entry_fn fn, void *userdata) {
        sqlite3_stmt *statement = NULL;
        int r;

        r = db_statement(&spool->db, SPOOL_SQL_TASKS, &statement);
        if (r < 0)
                return r;

        while ((r = db_step(statement)) > 0) {
                SpoolEntry entry = {};

                if (spool_row_read_entry(statement, &entry) < 0)
                        continue;
                r = fn(&entry, userdata);
                if (r < 0)
                        break;
        }
        (void)sqlite3_reset(statement);
        return r;
}
