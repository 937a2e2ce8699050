/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "store/txn.h"

#include <errno.h>
#include <stddef.h>

#include "store/sql.h"

static int run(Db *db, SqlId id) {
        sqlite3_stmt *statement = NULL;
        int r;

        r = db_statement(db, id, &statement);
        if (r < 0)
                return r;
        return db_run(statement);
}

int txn_begin(Txn *txn) {
        int r;

        if (txn->broken < 0)
                return txn->broken;
        if (txn->dirty)
                return 0;

        r = run(txn->db, SQL_BEGIN);
        if (r < 0)
                return r;

        txn->dirty = true;
        return 0;
}

/* No-op if SQLite did it already, as it does when the disk is full. */
void txn_rollback(Txn *txn) {
        txn->dirty = false;
        if (!sqlite3_get_autocommit(txn->db->handle))
                (void)run(txn->db, SQL_ROLLBACK);
}

/*
 * On a full disk the WAL cannot grow. Once all of it is in the database it is written from its beginning again, where it
 * needs no room: the next try may succeed.
 */
int txn_changed(Txn *txn, int r) {
        if (r < 0)
                txn_rollback(txn);
        if (r == -ENOSPC || r == -EDQUOT)
                (void)db_checkpoint(txn->db);
        return r;
}

int txn_commit(Txn *txn) {
        int r;

        if (txn->broken < 0) {
                txn_rollback(txn);
                return txn->broken;
        }
        if (!txn->dirty)
                return 0;

        r = run(txn->db, SQL_COMMIT);
        if (r < 0)
                return txn_changed(txn, r);

        txn->dirty = false;
        txn->unsynced = true;
        return 0;
}

int txn_sync(Txn *txn) {
        if (!txn->unsynced)
                return 0;
        if (db_sync(txn->db) < 0) {
                /* -EIO even for a full disk: what was committed cannot be taken back any more */
                txn->broken = -EIO;
                return -EIO;
        }

        txn->unsynced = false;
        return 0;
}
