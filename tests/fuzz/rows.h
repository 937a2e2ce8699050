#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Rows of a database out of a sample
 *
 * A line of it is a table and its cells, with a bar between: "task_after|16777216|0|33554432|1". A cell `~` is NULL, one that begins
 * with `x:` a blob of the bytes behind it, `$NAME` what the fuzzer knows by that name; all others are text, which SQLite makes a number
 * where the column wants one. Cells that are missing are 0, those that are too many are not looked at. What the table does not take is
 * left out, as is a table that there is none of.
 */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <sqlite3.h>

enum {
        ROWS_MAX = 64,
        ROW_CELLS_MAX = 64,
};

/* What a cell may name. */
typedef struct RowWord {
        const char *name;
        const char *text;
} RowWord;

static inline void row_bind(sqlite3_stmt *statement,
                            int i,
                            const char *cell,
                            size_t n,
                            const RowWord *words) {
        if (n == 1 && cell[0] == '~')
                return;
        for (; n > 0 && cell[0] == '$' && words->name; words++)
                if (strlen(words->name) == n - 1 && memcmp(words->name, cell + 1, n - 1) == 0) {
                        (void)sqlite3_bind_text(statement, i, words->text, -1, SQLITE_STATIC);
                        return;
                }
        if (n >= 2 && cell[0] == 'x' && cell[1] == ':')
                (void)sqlite3_bind_blob(statement, i, cell + 2, (int)n - 2, SQLITE_STATIC);
        else
                (void)sqlite3_bind_text(statement, i, cell, (int)n, SQLITE_STATIC);
}

/* How many columns a table has; 0: there is no such one. */
static inline int row_n_columns(sqlite3 *db, const char *table) {
        sqlite3_stmt *statement = NULL;
        char sql[128];
        int n = 0;

        (void)snprintf(sql, sizeof(sql), "SELECT * FROM \"%s\"", table);
        if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK)
                n = sqlite3_column_count(statement);
        (void)sqlite3_finalize(statement);
        return n;
}

static inline void row_insert(sqlite3 *db, const char *line, size_t n, const RowWord *words) {
        const char *end = line + n;
        const char *bar = memchr(line, '|', n);
        sqlite3_stmt *statement = NULL;
        char table[32], sql[512];
        int n_columns, at;

        if (!bar || (size_t)(bar - line) >= sizeof(table) || memchr(line, '"', n))
                return;
        (void)memcpy(table, line, (size_t)(bar - line));
        table[bar - line] = '\0';
        n_columns = row_n_columns(db, table);
        if (n_columns == 0 || n_columns > ROW_CELLS_MAX)
                return;
        at = snprintf(sql, sizeof(sql), "INSERT OR REPLACE INTO \"%s\" VALUES (?", table);
        for (int i = 1; i < n_columns; i++)
                at += snprintf(sql + at, sizeof(sql) - (size_t)at, ",?");
        (void)snprintf(sql + at, sizeof(sql) - (size_t)at, ")");
        if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK)
                return;
        for (int i = 1; i <= n_columns; i++) {
                const char *cell = bar ? bar + 1 : "0";
                const char *stop = bar ? memchr(cell, '|', (size_t)(end - cell)) : NULL;

                row_bind(statement, i, cell,
                         stop ? (size_t)(stop - cell) :
                         bar  ? (size_t)(end - cell) :
                                1,
                         words);
                bar = stop;
        }
        (void)sqlite3_step(statement);
        (void)sqlite3_finalize(statement);
}

/* @words: ended by one without a name. */
static inline void rows_insert(sqlite3 *db, const uint8_t *data, size_t n, const RowWord *words) {
        const char *line = (const char *)data, *end = line + n;

        for (unsigned i = 0; i < ROWS_MAX && line < end; i++) {
                const char *stop = memchr(line, '\n', (size_t)(end - line));

                row_insert(db, line, (size_t)((stop ? stop : end) - line), words);
                line = stop ? stop + 1 : end;
        }
}
