/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "store/meta.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "store/column.h"
#include "store/ids.h"
#include "util/macro.h"

/* clang-format off */
static const Column columns[] = {
        { .name = "database_id", .type = COLUMN_CHARS, .offset = offsetof(Meta, database_id),
          .size = STORE_DATABASE_ID_CHARS + 1, .max = STORE_DATABASE_ID_CHARS },
        { .name = "ids_end", .type = COLUMN_UINT64, .offset = offsetof(Meta, ids_end),
          .size = sizeof(uint64_t), .min = 1, .max = IDS_MAX },
        { .name = "recovered_from", .type = COLUMN_CHARS, .null = COLUMN_NULL_ZERO,
          .offset = offsetof(Meta, recovered_from), .size = META_NAME_MAX, .max = META_NAME_MAX - 1 },
        { .name = "boot_id", .type = COLUMN_CHARS, .null = COLUMN_NULL_ZERO,
          .offset = offsetof(Meta, boot_id), .size = BOOT_ID_SIZE, .max = BOOT_ID_SIZE - 1 },
};
/* clang-format on */

static int read_row(sqlite3_stmt *statement, Meta *ret, Error *error) {
        Meta meta = {};
        int r;

        r = db_step(statement);
        if (r < 0)
                return r;
        if (r == 0)
                return error_set(error, META_E_DAMAGED, "it does not know its own id");

        r = column_read(statement, columns, ELEMENTSOF(columns), &meta, error);
        if (r != 0)
                return r > 0 ? META_E_DAMAGED : r;
        if (strspn(meta.database_id, "0123456789abcdef") != STORE_DATABASE_ID_CHARS)
                return error_set(error, META_E_DAMAGED, "its own id is none");

        *ret = meta;
        return 0;
}

int meta_get(Db *db, Meta *ret, Error *error) {
        sqlite3_stmt *statement = NULL;
        int r;

        r = db_statement(db, SQL_META_GET, &statement);
        if (r < 0)
                return r;
        r = read_row(statement, ret, error);
        (void)sqlite3_reset(statement);
        return r;
}

int meta_put_ids_end(Db *db, uint64_t ids_end) {
        sqlite3_stmt *statement = NULL;
        int r;

        r = db_statement(db, SQL_META_PUT_IDS_END, &statement);
        if (r < 0)
                return r;
        (void)sqlite3_bind_int64(statement, 1, (int64_t)ids_end);
        return db_run(statement);
}

static int put_text(Db *db, SqlId id, const char *text) {
        sqlite3_stmt *statement = NULL;
        int r;

        r = db_statement(db, id, &statement);
        if (r < 0)
                return r;
        (void)sqlite3_bind_text(statement, 1, text, -1, SQLITE_STATIC);
        return db_run(statement);
}

int meta_put_database_id(Db *db, const char *database_id) {
        return put_text(db, SQL_META_PUT_DATABASE_ID, database_id);
}

int meta_put_recovered_from(Db *db, const char *name) {
        return put_text(db, SQL_META_PUT_RECOVERED_FROM, name);
}

int meta_put_boot_id(Db *db, const char *boot_id) {
        return put_text(db, SQL_META_PUT_BOOT_ID, boot_id);
}
