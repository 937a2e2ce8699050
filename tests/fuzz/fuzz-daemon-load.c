/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Any rows in a daemon's database: it starts with what makes sense of them, plans, writes down what came of it, and starts again with
 * just as much.
 */

#include <assert.h>
#include <fcntl.h>

#include "daemon/daemon.h"
#include "util/boot.h"
#include "util/cleanup.h"

#include "folder.h"
#include "fuzz.h"
#include "rows.h"

enum {
        TURNS = 4,
        DATABASE_BYTES_MAX = 1 << 20,
};

static char database_path[128];

/* An empty database, as a daemon makes it. */
static char *template_bytes;
static size_t n_template;

static void make_template(void) {
        Store *store = NULL;
        Error error;

        (void)snprintf(database_path, sizeof(database_path), "%s/taskflow.db", folder());
        assert(store_open(&store, folder(), false, &error) == 0);
        store = store_free(store);
        assert(fd_read_file(AT_FDCWD, database_path, &template_bytes, &n_template,
                            DATABASE_BYTES_MAX) == 0);
}

static void put_rows(const uint8_t *data, size_t n) {
        char boot_id[BOOT_ID_SIZE] = "", pid[16];
        const RowWord words[] = { { "boot", boot_id }, { "pid", pid }, { 0 } };
        sqlite3 *db = NULL;

        assert(boot_id_read(boot_id) == 0);
        (void)snprintf(pid, sizeof(pid), "%d", getpid());
        assert(fd_write_file_atomic(AT_FDCWD, database_path, template_bytes, n_template, 0600) ==
               0);
        assert(sqlite3_open(database_path, &db) == SQLITE_OK);
        assert(sqlite3_exec(db,
                            "PRAGMA journal_mode = DELETE; PRAGMA synchronous = OFF;"
                            "PRAGMA ignore_check_constraints = ON; BEGIN",
                            NULL, NULL, NULL) == SQLITE_OK);
        rows_insert(db, data, n, words);
        assert(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK);
        assert(sqlite3_close(db) == SQLITE_OK);
}

/* Return: how many tasks wait or run. */
static size_t run_daemon(void) {
        const DaemonOptions options = { .state_dir = folder(), .personal = true };
        Daemon *daemon = NULL;
        Error error = { "" };
        CoreCounts counts;

        if (daemon_new(&daemon, &options, &error) != 0) {
                assert(error.text[0] != '\0');
                return 0;
        }
        for (unsigned i = 0; i < TURNS; i++)
                assert(sd_event_run(daemon->event, 0) >= 0);
        counts = core_counts(daemon->core);
        daemon = daemon_free(daemon);
        return counts.pending + counts.held + counts.running;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
        size_t n_first;

        folder_quiet();
        if (!template_bytes)
                make_template();
        put_rows(data, n);
        n_first = run_daemon();
        assert(run_daemon() <= n_first);
        return 0;
}
