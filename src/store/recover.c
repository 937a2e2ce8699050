/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * A damaged page stops a scan. So the table is read upwards to the first such page, then downwards to the last, and
 * each id between the two is asked for by itself, and of an array the elements likewise: that finds the way around the page
 * from above.
 *
 * A damaged tree can send a scan in circles: it ends where ids no longer go on in one direction. What goes on are the places
 * in order, task_ref_order().
 *
 * A database of version 1 has other columns, and ids that are none of these places: what is read of it is the same.
 */

#include "store/recover.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/core.h"
#include "store/database.h"
#include "store/drain-row.h"
#include "store/meta.h"
#include "store/past-row.h"
#include "store/task-row.h"
#include "util/cleanup.h"
#include "util/macro.h"

enum {
        ROWS_PER_COMMIT = 4096,

        /* Measured at some 5 us each; what is beyond would be many thousand damaged pages. */
        PROBED_MAX = 1000000,

        /* Of a place; below them what stands for the element. */
        PLACE_SHIFT = 24,
};

typedef struct Copy {
        Db *from;
        Db *to;
        unsigned n_pending; /* rows since the last commit */
        unsigned n_probed;
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
        (void)sqlite3_bind_int64(statement, 1, (int64_t)task_ref_order(id));
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
static int copy_row(Copy *copy, sqlite3_stmt *statement, uint64_t place) {
        uint64_t id = task_ref_id(task_ref_from_order(place));
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

/* By the version of the tables; 0: this one's. From 3 on tasks are as in 7, and from 6 on GPUs are as they are now. */
static const SqlId sql_up[] = { SQL_TASKS_UP, SQL_TASKS_UP_1, SQL_TASKS_UP_2, SQL_TASKS_UP_7,
                                SQL_TASKS_UP_7 };
static const SqlId sql_down[] = { SQL_TASKS_DOWN, SQL_TASKS_DOWN_1, SQL_TASKS_DOWN_2,
                                  SQL_TASKS_DOWN_7, SQL_TASKS_DOWN_7 };

/* Places above @low and below @high are read; it is moved to what was read last. */
typedef struct Range {
        uint64_t low, high;
} Range;

static bool goes_on(const Range *range, int64_t place) {
        return place > (int64_t)range->low && place < (int64_t)range->high;
}

/* Return: 1 if the range was read to its end, 0 if not, or negative errno of writing. */
static int scan(Copy *copy, bool up, Range *range) {
        SqlId sql = (up ? sql_up : sql_down)[copy->from->old_version];
        sqlite3_stmt *statement = NULL;
        int r;

        r = db_statement(copy->from, sql, &statement);
        if (r < 0)
                return 0;
        (void)sqlite3_bind_int64(statement, 1, (int64_t)range->low + 1);
        (void)sqlite3_bind_int64(statement, 2, (int64_t)range->high - 1);

        for (;;) {
                int64_t place;

                r = db_step(statement);
                if (r <= 0)
                        break;
                place = sqlite3_column_int64(statement, 0);
                if (!goes_on(range, place)) {
                        r = -EUCLEAN;
                        break;
                }

                *(up ? &range->low : &range->high) = (uint64_t)place;
                r = copy_row(copy, statement, (uint64_t)place);
                if (r < 0)
                        return r;
        }
        (void)sqlite3_reset(statement);
        return r == 0;
}

/* Each place of a range by itself: what follows it may be readable again. */
static int step(Copy *copy, Range *range) {
        int r = 0;

        while (r == 0 && range->low + 1 < range->high && copy->n_probed++ < PROBED_MAX) {
                range->low++;
                r = scan(copy, true, range);
        }
        return r < 0 ? r : 0;
}

/* One id and its elements, as far as they are in the gap. */
static int probe_id(Copy *copy, const Range *gap, uint64_t id) {
        uint64_t first = id << PLACE_SHIFT, behind = (id + 1) << PLACE_SHIFT;
        Range range = { .low = MAX(gap->low, first - (id > 0)), .high = MIN(gap->high, behind) };
        int r;

        r = scan(copy, true, &range);
        if (r == 0)
                r = scan(copy, false, &range);
        if (r != 0)
                return r < 0 ? r : 0;

        /* how far elements go is known where some were read on both sides */
        if (range.low >= first && range.high < behind)
                return step(copy, &range);
        return 0;
}

static int probe(Copy *copy, const Range *gap) {
        uint64_t end = gap->high >> PLACE_SHIFT;
        int r = 0;

        for (uint64_t id = gap->low >> PLACE_SHIFT; r == 0 && id <= end; id++) {
                if (copy->n_probed++ >= PROBED_MAX)
                        break;
                r = probe_id(copy, gap, id);
        }
        return r;
}

/* Which tables it has. One of which that cannot be said has none that can be read. */
static void look_at_version(Db *from) {
        static const unsigned newest_first[] = { 0, 4, 3, 2, 1 };
        sqlite3_stmt *statement;

        for (size_t i = 0; i < ELEMENTSOF(newest_first); i++) {
                from->old_version = newest_first[i];
                if (db_statement(from, sql_up[from->old_version], &statement) == 0 &&
                    db_statement(from, task_row_gpus_sql(from->old_version), &statement) == 0)
                        return;
        }
        from->old_version = 0;
}

static int copy_tasks(Copy *copy) {
        Range range = { .low = 0, .high = TASK_ROW_PLACE_MAX + 1 };
        sqlite3_stmt *statement;
        int r;

        /* without the table there is nothing to probe for */
        r = db_statement(copy->from, sql_up[copy->from->old_version], &statement);
        if (r < 0)
                return r == -ENOMEM ? r : 0;

        r = scan(copy, true, &range);
        if (r != 0) {
                copy->result.whole = r > 0;
                return r < 0 ? r : 0;
        }

        r = scan(copy, false, &range);
        if (r < 0)
                return r;
        return probe(copy, &range);
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

/* That of the new database, if it is drained, is fresher; an older version had none. */
static int copy_drain(Copy *copy) {
        Drain drain = {};
        int r;

        r = drain_row_get(copy->to, &drain);
        if (r < 0 || drain.on || drain_row_get(copy->from, &drain) < 0 || !drain.on)
                return r;
        r = begin(copy);
        return r < 0 ? r : drain_row_put(copy->to, &drain);
}

/* Likewise. */
static int copy_pasts(Copy *copy) {
        _cleanup_free_ UserPast *pasts = calloc(CORE_USERS_MAX, sizeof(*pasts));
        ssize_t n;
        int r;

        if (!pasts)
                return -ENOMEM;
        n = past_rows_get(copy->to, pasts, CORE_USERS_MAX);
        if (n != 0)
                return n < 0 ? (int)n : 0;
        n = past_rows_get(copy->from, pasts, CORE_USERS_MAX);
        if (n <= 0)
                return 0;
        r = begin(copy);
        return r < 0 ? r : past_rows_put(copy->to, pasts, (size_t)n);
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
        r = copy_drain(copy);
        if (r < 0)
                return r;
        r = copy_pasts(copy);
        if (r < 0)
                return r;
        return commit(copy);
}

int recover_copy(Db *to, const char *path, Recovered *ret) {
        Db from = {};
        Copy copy = { .from = &from, .to = to };
        int r;

        r = db_open(&from, path, &database_tasks.sql);
        if (r < 0) {
                *ret = (Recovered){};
                return r == -ENOMEM ? r : 0;
        }

        look_at_version(&from);
        r = copy_all(&copy);
        if (r < 0)
                (void)run(to, SQL_ROLLBACK);
        db_done(&from);
        if (r < 0)
                return r;

        *ret = copy.result;
        return 0;
}
