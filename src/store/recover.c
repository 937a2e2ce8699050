/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * A damaged page stops a scan. So the table is read upwards to the first such page, then downwards to the last, and
 * each id between the two is asked for by itself: that finds the way around the page from above.
 *
 * A damaged tree can send a scan in circles: it ends where ids no longer go on in one direction.
 */

#include "store/recover.h"

#include <errno.h>
#include <string.h>

#include "store/ids.h"
#include "store/meta.h"
#include "store/task-row.h"
#include "util/macro.h"

enum {
        ROWS_PER_COMMIT = 4096,

        /* Measured at some 5 us each; what is beyond would be many thousand damaged pages. */
        IDS_PROBED_MAX = 1000000,
};

typedef struct Copy {
        Db *from;
        Db *to;
        uint64_t up_to;     /* read upwards so far; 0: nothing */
        uint64_t down_to;   /* read downwards so far */
        unsigned n_pending; /* rows since the last commit */
        Recovered result;
} Copy;

static int run(Db *db, SqlId id) {
        sqlite3_stmt *statement = NULL;
        int r;

        r = db_statement(db, id, &statement);
        if (r < 0)
                return r;
        return db_run(statement);
}

static int commit(Copy *copy) {
        if (copy->n_pending == 0)
                return 0;
        copy->n_pending = 0;
        return run(copy->to, SQL_COMMIT);
}

static int begin(Copy *copy) {
        if (copy->n_pending++ > 0)
                return 0;
        return run(copy->to, SQL_BEGIN);
}

/* Return: 1, 0 or negative errno. */
static int exists(Db *db, uint64_t id) {
        sqlite3_stmt *statement = NULL;
        int r;

        r = db_statement(db, SQL_TASK_GET, &statement);
        if (r < 0)
                return r;
        (void)sqlite3_bind_int64(statement, 1, (int64_t)id);
        r = db_step(statement);
        (void)sqlite3_reset(statement);
        return r;
}

static int put(Copy *copy, const Task *task) {
        int r;

        r = exists(copy->to, task->id);
        if (r < 0)
                return r;
        if (r > 0) {
                copy->result.n_damaged++;
                return 0;
        }

        r = begin(copy);
        if (r < 0)
                return r;
        r = task_row_put(copy->to, task);
        if (r < 0)
                return r;

        copy->result.n_tasks++;
        return copy->n_pending >= ROWS_PER_COMMIT ? commit(copy) : 0;
}

/* The current row of @statement. */
static int copy_row(Copy *copy, sqlite3_stmt *statement, uint64_t id) {
        _cleanup_(task_freep) Task *task = NULL;
        int r;

        copy->result.ids_end = MAX(copy->result.ids_end, id + 1);

        r = task_row_read(copy->from, statement, &task, NULL);
        if (r == -ENOMEM)
                return r;
        if (r != 0) {
                copy->result.n_damaged++;
                return 0;
        }
        return put(copy, task);
}

/* Whether an id goes on in the direction of the scan, and was not read before. */
static bool goes_on(const Copy *copy, bool up, int64_t id) {
        if (id < 1 || id > (int64_t)IDS_MAX)
                return false;
        return up ? (uint64_t)id > copy->up_to :
                    (uint64_t)id < copy->down_to && (uint64_t)id > copy->up_to;
}

/* Return: 1 if the table was read to its end, 0 if not, or negative errno of writing. */
static int scan(Copy *copy, bool up) {
        sqlite3_stmt *statement = NULL;
        int r;

        r = db_statement(copy->from, up ? SQL_TASKS_UP : SQL_TASKS_DOWN, &statement);
        if (r < 0)
                return 0;

        for (;;) {
                int64_t id;

                r = db_step(statement);
                if (r <= 0)
                        break;
                id = sqlite3_column_int64(statement, 0);
                if (!goes_on(copy, up, id)) {
                        r = -EUCLEAN;
                        break;
                }

                *(up ? &copy->up_to : &copy->down_to) = (uint64_t)id;
                r = copy_row(copy, statement, (uint64_t)id);
                if (r < 0)
                        return r;
        }
        (void)sqlite3_reset(statement);
        return r == 0;
}

static int probe(Copy *copy) {
        sqlite3_stmt *statement = NULL;
        uint64_t end = copy->down_to;
        int r;

        if (end - copy->up_to > IDS_PROBED_MAX)
                end = copy->up_to + IDS_PROBED_MAX;

        for (uint64_t id = copy->up_to + 1; id < end; id++) {
                r = db_statement(copy->from, SQL_TASK_GET, &statement);
                if (r < 0)
                        return 0;
                (void)sqlite3_bind_int64(statement, 1, (int64_t)id);
                if (db_step(statement) <= 0)
                        continue;
                r = copy_row(copy, statement, id);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int copy_tasks(Copy *copy) {
        int r;

        r = scan(copy, true);
        if (r != 0) {
                copy->result.whole = r > 0;
                return r < 0 ? r : 0;
        }

        r = scan(copy, false);
        if (r < 0)
                return r;
        return probe(copy);
}

/* Those of the new database, if it has any, are fresher. */
static int copy_gpus(Copy *copy) {
        sqlite3_stmt *from = NULL;
        sqlite3_stmt *to = NULL;
        GpuSample gpu;
        int r;

        r = db_statement(copy->to, SQL_GPUS, &to);
        if (r < 0)
                return r;
        r = db_step(to);
        (void)sqlite3_reset(to);
        if (r != 0)
                return r < 0 ? r : 0;

        if (db_statement(copy->from, SQL_GPUS, &from) < 0)
                return 0;
        for (unsigned n = 0; n < GPU_MAX && db_step(from) > 0; n++) {
                if (gpu_row_read(from, &gpu, NULL) != 0)
                        continue;
                r = begin(copy);
                if (r < 0)
                        return r;
                r = gpu_row_put(copy->to, &gpu);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int copy_all(Copy *copy) {
        Meta meta;
        int r;

        if (meta_get(copy->from, &meta, NULL) == 0) {
                copy->result.ids_known = true;
                copy->result.ids_end = meta.ids_end;
                memcpy(copy->result.database_id, meta.database_id, sizeof(meta.database_id));
        }

        r = copy_tasks(copy);
        if (r < 0)
                return r;
        r = copy_gpus(copy);
        if (r < 0)
                return r;
        return commit(copy);
}

int recover_copy(Db *to, const char *path, Recovered *ret) {
        Db from = {};
        Copy copy = { .from = &from, .to = to, .down_to = IDS_MAX + 1 };
        int r;

        r = db_open(&from, path);
        if (r < 0) {
                *ret = (Recovered){};
                return r == -ENOMEM ? r : 0;
        }

        r = copy_all(&copy);
        if (r < 0)
                (void)run(to, SQL_ROLLBACK);
        db_done(&from);
        if (r < 0)
                return r;

        *ret = copy.result;
        return 0;
}
