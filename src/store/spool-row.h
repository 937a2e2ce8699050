#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * A task as a row of the spool, and back. What is read is not trusted: an agent may find any file there.
 */

#include "store/db.h"
#include "store/spool.h"

/* Whether it can be a row. Return: as spool_put_task(). */
int spool_row_check(const SpoolTask *task);

/* Return: 0 or negative errno. */
int spool_row_put(Db *db, const SpoolTask *task);

/* The task of a bound statement that returns one row or none. Return: as spool_load_task(). */
int spool_row_load(sqlite3_stmt *statement, SpoolTask *ret);

/* Of a row of SPOOL_SQL_TASKS. Return: 0 or -EUCLEAN. */
int spool_row_read_entry(sqlite3_stmt *statement, SpoolEntry *ret);

/* A copy of the bytes of a column, with a NUL behind them, to be freed. Return: 0, -EUCLEAN, or -ENOMEM. */
int spool_row_copy_bytes(sqlite3_stmt *statement, int column, void **ret, size_t *ret_n);
