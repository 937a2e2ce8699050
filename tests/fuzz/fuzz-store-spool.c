/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Any rows in an agent's database: what makes sense of them is read, and all of it can be put again.
 */

#include <assert.h>
#include <fcntl.h>

#include "store/spool.h"
#include "util/cleanup.h"

#include "folder.h"
#include "fuzz.h"
#include "rows.h"

enum {
        ENTRIES_MAX = 64,
        DATABASE_BYTES_MAX = 1 << 20,
};

static char database_path[128];
static char *template_bytes;
static size_t n_template;

typedef struct Entries {
        size_t n;
        SpoolEntry entries[ENTRIES_MAX];
} Entries;

static Spool *open_spool(void) {
        Spool *spool = NULL;
        Error error;

        return spool_open(&spool, folder(), &error) == 0 ? spool : NULL;
}

static void make_template(void) {
        (void)snprintf(database_path, sizeof(database_path), "%s/agent.db", folder());
        assert(spool_free(open_spool()) == NULL);
        assert(fd_read_file(AT_FDCWD, database_path, &template_bytes, &n_template,
                            DATABASE_BYTES_MAX) == 0);
}

static int note(const SpoolEntry *entry, void *userdata) {
        Entries *entries = userdata;

        if (entries->n < ENTRIES_MAX)
                entries->entries[entries->n++] = *entry;
        return 0;
}

static void load(Spool *spool, const SpoolEntry *entry) {
        SpoolTask task;
        void *context = NULL;
        size_t n_context;
        int64_t row;

        if (spool_load_task(spool, entry->row, entry->key, &task) != 0)
                return;
        assert(memcmp(task.key, entry->key, sizeof(task.key)) == 0);
        assert(task.id == entry->id && task.give_up_at_us == entry->give_up_at_us);
        if (spool_load_context(spool, task.context_id, &context, &n_context) == 0) {
                free(context);
                assert(spool_remove_task(spool, entry->row, task.key) == 0);
                (void)spool_put_context(spool, "context", 7, &task.context_id);
                assert(spool_put_task(spool, &task, &row) == 0);
        }
        spool_task_done(&task);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
        const RowWord words[] = { { 0 } };
        Entries entries = { 0 };
        sqlite3 *db = NULL;
        char *value = NULL;
        Spool *spool;

        folder_quiet();
        if (!template_bytes)
                make_template();
        assert(fd_write_file_atomic(AT_FDCWD, database_path, template_bytes, n_template, 0600) ==
               0);
        assert(sqlite3_open(database_path, &db) == SQLITE_OK);
        assert(sqlite3_exec(db, "PRAGMA journal_mode = DELETE; PRAGMA synchronous = OFF; BEGIN",
                            NULL, NULL, NULL) == SQLITE_OK);
        rows_insert(db, data, n, words);
        assert(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK);
        assert(sqlite3_close(db) == SQLITE_OK);

        spool = open_spool();
        if (!spool)
                return 0;
        assert(spool_each(spool, note, &entries) == 0);
        for (size_t i = 0; i < entries.n; i++)
                load(spool, &entries.entries[i]);
        if (spool_get_meta(spool, "database", &value) == 0)
                free(value);
        assert(spool_commit(spool, false) == 0);
        spool = spool_free(spool);
        return 0;
}
