/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "shelf.h"

#include <stdlib.h>
#include <string.h>

#include "world.h"

void shelf_init(Shelf *shelf, size_t n_row) {
        *shelf = (Shelf){ .n_row = n_row, .commit = 1 };
}

void shelf_done(Shelf *shelf) {
        for (size_t i = 0; i < shelf->n_undo; i++)
                free(shelf->undo[i].row);
        free(shelf->undo);
        free(shelf->keys);
        free(shelf->rows);
        *shelf = (Shelf){ 0 };
}

static void *grown(void *items, size_t n, size_t size) {
        void *p = realloc(items, n * size);

        if (!p)
                abort();
        return p;
}

static size_t find(const Shelf *shelf, uint64_t key) {
        size_t at = 0;

        while (at < shelf->n && shelf->keys[at] != key)
                at++;
        return at;
}

static char *row_at(const Shelf *shelf, size_t at) {
        return shelf->rows + at * shelf->n_row;
}

void *shelf_get(const Shelf *shelf, uint64_t key) {
        size_t at = find(shelf, key);

        return at < shelf->n ? row_at(shelf, at) : NULL;
}

static void remember(Shelf *shelf, uint64_t key, size_t at) {
        ShelfUndo undo = { .commit = shelf->commit, .key = key, .existed = at < shelf->n };

        if (undo.existed) {
                undo.row = grown(NULL, 1, shelf->n_row);
                memcpy(undo.row, row_at(shelf, at), shelf->n_row);
        }
        if (shelf->n_undo == shelf->n_undo_max) {
                shelf->n_undo_max = 2 * shelf->n_undo_max + 16;
                shelf->undo = grown(shelf->undo, shelf->n_undo_max, sizeof(ShelfUndo));
        }
        shelf->undo[shelf->n_undo++] = undo;
        shelf->dirty = true;
}

static void set(Shelf *shelf, size_t at, uint64_t key, const void *row) {
        if (at == shelf->n) {
                if (shelf->n == shelf->n_max) {
                        shelf->n_max = 2 * shelf->n_max + 16;
                        shelf->keys = grown(shelf->keys, shelf->n_max, sizeof(uint64_t));
                        shelf->rows = grown(shelf->rows, shelf->n_max, shelf->n_row);
                }
                shelf->keys[shelf->n++] = key;
        }
        memcpy(row_at(shelf, at), row, shelf->n_row);
}

static void unset(Shelf *shelf, size_t at) {
        size_t last = --shelf->n;

        shelf->keys[at] = shelf->keys[last];
        if (at != last)
                memcpy(row_at(shelf, at), row_at(shelf, last), shelf->n_row);
}

void shelf_put(Shelf *shelf, uint64_t key, const void *row) {
        size_t at = find(shelf, key);

        remember(shelf, key, at);
        set(shelf, at, key, row);
}

void shelf_remove(Shelf *shelf, uint64_t key) {
        size_t at = find(shelf, key);

        if (at == shelf->n)
                return;
        remember(shelf, key, at);
        unset(shelf, at);
}

/* Back to before the commit of that number. */
static void undo_from(Shelf *shelf, uint64_t commit) {
        while (shelf->n_undo > 0 && shelf->undo[shelf->n_undo - 1].commit >= commit) {
                ShelfUndo *undo = &shelf->undo[--shelf->n_undo];
                size_t at = find(shelf, undo->key);

                if (undo->existed)
                        set(shelf, at, undo->key, undo->row);
                else if (at < shelf->n)
                        unset(shelf, at);
                free(undo->row);
        }
}

void shelf_rollback(Shelf *shelf) {
        undo_from(shelf, shelf->commit);
        shelf->dirty = false;
}

void shelf_commit(Shelf *shelf) {
        shelf->commit += shelf->dirty;
        shelf->dirty = false;
}

void shelf_sync(Shelf *shelf) {
        if (shelf->dirty)
                return;
        for (size_t i = 0; i < shelf->n_undo; i++)
                free(shelf->undo[i].row);
        shelf->n_undo = 0;
}

void shelf_lose_power(Shelf *shelf) {
        uint64_t first;

        shelf_rollback(shelf);
        if (shelf->n_undo == 0)
                return;
        first = shelf->undo[0].commit;
        undo_from(shelf, first + world_below(shelf->commit - first + 1));
        shelf_sync(shelf);
}

bool shelf_is_safe(const Shelf *shelf, uint64_t key) {
        if (!shelf_get(shelf, key))
                return false;
        for (size_t i = 0; i < shelf->n_undo; i++)
                if (shelf->undo[i].key == key && !shelf->undo[i].existed)
                        return false;
        return true;
}
