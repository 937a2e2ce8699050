/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * On the way of every `taskflow run true`: where there is a daemon, this is one or two connect() and a look at who answers.
 * Only when nobody does it is found out why.
 */

#include "client/connect.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "client/start.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/fd.h"
#include "wire/places.h"

enum {
        ANSWER_TIMEOUT_US = 10 * 1000 * 1000, /* a daemon that does not accept for so long hangs */
        RETRY_MS = 20,
};

/* Sleeps; shorter if a signal comes. */
static void pause_ms(int ms) {
        (void)poll(NULL, 0, ms);
}

static int connect_address(int fd, const struct sockaddr_un *address) {
        uint64_t until_us = 0;

        /* The descriptor does not block: EAGAIN is a queue of connections that is full. */
        while (connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0) {
                if (errno == EINTR)
                        continue;
                if (errno != EAGAIN)
                        return -errno;
                if (until_us == 0)
                        until_us = clock_boottime_us() + ANSWER_TIMEOUT_US;
                else if (clock_boottime_us() > until_us)
                        return -EAGAIN;
                pause_ms(RETRY_MS);
        }

        return 0;
}

/* A path that does not fit an address goes by way of its folder's descriptor. */
static int long_address(const char *path, struct sockaddr_un *ret, int *ret_dir_fd) {
        _cleanup_free_ char *folder = NULL;
        _cleanup_close_ int dir_fd = -1;
        const char *slash = strrchr(path, '/');
        int n;

        if (!slash)
                return -ENAMETOOLONG;

        folder = strndup(path, (size_t)(slash - path) + 1);
        if (!folder)
                return -ENOMEM;
        dir_fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (dir_fd < 0)
                return -errno;

        n = snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d/%s", dir_fd,
                     slash + 1);
        if (n < 0 || (size_t)n >= sizeof(ret->sun_path))
                return -ENAMETOOLONG;

        *ret_dir_fd = TAKE_FD(dir_fd);
        return 0;
}

int connect_socket(const char *path, int *ret_fd) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_close_ int fd = -1, dir_fd = -1;
        size_t n = strlen(path);
        int r;

        if (n < sizeof(address.sun_path))
                memcpy(address.sun_path, path, n);
        else {
                r = long_address(path, &address, &dir_fd);
                if (r < 0)
                        return r;
        }

        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;

        r = connect_address(fd, &address);
        if (r < 0)
                return r;

        *ret_fd = TAKE_FD(fd);
        return 0;
}

bool connect_trusts(uid_t uid) {
        return uid == 0 || uid == geteuid() || places_is_machine_user(uid);
}

/* Whether whoever listens may be believed (decisions.md 31). */
static int check_peer(int fd, const char *path, Error *error) {
        struct ucred peer;
        socklen_t n = sizeof(peer);

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) < 0)
                return error_set(error, -errno, "cannot tell who listens at '%s': %s", path,
                                 strerror(errno));
        if (connect_trusts(peer.uid))
                return 0;

        return error_set(
                error, CLIENT_E_BAD,
                "uid %u listens at '%s', who is neither root nor taskflow nor you: not used",
                peer.uid, path);
}

/* What connect_socket() failed with, in words. */
static int refuse(const char *path, int r, const char *what_to_do, Error *error) {
        if (r == -EAGAIN)
                return error_set(error, CLIENT_E_UNREACHABLE,
                                 "the daemon at '%s' does not answer%s%s", path,
                                 what_to_do ? ": " : "", what_to_do ? what_to_do : "");
        return error_set(error, CLIENT_E_UNREACHABLE, "cannot connect to '%s': %s%s%s", path,
                         strerror(-r), what_to_do ? "; " : "", what_to_do ? what_to_do : "");
}

static int set_place(Place *ret, DaemonKind kind, int *fd, const char *path, Error *error) {
        char *copy = strdup(path);

        if (!copy)
                return error_set(error, -ENOMEM, "out of memory");

        *ret = (Place){ .kind = kind, .fd = TAKE_FD(*fd), .path = copy };
        return 0;
}

static int connect_named(const char *path, Place *ret, Error *error) {
        _cleanup_close_ int fd = -1;
        int r;

        r = connect_socket(path, &fd);
        switch (r) {
        case 0:
                return set_place(ret, DAEMON_KIND_NAMED, &fd, path, error);
        case -ENOENT:
        case -ENOTDIR:
                return error_set(
                        error, CLIENT_E_UNREACHABLE,
                        "there is no socket '%s', which TASKFLOW_SOCKET names: start its daemon "
                        "(taskflowd --socket PATH), or unset TASKFLOW_SOCKET",
                        path);
        case -ECONNREFUSED:
                return error_set(
                        error, CLIENT_E_UNREACHABLE,
                        "nobody listens at '%s', which TASKFLOW_SOCKET names: start its daemon again, "
                        "or unset TASKFLOW_SOCKET",
                        path);
        default:
                return refuse(path, r, "TASKFLOW_SOCKET names it", error);
        }
}

/* Return: as connect_daemon(), or -ENOENT without @error: this machine has none. */
static int connect_machine(Place *ret, Error *error) {
        static const char path[] = PLACES_MACHINE_SOCKET;
        _cleanup_close_ int fd = -1;
        int r;

        r = connect_socket(path, &fd);
        if (r == 0) {
                r = check_peer(fd, path, error);
                if (r == CLIENT_E_BAD)
                        return CLIENT_E_UNREACHABLE;
                return r < 0 ? r : set_place(ret, DAEMON_KIND_MACHINE, &fd, path, error);
        }

        if ((r == -ENOENT || r == -ENOTDIR) && !places_machine_has_daemon())
                return -ENOENT;
        if (r == -ENOENT || r == -ECONNREFUSED)
                return error_set(
                        error, CLIENT_E_UNREACHABLE,
                        "the machine's daemon is not running (nobody listens at '%s'): an administrator "
                        "starts it with 'systemctl start taskflowd.socket', or as taskflowd(8) says",
                        path);
        return refuse(path, r, "an administrator sees more with 'systemctl status taskflowd'",
                      error);
}

/* One place of a personal daemon. Return: 0, CLIENT_E_UNREACHABLE: try the next one, or another failure with @error. */
static int try_personal(const char *path, Place *ret, Error *error) {
        _cleanup_close_ int fd = -1;
        int r;

        r = connect_socket(path, &fd);
        if (r < 0)
                return refuse(path, r, NULL, error);

        r = check_peer(fd, path, error);
        if (r != 0)
                return r;

        return set_place(ret, DAEMON_KIND_PERSONAL, &fd, path, error);
}

int connect_personal(Place *ret, Error *error) {
        _cleanup_free_ char *runtime = NULL, *own = NULL;
        int r;

        r = places_runtime_socket(&runtime);
        if (r < 0)
                return error_set(error, r, "out of memory");
        if (runtime) {
                r = try_personal(runtime, ret, error);
                if (r != CLIENT_E_UNREACHABLE)
                        return r;
        }

        r = places_personal_socket(&own, error);
        if (r < 0)
                return r;
        return try_personal(own, ret, error);
}

/* Waits for a daemon that has begun, but does not answer yet. */
static int await_personal(Place *ret, Error *error) {
        uint64_t until_us = clock_boottime_us() + ANSWER_TIMEOUT_US;
        int r;

        while ((r = connect_personal(ret, error)) == CLIENT_E_UNREACHABLE &&
               clock_boottime_us() < until_us)
                pause_ms(RETRY_MS);
        return r;
}

/* Says that a queue of one's own has begun (decisions.md 30). */
static void say_started(const Place *place) {
        (void)fprintf(
                stderr,
                "taskflow: started a daemon of your own (%s); this queue is yours alone; to share the machine "
                "with others: see taskflowd(8)\n",
                place->path);
}

static int start_personal(unsigned flags, Place *ret, Error *error) {
        _cleanup_free_ char *state = NULL;
        int r;

        r = places_personal_state(&state, error);
        if (r < 0)
                return r;

        r = start_daemon(state, error);
        if (r == START_E_FAILED)
                return CLIENT_E_UNREACHABLE;
        if (r < 0)
                return r;

        if (r == START_E_BUSY)
                return await_personal(ret, error);

        r = connect_personal(ret, error);
        if (r == 0 && !(flags & CLIENT_QUIET))
                say_started(ret);
        return r;
}

int connect_daemon(unsigned flags, Place *ret, Error *error) {
        const char *named = getenv("TASKFLOW_SOCKET");
        int r;

        if (named && named[0] != '\0')
                return connect_named(named, ret, error);

        r = connect_machine(ret, error);
        if (r != -ENOENT)
                return r;

        r = connect_personal(ret, error);
        if (r == CLIENT_E_UNREACHABLE && (flags & CLIENT_START))
                r = start_personal(flags, ret, error);
        else if (r == CLIENT_E_UNREACHABLE)
                r = error_set(
                        error, r,
                        "no daemon is running, so nothing is queued; 'taskflow run' starts one");
        if (r == CLIENT_E_BAD || r == -ENOENT) /* a stranger listens; there is no home */
                r = CLIENT_E_UNREACHABLE;
        return r;
}
