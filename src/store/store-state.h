#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The store's state
 *
 * What store-open.c sets up and store.c works with. Private to these two: everybody else sees store/store.h.
 */

#include "store/db.h"
#include "store/ids.h"
#include "store/meta.h"
#include "store/store.h"
#include "store/txn.h"

struct Store {
        int dir_fd;
        int lock_fd;
        char *path; /* of the database */
        Db db;
        Ids ids;
        uint64_t lost_begin; /* ids that may have been given out before we began, and have no row */
        uint64_t lost_end;
        Meta meta;            /* as committed */
        uint64_t ids_end_put; /* put in the open transaction; 0: not */
        Txn txn;
        unsigned n_damaged;
        Error damage;
};
