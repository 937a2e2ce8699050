/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "store/drain-row.h"
#include "store/past-row.h"
#include "store/store-state.h"
#include "store/task-row.h"
#include "util/cleanup.h"
#include "util/fd.h"

/* The end of a change, as txn_changed(). */
static int changed(Store *store, int r) {
        if (r < 0)
                store->ids_end_put = 0;
        return txn_changed(&store->txn, r);
}

/* The copy of what the file of ids says. */
static int put_ids_end(Store *store) {
        int r;

        if (store->ids.end <= MAX(store->meta.ids_end, store->ids_end_put))
                return 0;
        r = meta_put_ids_end(&store->db, store->ids.end);
        if (r < 0)
                return r;
        store->ids_end_put = store->ids.end;
        return 0;
}

int store_put_task(Store *store, const Task *task) {
        int r;

        r = txn_begin(&store->txn);
        if (r < 0)
                return r;

        r = task_row_put(&store->db, task);
        if (r == 0)
                r = put_ids_end(store);
        return changed(store, r);
}

int store_remove_task(Store *store, uint64_t id) {
        int r;

        r = txn_begin(&store->txn);
        if (r < 0)
                return r;
        return changed(store, task_row_remove(&store->db, id));
}

static int put_gpus(Store *store, const GpuSample *gpus, unsigned n_gpus) {
        sqlite3_stmt *statement = NULL;
        int r;

        r = db_statement(&store->db, SQL_GPUS_CLEAR, &statement);
        if (r < 0)
                return r;
        r = db_run(statement);
        if (r < 0)
                return r;

        for (unsigned i = 0; i < n_gpus; i++) {
                r = gpu_row_put(&store->db, &gpus[i]);
                if (r < 0)
                        return r;
        }
        return 0;
}

int store_put_gpus(Store *store, const GpuSample *gpus, unsigned n_gpus) {
        int r;

        r = txn_begin(&store->txn);
        if (r < 0)
                return r;
        return changed(store, put_gpus(store, gpus, n_gpus));
}

int store_put_drain(Store *store, const Drain *drain) {
        int r;

        r = txn_begin(&store->txn);
        if (r < 0)
                return r;
        return changed(store, drain_row_put(&store->db, drain));
}

int store_get_drain(Store *store, Drain *ret) {
        return drain_row_get(&store->db, ret);
}

int store_put_pasts(Store *store, const UserPast *pasts, size_t n) {
        int r;

        r = txn_begin(&store->txn);
        if (r < 0)
                return r;
        return changed(store, past_rows_put(&store->db, pasts, n));
}

ssize_t store_get_pasts(Store *store, UserPast *ret, size_t max) {
        return past_rows_get(&store->db, ret, max);
}

/* A row that was left out: @damage says why. */
static void note_damage(Store *store, const Error *damage) {
        store->n_damaged++;
        store->damage = *damage;
}

unsigned store_n_damaged(const Store *store, const char **ret_last) {
        if (ret_last)
                *ret_last = store->damage.text;
        return store->n_damaged;
}

int store_get_gpus(Store *store, GpuSample ret[static GPU_MAX]) {
        sqlite3_stmt *statement = NULL;
        int n = 0;
        int r;

        r = db_statement(&store->db, SQL_GPUS, &statement);
        if (r < 0)
                return r;

        while (n < GPU_MAX && (r = db_step(statement)) > 0) {
                Error error = {};

                r = gpu_row_read(statement, &ret[n], &error);
                if (r < 0)
                        break;
                if (r == TASK_ROW_E_DAMAGED)
                        note_damage(store, &error);
                else
                        n++;
        }
        (void)sqlite3_reset(statement);
        return r < 0 ? r : n;
}

bool store_is_broken(const Store *store) {
        return store->txn.broken < 0;
}

int store_look_for_room(const Store *store) {
        _cleanup_close_ int fd = openat(store->dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

        if (fd < 0)
                return errno == EOPNOTSUPP || errno == EISDIR ? 0 : -errno;
        return -posix_fallocate(fd, 0, STORE_ROOM_BYTES);
}

bool store_is_dirty(const Store *store) {
        return store->txn.dirty;
}

int store_commit(Store *store, bool sync) {
        int r;

        r = txn_commit(&store->txn);
        if (r == 0)
                store->meta.ids_end = MAX(store->meta.ids_end, store->ids_end_put);
        store->ids_end_put = 0;
        if (r < 0)
                return r;
        return sync ? txn_sync(&store->txn) : 0;
}

const char *store_database_id(const Store *store) {
        return store->meta.database_id;
}

int store_take_id(Store *store, uint64_t *ret) {
        if (store->txn.broken < 0)
                return store->txn.broken;
        return ids_take(&store->ids, STORE_IDS_BLOCK, ret);
}

bool store_may_have_lost(const Store *store, uint64_t id) {
        return id >= store->lost_begin && id < store->lost_end;
}

/* Gives every task of a bound statement to @fn. */
static int load_all(Store *store, sqlite3_stmt *statement, store_task_fn fn, void *userdata) {
        int r;

        while ((r = db_step(statement)) > 0) {
                Task *task = NULL;
                Error error = {};

                r = task_row_read(&store->db, statement, &task, &error);
                if (r == TASK_ROW_E_DAMAGED) {
                        note_damage(store, &error);
                        continue;
                }
                if (r == 0)
                        r = fn(task, userdata);
                if (r < 0)
                        break;
        }
        (void)sqlite3_reset(statement);
        return r;
}

int store_load_active(Store *store, store_task_fn fn, void *userdata) {
        sqlite3_stmt *statement = NULL;
        int r;

        r = db_statement(&store->db, SQL_TASKS_ACTIVE, &statement);
        if (r < 0)
                return r;
        return load_all(store, statement, fn, userdata);
}

/* The task of a bound statement that returns one row or none. */
static int load_one(Store *store, sqlite3_stmt *statement, Task **ret) {
        Error error = {};
        int r;

        r = db_step(statement);
        if (r == 0)
                r = -ENOENT;
        else if (r > 0)
                r = task_row_read(&store->db, statement, ret, &error);
        (void)sqlite3_reset(statement);

        if (r == TASK_ROW_E_DAMAGED) {
                note_damage(store, &error);
                return -EUCLEAN;
        }
        return r;
}

int store_load_task(Store *store, uint64_t id, Task **ret) {
        sqlite3_stmt *statement = NULL;
        int r;

        if (id > INT64_MAX)
                return -ENOENT;

        r = db_statement(&store->db, SQL_TASK_GET, &statement);
        if (r < 0)
                return r;
        (void)sqlite3_bind_int64(statement, 1, (int64_t)task_ref_order(id));
        return load_one(store, statement, ret);
}

int store_load_key(Store *store, uid_t uid, const uint8_t key[static TASK_KEY_BYTES], Task **ret) {
        sqlite3_stmt *statement = NULL;
        int r;

        if (store->txn.broken < 0)
                return store->txn.broken; /* what is there may not be on the disk */
        r = db_statement(&store->db, SQL_TASK_GET_KEY, &statement);
        if (r < 0)
                return r;
        (void)sqlite3_bind_int64(statement, 1, uid);
        (void)sqlite3_bind_blob(statement, 2, key, TASK_KEY_BYTES, SQLITE_STATIC);
        return load_one(store, statement, ret);
}

/* Which place a task has that is none, but larger than all: the last. */
static int64_t place_before(uint64_t id) {
        return id > INT64_MAX ? INT64_MAX : (int64_t)task_ref_order(id);
}

int store_load_ended(Store *store,
                     uint64_t before_id,
                     uid_t uid,
                     unsigned max,
                     store_task_fn fn,
                     void *userdata) {
        bool everybody = uid == (uid_t)-1;
        sqlite3_stmt *statement = NULL;
        int r;

        r = db_statement(&store->db, everybody ? SQL_TASKS_ENDED : SQL_TASKS_ENDED_UID, &statement);
        if (r < 0)
                return r;
        (void)sqlite3_bind_int64(statement, 1, place_before(before_id));
        (void)sqlite3_bind_int64(statement, 2, max);
        if (!everybody)
                (void)sqlite3_bind_int64(statement, 3, uid);
        return load_all(store, statement, fn, userdata);
}

int store_load_runs(Store *store,
                    uid_t uid,
                    uint64_t signature,
                    unsigned max,
                    store_task_fn fn,
                    void *userdata) {
        sqlite3_stmt *statement = NULL;
        int r;

        r = db_statement(&store->db, SQL_TASKS_RUNS, &statement);
        if (r < 0)
                return r;
        (void)sqlite3_bind_int64(statement, 1, uid);
        (void)sqlite3_bind_int64(statement, 2, (int64_t)signature);
        (void)sqlite3_bind_int64(statement, 3, max);
        return load_all(store, statement, fn, userdata);
}

int store_last_end(Store *store, uint64_t *ret_at_us) {
        sqlite3_stmt *statement = NULL;
        int64_t at_us;
        int r;

        r = db_statement(&store->db, SQL_TASK_LAST_END, &statement);
        if (r < 0)
                return r;
        r = db_step(statement);
        if (r < 0)
                return r;
        at_us = sqlite3_column_int64(statement, 0);
        (void)sqlite3_reset(statement);
        *ret_at_us = (uint64_t)MAX(at_us, 0);
        return 0;
}

/* Return: 1 if something ended before, 0 if not, or negative errno. */
static int any_to_purge(Store *store, int64_t before_at_us) {
        sqlite3_stmt *statement = NULL;
        int r;

        r = db_statement(&store->db, SQL_PURGE_ANY, &statement);
        if (r < 0)
                return r;
        (void)sqlite3_bind_int64(statement, 1, before_at_us);
        r = db_step(statement);
        (void)sqlite3_reset(statement);
        return r;
}

/* Return: how many rows it removed, or negative errno. */
static int purge_table(Store *store, SqlId id, int64_t before_at_us, unsigned max) {
        sqlite3_stmt *statement = NULL;
        int r;

        r = db_statement(&store->db, id, &statement);
        if (r < 0)
                return r;
        (void)sqlite3_bind_int64(statement, 1, before_at_us);
        (void)sqlite3_bind_int64(statement, 2, max);
        r = db_run(statement);
        if (r < 0)
                return r;
        return sqlite3_changes(store->db.handle);
}

int store_purge(Store *store, uint64_t before_at_us, unsigned max) {
        int64_t before = (int64_t)MIN(before_at_us, (uint64_t)INT64_MAX);
        int r;

        r = any_to_purge(store, before);
        if (r <= 0)
                return r;
        r = txn_begin(&store->txn);
        if (r < 0)
                return r;

        r = purge_table(store, SQL_PURGE_TASK_GPUS, before, max);
        if (r >= 0)
                r = purge_table(store, SQL_PURGE_TASK_AFTERS, before, max);
        if (r >= 0)
                r = purge_table(store, SQL_PURGE_TASK_ARRAYS, before, max);
        if (r >= 0)
                r = purge_table(store, SQL_PURGE_TASKS, before, max);
        return changed(store, r);
}
