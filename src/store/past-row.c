/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "store/past-row.h"

#include <stddef.h>

#include "store/column.h"
#include "util/macro.h"

/* clang-format off */
static const Column columns[] = {
        { .name = "uid", .type = COLUMN_UNSIGNED, .offset = offsetof(UserPast, uid),
          .size = sizeof(uid_t), .max = UINT32_MAX },
        { .name = "had", .type = COLUMN_UINT64, .offset = offsetof(UserPast, had),
          .size = sizeof(uint64_t), .max = INT64_MAX },
        { .name = "at_us", .type = COLUMN_UINT64, .offset = offsetof(UserPast, at_us),
          .size = sizeof(uint64_t), .max = INT64_MAX },
};
/* clang-format on */

int past_rows_put(Db *db, const UserPast *pasts, size_t n) {
        sqlite3_stmt *statement = NULL;
        int r;

        r = db_statement(db, SQL_PASTS_CLEAR, &statement);
        if (r == 0)
                r = db_run(statement);
        for (size_t i = 0; i < n && r == 0; i++) {
                r = db_statement(db, SQL_PAST_PUT, &statement);
                if (r == 0)
                        r = column_bind(statement, columns, ELEMENTSOF(columns), &pasts[i]);
                if (r == 0)
                        r = db_run(statement);
        }
        return r;
}

ssize_t past_rows_get(Db *db, UserPast *ret, size_t max) {
        sqlite3_stmt *statement = NULL;
        size_t n = 0;
        int r;

        r = db_statement(db, SQL_PASTS_GET, &statement);
        if (r < 0)
                return r;
        for (size_t i = 0; i < max && (r = db_step(statement)) > 0; i++) {
                r = column_read(statement, columns, ELEMENTSOF(columns), &ret[n], NULL);
                if (r < 0 || (r == 0 && n > 0 && ret[n].uid <= ret[n - 1].uid))
                        break; /* a damaged tree can go in circles */
                n += r == 0;
        }
        (void)sqlite3_reset(statement);
        return r < 0 ? r : (ssize_t)n;
}
