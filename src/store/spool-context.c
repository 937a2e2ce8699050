/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "store/spool-context.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A table that cannot grow is an error to report, not a reason to exit. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "store/spool-row.h"
#include "store/spool-sql.h"

enum {
        LAST_BYTES_MAX = 256 * 1024, /* larger ones are rare, and are found on the disk */
};

struct ContextUse {
        uint64_t id;
        uint64_t n_tasks;
        UT_hash_handle hh;
};

static void forget_last(SpoolContexts *contexts) {
        free(contexts->last);
        contexts->last = NULL;
}

/* NOLINTBEGIN(readability-function-cognitive-complexity): what is complex is inside uthash */

static ContextUse *find_use(const SpoolContexts *contexts, uint64_t id) {
        ContextUse *use = NULL;

        HASH_FIND(hh, contexts->uses, &id, sizeof(id), use);
        return use;
}

static void drop_use(SpoolContexts *contexts, ContextUse *use) {
        HASH_DELETE(hh, contexts->uses, use);
        free(use);
}

static void drop_uses(SpoolContexts *contexts) {
        ContextUse *use, *next;

        HASH_ITER(hh, contexts->uses, use, next) {
                drop_use(contexts, use);
        }
        contexts->counted = false;
}

static int add_use(SpoolContexts *contexts, uint64_t id) {
        ContextUse *use = find_use(contexts, id);

        if (!use) {
                use = calloc(1, sizeof(*use));
                if (!use)
                        return -ENOMEM;
                use->id = id;
                HASH_ADD(hh, contexts->uses, id, sizeof(use->id), use);
                if (!use->hh.tbl) {
                        free(use);
                        return -ENOMEM;
                }
        }
        use->n_tasks++;
        return 0;
}

/* NOLINTEND(readability-function-cognitive-complexity) */

void spool_contexts_forget(SpoolContexts *contexts) {
        drop_uses(contexts);
        forget_last(contexts);
}

static int count(SpoolContexts *contexts, Db *db) {
        sqlite3_stmt *statement = NULL;
        int r;

        r = db_statement(db, SPOOL_SQL_TASK_CONTEXTS, &statement);
        if (r < 0)
                return r;
        while ((r = db_step(statement)) > 0) {
                r = add_use(contexts, (uint64_t)sqlite3_column_int64(statement, 0));
                if (r < 0)
                        break;
        }
        (void)sqlite3_reset(statement);
        if (r < 0)
                drop_uses(contexts);
        else
                contexts->counted = true;
        return r;
}

/* FNV-1a. That bytes are the same is seen by comparing them. */
static int64_t hash_bytes(const void *bytes, size_t n) {
        const uint8_t *p = bytes;
        uint64_t hash = UINT64_C(0xcbf29ce484222325);

        for (size_t i = 0; i < n; i++)
                hash = (hash ^ p[i]) * UINT64_C(0x100000001b3);
        return (int64_t)hash;
}

/* A statement with the hash and the bytes bound, which are borrowed. */
static int bind_context(Db *db, SpoolSqlId id, const void *bytes, size_t n, sqlite3_stmt **ret) {
        int r;

        r = db_statement(db, id, ret);
        if (r < 0)
                return r;
        (void)sqlite3_bind_int64(*ret, 1, hash_bytes(bytes, n));
        (void)sqlite3_bind_blob64(*ret, 2, bytes, n, SQLITE_STATIC);
        return 0;
}

static int find_on_disk(Db *db, const void *bytes, size_t n, uint64_t *ret_id) {
        sqlite3_stmt *statement = NULL;
        int64_t id = 0;
        int r;

        r = bind_context(db, SPOOL_SQL_CONTEXT_FIND, bytes, n, &statement);
        if (r == 0)
                r = db_first(statement, &id);
        if (r <= 0)
                return r < 0 ? r : -ENOENT;
        *ret_id = (uint64_t)id;
        return 0;
}

/* Without memory it is looked for on the disk. */
static void remember(SpoolContexts *contexts, const void *bytes, size_t n, uint64_t id) {
        forget_last(contexts);
        contexts->last = n <= LAST_BYTES_MAX ? malloc(n) : NULL;
        if (!contexts->last)
                return;
        (void)memcpy(contexts->last, bytes, n);
        contexts->n_last = n;
        contexts->last_id = id;
}

int spool_context_find(SpoolContexts *contexts,
                       Db *db,
                       const void *bytes,
                       size_t n,
                       uint64_t *ret_id) {
        int r;

        if (contexts->last && contexts->n_last == n && memcmp(contexts->last, bytes, n) == 0) {
                *ret_id = contexts->last_id;
                return 0;
        }

        r = find_on_disk(db, bytes, n, ret_id);
        if (r == 0)
                remember(contexts, bytes, n, *ret_id);
        return r;
}

int spool_context_put(SpoolContexts *contexts,
                      Db *db,
                      const void *bytes,
                      size_t n,
                      uint64_t *ret_id) {
        sqlite3_stmt *statement = NULL;
        int r;

        r = bind_context(db, SPOOL_SQL_CONTEXT_PUT, bytes, n, &statement);
        if (r == 0)
                r = db_run(statement);
        if (r < 0)
                return r;

        *ret_id = (uint64_t)sqlite3_last_insert_rowid(db->handle);
        remember(contexts, bytes, n, *ret_id);
        return 0;
}

int spool_context_ref(SpoolContexts *contexts, uint64_t id) {
        return contexts->counted ? add_use(contexts, id) : 0;
}

int spool_context_unref(SpoolContexts *contexts, Db *db, uint64_t id) {
        bool was_counted = contexts->counted;
        sqlite3_stmt *statement = NULL;
        ContextUse *use;
        int r;

        r = was_counted ? 0 : count(contexts, db); /* which sees that it is gone */
        if (r < 0)
                return r;
        use = find_use(contexts, id);
        if (use && was_counted)
                use->n_tasks--;
        if (use && use->n_tasks > 0)
                return 0;

        if (use)
                drop_use(contexts, use);
        if (contexts->last_id == id)
                forget_last(contexts);
        r = db_statement(db, SPOOL_SQL_CONTEXT_DROP, &statement);
        if (r < 0)
                return r;
        (void)sqlite3_bind_int64(statement, 1, (int64_t)id);
        return db_run(statement);
}

int spool_context_load(Db *db, uint64_t id, void **ret, size_t *ret_n) {
        sqlite3_stmt *statement = NULL;
        int r;

        if (id > INT64_MAX)
                return -ENOENT;

        r = db_statement(db, SPOOL_SQL_CONTEXT_GET, &statement);
        if (r < 0)
                return r;
        (void)sqlite3_bind_int64(statement, 1, (int64_t)id);
        r = db_step(statement);
        if (r > 0)
                r = spool_row_copy_bytes(statement, 0, ret, ret_n);
        else if (r == 0)
                r = -ENOENT;
        (void)sqlite3_reset(statement);
        return r;
}

int spool_contexts_drop_unused(Db *db) {
        sqlite3_stmt *statement = NULL;
        int r;

        r = db_statement(db, SPOOL_SQL_CONTEXT_DROP_UNUSED, &statement);
        if (r < 0)
                return r;
        return db_run(statement);
}
