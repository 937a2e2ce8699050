#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * A connection to a database
 *
 * SQLite's handle, the statements prepared on it, and its result codes as negative errno. Internal to
 * the store.
 */

#include <stdbool.h>
#include <stdint.h>

#include <sqlite3.h>

#include "store/sql.h"

enum {
        DB_STATEMENTS_MAX = 64,
};

/* The statements of a kind of database, by number. */
typedef struct DbSql {
        const char *const *statements;
        unsigned n; /* at most DB_STATEMENTS_MAX */
} DbSql;

typedef struct Db {
        sqlite3 *handle;
        const DbSql *sql;
        sqlite3_stmt *statements[DB_STATEMENTS_MAX];
        sqlite3_int64 n_wal_bytes; /* in use, see db_note_wal() */
        unsigned old_version; /* of the tables of tasks, if it is not this one: for recover.c */
} Db;

/**
 * db_open() - open a file that exists, to look at it
 * @ret:        overwritten on success; release with db_done()
 * @path:       the file
 * @sql:        what may be run on it; borrowed
 *
 * Takes the file for this connection alone with the first look into it. Nothing is written to it, and what lies
 * beside it stays.
 *
 * Return: 0 or negative errno.
 */
int db_open(Db *ret, const char *path, const DbSql *sql);
void db_done(Db *db);

/* From here on it may be written. Return: 0, -EOPNOTSUPP where there can be no WAL, or negative errno. */
int db_set_writing(Db *db);

/* Prepares every statement; a file whose tables are not what they should be is found out. */
int db_prepare_all(Db *db);

/**
 * db_statement() - a statement, reset and ready to be bound
 * @id:         an SqlId, or what else the database's kind names its statements with
 * @ret:        owned by the connection; step it with db_step()
 *
 * Return: 0 or negative errno.
 */
int db_statement(Db *db, unsigned id, sqlite3_stmt **ret);

/* Return: 1 if there is a row, 0 if there is none (any more), or negative errno. */
int db_step(sqlite3_stmt *statement);

/* Steps a statement that returns no rows, and lets go of what was bound. Return: 0 or negative errno. */
int db_run(sqlite3_stmt *statement);

/*
 * Steps a statement of which the first column of one row is wanted, and lets go of what was bound. @ret is set if there is a row.
 * Return: 1 if there is one, 0, or negative errno.
 */
int db_first(sqlite3_stmt *statement, int64_t *ret);

/* Runs SQL text, for what is done once. Return: 0 or negative errno. */
int db_exec(Db *db, const char *sql);

/* The first column of the first row of SQL text. Return: 0, -ENODATA if there is no row, or negative errno. */
int db_get_int64(Db *db, const char *sql, int64_t *ret);

/* Whether PRAGMA quick_check finds nothing. Return: 0, -EUCLEAN, or another negative errno. */
int db_quick_check(Db *db);

/* Brings all commits to the disk. Return: 0 or negative errno. */
int db_sync(Db *db);

/* After a commit: how many pages the WAL has now, of which db_sync() keeps some ready in advance. */
void db_note_wal(Db *db, int n_pages);

typedef enum DbCheckpoint {
        DB_CHECKPOINT_SOME, /* what can be moved at once */
        DB_CHECKPOINT_ALL,
} DbCheckpoint;

enum {
        DB_E_SYNC = 1, /* a sync has failed */
};

/* Moves commits from the WAL into the database. Return: 0, DB_E_SYNC, or another negative errno. */
int db_checkpoint(Db *db, DbCheckpoint how);

/**
 * db_errno() - SQLite's result code as negative errno
 * @handle:     where it happened, to know the system's own errno; may be NULL
 *
 * What is wrong inside the file is -EUCLEAN, a full disk -ENOSPC, a lock -EBUSY, a key that is there
 * already -EEXIST; 0 for SQLITE_OK, SQLITE_ROW and SQLITE_DONE.
 */
int db_errno(sqlite3 *handle, int code);
