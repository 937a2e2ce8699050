/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Its folders first, so that the log has a place; then as every program of ours that is started on demand. */

#include "client/start.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/clean-start.h"
#include "util/cleanup.h"
#include "util/fd.h"
#include "wire/places.h"

static int find_program(char **ret, Error *error) {
        int r;

        r = clean_start_find("taskflowd", ret);
        if (r < 0)
                return error_set(
                        error, START_E_FAILED,
                        "no daemon is running, and the program 'taskflowd' that would be started is neither beside "
                        "'taskflow' nor in PATH: install it");
        return 0;
}

static int refuse_folder(const char *path, int r, Error *error) {
        return error_set(
                error, START_E_FAILED,
                "cannot make the folder '%s' for a daemon of your own: %s; set XDG_STATE_HOME to a folder "
                "that you can write to",
                path, strerror(-r));
}

static int make_folders(const char *state, Error *error) {
        _cleanup_free_ char *run = NULL;
        struct stat st;
        int r;

        r = fd_mkdir_p(state, 0700);
        if (r < 0)
                return refuse_folder(state, r, error);

        if (stat(state, &st) < 0)
                return refuse_folder(state, -errno, error);
        if (st.st_uid != geteuid())
                return error_set(
                        error, START_E_FAILED,
                        "'%s' belongs to another user (uid %u): set HOME or XDG_STATE_HOME to your own",
                        state, st.st_uid);

        if (asprintf(&run, "%s/run", state) < 0)
                return error_set(error, -ENOMEM, "out of memory");
        r = fd_mkdir_p(run, 0700);
        if (r < 0)
                return refuse_folder(run, r, error);

        r = places_claim_state(state);
        if (r < 0)
                return refuse_folder(state, r, error);
        return 0;
}

int start_daemon(const char *state, Error *error) {
        char *argv[] = { (char[]){ "taskflowd" }, (char[]){ "--personal" }, NULL };
        _cleanup_free_ char *path = NULL, *log_path = NULL;
        int r;

        r = find_program(&path, error);
        if (r != 0)
                return r;
        r = make_folders(state, error);
        if (r != 0)
                return r;
        if (asprintf(&log_path, "%s/taskflowd.log", state) < 0)
                return error_set(error, -ENOMEM, "out of memory");

        r = clean_start(&(CleanStart){ .path = path,
                                       .argv = argv,
                                       .log_path = log_path,
                                       .what = "a daemon of your own" },
                        error);
        switch (r) {
        case CLEAN_START_E_BUSY:
                return START_E_BUSY;
        case CLEAN_START_E_FAILED:
                return START_E_FAILED;
        default:
                return r;
        }
}
