#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The database file
 *
 * Making it, opening it, bringing it up to this version, and moving a damaged one out of the way.
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

typedef struct Database {
        Db db;       /* ready for writing, of this version, with every statement prepared */
        Meta meta;   /* what it knew of itself */
        bool is_new; /* made just now */
} Database;

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
int database_open(Database *ret, int dir_fd, const char *path, bool check, Error *error);

/**
 * database_set_aside() - rename what is there of the database, with its WAL
 * @ret_name:   set to the new name in the folder, "taskflow.db.damaged-YYYYMMDD-HHMMSS", to be freed
 *
 * Return: 0 or negative errno.
 */
int database_set_aside(int dir_fd, char **ret_name);

/**
 * database_find_set_aside() - the last one that was set aside
 * @ret_name:   set to its name in the folder, to be freed
 *
 * Return: 0, -ENOENT if there is none, or negative errno.
 */
int database_find_set_aside(int dir_fd, char **ret_name);
