#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The store
 *
 * What outlives the daemon: tasks waiting and running, those that ended in the last days, the ids given out, the GPUs last
 * seen. One SQLite database in a folder of the daemon's own; the only user of SQLite. Every change is made inside a
 * transaction that the caller commits once a turn of its loop.
 *
 * SQLite in WAL mode with locking_mode=EXCLUSIVE: no second daemon can open it, and no shared memory file is needed.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/machine.h"
#include "core/task.h"
#include "util/error.h"
#include "util/macro.h"

typedef struct Store Store;

enum {
        STORE_IDS_BLOCK = 1024, /* ids are reserved durably in blocks of this size */
        STORE_SCHEMA_VERSION = 8,
        STORE_DATABASE_ID_CHARS = 32,       /* hex digits of the database's random id */
        STORE_ROOM_BYTES = 4 * 1024 * 1024, /* more than a message's tasks take in its log */
};

/* store_open() */
enum {
        STORE_E_DAMAGED = 1, /* set aside under the name said in @error; nothing was opened */
        STORE_E_NEWER,       /* made by a newer version; untouched */
        STORE_E_BUSY,        /* another daemon has it open */
};

/**
 * store_open() - open, or make, DIR/taskflow.db
 * @dir_path:   exists, 0700
 * @recover:    the whole file is looked through, which takes about a second for 60 MB; a damaged database is set aside, and
 *              what can be read of it is taken over into a new one, as is, once, that of the last one set aside before. Without,
 *              STORE_E_DAMAGED is returned after it was set aside as "taskflow.db.damaged-YYYYMMDD-HHMMSS" (with its -wal;
 *              never removed)
 * @error:      what happened and what to do; also filled in on success when something was recovered (else empty)
 *
 * Migrates an older database by one step after the other, each in one transaction. What is read from it is on the disk: commits
 * of an earlier process are written once more, and synced.
 *
 * Return: 0, an outcome, or negative errno (-ENOSPC, -EACCES, -EROFS …).
 */
int store_open(Store **ret, const char *dir_path, bool recover, Error *error);
Store *store_free(Store *store); /* rolls back what was not committed */
DEFINE_CLEANUP(Store *, store_free);

/* The database's random id, STORE_DATABASE_ID_CHARS lower-case hex digits; owned by the store. */
const char *store_database_id(const Store *store);

/**
 * store_take_id() - a task id that was never given out
 *
 * Rises by one within a block; a new block is reserved durably (committed and synced by itself, before any other change of
 * the open transaction) when one is used up. After a restart ids go on with the next block.
 *
 * Return: 0, or negative errno (nothing can be written: -ENOSPC …).
 */
int store_take_id(Store *store, uint64_t *ret);

/*
 * Whether an id may have been given out shortly before this store was opened, and, if it has no row, been lost: a crash came before
 * the first commit of its task, or that was on a page that --recover could not read.
 */
bool store_may_have_lost(const Store *store, uint64_t id);

/**
 * store_put_task() - insert or replace a task with all its fields
 *
 * Begins a transaction if none is open. Of an array what its elements say is left out: `n_active` and `n_apart` are 0 when
 * it is read, and whoever loads its elements counts them again.
 *
 * Return: 0, or negative errno; after a failure (disk full) the open transaction is rolled back as a whole and all of its
 * changes must be put again.
 */
int store_put_task(Store *store, const Task *task);

/* Removes a task, as if it had never been; elements of an array are tasks of their own. Return: as store_put_task(). */
int store_remove_task(Store *store, uint64_t id);

/* The GPUs last seen (uuid, name, index, total), replacing those before. Return: as store_put_task(). */
int store_put_gpus(Store *store, const GpuSample *gpus, unsigned n_gpus);

/* Reads them back, state GPU_STATE_UNKNOWN, at most GPU_MAX. Return: how many, or negative errno. */
int store_get_gpus(Store *store, GpuSample ret[static GPU_MAX]);

/* Whether a sync has failed. Nothing can be written any more; whoever opens it again has all that is on the disk. */
bool store_is_broken(const Store *store);

/*
 * Whether there is room, after a commit that failed, for the largest that a message can bring (STORE_ROOM_BYTES). Small ones may fit
 * long before: who went by them would promise room to whoever asks again, for ever. Return: 0, or negative errno: -ENOSPC, -EDQUOT,
 * -EROFS... Where the file system cannot tell it is 0.
 */
int store_look_for_room(const Store *store);

/* Whether the machine is drained. Return: as store_put_task(). */
int store_put_drain(Store *store, const Drain *drain);

/* Reads it back. Return: 0 or negative errno. */
int store_get_drain(Store *store, Drain *ret);

/* What users had of the machine, replacing what was there. Return: as store_put_task(). */
int store_put_pasts(Store *store, const UserPast *pasts, size_t n);

/* Reads it back, at most @max of them. Return: how many, or negative errno. */
ssize_t store_get_pasts(Store *store, UserPast *ret, size_t max);

/* Whether a transaction with changes is open. */
bool store_is_dirty(const Store *store);

/**
 * store_commit() - end the transaction
 * @sync:       on the disk before it returns
 *
 * Return: 0 (also when nothing was open), or negative errno: everything since the last commit was rolled back.
 */
int store_commit(Store *store, bool sync);

/*
 * @task is owned by the callee, which must not call a function that takes such a one itself. A negative value ends the
 * reading and is returned.
 */
typedef int (*store_task_fn)(Task *task, void *userdata);

/* Every task that is not in a final state, in order, an array before its elements. Return: 0 or negative errno. */
int store_load_active(Store *store, store_task_fn fn, void *userdata);

/* One task in whatever state. Return: 0, -ENOENT, or negative errno. */
int store_load_task(Store *store, uint64_t id, Task **ret);

/*
 * The first task with its submitter's key; never an element. Return: 0, -ENOENT, or negative errno, also once a sync has failed:
 * its submitter is to be told of no task that is not on the disk.
 */
int store_load_key(Store *store, uid_t uid, const uint8_t key[static TASK_KEY_BYTES], Task **ret);

/**
 * store_load_ended() - tasks in a final state, from the last in order (core/task.h) to the first
 * @before_id:  only those before this one in order, which need not exist; UINT64_MAX: from the newest
 * @uid:        (uid_t)-1: everybody's
 * @max:        at most so many
 *
 * Sees what the open transaction has changed.
 */
int store_load_ended(Store *store,
                     uint64_t before_id,
                     uid_t uid,
                     unsigned max,
                     store_task_fn fn,
                     void *userdata);

/**
 * store_load_runs() - tasks of a user that were runs of the same (core/signature.h), from the last to end on
 * @max:        at most so many
 *
 * Those that succeeded and took 30 s or more: what takes less was hardly looked at, and must cost nothing more.
 * Sees what the open transaction has changed.
 */
int store_load_runs(Store *store,
                    uid_t uid,
                    uint64_t signature,
                    unsigned max,
                    store_task_fn fn,
                    void *userdata);

/* When the last task ended, of those on record; 0: there is none. Return: 0 or negative errno. */
int store_last_end(Store *store, uint64_t *ret_at_us);

/**
 * store_purge() - forget ended tasks
 * @before_at_us:       ended before this, CLOCK_REALTIME
 * @max:        at most so many in one call, so that the loop is not held up
 *
 * Those that ended first go first; an array behind its elements, if it did not end before them.
 *
 * Return: how many, or negative errno.
 */
int store_purge(Store *store, uint64_t before_at_us, unsigned max);

/**
 * store_n_damaged() - rows that made no sense and were left out
 * @ret_last:   set to what is wrong with the last of them, owned by the store; may be NULL
 *
 * Counted since the store was opened, by every function that reads. Such rows stay in the file; store_load_task() and
 * store_load_key() return -EUCLEAN for one.
 */
unsigned store_n_damaged(const Store *store, const char **ret_last);
