#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Tables with commas (RFC 4180)
 *
 * The first line names the columns; later ones are found by these names, so that a file may have more of them, in any order.
 * Fields may be quoted, and then hold commas, newlines and doubled quotes. Any bytes are read, or refused with their line.
 */

#include <stddef.h>

#include "util/error.h"

enum {
        CSV_COLUMNS_MAX = 64,
        CSV_ROW_MAX =
                128 *
                1024, /* bytes: the longest command that a history has, each quote doubled, and all else */
};

typedef struct Csv {
        const char *name; /* of the file, for messages; borrowed */
        const char *text; /* borrowed */
        size_t n;
        size_t at;
        unsigned line; /* of the row that was read last, from 1 */
        unsigned next_line;
        size_t n_names;
        char *names; /* owned: the first row's fields, each ended by NUL */
        size_t n_fields;
        size_t fields[CSV_COLUMNS_MAX]; /* where they begin in @row */
        char *row;                      /* owned */
} Csv;

/**
 * csv_open() - read the names of the columns
 * @ret:        overwritten; release with csv_done() whatever is returned
 * @name:       what messages call it
 * @text:       borrowed, for as long as rows are read
 *
 * Return: 0, or negative errno with @error.
 */
int csv_open(Csv *ret, const char *name, const char *text, size_t n, Error *error);
void csv_done(Csv *csv);

/* Which column has that name; -1: none. */
int csv_column(const Csv *csv, const char *name);

/* csv_next() */
enum {
        CSV_E_END = 1,
};

/* The next row; empty lines are none. Return: 0, CSV_E_END, or negative errno with @error. */
int csv_next(Csv *csv, Error *error);

/* A field of the last row, valid until the next one; "" where it has no such column. */
const char *csv_field(const Csv *csv, int column);
