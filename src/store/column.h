#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Columns
 *
 * A table of columns says which field of a struct each is and what may stand in it. It binds and it reads
 * back, with the same checks: what was written can be read, and what cannot have been written is damage.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sqlite3.h>

#include "util/error.h"

typedef enum ColumnType {
        COLUMN_UINT64,
        COLUMN_REF, /* a uint64_t that names a task; in the file its place in order */
        COLUMN_UNSIGNED,
        COLUMN_INT,
        COLUMN_BOOL,
        COLUMN_ENUM,   /* TEXT */
        COLUMN_STRING, /* TEXT; a char * of its own */
        COLUMN_CHARS,  /* TEXT; a char [] */
        COLUMN_BYTES,  /* BLOB; a uint8_t [] */
        COLUMN_STRV,   /* BLOB; a vector of strings, each ended by NUL */
        COLUMN_SET,    /* TEXT; an IndexSet, never NULL */
        COLUMN_TOKENS, /* TEXT; the tokens of a Needs; NULL: none */
} ColumnType;

typedef enum ColumnNull {
        COLUMN_NULL_NOT,  /* never */
        COLUMN_NULL_ZERO, /* stands for 0, or no string, or bytes all 0 */
        COLUMN_NULL_MAX,  /* stands for UINT64_MAX, or -1 */
} ColumnNull;

typedef struct Column {
        const char *name;
        ColumnType type;
        ColumnNull null;
        size_t offset;
        size_t size; /* of the field */
        int64_t min,
                max; /* of numbers; @max also of bytes in a string, and of the numbers in a set */
        const char *(*to_string)(int value);
        int (*from_string)(const char *s);
} Column;

/* column_read() */
enum {
        COLUMN_E_DAMAGED = 1, /* the sentence says which, and what is wrong */
};

/**
 * column_bind() - bind a struct to the parameters from 1 on
 * @object:     borrowed until the statement has run
 *
 * Return: 0, -ERANGE or -EINVAL if a field holds what could not be read back, or negative errno.
 */
int column_bind(sqlite3_stmt *statement, const Column *columns, size_t n, const void *object);

/**
 * column_read() - fill a struct from the columns from 0 on of the current row
 * @object:     zeroed; what was allocated for it is the caller's in any case
 *
 * Return: 0, COLUMN_E_DAMAGED, or -ENOMEM.
 */
int column_read(sqlite3_stmt *statement,
                const Column *columns,
                size_t n,
                void *object,
                Error *error);
