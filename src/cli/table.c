/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "cli/table.h"

#include <dlfcn.h>
#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include <libsmartcols.h>

#include "util/cleanup.h"
#include "util/text.h"

typedef struct Cell {
        char *text; /* NULL: empty */
        Tone tone;
} Cell;

struct Table {
        const TableColumn *columns;
        size_t n_columns;
        size_t n_rows;
        size_t n_allocated; /* rows */
        Cell *cells;        /* row by row */
};

int table_new(Table **ret, const TableColumn *columns, size_t n_columns) {
        Table *table;

        table = calloc(1, sizeof(*table));
        if (!table)
                return -ENOMEM;

        table->columns = columns;
        table->n_columns = n_columns;
        *ret = table;
        return 0;
}

Table *table_free(Table *table) {
        if (!table)
                return NULL;

        for (size_t i = 0; i < table->n_rows * table->n_columns; i++)
                free(table->cells[i].text);
        free(table->cells);
        free(table);
        return NULL;
}

int table_add_row(Table *table) {
        if (table->n_rows == table->n_allocated) {
                size_t n = table->n_allocated ? table->n_allocated * 2 : 16;
                Cell *cells = reallocarray(table->cells, n * table->n_columns, sizeof(*cells));

                if (!cells)
                        return -ENOMEM;
                table->cells = cells;
                table->n_allocated = n;
        }

        for (size_t i = 0; i < table->n_columns; i++)
                table->cells[table->n_rows * table->n_columns + i] = (Cell){ 0 };
        table->n_rows++;
        return 0;
}

static const Cell *cell_at(const Table *table, size_t row, size_t column) {
        return &table->cells[row * table->n_columns + column];
}

static const char *cell_text(const Cell *cell) {
        return cell->text ? cell->text : "-";
}

int table_set(Table *table, size_t column, const char *text, Tone tone) {
        Cell *cell = &table->cells[(table->n_rows - 1) * table->n_columns + column];
        char *visible = NULL;

        if (text && text[0]) {
                visible = text_visible(text);
                if (!visible)
                        return -ENOMEM;
        }

        free(cell->text);
        *cell = (Cell){ .text = visible, .tone = tone };
        return 0;
}

/* Columns on a terminal; a character that has no width known counts as one. */
static size_t text_width(const char *s) {
        mbstate_t state = { 0 };
        size_t n_left = strlen(s);
        size_t width = 0;

        while (n_left > 0) {
                int columns = 1;
                wchar_t c;
                size_t n;

                /* Nearly all of it; the locale need not be asked. */
                if (*s >= ' ' && *s <= '~') {
                        width++;
                        s++;
                        n_left--;
                        continue;
                }

                n = mbrtowc(&c, s, n_left, &state);

                if (n == (size_t)-1 || n == (size_t)-2 || n == 0) {
                        state = (mbstate_t){ 0 };
                        n = 1;
                } else {
                        columns = wcwidth(c);
                }
                width += columns >= 0 ? (size_t)columns : 1;
                s += n;
                n_left -= n;
        }

        return width;
}

/* Nothing stands behind the text of the last column. */
static void put_cell(FILE *out,
                     const TableColumn *column,
                     const char *text,
                     size_t width,
                     bool last) {
        size_t pad = width - text_width(text);

        if (column->right)
                (void)fprintf(out, "%*s%s", (int)pad, "", text);
        else
                (void)fprintf(out, "%s%*s", text, last ? 0 : (int)pad, "");
        if (!last)
                (void)fputs("  ", out);
}

static void print_plain(const Table *table, FILE *out) {
        size_t widths[TABLE_COLUMNS_MAX];
        size_t n = table->n_columns;

        for (size_t i = 0; i < n; i++) {
                widths[i] = text_width(table->columns[i].name);
                for (size_t row = 0; row < table->n_rows; row++)
                        widths[i] = MAX(widths[i], text_width(cell_text(cell_at(table, row, i))));
        }

        for (size_t i = 0; i < n; i++)
                put_cell(out, &table->columns[i], table->columns[i].name, widths[i], i + 1 == n);
        (void)fputc('\n', out);
        for (size_t row = 0; row < table->n_rows; row++) {
                for (size_t i = 0; i < n; i++)
                        put_cell(out, &table->columns[i], cell_text(cell_at(table, row, i)),
                                 widths[i], i + 1 == n);
                (void)fputc('\n', out);
        }
}

/* libsmartcols, as far as it is used; the header gives the types, the loader the functions. */
typedef struct Smartcols {
        void *handle;
        typeof(&scols_new_table) new_table;
        typeof(&scols_unref_table) unref_table;
        typeof(&scols_table_set_stream) set_stream;
        typeof(&scols_table_set_termforce) set_termforce;
        typeof(&scols_table_set_termwidth) set_termwidth;
        typeof(&scols_table_enable_colors) enable_colors;
        typeof(&scols_table_set_column_separator) set_column_separator;
        typeof(&scols_table_new_column) new_column;
        typeof(&scols_column_get_header) get_header;
        typeof(&scols_table_new_line) new_line;
        typeof(&scols_line_set_data) set_data;
        typeof(&scols_line_get_cell) get_cell;
        typeof(&scols_cell_set_color) set_color;
        typeof(&scols_print_table) print_table;
} Smartcols;

static const struct {
        const char *symbol;
        size_t offset;
} smartcols_symbols[] = {
        { "scols_new_table", offsetof(Smartcols, new_table) },
        { "scols_unref_table", offsetof(Smartcols, unref_table) },
        { "scols_table_set_stream", offsetof(Smartcols, set_stream) },
        { "scols_table_set_termforce", offsetof(Smartcols, set_termforce) },
        { "scols_table_set_termwidth", offsetof(Smartcols, set_termwidth) },
        { "scols_table_enable_colors", offsetof(Smartcols, enable_colors) },
        { "scols_table_set_column_separator", offsetof(Smartcols, set_column_separator) },
        { "scols_table_new_column", offsetof(Smartcols, new_column) },
        { "scols_column_get_header", offsetof(Smartcols, get_header) },
        { "scols_table_new_line", offsetof(Smartcols, new_line) },
        { "scols_line_set_data", offsetof(Smartcols, set_data) },
        { "scols_line_get_cell", offsetof(Smartcols, get_cell) },
        { "scols_cell_set_color", offsetof(Smartcols, set_color) },
        { "scols_print_table", offsetof(Smartcols, print_table) },
};

static void smartcols_close(Smartcols *library) {
        if (library->handle)
                (void)dlclose(library->handle);
        library->handle = NULL;
}

static bool smartcols_open(Smartcols *ret, const char *soname) {
        ret->handle = dlopen(soname, RTLD_NOW | RTLD_LOCAL);
        if (!ret->handle)
                return false;

        for (size_t i = 0; i < ELEMENTSOF(smartcols_symbols); i++) {
                void *symbol = dlsym(ret->handle, smartcols_symbols[i].symbol);

                if (!symbol)
                        return false;
                /* POSIX promises that a function's address fits; C forbids the plain cast. */
                memcpy((char *)ret + smartcols_symbols[i].offset, &symbol, sizeof(symbol));
        }

        return true;
}

static int set_colour(const Smartcols *lib, struct libscols_cell *cell, Tone tone) {
        const char *sequence = output_tone_sequence(tone);

        return sequence ? lib->set_color(cell, sequence) : 0;
}

static int fill_columns(const Smartcols *lib, const Table *table, struct libscols_table *scols) {
        for (size_t i = 0; i < table->n_columns; i++) {
                const TableColumn *column = &table->columns[i];
                int flags = (column->right ? SCOLS_FL_RIGHT : 0) |
                            (column->shrinks ? SCOLS_FL_TRUNC : 0);
                struct libscols_column *made;
                int r;

                made = lib->new_column(scols, column->name, 0, flags);
                if (!made)
                        return -ENOMEM;

                r = set_colour(lib, lib->get_header(made), TONE_STRONG);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int fill_rows(const Smartcols *lib, const Table *table, struct libscols_table *scols) {
        for (size_t row = 0; row < table->n_rows; row++) {
                struct libscols_line *line = lib->new_line(scols, NULL);

                if (!line)
                        return -ENOMEM;
                for (size_t i = 0; i < table->n_columns; i++) {
                        const Cell *cell = cell_at(table, row, i);
                        int r;

                        r = lib->set_data(line, i, cell_text(cell));
                        if (r == 0)
                                r = set_colour(lib, lib->get_cell(line, i), cell->tone);
                        if (r < 0)
                                return r;
                }
        }
        return 0;
}

static int print_smart(const Smartcols *lib,
                       const Table *table,
                       const TableLayout *layout,
                       FILE *out) {
        struct libscols_table *scols;
        int r;

        scols = lib->new_table();
        if (!scols)
                return -ENOMEM;

        r = lib->set_stream(scols, out);
        if (r == 0)
                r = lib->set_column_separator(scols, "  ");
        if (r == 0)
                r = lib->set_termforce(scols, SCOLS_TERMFORCE_ALWAYS);
        if (r == 0)
                r = lib->set_termwidth(scols, layout->width);
        if (r == 0)
                r = lib->enable_colors(scols, layout->colour);
        if (r == 0)
                r = fill_columns(lib, table, scols);
        if (r == 0)
                r = fill_rows(lib, table, scols);
        if (r == 0)
                r = lib->print_table(scols);

        lib->unref_table(scols);
        return r;
}

/* Widths are those of the user's locale; in the plain C one text is taken for UTF-8 too. */
static void set_locale(void) {
        (void)setlocale(LC_CTYPE, "");
        if (strcmp(nl_langinfo(CODESET), "ANSI_X3.4-1968") == 0)
                (void)setlocale(LC_CTYPE, "C.UTF-8");
}

int table_print_to(const Table *table, const TableLayout *layout, FILE *out) {
        _cleanup_(smartcols_close) Smartcols library = { 0 };

        set_locale();
        if (!layout->library || layout->width == 0 || table->n_rows == 0 ||
            !smartcols_open(&library, layout->library)) {
                print_plain(table, out);
                return 0;
        }
        return print_smart(&library, table, layout, out);
}

bool table_is_empty(const Table *table) {
        return table->n_rows == 0;
}

int table_print(const Table *table) {
        TableLayout layout = {
                .library = TABLE_LIBRARY,
                .colour = output_has_colour(),
                .width = output_is_terminal() ? output_width() : 0,
        };

        return table_print_to(table, &layout, stdout);
}

void table_row_put(TableRow *row, const char *text, Tone tone) {
        if (row->r == 0)
                row->r = table_set(row->table, row->column++, text, tone);
}

void table_row_put_owned(TableRow *row, char *text) {
        if (!text)
                row->r = -ENOMEM;
        table_row_put(row, text, TONE_PLAIN);
        free(text);
}
