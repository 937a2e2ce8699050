/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/database.h"
#include "store/db.h"
#include "store/drain-row.h"
#include "store/ids.h"
#include "store/meta.h"
#include "store/recover.h"
#include "store/task-row.h"
#include "store/txn.h"
#include "util/cleanup.h"

#define LOCK_FILE "taskflow.db.lock"

/* How far to leap when nobody knows how many ids were reserved: further than anybody queued. */
#define IDS_LEAP 1000000

struct Store {
        int dir_fd;
        int lock_fd;
        char *path; /* of the database */
        Db db;
        Ids ids;
        Meta meta;            /* as committed */
        uint64_t ids_end_put; /* put in the open transaction; 0: not */
        Txn txn;
        unsigned n_damaged;
        Error damage;
};

static Store *store_new(void) {
        Store *store = calloc(1, sizeof(*store));

        if (!store)
                return NULL;
        store->dir_fd = -1;
        store->lock_fd = -1;
        store->ids = IDS_NULL;
        store->txn.db = &store->db;
        return store;
}

Store *store_free(Store *store) {
        if (!store)
                return NULL;

        db_done(&store->db); /* rolls back */
        ids_done(&store->ids);
        store->lock_fd = fd_close(store->lock_fd);
        store->dir_fd = fd_close(store->dir_fd);
        free(store->path);
        free(store);
        return NULL;
}

/*
 * SQLite's own locks do not cover setting a damaged file aside. A lock of the process, not of the open
 * file: a child of the daemon that outlives it does not keep the next one out.
 */
static int take_lock(Store *store, Error *error) {
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

        store->lock_fd = openat(store->dir_fd, LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (store->lock_fd < 0 || fchmod(store->lock_fd, 0600) < 0)
                return -errno;

        if (fcntl(store->lock_fd, F_SETLK, &lock) == 0)
                return 0;
        if (errno != EAGAIN && errno != EACCES)
                return -errno;

        lock.l_pid = 0;
        (void)fcntl(store->lock_fd, F_GETLK, &lock);
        return error_set(error, STORE_E_BUSY, "another taskflowd (process %d) has '%s' open",
                         (int)lock.l_pid, store->path);
}

/* Return: as store_open(). */
static int open_database(Store *store, bool check, bool *ret_new, Error *error) {
        Database database;
        int r;

        r = database_open(&database, &database_tasks, store->dir_fd, store->path, check, error);
        if (r == DATABASE_E_NEWER)
                return STORE_E_NEWER;
        if (r == DATABASE_E_BUSY)
                return STORE_E_BUSY;
        if (r == DATABASE_E_DAMAGED)
                return STORE_E_DAMAGED;
        if (r < 0)
                return r;

        store->db = database.db;
        store->meta = database.meta;
        *ret_new = database.is_new;
        return 0;
}

static int max_task_id(Store *store, uint64_t *ret) {
        sqlite3_stmt *statement = NULL;
        int64_t place;
        uint64_t id;
        int r;

        r = db_statement(&store->db, SQL_TASK_MAX_ID, &statement);
        if (r < 0)
                return r;
        r = db_step(statement);
        if (r < 0)
                return r;

        place = r > 0 ? sqlite3_column_int64(statement, 0) : 0;
        (void)sqlite3_reset(statement);
        id = place > 0 ? task_ref_id(task_ref_from_order((uint64_t)place)) : 0;
        *ret = id < IDS_MAX ? id : 0;
        return 0;
}

/*
 * Ids go on behind all that is known. Without their file the database may have lost its last commits in a power
 * cut, with at most one block in them.
 */
static int open_ids(Store *store, bool is_new) {
        uint64_t max_id = 0;
        int r;

        r = ids_open(&store->ids, store->dir_fd);
        if (r < 0)
                return r;
        r = max_task_id(store, &max_id);
        if (r < 0)
                return r;

        ids_raise(&store->ids, MAX(store->meta.ids_end, max_id + 1));
        if (!store->ids.known && !is_new)
                ids_raise(&store->ids, store->ids.next + STORE_IDS_BLOCK);
        return 0;
}

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

/* A row that was left out: @damage says why. */
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

uint64_t store_ids_end(const Store *store) {
        return store->ids.next;
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

/* Of the database that was read: its number of active and ended tasks is 0. */
static int has_tasks(Store *store) {
        uint64_t max_id = 0;
        int r;

        r = max_task_id(store, &max_id);
        return r < 0 ? r : max_id > 0;
}

/* What is known of the damaged database besides its rows. */
static int adopt(Store *store, const char *name, const Recovered *recovered, bool was_empty) {
        int r;

        r = txn_begin(&store->txn);
        if (r < 0)
                return r;

        /* its runners know the tasks under this id; but those of this one's own tasks know another */
        if (was_empty && recovered->database_id[0] != '\0')
                r = meta_put_database_id(&store->db, recovered->database_id);
        if (r == 0)
                r = meta_put_recovered_from(&store->db, name);
        r = changed(store, r);
        if (r < 0)
                return r;

        r = store_commit(store, true);
        if (r < 0)
                return r;
        return meta_get(&store->db, &store->meta, NULL) == 0 ? 0 : -EUCLEAN;
}

static int recover_from(Store *store, const char *name, Recovered *ret) {
        _cleanup_free_ char *path = NULL;
        int was_empty;
        int r;

        if (asprintf(&path, "%.*s%s", (int)(strlen(store->path) - strlen(DATABASE_FILE)),
                     store->path, name) < 0)
                return -ENOMEM;

        was_empty = has_tasks(store);
        if (was_empty < 0)
                return was_empty;
        was_empty = !was_empty;

        r = recover_copy(&store->db, path, ret);
        if (r < 0)
                return r;
        store->txn.unsynced = true;
        return adopt(store, name, ret, was_empty);
}

/* Ids behind those of the damaged database. Return: whether they leapt because too little was known. */
static bool raise_ids(Store *store, const Recovered *recovered) {
        ids_raise(&store->ids, recovered->ids_end);
        if (store->ids.known)
                return false;
        if (recovered->ids_known && recovered->whole) {
                ids_raise(&store->ids, store->ids.next + STORE_IDS_BLOCK);
                return false;
        }
        ids_raise(&store->ids, store->ids.next + IDS_LEAP);
        return true;
}

/* @name: set aside just now, or NULL: the last one, unless that was done already. */
static int take_over(Store *store, const char *name, Error *error) {
        _cleanup_free_ char *found = NULL;
        Recovered recovered = {};
        bool leapt;
        int r;

        if (!name) {
                r = database_find_set_aside(&database_tasks, store->dir_fd, &found);
                if (r == -ENOENT || (r == 0 && strcmp(found, store->meta.recovered_from) == 0))
                        return 0;
                if (r < 0)
                        return error_set(error, r, "cannot look for a damaged database: %s",
                                         strerror(-r));
                name = found;
        }

        r = recover_from(store, name, &recovered);
        if (r < 0)
                return error_set(error, r, "cannot take over what '%s' still says: %s", name,
                                 strerror(-r));

        leapt = raise_ids(store, &recovered);
        return error_set(error, 0,
                         "of the damaged database, kept as '%s', %" PRIu64
                         " tasks were taken over%s; %" PRIu64
                         " rows were left out; ids go on at %" PRIu64 "%s",
                         name, recovered.n_tasks, recovered.whole ? "" : ", all that could be read",
                         recovered.n_damaged, store->ids.next,
                         leapt ? ", a leap, as nobody knows which were given out" : "");
}

/* Return: as store_open(). */
static int open_all(Store *store, bool recover, Error *error) {
        _cleanup_free_ char *set_aside = NULL;
        bool is_new = false;
        int r;

        r = take_lock(store, error);
        if (r != 0)
                return r;

        r = open_database(store, recover, &is_new, error);
        if (r == STORE_E_DAMAGED) {
                r = database_set_aside(&database_tasks, store->dir_fd, &set_aside);
                if (r < 0)
                        return r;
                if (!recover)
                        return error_set(
                                error, STORE_E_DAMAGED,
                                "%s; it was set aside as '%s': start taskflowd with --recover to "
                                "take over what can be read of it, or without to begin with an "
                                "empty queue",
                                error->text, set_aside);
                r = open_database(store, false, &is_new, error);
        }
        if (r != 0)
                return r;

        r = open_ids(store, is_new && !set_aside);
        if (r < 0)
                return r;
        if (recover) {
                r = take_over(store, set_aside, error);
                if (r < 0)
                        return r;
        }

        r = txn_opened(&store->txn);
        if (r < 0)
                return error_set(error, r, "cannot bring what is in '%s' to the disk: %s",
                                 store->path, strerror(-r));
        return ids_keep(&store->ids);
}

int store_open(Store **ret, const char *dir_path, bool recover, Error *error) {
        _cleanup_(store_freep) Store *store = NULL;
        Error said = {};
        int r;

        if (error)
                *error = (Error){};

        store = store_new();
        if (!store || asprintf(&store->path, "%s/" DATABASE_FILE, dir_path) < 0)
                return -ENOMEM;

        store->dir_fd = open(dir_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (store->dir_fd < 0) {
                r = -errno;
                return error_set(error, r, "cannot open '%s': %s", dir_path, strerror(-r));
        }

        r = open_all(store, recover, &said);
        if (r < 0 && said.text[0] == '\0')
                (void)error_set(&said, r, "cannot open the state in '%s': %s", dir_path,
                                strerror(-r));
        if (error)
                *error = said;
        if (r != 0)
                return r;

        *ret = TAKE_PTR(store);
        return 0;
}
