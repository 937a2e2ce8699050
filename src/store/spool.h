#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The spool
 *
 * What an agent must know of the tasks of its user that have not ended, and the daemon must not: in which surroundings they
 * run (environment, limits: a context, as bytes that mean nothing here) and what is run. One SQLite database, DIR/agent.db, for
 * the agent alone. An array is one task.
 *
 * Tasks of one submission have one context, and mostly so have those of one terminal: each is kept once, and goes with the last
 * task that has it.
 *
 * Every change is made inside a transaction that the caller commits. One agent at a time is for the caller to see to: it has
 * a lock of its own on the folder.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/task.h"
#include "util/error.h"
#include "util/macro.h"

typedef struct Spool Spool;

/* spool_open() */
enum {
        SPOOL_E_NEWER = 1, /* made by a newer version; untouched */
        SPOOL_E_BUSY,      /* another program has it open */
};

enum {
        SPOOL_SCHEMA_VERSION = 2,
        SPOOL_BYTES_MAX = 64 * 1024 * 1024, /* of one context, or of one argv */
};

typedef struct SpoolTask {
        uint8_t key[TASK_KEY_BYTES]; /* the submission's */
        uint64_t id;         /* of the task or the whole array, no element; 0: not known yet */
        uint64_t context_id; /* from spool_put_context() */
        void *argv;          /* bytes, as given */
        size_t n_argv;
        char *output;           /* the pattern of its output's path, any bytes; NULL: none */
        char *name;             /* any bytes; NULL: none */
        uint64_t give_up_at_us; /* since 1970; 0: never */
} SpoolTask;

/**
 * spool_open() - open, or make, DIR/agent.db; what an earlier process had committed is synced
 * @dir_path:   exists, 0700
 * @error:      what is wrong and what to do; also filled in on success when a damaged database was found: it was set aside as
 *              "agent.db.damaged-YYYYMMDD-HHMMSS" (never removed), and an empty one made (else empty)
 *
 * Return: 0, an outcome, or negative errno (-ENOSPC, -EACCES, -EROFS …).
 */
int spool_open(Spool **ret, const char *dir_path, Error *error);
Spool *spool_free(Spool *spool); /* rolls back what was not committed */
DEFINE_CLEANUP(Spool *, spool_free);

/*
 * Of all functions below that change something: they begin a transaction if none is open. After a failure that is not said to
 * be an outcome (disk full) it is rolled back as a whole, and all of its changes must be made again.
 */

/**
 * spool_put_context() - keep a context, unless it is there
 * @bytes:      1 to SPOOL_BYTES_MAX of them
 * @ret_id:     set to its id, that of the same bytes before or a new one; it holds until the last task that has it is removed,
 *              or, while none has it, until the spool is closed
 *
 * Return: 0, -EINVAL if there are none, -E2BIG, or negative errno.
 */
int spool_put_context(Spool *spool, const void *bytes, size_t n, uint64_t *ret_id);

/**
 * spool_put_task() - keep a task
 * @task:       borrowed; that no other has its key or its id is for the caller to see to
 * @ret_row:    where it lies: with its key, what all else calls it by. A row may be another task's when its own was removed,
 *              or undone
 *
 * Return: 0; -EINVAL without key or context, -ERANGE, -E2BIG (these undo nothing); or another negative errno.
 */
int spool_put_task(Spool *spool, const SpoolTask *task, int64_t *ret_row);

/**
 * spool_set_id() - the id that the daemon gave to a task
 *
 * Return: 0; -ENOENT if there is no task of this key in the row, -ERANGE if it is none (these undo nothing); or another negative
 * errno.
 */
int spool_set_id(Spool *spool, int64_t row, const uint8_t key[static TASK_KEY_BYTES], uint64_t id);

/* Removes a task, and its context if no other has it. Return: 0, also if it was not there, or negative errno. */
int spool_remove_task(Spool *spool, int64_t row, const uint8_t key[static TASK_KEY_BYTES]);

/**
 * spool_load_task() - a task
 * @ret:        set; to be released with spool_task_done()
 *
 * Sees what the open transaction has changed.
 *
 * Return: 0, -ENOENT, -EUCLEAN if the row makes no sense, or negative errno.
 */
int spool_load_task(Spool *spool,
                    int64_t row,
                    const uint8_t key[static TASK_KEY_BYTES],
                    SpoolTask *ret);
void spool_task_done(SpoolTask *task);

/**
 * spool_load_context() - the bytes of a context
 * @ret:        set to a copy, to be freed
 *
 * Return: 0, -ENOENT, -EUCLEAN if the row makes no sense, or negative errno.
 */
int spool_load_context(Spool *spool, uint64_t context_id, void **ret, size_t *ret_n);

/* What is needed of every task at the start. */
typedef struct SpoolEntry {
        int64_t row;
        uint8_t key[TASK_KEY_BYTES];
        uint64_t id;            /* 0: not known yet */
        uint64_t give_up_at_us; /* 0: never */
} SpoolEntry;

/* @entry is borrowed. Nothing may be changed or loaded meanwhile. A negative value ends the reading and is returned. */
typedef int (*spool_entry_fn)(const SpoolEntry *entry, void *userdata);

/* Every task, in the order in which they were put; rows that make no sense are left out. Return: 0 or negative errno. */
int spool_each(Spool *spool, spool_entry_fn fn, void *userdata);

/* How many tasks there are. */
uint64_t spool_n(const Spool *spool);

/* Whether a sync has failed: see spool_commit(). */
bool spool_is_broken(const Spool *spool);

/* Whether a transaction with changes is open. */
bool spool_is_dirty(const Spool *spool);

/**
 * spool_commit() - end the transaction
 * @sync:       on the disk before it returns, with all commits before
 *
 * Return: 0 (also when nothing was open), or negative errno: everything since the last commit was rolled back. -EIO once a
 * sync has failed: nothing can be written any more before it is opened again.
 */
int spool_commit(Spool *spool, bool sync);

/**
 * spool_get_meta() - what the agent itself wants to remember
 * @key:        a word of its own, not "boot_id"
 * @ret:        set to the text, to be freed
 *
 * Return: 0, -ENOENT, or negative errno.
 */
int spool_get_meta(Spool *spool, const char *key, char **ret);

/* Replaces it; NULL: forgets it. Return: 0, -EINVAL for a key that is not the agent's to use, or negative errno. */
int spool_put_meta(Spool *spool, const char *key, const char *value);
