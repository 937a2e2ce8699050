#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * A shelf on the virtual disk
 *
 * Rows of one size with a number, changed in transactions. A commit is there for whoever opens the table next; only a sync makes it
 * outlast a power cut. Of the commits that were not synced a power cut leaves some, from the first on: as a write-ahead log does.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ShelfUndo {
        uint64_t commit; /* that it belongs to */
        uint64_t key;
        bool existed;
        void *row; /* owned: as it was */
} ShelfUndo;

typedef struct Shelf {
        size_t n_row; /* bytes */
        size_t n, n_max;
        uint64_t *keys;
        char *rows;      /* as the open transaction has them */
        uint64_t commit; /* the number of the open one */
        bool dirty;
        size_t n_undo, n_undo_max;
        ShelfUndo *undo; /* of what is not synced */
} Shelf;

void shelf_init(Shelf *shelf, size_t n_row);
void shelf_done(Shelf *shelf);

void *shelf_get(const Shelf *shelf, uint64_t key); /* borrowed, until the next change; NULL: none */
void shelf_put(Shelf *shelf, uint64_t key, const void *row);
void shelf_remove(Shelf *shelf, uint64_t key);

void shelf_rollback(Shelf *shelf);
void shelf_commit(Shelf *shelf);
void shelf_sync(Shelf *shelf);

/* Keeps some of what was not synced; rolls back what was not committed. */
void shelf_lose_power(Shelf *shelf);

/* Whether a row of this key would be there after a power cut. */
bool shelf_is_safe(const Shelf *shelf, uint64_t key);
