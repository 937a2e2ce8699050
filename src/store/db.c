/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "store/db.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/statvfs.h>

#include "util/cleanup.h"
#include "util/macro.h"

/*
 * Room that is taken before it is needed, of the database and of its WAL. When the disk fills up, what is in the WAL can
 * then still be moved into the database, and the WAL used again: how tasks end is kept though nothing new fits.
 */
#define CHUNK_BYTES  262144
#define AHEAD_BYTES  1048576
#define PLENTY_BYTES (UINT64_C(256) * AHEAD_BYTES)

enum {
        PAGE_BYTES = 4096,
        FRAME_HEAD_BYTES = 24, /* of a page in the WAL */
};

/*
 * The errno of the system call behind an error of I/O, if it is one that tells something. Another may be left from
 * anywhere, and -ENOENT, for one, would be taken for "no such task".
 */
static int system_errno(sqlite3 *handle) {
        int e = handle ? sqlite3_system_errno(handle) : 0;

        switch (e) {
        case EACCES:
        case EDQUOT:
        case EFBIG:
        case EMFILE:
        case ENFILE:
        case ENOMEM:
        case ENOSPC:
        case EPERM:
        case EROFS:
                return -e;
        default:
                return -EIO;
        }
}

int db_errno(sqlite3 *handle, int code) {
        switch (code & 0xff) {
        case SQLITE_OK:
        case SQLITE_ROW:
        case SQLITE_DONE:
                return 0;
        case SQLITE_NOMEM:
                return -ENOMEM;
        case SQLITE_FULL:
                return -ENOSPC;
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
                return -EBUSY;
        case SQLITE_READONLY:
                return -EROFS;
        case SQLITE_PERM:
        case SQLITE_AUTH:
                return -EACCES;
        case SQLITE_TOOBIG:
                return -E2BIG;
        case SQLITE_CONSTRAINT:
                return code == SQLITE_CONSTRAINT_UNIQUE || code == SQLITE_CONSTRAINT_PRIMARYKEY ?
                               -EEXIST :
                               -EINVAL;
        case SQLITE_IOERR:
                if (code == SQLITE_IOERR_NOMEM)
                        return -ENOMEM;
                if (code == SQLITE_IOERR_CORRUPTFS || code == SQLITE_IOERR_DATA)
                        return -EUCLEAN;
                return system_errno(handle);
        case SQLITE_CANTOPEN:
                return system_errno(handle);
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
        case SQLITE_FORMAT:
        case SQLITE_MISMATCH:
        case SQLITE_ERROR: /* our SQL is right: "no such column" says what the file is */
        case SQLITE_SCHEMA:
                return -EUCLEAN;
        default:
                return -EIO;
        }
}

static void finalize(sqlite3_stmt **statement) {
        (void)sqlite3_finalize(*statement);
}

/* Whether the first row of @sql is the one text expected. Return: 1, 0 or negative errno. */
static int says(Db *db, const char *sql, const char *expected) {
        _cleanup_(finalize) sqlite3_stmt *statement = NULL;
        const unsigned char *text;
        int r;

        r = db_errno(db->handle, sqlite3_prepare_v2(db->handle, sql, -1, &statement, NULL));
        if (r < 0)
                return r;

        r = db_step(statement);
        if (r < 0)
                return r;
        text = r > 0 ? sqlite3_column_text(statement, 0) : NULL;
        return text && strcmp((const char *)text, expected) == 0;
}

/* Settings of the handle itself. */
static int configure(Db *db) {
        static const struct {
                int option;
                int value;
        } options[] = {
                { SQLITE_DBCONFIG_DEFENSIVE, 1 },
                { SQLITE_DBCONFIG_ENABLE_TRIGGER, 0 },
                { SQLITE_DBCONFIG_ENABLE_VIEW, 0 },
                { SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1 },
        };
        int code;

        for (size_t i = 0; i < ELEMENTSOF(options); i++) {
                code = sqlite3_db_config(db->handle, options[i].option, options[i].value, NULL);
                if (code != SQLITE_OK)
                        return db_errno(db->handle, code);
        }
        (void)sqlite3_limit(db->handle, SQLITE_LIMIT_ATTACHED, 0);

        return db_exec(db, sql_setup);
}

int db_open(Db *ret, const char *path, const DbSql *sql) {
        Db db = { .sql = sql };
        int code;
        int r;

        /* its statistics, which nobody reads, cost a lock at each allocation; no-op from the second call on */
        (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);

        code = sqlite3_open_v2(path, &db.handle,
                               SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
                               NULL);
        r = db_errno(db.handle, code);
        if (r == 0)
                r = configure(&db);
        if (r < 0) {
                db_done(&db);
                return r;
        }

        *ret = db;
        return 0;
}

/* SQLite's own handle of the WAL, or NULL if nothing was written yet. Return: 0 or negative errno. */
static int get_wal(Db *db, sqlite3_file **ret) {
        sqlite3_file *wal = NULL;
        int code;

        code = sqlite3_file_control(db->handle, "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal);
        if (code != SQLITE_OK)
                return db_errno(db->handle, code);
        *ret = wal && wal->pMethods ? wal : NULL;
        return 0;
}

/* Whether a MiB more or less is of no matter. */
static bool has_plenty_of_room(Db *db) {
        struct statvfs fs;

        return statvfs(sqlite3_db_filename(db->handle, "main"), &fs) == 0 &&
               (uint64_t)fs.f_bavail * fs.f_frsize >= PLENTY_BYTES;
}

/*
 * Zeros behind what is in the WAL, ahead of what will be written: blocks that are new to a file, or reserved and never written, make a
 * sync half as slow again on ext4. SQLite ignores what is no frame of its own.
 */
static void fill_ahead(Db *db, sqlite3_file *wal) {
        static const char zeros[64 * 1024];
        sqlite3_int64 at; /* behind every frame there is, whatever the last commit has written */

        if (wal->pMethods->xFileSize(wal, &at) != SQLITE_OK ||
            at > db->n_wal_bytes + CHUNK_BYTES / 2 || !has_plenty_of_room(db))
                return;
        for (; at < db->n_wal_bytes + AHEAD_BYTES; at += (sqlite3_int64)sizeof(zeros))
                if (wal->pMethods->xWrite(wal, zeros, sizeof(zeros), at) != SQLITE_OK)
                        return;
}

void db_note_wal(Db *db, int n_pages) {
        db->n_wal_bytes = (sqlite3_int64)n_pages * (PAGE_BYTES + FRAME_HEAD_BYTES);
}

/* As far as there is room: without it nothing is wrong yet. */
static int reserve_room(Db *db) {
        int chunk_bytes = CHUNK_BYTES;
        sqlite3_int64 n_bytes = CHUNK_BYTES;
        sqlite3_file *wal = NULL;
        int r;

        r = get_wal(db, &wal);
        if (r < 0 || !wal)
                return r;
        (void)sqlite3_file_control(db->handle, "main", SQLITE_FCNTL_CHUNK_SIZE, &chunk_bytes);
        if (has_plenty_of_room(db)) {
                fill_ahead(db, wal);
                return 0;
        }
        (void)wal->pMethods->xFileControl(wal, SQLITE_FCNTL_CHUNK_SIZE, &chunk_bytes);
        (void)wal->pMethods->xFileControl(wal, SQLITE_FCNTL_SIZE_HINT, &n_bytes);
        return 0;
}

int db_set_writing(Db *db) {
        int code;
        int r;

        r = says(db, sql_use_wal, "wal");
        if (r < 0)
                return r;
        if (r == 0)
                return -EOPNOTSUPP;

        code = sqlite3_db_config(db->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
        if (code != SQLITE_OK)
                return db_errno(db->handle, code);
        r = db_exec(db, sql_setup_writing);
        if (r < 0)
                return r;
        return reserve_room(db);
}

void db_done(Db *db) {
        for (size_t i = 0; i < DB_STATEMENTS_MAX; i++)
                (void)sqlite3_finalize(db->statements[i]);
        (void)sqlite3_close(db->handle);
        *db = (Db){};
}

static int prepare(Db *db, unsigned id) {
        int code;

        assert(id < db->sql->n && id < DB_STATEMENTS_MAX);
        if (db->statements[id])
                return 0;

        code = sqlite3_prepare_v3(db->handle, db->sql->statements[id], -1,
                                  SQLITE_PREPARE_PERSISTENT, &db->statements[id], NULL);
        return db_errno(db->handle, code);
}

int db_prepare_all(Db *db) {
        int r;

        for (unsigned id = 0; id < db->sql->n; id++) {
                r = prepare(db, id);
                if (r < 0)
                        return r;
        }
        return 0;
}

int db_statement(Db *db, unsigned id, sqlite3_stmt **ret) {
        int r;

        r = prepare(db, id);
        if (r < 0)
                return r;

        (void)sqlite3_reset(db->statements[id]); /* says again what its last step said */
        (void)sqlite3_clear_bindings(db->statements[id]);
        *ret = db->statements[id];
        return 0;
}

int db_step(sqlite3_stmt *statement) {
        int code;

        code = sqlite3_step(statement);
        if (code == SQLITE_ROW)
                return 1;
        return db_errno(sqlite3_db_handle(statement), code);
}

int db_run(sqlite3_stmt *statement) {
        int r;

        r = db_step(statement);
        assert(r <= 0); /* a statement with rows */
        (void)sqlite3_reset(statement);
        (void)sqlite3_clear_bindings(statement);
        return r;
}

int db_first(sqlite3_stmt *statement, int64_t *ret) {
        int r;

        r = db_step(statement);
        if (r > 0)
                *ret = sqlite3_column_int64(statement, 0);
        (void)sqlite3_reset(statement);
        (void)sqlite3_clear_bindings(statement);
        return r;
}

int db_exec(Db *db, const char *sql) {
        return db_errno(db->handle, sqlite3_exec(db->handle, sql, NULL, NULL, NULL));
}

int db_get_int64(Db *db, const char *sql, int64_t *ret) {
        _cleanup_(finalize) sqlite3_stmt *statement = NULL;
        int r;

        r = db_errno(db->handle, sqlite3_prepare_v2(db->handle, sql, -1, &statement, NULL));
        if (r < 0)
                return r;

        r = db_step(statement);
        if (r < 0)
                return r;
        if (r == 0)
                return -ENODATA;

        *ret = sqlite3_column_int64(statement, 0);
        return 0;
}

int db_quick_check(Db *db) {
        int r;

        r = says(db, sql_quick_check, "ok");
        if (r < 0)
                return r;
        return r > 0 ? 0 : -EUCLEAN;
}

/*
 * PRAGMA synchronous cannot be changed inside a transaction, and whether a commit must be on the disk is
 * known only at its end. So commits never sync, and the WAL is synced here through SQLite's own file: that
 * also syncs the folder after the WAL was made, and is what synchronous = FULL does.
 */
int db_sync(Db *db) {
        sqlite3_file *wal = NULL;
        int r;

        r = get_wal(db, &wal);
        if (r < 0 || !wal)
                return r;
        r = db_errno(NULL, wal->pMethods->xSync(wal, SQLITE_SYNC_NORMAL));
        if (r == 0)
                fill_ahead(db, wal);
        return r;
}

int db_checkpoint(Db *db, DbCheckpoint how) {
        int mode = how == DB_CHECKPOINT_ALL ? SQLITE_CHECKPOINT_FULL : SQLITE_CHECKPOINT_PASSIVE;
        int code = sqlite3_wal_checkpoint_v2(db->handle, NULL, mode, NULL, NULL);

        return code == SQLITE_IOERR_FSYNC ? DB_E_SYNC : db_errno(db->handle, code);
}
