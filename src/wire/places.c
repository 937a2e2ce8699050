/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * A home folder may be shared by several machines, and a queue belongs to one: the folder of its state holds a file
 * machine-id, and whoever finds another machine's name in it takes a folder below for itself.
 */

#include "wire/places.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/fd.h"

enum {
        MACHINE_ID_MAX = 128, /* a UUID without dashes, or "host " and a name */
};

static char *join(const char *a, const char *b) {
        char *path;

        return asprintf(&path, "%s/%s", a, b) < 0 ? NULL : path;
}

/* The value of a variable that names a folder; relative ones are to be ignored (XDG Base Directory Specification). */
static const char *folder_variable(const char *name) {
        const char *value = getenv(name);

        return value && value[0] == '/' ? value : NULL;
}

/* $VARIABLE/taskflow, else ~/FALLBACK/taskflow */
static int personal_folder(const char *variable, const char *fallback, char **ret, Error *error) {
        const char *folder, *home;
        int r;

        folder = folder_variable(variable);
        home = folder_variable("HOME");
        if (!folder && !home)
                return error_set(
                        error, -ENOENT,
                        "HOME is not set to a folder: set it, or set %s, or name the socket of a daemon in "
                        "TASKFLOW_SOCKET",
                        variable);

        if (folder)
                r = asprintf(ret, "%s/taskflow", folder);
        else
                r = asprintf(ret, "%s/%s/taskflow", home, fallback);
        if (r < 0) {
                *ret = NULL;
                return error_set(error, -ENOMEM, "out of memory");
        }
        return 0;
}

/* First line of a small file; false if there is none. */
static bool read_line(const char *path, char *buf, size_t n) {
        _cleanup_free_ char *content = NULL;
        size_t n_line;

        if (fd_read_file(AT_FDCWD, path, &content, NULL, n - 1) < 0)
                return false;

        n_line = strcspn(content, "\n");
        memcpy(buf, content, n_line);
        buf[n_line] = '\0';
        return n_line > 0;
}

/* What tells this machine from others that may mount the same home. */
static void this_machine(char buf[static MACHINE_ID_MAX]) {
        char host[HOST_NAME_MAX + 1] = "";

        if (read_line("/etc/machine-id", buf, MACHINE_ID_MAX) && strcmp(buf, "uninitialized") != 0)
                return;

        (void)gethostname(host, sizeof(host) - 1);
        (void)snprintf(buf, MACHINE_ID_MAX, "host %s", host);
}

int places_personal_state(char **ret, Error *error) {
        char here[MACHINE_ID_MAX], there[MACHINE_ID_MAX], host[HOST_NAME_MAX + 1] = "";
        _cleanup_free_ char *state = NULL, *file = NULL;
        int r;

        r = personal_folder("XDG_STATE_HOME", ".local/state", &state, error);
        if (r < 0)
                return r;

        file = join(state, PLACES_MACHINE_ID_FILE);
        if (!file)
                return error_set(error, -ENOMEM, "out of memory");

        this_machine(here);
        if (!read_line(file, there, sizeof(there)) || strcmp(here, there) == 0) {
                *ret = TAKE_PTR(state);
                return 0;
        }

        if (gethostname(host, sizeof(host) - 1) < 0 || host[0] == '\0' || host[0] == '.' ||
            strchr(host, '/'))
                return error_set(
                        error, -ENOENT,
                        "'%s' belongs to another machine, and this one has no name: set XDG_STATE_HOME",
                        state);

        *ret = join(state, host);
        return *ret ? 0 : error_set(error, -ENOMEM, "out of memory");
}

int places_check_state(Error *error) {
        _cleanup_free_ char *path = NULL;
        const char *base = folder_variable("XDG_STATE_HOME");
        int r;

        r = personal_folder("XDG_STATE_HOME", ".local/state", &path, error);
        if (r < 0 || !path)
                return r;
        if (!base)
                base = folder_variable("HOME");
        for (;;) {
                struct stat st;
                bool is_there = stat(path, &st) == 0;
                char *slash = strrchr(path, '/');

                if (is_there && st.st_uid != geteuid() && st.st_uid != 0)
                        return error_set(
                                error, -EPERM,
                                "'%s' belongs to another user (uid %u): set HOME or XDG_STATE_HOME to your own",
                                path, st.st_uid);
                if ((is_there && strlen(path) <= strlen(base)) || slash == path)
                        return 0;
                *slash = '\0';
        }
}

int places_claim_state(const char *state) {
        _cleanup_free_ char *file = NULL;
        char here[MACHINE_ID_MAX], line[MACHINE_ID_MAX + 1];

        file = join(state, PLACES_MACHINE_ID_FILE);
        if (!file)
                return -ENOMEM;
        if (access(file, F_OK) == 0)
                return 0;

        this_machine(here);
        (void)snprintf(line, sizeof(line), "%s\n", here);
        return fd_write_file_atomic(AT_FDCWD, file, line, strlen(line), 0600);
}

int places_personal_socket(char **ret, Error *error) {
        _cleanup_free_ char *state = NULL;
        int r;

        r = places_personal_state(&state, error);
        if (r < 0)
                return r;

        *ret = join(state, "run/taskflowd.sock");
        return *ret ? 0 : error_set(error, -ENOMEM, "out of memory");
}

int places_runtime_socket(char **ret) {
        const char *folder = folder_variable("XDG_RUNTIME_DIR");
        struct stat st;

        *ret = NULL;
        if (!folder || stat(folder, &st) < 0 || !S_ISDIR(st.st_mode) || st.st_uid != geteuid() ||
            (st.st_mode & 0022))
                return 0;

        *ret = join(folder, "taskflow/taskflowd.sock");
        return *ret ? 0 : -ENOMEM;
}

int places_personal_settings(char **ret, Error *error) {
        _cleanup_free_ char *folder = NULL;
        int r;

        r = personal_folder("XDG_CONFIG_HOME", ".config", &folder, error);
        if (r < 0)
                return r;

        *ret = join(folder, "taskflow.conf");
        return *ret ? 0 : error_set(error, -ENOMEM, "out of memory");
}

bool places_machine_has_daemon(void) {
        struct stat st;

        return stat(PLACES_MACHINE_DIR, &st) == 0 && S_ISDIR(st.st_mode);
}

bool places_is_machine_user(uid_t uid) {
        struct passwd entry, *found = NULL;
        char buf[4096];

        return getpwnam_r(PLACES_MACHINE_USER, &entry, buf, sizeof(buf), &found) == 0 && found &&
               found->pw_uid == uid;
}
