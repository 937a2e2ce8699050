/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "store/txn.h"

#include <errno.h>
#include <stddef.h>

#include "store/sql.h"

enum {
        CHECKPOINT_PAGES = 4096, /* of the WAL: 16 MiB. One costs three synchronous writes */
};

static int run(Db *db, SqlId id) {
        sqlite3_stmt *statement = NULL;
        int r;

        r = db_statement(db, id, &statement);
        if (r < 0)
                return r;
        return db_run(statement);
}

/*
 * As SQLite's own checkpoint at a commit, which says nothing of a sync that failed; the one that comes next on the same descriptor
 * would then find nothing wrong.
 */
static int on_wal(void *userdata, sqlite3 *handle, const char *name, int n_pages) {
        Txn *txn = userdata;

        db_note_wal(txn->db, n_pages);
        if (n_pages >= CHECKPOINT_PAGES && db_checkpoint(txn->db, DB_CHECKPOINT_SOME) == DB_E_SYNC)
                txn->broken = -EIO;
        return SQLITE_OK;
}

/*
 * What an earlier process has committed may not be on the disk, although its pages count as written: its sync failed, or it was killed
 * before it. People may be told of it from here on.
 */
int txn_opened(Txn *txn) {
        int r;

        (void)sqlite3_wal_hook(txn->db->handle, on_wal, txn);
        r = db_checkpoint(txn->db, DB_CHECKPOINT_ALL);
        if (r == DB_E_SYNC || r == -EIO)
                return -EIO;
        txn->unsynced = true; /* a full disk keeps some of it from the database itself */
        return txn_sync(txn);
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
                (void)db_checkpoint(txn->db, DB_CHECKPOINT_SOME);
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
        if (txn->broken < 0)
                return txn->broken;
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
