/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "sim/csv.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "util/macro.h"

/* A row that is being taken apart. */
typedef struct Row {
        Csv *csv;
        size_t n; /* of csv->row */
} Row;

static int fail(const Csv *csv, Error *error, const char *what) {
        return error_set(error, -EINVAL, "'%s' line %u: %s", csv->name, csv->line, what);
}

static int put(Row *row, char c, Error *error) {
        if (row->n == CSV_ROW_MAX)
                return fail(row->csv, error, "the line is too long");
        row->csv->row[row->n++] = c;
        return 0;
}

static bool at_end(const Csv *csv) {
        return csv->at == csv->n;
}

/* A newline, with or without a carriage return before it, or the end; steps over it. */
static bool take_newline(Csv *csv) {
        if (at_end(csv))
                return true;
        if (csv->text[csv->at] == '\r' && csv->at + 1 < csv->n && csv->text[csv->at + 1] == '\n')
                csv->at++;
        if (csv->text[csv->at] != '\n')
                return false;
        csv->at++;
        csv->next_line++;
        return true;
}

/* Behind the first quote. */
static int take_quoted(Row *row, Error *error) {
        Csv *csv = row->csv;
        int r = 0;

        while (r == 0) {
                char c;

                if (at_end(csv))
                        return fail(csv, error, "a quote is not closed");
                c = csv->text[csv->at++];
                if (c == '"') {
                        if (at_end(csv) || csv->text[csv->at] != '"')
                                return 0;
                        csv->at++;
                }
                csv->next_line += c == '\n';
                r = put(row, c, error);
        }
        return r;
}

static int take_plain(Row *row, Error *error) {
        Csv *csv = row->csv;
        int r = 0;

        while (r == 0 && !at_end(csv) && !strchr(",\r\n", csv->text[csv->at])) {
                if (csv->text[csv->at] == '"')
                        return fail(csv, error, "a quote within a field that begins without one");
                r = put(row, csv->text[csv->at++], error);
        }
        return r;
}

static int take_field(Row *row, Error *error) {
        Csv *csv = row->csv;
        int r;

        if (csv->n_fields == CSV_COLUMNS_MAX)
                return fail(csv, error, "there are too many columns");
        csv->fields[csv->n_fields++] = row->n;

        if (!at_end(csv) && csv->text[csv->at] == '"') {
                csv->at++;
                r = take_quoted(row, error);
        } else {
                r = take_plain(row, error);
        }
        return r < 0 ? r : put(row, '\0', error);
}

static int take_row(Csv *csv, Error *error) {
        Row row = { .csv = csv };
        int r;

        csv->n_fields = 0;
        for (;;) {
                r = take_field(&row, error);
                if (r < 0)
                        return r;
                if (take_newline(csv))
                        return 0;
                if (csv->text[csv->at] != ',')
                        return fail(csv, error, "something stands behind a closed quote");
                csv->at++;
        }
}

int csv_next(Csv *csv, Error *error) {
        for (csv->line = csv->next_line; !at_end(csv); csv->line = csv->next_line)
                if (!take_newline(csv))
                        return take_row(csv, error);
        return CSV_E_END;
}

int csv_open(Csv *ret, const char *name, const char *text, size_t n, Error *error) {
        size_t n_names;
        int r;

        *ret = (Csv){ .name = name, .text = text, .n = n, .line = 1, .next_line = 1 };
        if (memchr(text, '\0', n))
                return error_set(error, -EINVAL, "'%s' is no text", name);
        ret->row = malloc(CSV_ROW_MAX);
        if (!ret->row)
                return error_set(error, -ENOMEM, "out of memory");

        r = csv_next(ret, error);
        if (r == CSV_E_END)
                return error_set(error, -EINVAL, "'%s' is empty", name);
        if (r < 0)
                return r;

        n_names = ret->fields[ret->n_fields - 1];
        n_names += strlen(ret->row + n_names) + 1;
        ret->names = malloc(n_names);
        if (!ret->names)
                return error_set(error, -ENOMEM, "out of memory");
        memcpy(ret->names, ret->row, n_names);
        ret->n_names = ret->n_fields;
        return 0;
}

void csv_done(Csv *csv) {
        free(csv->names);
        free(csv->row);
        *csv = (Csv){};
}

int csv_column(const Csv *csv, const char *name) {
        const char *at = csv->names;

        for (size_t i = 0; i < csv->n_names; i++, at += strlen(at) + 1)
                if (strcmp(at, name) == 0)
                        return (int)i;
        return -1;
}

const char *csv_field(const Csv *csv, int column) {
        return column < 0 || (size_t)column >= csv->n_fields ? "" : csv->row + csv->fields[column];
}
