#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The contexts of a spool
 *
 * Each is kept once, and goes with the last task that has it. How many have it is counted here and not on the disk, where an index
 * for it would be one more page that each task writes.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/db.h"

typedef struct ContextUse ContextUse;

typedef struct SpoolContexts {
        ContextUse *uses; /* by id: those that tasks have */
        bool counted;     /* else @uses is empty, and is made when it is needed */
        void *last; /* the bytes of the one asked for last, which mostly is the next one too; NULL: none */
        size_t n_last;
        uint64_t last_id;
} SpoolContexts;

/* Nothing is known any more of what there is: at the end, and when a transaction was undone. */
void spool_contexts_forget(SpoolContexts *contexts);

/* Return: 0, -ENOENT, or another negative errno. */
int spool_context_find(SpoolContexts *contexts,
                       Db *db,
                       const void *bytes,
                       size_t n,
                       uint64_t *ret_id);

/* One that is not there yet. Return: 0 or negative errno. */
int spool_context_put(SpoolContexts *contexts,
                      Db *db,
                      const void *bytes,
                      size_t n,
                      uint64_t *ret_id);

/* A task has been put that has it. Return: 0 or -ENOMEM. */
int spool_context_ref(SpoolContexts *contexts, uint64_t id);

/* A task has been removed that had it; it goes too if no other has it. Return: 0 or negative errno. */
int spool_context_unref(SpoolContexts *contexts, Db *db, uint64_t id);

/* Return: as spool_load_context(). */
int spool_context_load(Db *db, uint64_t id, void **ret, size_t *ret_n);

/* Those that no task has. Return: 0 or negative errno. */
int spool_contexts_drop_unused(Db *db);
