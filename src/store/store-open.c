/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Opening the store: alone, whole or with what can be read of it, and with ids that go on behind all that were given out. */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/database.h"
#include "store/recover.h"
#include "store/store-state.h"
#include "util/cleanup.h"
#include "util/fd.h"

#define LOCK_FILE "taskflow.db.lock"

/* How far to leap when nobody knows how many ids were reserved: further than anybody queued. */
#define IDS_LEAP 1000000

/* So many blocks back a task may have been forgotten by a daemon, and by those that crashed before it came back to them. */
#define LOST_BLOCKS 2

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

        store->lock_fd =
                openat(store->dir_fd, LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (store->lock_fd < 0 || fchmod(store->lock_fd, 0600) < 0)
                return error_set(error, -errno, "cannot open '%s.lock': %s", store->path,
                                 strerror(errno));

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
        store->lost_begin = max_id - MIN(max_id, (uint64_t)LOST_BLOCKS * STORE_IDS_BLOCK) + 1;
        store->lost_end = store->ids.next;
        return 0;
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
        r = txn_changed(&store->txn, r);
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
        store->lost_begin = 1;
        store->lost_end = store->ids.next;
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
                return error_set(error, r, "cannot open 'taskflow.ids' beside '%s': %s",
                                 store->path, strerror(-r));
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
