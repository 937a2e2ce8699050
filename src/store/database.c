/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "store/database.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "store/store.h"
#include "util/boot.h"
#include "util/cleanup.h"
#include "util/macro.h"

#define DAMAGED ".damaged-"

enum {
        /* With what is put behind the name of a database. */
        NAME_SIZE = DATABASE_NAME_MAX + sizeof(DAMAGED "YYYYMMDD-HHMMSS") + sizeof("-journal"),

        /* Names taken already are those of the last seconds. */
        DAMAGED_NAMES_TRIED = 60,
};

/*
 * A daemon that is killed damages nothing; a machine that goes down may, if its disk does not do what it says. Looking
 * through the whole file is worth its time then, while that is short: measured, 0.5 s for this size. What is damaged in a
 * larger one is found when it is read.
 */
#define QUICK_CHECK_BYTES_MAX (32 * MIB)

/* What lies beside the file and belongs to it, in the order in which it is moved. */
static const char *const suffixes[] = { "", "-wal", "-journal", "-shm" };

/* Return: its size, 0 if there is no such file, or negative errno. */
static int64_t file_bytes(int dir_fd, const DatabaseKind *kind, const char *suffix) {
        char name[NAME_SIZE];
        struct stat st;

        (void)snprintf(name, sizeof(name), "%s%s", kind->file, suffix);

        if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : -errno;
        return st.st_size;
}

static int load_meta(Database *database, Error *error) {
        int r;

        r = meta_get(&database->db, &database->meta, error);
        return r > 0 ? DATABASE_E_DAMAGED : r;
}

const DatabaseKind database_tasks = {
        .file = DATABASE_FILE,
        .application_id = SQL_APPLICATION_ID,
        .version = STORE_SCHEMA_VERSION,
        .migrations = sql_migrations,
        .set_version = sql_set_version,
        .sql = { sql_statements, N_SQL },
        .load = load_meta,
        .put_boot_id = meta_put_boot_id,
};

/* Each of them is a file, or not there: through a link others might be written to, and a FIFO is read for ever. */
static int check_files(const DatabaseKind *kind, int dir_fd, const char *path, Error *error) {
        for (size_t i = 0; i < ELEMENTSOF(suffixes); i++) {
                char name[NAME_SIZE];
                struct stat st;

                (void)snprintf(name, sizeof(name), "%s%s", kind->file, suffixes[i]);
                if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISREG(st.st_mode))
                        return error_set(
                                error, -EINVAL,
                                "'%s%s' is not a file: somebody put it there; take it away", path,
                                suffixes[i]);
        }
        return 0;
}

/*
 * SQLite makes its other files with the mode of this one. It is closed again before SQLite opens it: closing
 * any descriptor of a file drops the locks that the process has on it.
 */
static int make_file(const DatabaseKind *kind, int dir_fd) {
        _cleanup_close_ int fd = -1;

        fd = openat(dir_fd, kind->file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0 || fchmod(fd, 0600) < 0)
                return -errno;
        return 0;
}

/* What kind of file it is. Return: 0, DATABASE_E_*, or negative errno. */
static int look(Database *database, int64_t *ret_version, Error *error) {
        const DatabaseKind *kind = database->kind;
        Db *db = &database->db;
        int64_t application_id = 0;
        int64_t version = 0;
        int64_t n_tables = 0;
        int r;

        r = db_get_int64(db, sql_get_user_version, &version);
        if (r == 0)
                r = db_get_int64(db, sql_get_application_id, &application_id);
        if (r == 0)
                r = db_get_int64(db, sql_count_tables, &n_tables);
        if (r < 0)
                return r;

        database->is_new = application_id == 0 && version == 0 && n_tables == 0;
        *ret_version = version;
        if (database->is_new)
                return 0;

        if (application_id != kind->application_id)
                return error_set(error, DATABASE_E_DAMAGED, "it was not made by taskflow");
        if (version > kind->version)
                return error_set(
                        error, DATABASE_E_NEWER,
                        "it was made by a newer taskflow (format %lld, this one knows %d); it was not "
                        "touched: install that version again, or use another state folder",
                        (long long)version, kind->version);
        if (version < 1)
                return error_set(error, DATABASE_E_DAMAGED, "its format is %lld",
                                 (long long)version);
        return 0;
}

/* One version up; all of it or nothing. */
static int migrate_step(Database *database, int64_t version) {
        const DatabaseKind *kind = database->kind;
        Db *db = &database->db;
        int r;

        r = db_exec(db, sql_statements[SQL_BEGIN]);
        if (r < 0)
                return r;

        r = db_exec(db, kind->migrations[version]);
        if (r == 0)
                r = db_exec(db, kind->set_version[version]);
        if (r == 0)
                r = db_exec(db, sql_statements[SQL_COMMIT]);
        if (r < 0)
                (void)db_exec(db, sql_statements[SQL_ROLLBACK]);
        return r;
}

static int migrate(Database *database, int64_t version) {
        int r;

        if (version == database->kind->version)
                return 0;

        for (; version < database->kind->version; version++) {
                r = migrate_step(database, version);
                if (r < 0)
                        return r;
        }
        return db_sync(&database->db);
}

/* Whether to look through the whole file. @unclean: the last one that had it open did not close it. */
static int check_after_crash(Database *database, bool unclean) {
        char boot_id[BOOT_ID_SIZE] = "";
        int r;

        if (boot_id_read(boot_id) == 0 && strcmp(boot_id, database->meta.boot_id) == 0)
                return 0;
        if (unclean) {
                r = db_quick_check(&database->db);
                if (r < 0)
                        return r;
        }
        /* without it the next one looks once more */
        (void)database->kind->put_boot_id(&database->db, boot_id);
        return 0;
}

static int prepare(Database *database, bool unclean, bool check, Error *error) {
        Db *db = &database->db;
        int64_t version = 0;
        int r;

        r = look(database, &version, error);
        if (r != 0)
                return r;
        if (check) {
                r = db_quick_check(db);
                if (r < 0)
                        return r;
        }

        r = db_set_writing(db);
        if (r < 0)
                return r;
        r = migrate(database, version);
        if (r < 0)
                return r;
        r = db_prepare_all(db);
        if (r < 0)
                return r;

        r = database->kind->load(database, error);
        if (r != 0)
                return r;
        return check_after_crash(database, unclean && !check);
}

/* Makes the sentence whole. */
static int explain(Db *db, int r, const char *path, Error *error) {
        switch (r) {
        case DATABASE_E_DAMAGED:
        case DATABASE_E_NEWER:
                error_prefix(error, "cannot use '%s': ", path);
                return r;
        case -EUCLEAN:
                return error_set(error, DATABASE_E_DAMAGED, "'%s' is damaged: %s", path,
                                 db->handle ? sqlite3_errmsg(db->handle) : "it cannot be read");
        case -EBUSY:
                return error_set(error, DATABASE_E_BUSY, "another program has '%s' open", path);
        default:
                return error_set(error, r, "cannot open '%s': %s", path, strerror(-r));
        }
}

int database_open(Database *ret,
                  const DatabaseKind *kind,
                  int dir_fd,
                  const char *path,
                  bool check,
                  Error *error) {
        int64_t n_bytes = file_bytes(dir_fd, kind, "");
        int64_t n_wal_bytes = file_bytes(dir_fd, kind, "-wal");
        bool unclean = n_wal_bytes > 0; /* closing it removes the WAL */
        Database database = { .kind = kind };
        int r;

        r = check_files(kind, dir_fd, path, error);
        if (r < 0)
                return r;

        /* SQLite would remove it */
        if (n_bytes == 0 && unclean)
                return error_set(error, DATABASE_E_DAMAGED,
                                 "'%s' is missing or empty, but its '-wal' is there", path);

        r = make_file(kind, dir_fd);
        if (r == 0)
                r = db_open(&database.db, path, &kind->sql);
        if (r == 0)
                r = prepare(&database, unclean && n_bytes <= (int64_t)QUICK_CHECK_BYTES_MAX, check,
                            error);
        if (r == 0) {
                *ret = database;
                return 0;
        }

        r = explain(&database.db, r, path, error);
        db_done(&database.db);
        return r;
}

static int rename_all(const DatabaseKind *kind, int dir_fd, const char *new_name) {
        bool moved = false;

        for (size_t i = 0; i < ELEMENTSOF(suffixes); i++) {
                char from[NAME_SIZE], to[NAME_SIZE + sizeof("-journal")];

                (void)snprintf(from, sizeof(from), "%s%s", kind->file, suffixes[i]);
                (void)snprintf(to, sizeof(to), "%s%s", new_name, suffixes[i]);
                if (renameat2(dir_fd, from, dir_fd, to, RENAME_NOREPLACE) == 0)
                        moved = true;
                else if (errno != ENOENT)
                        return -errno;
        }
        if (!moved)
                return -ENOENT;
        return fsync(dir_fd) < 0 ? -errno : 0;
}

int database_set_aside(const DatabaseKind *kind, int dir_fd, char **ret_name) {
        time_t now = time(NULL);
        int r = -EEXIST;

        for (int i = 0; i < DAMAGED_NAMES_TRIED; i++) {
                char when[sizeof("YYYYMMDD-HHMMSS")], name[NAME_SIZE];
                time_t at = now + i;
                struct tm tm;

                if (!localtime_r(&at, &tm) ||
                    strftime(when, sizeof(when), "%Y%m%d-%H%M%S", &tm) == 0)
                        return -EOVERFLOW;
                (void)snprintf(name, sizeof(name), "%s" DAMAGED "%s", kind->file, when);
                r = rename_all(kind, dir_fd, name);
                if (r == -EEXIST)
                        continue;
                if (r < 0)
                        return r;

                *ret_name = strdup(name);
                return *ret_name ? 0 : -ENOMEM;
        }
        return r;
}

/* The name has digits where the time is, and nothing behind it. */
static bool is_set_aside(const DatabaseKind *kind, const char *name) {
        char prefix[NAME_SIZE];
        size_t n = (size_t)snprintf(prefix, sizeof(prefix), "%s" DAMAGED, kind->file);

        return strncmp(name, prefix, n) == 0 && strlen(name) == n + strlen("YYYYMMDD-HHMMSS") &&
               strspn(name + n, "0123456789-") == strlen(name + n);
}

static void close_dir(DIR **dir) {
        if (*dir)
                (void)closedir(*dir);
}

int database_find_set_aside(const DatabaseKind *kind, int dir_fd, char **ret_name) {
        _cleanup_(close_dir) DIR *dir = NULL;
        char last[NAME_SIZE] = "";
        const struct dirent *entry;
        int fd;

        fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        dir = fdopendir(fd);
        if (!dir) {
                (void)fd_close(fd);
                return -ENOMEM;
        }

        for (errno = 0; (entry = readdir(dir)); errno = 0)
                if (is_set_aside(kind, entry->d_name) && strcmp(entry->d_name, last) > 0)
                        (void)snprintf(last, sizeof(last), "%.*s", NAME_SIZE - 1, entry->d_name);
        if (errno > 0)
                return -errno;
        if (last[0] == '\0')
                return -ENOENT;

        *ret_name = strdup(last);
        return *ret_name ? 0 : -ENOMEM;
}
