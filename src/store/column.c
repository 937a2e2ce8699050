/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "store/column.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/index-set.h"
#include "core/task.h"
#include "util/cleanup.h"
#include "util/macro.h"
#include "util/strv.h"
#include "util/text.h"

/* Fields are read and written by memcpy(): an enum is no unsigned to the compiler. */
static uint64_t get_number(const Column *column, const void *field) {
        unsigned u;
        int i;
        bool b;
        uint64_t u64;

        switch (column->type) {
        case COLUMN_UINT64:
                memcpy(&u64, field, sizeof(u64));
                return u64;
        case COLUMN_REF:
                memcpy(&u64, field, sizeof(u64));
                return u64 <= INT64_MAX ? task_ref_order(u64) : UINT64_MAX;
        case COLUMN_UNSIGNED:
                memcpy(&u, field, sizeof(u));
                return u;
        case COLUMN_INT:
        case COLUMN_ENUM:
                memcpy(&i, field, sizeof(i));
                return (uint64_t)(int64_t)i;
        case COLUMN_BOOL:
                memcpy(&b, field, sizeof(b));
                return b;
        case COLUMN_STRING:
        case COLUMN_CHARS:
        case COLUMN_BYTES:
        case COLUMN_STRV:
        case COLUMN_SET:
        case COLUMN_TOKENS:
                break;
        }
        abort();
}

static void set_number(const Column *column, void *field, int64_t value) {
        uint64_t u64 = (uint64_t)value;
        unsigned u = (unsigned)value;
        int i = (int)value;
        bool b = value != 0;

        switch (column->type) {
        case COLUMN_REF:
                u64 = task_ref_from_order(u64);
                memcpy(field, &u64, sizeof(u64));
                return;
        case COLUMN_UINT64:
                memcpy(field, &u64, sizeof(u64));
                return;
        case COLUMN_UNSIGNED:
                memcpy(field, &u, sizeof(u));
                return;
        case COLUMN_INT:
        case COLUMN_ENUM:
                memcpy(field, &i, sizeof(i));
                return;
        case COLUMN_BOOL:
                memcpy(field, &b, sizeof(b));
                return;
        case COLUMN_STRING:
        case COLUMN_CHARS:
        case COLUMN_BYTES:
        case COLUMN_STRV:
        case COLUMN_SET:
        case COLUMN_TOKENS:
                break;
        }
        abort();
}

/* What NULL stands for, as get_number() would give it. */
static uint64_t null_number(const Column *column) {
        return column->null == COLUMN_NULL_MAX ? UINT64_MAX : 0;
}

static bool is_zero(const uint8_t *bytes, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (bytes[i] != 0)
                        return false;
        return true;
}

static int bind_number(sqlite3_stmt *statement, int i, const Column *column, const void *field) {
        uint64_t value = get_number(column, field);

        if (column->null != COLUMN_NULL_NOT && value == null_number(column))
                return sqlite3_bind_null(statement, i);
        if (column->type != COLUMN_INT && value > INT64_MAX)
                return -ERANGE;
        if ((int64_t)value < column->min || (int64_t)value > column->max)
                return -ERANGE;
        return sqlite3_bind_int64(statement, i, (int64_t)value);
}

static int bind_text(sqlite3_stmt *statement, int i, const Column *column, const char *text) {
        size_t n;

        if (!text)
                return column->null == COLUMN_NULL_NOT ? -EINVAL : sqlite3_bind_null(statement, i);

        n = strnlen(text, (size_t)column->max + 1);
        if (n > (size_t)column->max)
                return -E2BIG;
        if (!text_is_utf8(text, n))
                return -EILSEQ;
        return sqlite3_bind_text(statement, i, text, (int)n, SQLITE_STATIC);
}

static int bind_strv(sqlite3_stmt *statement, int i, const Column *column, char *const *strv) {
        char *bytes;
        size_t n = 0;
        size_t n_done = 0;

        if (!strv)
                return column->null == COLUMN_NULL_NOT ? -EINVAL : sqlite3_bind_null(statement, i);

        for (size_t s = 0; strv[s]; s++)
                n += strlen(strv[s]) + 1;
        if (n > (size_t)column->max)
                return -E2BIG;
        if (n == 0)
                return sqlite3_bind_zeroblob(statement, i, 0);

        bytes = malloc(n);
        if (!bytes)
                return -ENOMEM;
        for (size_t s = 0; strv[s]; s++) {
                size_t n_string = strlen(strv[s]) + 1;

                memcpy(bytes + n_done, strv[s], n_string);
                n_done += n_string;
        }
        return sqlite3_bind_blob(statement, i, bytes, (int)n, free);
}

static int bind_set(sqlite3_stmt *statement, int i, const IndexSet *set) {
        char *text = index_set_format(set);

        return text ? sqlite3_bind_text(statement, i, text, -1, free) : -ENOMEM;
}

static int bind_tokens(sqlite3_stmt *statement, int i, const Needs *needs) {
        char *text;

        if (needs->n_tokens == 0)
                return sqlite3_bind_null(statement, i);
        text = token_format_list(needs->tokens, needs->n_tokens);
        return text ? sqlite3_bind_text(statement, i, text, -1, free) : -ENOMEM;
}

/* Return: SQLite's code, or negative errno. */
static int bind_one(sqlite3_stmt *statement, int i, const Column *column, const void *field) {
        const char *text;

        switch (column->type) {
        case COLUMN_UINT64:
        case COLUMN_REF:
        case COLUMN_UNSIGNED:
        case COLUMN_INT:
        case COLUMN_BOOL:
                return bind_number(statement, i, column, field);
        case COLUMN_ENUM:
                text = column->to_string((int)get_number(column, field));
                return text ? sqlite3_bind_text(statement, i, text, -1, SQLITE_STATIC) : -EINVAL;
        case COLUMN_STRING:
                return bind_text(statement, i, column, *(char *const *)field);
        case COLUMN_CHARS:
                return bind_text(statement, i, column, field);
        case COLUMN_BYTES:
                if (column->null == COLUMN_NULL_ZERO && is_zero(field, column->size))
                        return sqlite3_bind_null(statement, i);
                return sqlite3_bind_blob(statement, i, field, (int)column->size, SQLITE_STATIC);
        case COLUMN_STRV:
                return bind_strv(statement, i, column, *(char *const *const *)field);
        case COLUMN_SET:
                return bind_set(statement, i, field);
        case COLUMN_TOKENS:
                return bind_tokens(statement, i, field);
        }
        abort();
}

int column_bind(sqlite3_stmt *statement, const Column *columns, size_t n, const void *object) {
        for (size_t i = 0; i < n; i++) {
                int code = bind_one(statement, (int)i + 1, &columns[i],
                                    (const uint8_t *)object + columns[i].offset);

                if (code < 0)
                        return code;
                if (code != SQLITE_OK)
                        return code == SQLITE_NOMEM ? -ENOMEM : -EINVAL;
        }
        return 0;
}

static int read_number(sqlite3_stmt *statement,
                       int i,
                       const Column *column,
                       void *field,
                       Error *error) {
        int64_t value = sqlite3_column_int64(statement, i);

        if (value < column->min || value > column->max)
                return error_set(error, COLUMN_E_DAMAGED, "its '%s' is %" PRId64, column->name,
                                 value);
        set_number(column, field, value);
        return 0;
}

/* @ret is borrowed from SQLite, until the next step. */
static int read_text(sqlite3_stmt *statement,
                     int i,
                     const Column *column,
                     const char **ret,
                     size_t *ret_n,
                     Error *error) {
        const char *text = (const char *)sqlite3_column_text(statement, i);
        size_t n = (size_t)sqlite3_column_bytes(statement, i);

        if (!text)
                return -ENOMEM;
        if ((column->type == COLUMN_STRING || column->type == COLUMN_CHARS) &&
            n > (size_t)column->max) {
                (void)error_set(error, 0, "its '%s' is too long", column->name);
                return COLUMN_E_DAMAGED;
        }
        if (memchr(text, 0, n) || !text_is_utf8(text, n)) {
                (void)error_set(error, 0, "its '%s' is no text", column->name);
                return COLUMN_E_DAMAGED;
        }

        *ret = text;
        *ret_n = n;
        return 0;
}

static int read_enum(const Column *column, const char *text, void *field, Error *error) {
        int value = column->from_string(text);

        if (value < 0)
                return error_set(error, COLUMN_E_DAMAGED, "its '%s' is unknown", column->name);
        set_number(column, field, value);
        return 0;
}

static int read_set(const Column *column, const char *text, IndexSet *field, Error *error) {
        int r;

        if (text[0] == '\0')
                return 0;
        r = index_set_parse(text, (uint32_t)column->max, field, NULL);
        if (r == -ENOMEM)
                return r;
        return r < 0 ? error_set(error, COLUMN_E_DAMAGED, "its '%s' is no set", column->name) : 0;
}

static int read_tokens(const Column *column, const char *text, Needs *field, Error *error) {
        int r = needs_add_tokens(field, text);

        if (r == -ENOMEM)
                return r;
        return r < 0 ? error_set(error, COLUMN_E_DAMAGED, "its '%s' is no list of tokens",
                                 column->name) :
                       0;
}

static int read_strv(sqlite3_stmt *statement,
                     int i,
                     const Column *column,
                     char ***field,
                     Error *error) {
        _cleanup_(strv_freep) char **strv = NULL;
        const char *bytes = sqlite3_column_blob(statement, i); /* NULL if there are none */
        size_t n = (size_t)sqlite3_column_bytes(statement, i);
        size_t n_strings = 0;

        if (n > (size_t)column->max || (n > 0 && (!bytes || bytes[n - 1] != '\0')))
                return error_set(error, COLUMN_E_DAMAGED, "its '%s' is cut off", column->name);

        for (size_t k = 0; k < n; k++)
                n_strings += bytes[k] == '\0';

        strv = calloc(n_strings + 1, sizeof(*strv));
        if (!strv)
                return -ENOMEM;
        for (size_t k = 0; k < n_strings; k++) {
                strv[k] = strdup(bytes);
                if (!strv[k])
                        return -ENOMEM;
                bytes += strlen(bytes) + 1;
        }

        *field = TAKE_PTR(strv);
        return 0;
}

static int read_bytes(sqlite3_stmt *statement,
                      int i,
                      const Column *column,
                      void *field,
                      Error *error) {
        const void *bytes = sqlite3_column_blob(statement, i);

        if (!bytes || (size_t)sqlite3_column_bytes(statement, i) != column->size)
                return error_set(error, COLUMN_E_DAMAGED, "its '%s' has a wrong size",
                                 column->name);
        memcpy(field, bytes, column->size);
        return 0;
}

/* Numbers are filled in; the rest is zero already. */
static int read_null(const Column *column, void *field, Error *error) {
        switch (column->type) {
        case COLUMN_UINT64:
        case COLUMN_REF:
        case COLUMN_UNSIGNED:
        case COLUMN_INT:
        case COLUMN_BOOL:
                if (column->null == COLUMN_NULL_NOT)
                        break;
                set_number(column, field, (int64_t)null_number(column));
                return 0;
        case COLUMN_ENUM:
        case COLUMN_STRING:
        case COLUMN_CHARS:
        case COLUMN_BYTES:
        case COLUMN_STRV:
        case COLUMN_SET:
        case COLUMN_TOKENS:
                if (column->null == COLUMN_NULL_NOT)
                        break;
                return 0;
        }
        return error_set(error, COLUMN_E_DAMAGED, "its '%s' is missing", column->name);
}

static int stored_as(ColumnType type) {
        switch (type) {
        case COLUMN_UINT64:
        case COLUMN_REF:
        case COLUMN_UNSIGNED:
        case COLUMN_INT:
        case COLUMN_BOOL:
                return SQLITE_INTEGER;
        case COLUMN_ENUM:
        case COLUMN_STRING:
        case COLUMN_CHARS:
        case COLUMN_SET:
        case COLUMN_TOKENS:
                return SQLITE_TEXT;
        case COLUMN_BYTES:
        case COLUMN_STRV:
                return SQLITE_BLOB;
        }
        abort();
}

static int read_one(sqlite3_stmt *statement,
                    int i,
                    const Column *column,
                    void *field,
                    Error *error) {
        const char *text = NULL;
        size_t n = 0;
        int r;

        if (sqlite3_column_type(statement, i) == SQLITE_NULL)
                return read_null(column, field, error);
        /* STRICT keeps other types out, unless the file was tampered with */
        if (sqlite3_column_type(statement, i) != stored_as(column->type))
                return error_set(error, COLUMN_E_DAMAGED, "its '%s' has a wrong type",
                                 column->name);

        switch (column->type) {
        case COLUMN_UINT64:
        case COLUMN_REF:
        case COLUMN_UNSIGNED:
        case COLUMN_INT:
        case COLUMN_BOOL:
                return read_number(statement, i, column, field, error);
        case COLUMN_BYTES:
                return read_bytes(statement, i, column, field, error);
        case COLUMN_STRV:
                return read_strv(statement, i, column, field, error);
        case COLUMN_ENUM:
        case COLUMN_STRING:
        case COLUMN_CHARS:
        case COLUMN_SET:
        case COLUMN_TOKENS:
                break;
        }

        r = read_text(statement, i, column, &text, &n, error);
        if (r != 0)
                return r;
        if (column->type == COLUMN_ENUM)
                return read_enum(column, text, field, error);
        if (column->type == COLUMN_SET)
                return read_set(column, text, field, error);
        if (column->type == COLUMN_TOKENS)
                return read_tokens(column, text, field, error);
        if (column->type == COLUMN_CHARS) {
                memcpy(field, text, n + 1); /* as @max is less than its size */
                return 0;
        }
        *(char **)field = strdup(text);
        return *(char **)field ? 0 : -ENOMEM;
}

int column_read(sqlite3_stmt *statement,
                const Column *columns,
                size_t n,
                void *object,
                Error *error) {
        int r;

        for (size_t i = 0; i < n; i++) {
                r = read_one(statement, (int)i, &columns[i], (uint8_t *)object + columns[i].offset,
                             error);
                if (r != 0)
                        return r;
        }
        return 0;
}
