#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * A database file
 *
 * Making it, opening it, bringing it up to this version, and moving a damaged one out of the way. What kind of database it
 * is is data.
 */

#include <stdbool.h>

#include "store/db.h"
#include "store/meta.h"
#include "util/error.h"

#define DATABASE_FILE "taskflow.db"

/* database_open() */
enum {
        DATABASE_E_DAMAGED = 1,
        DATABASE_E_NEWER,
        DATABASE_E_BUSY,
};

typedef struct Database Database;

typedef struct DatabaseKind {
        const char *file; /* its name in the folder, at most DATABASE_NAME_MAX bytes */
        int64_t application_id;
        int version;
        const char *const
                *migrations; /* [N] makes version N + 1 of version N; version 0 is the empty file */
        const char *const *set_version;
        DbSql sql; /* the first three are BEGIN, COMMIT and ROLLBACK */

        /* Reads what the database knows of itself. Return: 0, DATABASE_E_DAMAGED with @error, or negative errno. */
        int (*load)(Database *database, Error *error);
        /* Remembers under which boot id it was opened. Return: 0 or negative errno. */
        int (*put_boot_id)(Db *db, const char *boot_id);
} DatabaseKind;

extern const DatabaseKind database_tasks;

struct Database {
        const DatabaseKind *kind;
        Db db;     /* ready for writing, of this version, with every statement prepared */
        Meta meta; /* what it knew of itself; of other kinds than database_tasks, `boot_id` alone */
        bool is_new; /* made just now */
};

enum {
        DATABASE_NAME_MAX = 32,
};

/**
 * database_open() - open, or make, the database of a folder
 * @ret:        overwritten on success; release its db with db_done()
 * @dir_fd:     the folder
 * @path:       of the file in it
 * @check:      look through all of it, however long that takes
 * @error:      set unless 0 is returned
 *
 * Return: 0, an outcome, or negative errno.
 */
int database_open(Database *ret,
                  const DatabaseKind *kind,
                  int dir_fd,
                  const char *path,
                  bool check,
                  Error *error);

/**
 * database_set_aside() - rename what is there of the database, with its WAL
 * @ret_name:   set to the new name in the folder, "taskflow.db.damaged-YYYYMMDD-HHMMSS", to be freed
 *
 * Return: 0 or negative errno.
 */
int database_set_aside(const DatabaseKind *kind, int dir_fd, char **ret_name);

/**
 * database_find_set_aside() - the last one that was set aside
 * @ret_name:   set to its name in the folder, to be freed
 *
 * Return: 0, -ENOENT if there is none, or negative errno.
 */
int database_find_set_aside(const DatabaseKind *kind, int dir_fd, char **ret_name);
