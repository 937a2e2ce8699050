#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Transactions
 *
 * One begins with the first change and ends with a commit. It is committed without waiting for the disk; where that is
 * asked for, the WAL is synced behind it (db_sync()), which also brings all commits before it to the disk.
 *
 * A sync that failed cannot be repeated: the kernel has forgotten what it could not write. From then on every change is
 * refused, and the database must be opened again: then what it has is written once more, and synced.
 */

#include <stdbool.h>

#include "store/db.h"

typedef struct Txn {
        Db *db;        /* borrowed */
        bool dirty;    /* it is open */
        bool unsynced; /* commits were made that are not on the disk */
        int broken;    /* a sync failed: negative errno of every change from now on */
} Txn;

/* Once, when the database has been opened: all that is in it is written and synced again. Return: 0 or negative errno. */
int txn_opened(Txn *txn);

/* Before a change. Return: 0 or negative errno. */
int txn_begin(Txn *txn);

/* The end of a change. Return: @r of it, after undoing the whole transaction if it failed. */
int txn_changed(Txn *txn, int r);

/* Undoes what was not committed. */
void txn_rollback(Txn *txn);

/* Return: 0 (also when nothing was open), or negative errno: everything since the last commit was rolled back. */
int txn_commit(Txn *txn);

/* Return: 0 or -EIO. */
int txn_sync(Txn *txn);
