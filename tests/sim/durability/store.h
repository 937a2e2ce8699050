#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The daemon's store, as store/store.h has it, on the virtual disk
 *
 * A full disk fails a commit. Where a sync fails (decided once a round) all that follows fails, until the store is opened again.
 */

#include "row.h"
#include "shelf.h"

void store_begin(void); /* a new disk */
void store_end(void);
void store_lose_power(void);

/* What stands there now; borrowed, NULL: no such task. */
const Row *store_row(uint64_t id);
const Shelf *store_shelf(void);
