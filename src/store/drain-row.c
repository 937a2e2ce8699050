/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "store/drain-row.h"

#include <stddef.h>

#include "store/column.h"
#include "util/macro.h"

/* clang-format off */
static const Column columns[] = {
        { .name = "by_uid", .type = COLUMN_UNSIGNED, .offset = offsetof(Drain, by_uid),
          .size = sizeof(uid_t), .max = UINT32_MAX },
        { .name = "at_us", .type = COLUMN_UINT64, .offset = offsetof(Drain, at_us),
          .size = sizeof(uint64_t), .max = INT64_MAX },
        { .name = "reason", .type = COLUMN_CHARS, .null = COLUMN_NULL_ZERO,
          .offset = offsetof(Drain, reason), .size = DRAIN_REASON_MAX, .max = DRAIN_REASON_MAX - 1 },
};
/* clang-format on */

int drain_row_put(Db *db, const Drain *drain) {
        sqlite3_stmt *statement = NULL;
        int r;

        r = db_statement(db, SQL_DRAIN_CLEAR, &statement);
        if (r < 0)
                return r;
        r = db_run(statement);
        if (r < 0 || !drain->on)
                return r;

        r = db_statement(db, SQL_DRAIN_PUT, &statement);
        if (r < 0)
                return r;
        r = column_bind(statement, columns, ELEMENTSOF(columns), drain);
        return r < 0 ? r : db_run(statement);
}

int drain_row_get(Db *db, Drain *ret) {
        sqlite3_stmt *statement = NULL;
        Drain drain = {};
        int r;

        r = db_statement(db, SQL_DRAIN_GET, &statement);
        if (r < 0)
                return r;
        r = db_step(statement);
        if (r > 0) {
                r = column_read(statement, columns, ELEMENTSOF(columns), &drain, NULL);
                if (r > 0)
                        drain = (Drain){};
                drain.on = true;
        }
        (void)sqlite3_reset(statement);
        if (r < 0)
                return r;

        *ret = drain;
        return 0;
}
