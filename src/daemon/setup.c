/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "daemon/setup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>

#include "util/cleanup.h"
#include "util/fd.h"
#include "wire/places.h"

enum {
        LOCK_TRIES = 250, /* times LOCK_PAUSE_US: a daemon that is just ending has 5 s to let go */
        LOCK_PAUSE_US = 20 * 1000,
};

void setup_done(Setup *setup) {
        free(setup->settings_path);
        free(setup->state_dir);
        free(setup->sockets[0]);
        free(setup->sockets[1]);
        setup->passed_fd = fd_close(setup->passed_fd);
        setup->lock_fd = fd_close(setup->lock_fd);
}

static int find_settings(const SetupOptions *options, Setup *setup, Error *error) {
        if (options->config)
                setup->settings_path = strdup(options->config);
        else if (setup->personal)
                return places_personal_settings(&setup->settings_path, error);
        else
                setup->settings_path = strdup(PLACES_MACHINE_SETTINGS);
        return setup->settings_path ? 0 : error_set(error, -ENOMEM, "out of memory");
}

/* An absolute path: the working directory becomes /. */
static int absolute_path(const char *path, char **ret, Error *error) {
        _cleanup_free_ char *cwd = NULL;

        if (path[0] == '/') {
                *ret = strdup(path);
        } else {
                cwd = getcwd(NULL, 0);
                if (!cwd || asprintf(ret, "%s/%s", cwd, path) < 0)
                        *ret = NULL;
        }
        if (*ret)
                return 0;
        (void)error_set(error, 0, "cannot tell the full path of '%s'", path);
        return -ENOMEM;
}

static int find_state(const SetupOptions *options, Setup *setup, Error *error) {
        if (options->state)
                return absolute_path(options->state, &setup->state_dir, error);
        if (!setup->personal &&
            (!options->socket || geteuid() == 0 || places_is_machine_user(geteuid()))) {
                setup->state_dir = strdup(PLACES_MACHINE_STATE);
                return setup->state_dir ? 0 : error_set(error, -ENOMEM, "out of memory");
        }
        return places_personal_state(&setup->state_dir, error);
}

static int find_sockets(const SetupOptions *options, Setup *setup, Error *error) {
        if (setup->passed_fd >= 0)
                return 0; /* it has its name */
        if (options->socket)
                return absolute_path(options->socket, &setup->sockets[0], error);
        if (!setup->personal) {
                setup->sockets[0] = strdup(PLACES_MACHINE_SOCKET);
                return setup->sockets[0] ? 0 : error_set(error, -ENOMEM, "out of memory");
        }
        if (options->state) {
                if (asprintf(&setup->sockets[0], "%s/run/taskflowd.sock", setup->state_dir) < 0)
                        return error_set(error, -ENOMEM, "out of memory");
                return 0;
        }
        if (places_personal_socket(&setup->sockets[0], error) < 0)
                return -ENOENT;
        (void)places_runtime_socket(&setup->sockets[1]);
        return 0;
}

/* Makes the folder a socket lies in; only ours are made private. */
static int make_socket_folder(const char *path, Error *error) {
        _cleanup_free_ char *folder = strdup(path);
        int r;

        if (!folder)
                return error_set(error, -ENOMEM, "out of memory");
        *strrchr(folder, '/') = '\0';
        r = fd_mkdir_p(folder[0] ? folder : "/", 0700);
        if (r < 0 && strcmp(folder, PLACES_MACHINE_DIR) == 0)
                return error_set(error, r,
                                 "cannot make the folder '%s': %s; as root: install -d -o %s %s",
                                 folder, strerror(-r), PLACES_MACHINE_USER, folder);
        return r < 0 ? error_set(error, r, "cannot make the folder '%s': %s", folder,
                                 strerror(-r)) :
                       0;
}

static int make_folders(Setup *setup, Error *error) {
        struct stat st;
        int r;

        r = fd_mkdir_p(setup->state_dir, 0700);
        if (r < 0)
                return error_set(error, r, "cannot make the folder '%s': %s", setup->state_dir,
                                 strerror(-r));
        if (stat(setup->state_dir, &st) < 0 || !S_ISDIR(st.st_mode))
                return error_set(error, -ENOTDIR, "'%s' is not a folder", setup->state_dir);
        if (st.st_uid != geteuid())
                return error_set(error, -EPERM, "the folder '%s' belongs to another user (uid %u)",
                                 setup->state_dir, st.st_uid);
        if ((st.st_mode & 0077) && chmod(setup->state_dir, 0700) < 0)
                return error_set(error, -errno, "cannot make '%s' private: %s", setup->state_dir,
                                 strerror(errno));
        if (setup->passed_fd >= 0)
                return 0;
        for (size_t i = 0; i < ELEMENTSOF(setup->sockets) && setup->sockets[i]; i++) {
                r = make_socket_folder(setup->sockets[i], error);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Whether somebody answers there. */
static bool somebody_listens(const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd < 0 || strlen(path) >= sizeof(address.sun_path))
                return false;
        (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
        return connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
}

/* One daemon a state folder. Return: 0, -EBUSY if another one is there, or negative errno. */
static int take_lock(Setup *setup, Error *error) {
        _cleanup_free_ char *path = NULL;

        if (asprintf(&path, "%s/lock", setup->state_dir) < 0)
                return error_set(error, -ENOMEM, "out of memory");
        setup->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (setup->lock_fd < 0)
                return error_set(error, -errno, "cannot open '%s': %s", path, strerror(errno));

        /* One that is just ending still has the lock, but listens no more. */
        for (unsigned i = 0; i < LOCK_TRIES; i++) {
                if (flock(setup->lock_fd, LOCK_EX | LOCK_NB) == 0)
                        return 0;
                if (errno != EWOULDBLOCK)
                        return error_set(error, -errno, "cannot lock '%s': %s", path,
                                         strerror(errno));
                if (setup->passed_fd < 0 && somebody_listens(setup->sockets[0]))
                        break;
                (void)nanosleep(&(struct timespec){ .tv_nsec = LOCK_PAUSE_US * 1000L }, NULL);
        }
        return error_set(error, -EBUSY, "another taskflowd uses the folder '%s'", setup->state_dir);
}

/* The name of a socket; NULL if it has none in the file system. */
static char *socket_path(int fd) {
        struct sockaddr_un address = {};
        socklen_t n = sizeof(address) - 1; /* a NUL stays behind it */

        if (getsockname(fd, (struct sockaddr *)&address, &n) < 0 || address.sun_path[0] != '/')
                return NULL;
        return strdup(address.sun_path);
}

/* The socket of the service manager, if it passes one. */
static int take_passed_socket(const SetupOptions *options, Setup *setup, Error *error) {
        int n = sd_listen_fds(true);

        if (n == 0)
                return 0;
        if (n < 0)
                return error_set(error, n, "cannot tell which sockets were passed: %s",
                                 strerror(-n));
        if (options->socket)
                return error_set(
                        error, -EINVAL,
                        "a socket was passed (LISTEN_FDS), and --socket names another one");
        setup->passed_fd = SD_LISTEN_FDS_START;
        if (n > 1 || sd_is_socket_unix(setup->passed_fd, SOCK_STREAM, 1, NULL, 0) <= 0)
                return error_set(error, -EINVAL,
                                 "%d sockets were passed (LISTEN_FDS): it must be one, of the kind "
                                 "ListenStream=/PATH",
                                 n);
        setup->sockets[0] = socket_path(setup->passed_fd);
        if (!setup->sockets[0])
                return error_set(error, -EINVAL, "the socket that was passed has no path");
        return 0;
}

/* Whether it is to serve everybody. */
static bool is_for_everybody(const SetupOptions *options, const Setup *setup) {
        if (setup->passed_fd >= 0 || options->socket)
                return true;
        if (options->personal || options->state)
                return false;
        return places_machine_has_daemon() || places_is_machine_user(geteuid());
}

int setup_find(const SetupOptions *options, Setup *setup, Error *error) {
        int r;

        if (!options->personal) {
                r = take_passed_socket(options, setup, error);
                if (r < 0)
                        return r;
        }
        setup->personal = !is_for_everybody(options, setup);
        return find_settings(options, setup, error);
}

/* At the machine's own socket nobody but its user may serve, root neither: nothing in the daemon needs a privilege. */
static int check_user(Error *error) {
        if (places_is_machine_user(geteuid()))
                return 0;
        if (geteuid() == 0)
                return error_set(
                        error, -EPERM,
                        "the machine's daemon runs as the user %s, without any privilege: 'systemctl enable "
                        "--now taskflowd.socket' starts it so, and without systemd 'runuser -u %s -- taskflowd'",
                        PLACES_MACHINE_USER, PLACES_MACHINE_USER);
        return error_set(
                error, -EPERM,
                "this machine has one daemon for everybody (%s exists), which 'taskflow' finds by itself; "
                "--state DIR makes a daemon of your own, --socket PATH another one for everybody",
                PLACES_MACHINE_DIR);
}

int setup_prepare(const SetupOptions *options, Setup *setup, Error *error) {
        int r;

        if (!setup->personal && !options->socket && setup->passed_fd < 0) {
                r = check_user(error);
                if (r < 0)
                        return r;
        }
        r = find_state(options, setup, error);
        if (r < 0)
                return r;
        r = find_sockets(options, setup, error);
        if (r < 0)
                return r;
        r = make_folders(setup, error);
        if (r < 0)
                return r;
        r = take_lock(setup, error);
        if (r < 0 || !setup->personal || options->state)
                return r;
        r = places_claim_state(setup->state_dir);
        return r < 0 ? error_set(error, r, "cannot write in '%s': %s", setup->state_dir,
                                 strerror(-r)) :
                       0;
}
