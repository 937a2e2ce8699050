#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Tables
 *
 * Rows and columns of text. On a terminal libsmartcols lays them out, so that they fit its width;
 * it is loaded when the first table is printed, because `taskflow run` prints none and should start
 * fast. Without it, and to a pipe, columns are as wide as their widest cell.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "cli/output.h"
#include "util/macro.h"

#define TABLE_LIBRARY "libsmartcols.so.1"

enum {
        TABLE_COLUMNS_MAX = 16,
};

typedef struct TableColumn {
        const char *name; /* borrowed */
        bool right;       /* numbers */
        bool shrinks;     /* is cut where the terminal is too narrow */
} TableColumn;

typedef struct Table Table;

/**
 * table_new() - an empty table
 * @columns:    borrowed until the table is freed; the last one should shrink
 *
 * Return: 0, or -ENOMEM.
 */
int table_new(Table **ret, const TableColumn *columns, size_t n_columns);
Table *table_free(Table *table);
DEFINE_CLEANUP(Table *, table_free);

/* A row of empty cells, shown as "-", that table_set() fills. Return: 0, or -ENOMEM. */
int table_add_row(Table *table);

/**
 * table_set() - a cell of the last row
 * @text:       made visible and copied; NULL or "": empty
 *
 * Return: 0, or -ENOMEM.
 */
int table_set(Table *table, size_t column, const char *text, Tone tone);

bool table_is_empty(const Table *table);

/**
 * table_print() - to stdout, fitted to what it is
 *
 * Return: 0, or -ENOMEM.
 */
int table_print(const Table *table);

/* How table_print() prints; tests have their own. */
typedef struct TableLayout {
        const char *library; /* soname; NULL: the plain layout */
        bool colour;
        unsigned width; /* of the terminal; 0: no terminal, nothing is cut */
} TableLayout;

int table_print_to(const Table *table, const TableLayout *layout, FILE *out);

/* Text for the next cells of a row, one after the other; the first failure stays in @r. */
typedef struct TableRow {
        Table *table;
        size_t column;
        int r;
} TableRow;

void table_row_put(TableRow *row, const char *text, Tone tone);

/* @text: taken; NULL: there was no memory for it. */
void table_row_put_owned(TableRow *row, char *text);
