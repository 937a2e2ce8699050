#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Task ids
 *
 * An id is given out once for the life of the state folder, also when the database is damaged, removed, or
 * put back from a copy. So the end of the block that ids come from has a small file of its own beside the
 * database, which also lets a block be reserved while a transaction is open; the database has a copy.
 */

#include <stdbool.h>
#include <stdint.h>

#include "core/task.h"
#include "util/macro.h"

#define IDS_MAX TASK_ID_MAX /* larger than any that is given out */

typedef struct Ids {
        int fd;        /* -1: not open */
        bool known;    /* the file was there and made sense */
        uint64_t next; /* the next to be given out */
        uint64_t end;  /* of the block: reserved on the disk up to here */
} Ids;

#define IDS_NULL ((Ids){ .fd = -1 })

/**
 * ids_open() - what the file knows
 * @ret:        overwritten on success: both its `next` and its `end` are what was reserved, or 0 if that is not known;
 *              release with ids_done()
 *
 * Return: 0 or negative errno.
 */
int ids_open(Ids *ret, int dir_fd);
void ids_done(Ids *ids);

/* Never gives out ids below @id. */
void ids_raise(Ids *ids, uint64_t id);

/* Writes the file if it was not known, so that later it needs no room on the disk. Return: 0 or negative errno. */
int ids_keep(Ids *ids);

/**
 * ids_take() - the next id
 * @block:      how many to reserve on the disk when none are left
 *
 * Return: 0, -EOVERFLOW when there are no more, or negative errno.
 */
int ids_take(Ids *ids, unsigned block, uint64_t *ret);
