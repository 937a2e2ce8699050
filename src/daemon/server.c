/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "daemon/server.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/log.h"
#include "daemon/peers.h"
#include "util/cleanup.h"
#include "util/fd.h"

enum {
        LISTENERS_MAX = 2,
        RESERVED_FDS_MAX = 64,
};

typedef struct Listener {
        int fd;
        char *path;
        mode_t mode;
        bool watched;
        bool adopted; /* the service manager's: its name stays when we end */
        sd_event_source *source;
} Listener;

struct Server {
        Daemon *daemon;
        unsigned n_reserved_fds;
        bool said_short; /* said once, not at each try */
        size_t n_listeners;
        Listener listeners[LISTENERS_MAX];
        sd_event_source *resume_source;
};

/* Out of descriptors or memory: the socket stays readable, so going on would spin. */
static int pause_listening(Server *server) {
        int r;

        if (!server->said_short)
                log_warning("out of descriptors or memory: new connections wait");
        server->said_short = true;
        r = sd_event_source_set_time_relative(server->resume_source, ACCEPT_PAUSE_US);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(server->resume_source, SD_EVENT_ONESHOT);
        if (r < 0)
                return r;
        for (size_t i = 0; i < server->n_listeners; i++)
                (void)sd_event_source_set_enabled(server->listeners[i].source, SD_EVENT_OFF);
        return 0;
}

static int on_resume(sd_event_source *source, uint64_t usec, void *userdata) {
        Server *server = userdata;

        for (size_t i = 0; i < server->n_listeners; i++)
                (void)sd_event_source_set_enabled(server->listeners[i].source, SD_EVENT_ON);
        return 0;
}

static int listener_open(Listener *listener, Error *error);

/* The socket in XDG_RUNTIME_DIR goes with a logout; clients then come by the other one. */
static void renew_vanished(Server *server) {
        for (size_t i = 0; i < server->n_listeners; i++) {
                Listener *listener = &server->listeners[i];
                Listener renewed = *listener;
                Error error = {};

                if (!listener->watched || access(listener->path, F_OK) == 0)
                        continue;
                if (listener_open(&renewed, &error) < 0)
                        continue; /* the folder is not there either: nobody could look for it */
                (void)sd_event_source_set_io_fd(listener->source, renewed.fd);
                (void)fd_close(listener->fd);
                listener->fd = renewed.fd;
                log_info("made %s again", listener->path);
        }
}

/* How many descriptors are kept for our own work: processes of tasks, /proc, the probe, the database. */
static unsigned n_reserved_fds(void) {
        struct rlimit limit = { 0 };

        (void)getrlimit(RLIMIT_NOFILE, &limit);
        return (unsigned)MIN(limit.rlim_cur / 4, (rlim_t)RESERVED_FDS_MAX);
}

/* Return: 1 one more, 0 nobody is there, or negative errno. */
static int accept_one(Server *server, int fd) {
        int peer_fd, r;

        if (fd_is_short_of(fd, server->n_reserved_fds))
                return -EMFILE;
        peer_fd = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (peer_fd < 0)
                switch (errno) {
                case EAGAIN:
                        return 0;
                case EMFILE:
                case ENFILE:
                case ENOBUFS:
                case ENOMEM:
                        return -errno;
                default:
                        return 1; /* an error of that one connection: ECONNABORTED and network errors, accept(2) */
                }
        r = peers_add(server->daemon->peers, peer_fd);
        return r < 0 ? r : 1;
}

static int on_listen(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Server *server = userdata;
        int r = 1;

        for (unsigned i = 0; i < ACCEPTS_PER_WAKEUP && r > 0; i++)
                r = accept_one(server, fd);
        if (r < 0)
                return pause_listening(server);
        if (server->said_short)
                log_info("new connections are let in again");
        server->said_short = false;
        renew_vanished(server);
        return 0;
}

int server_new(Server **ret, Daemon *daemon) {
        Server *server;
        int r;

        server = calloc(1, sizeof(*server));
        if (!server)
                return -ENOMEM;
        server->daemon = daemon;
        server->n_reserved_fds = n_reserved_fds();

        /* Made now: when descriptors have run out it is too late for a first timer. */
        r = sd_event_add_time_relative(daemon->event, &server->resume_source, CLOCK_MONOTONIC,
                                       ACCEPT_PAUSE_US, 0, on_resume, server);
        if (r < 0) {
                free(server);
                return r;
        }
        (void)sd_event_source_set_enabled(server->resume_source, SD_EVENT_OFF);
        (void)sd_event_source_set_description(server->resume_source, "server-resume");
        *ret = server;
        return 0;
}

static void listener_close(Listener *listener) {
        (void)sd_event_source_disable_unref(listener->source);
        if (!listener->adopted)
                (void)unlink(listener->path);
        (void)fd_close(listener->fd);
        free(listener->path);
        *listener = (Listener){ .fd = -1 };
}

Server *server_free(Server *server) {
        if (!server)
                return NULL;
        for (size_t i = 0; i < server->n_listeners; i++)
                listener_close(&server->listeners[i]);
        (void)sd_event_source_disable_unref(server->resume_source);
        free(server);
        return NULL;
}

/* Binds by way of the folder's descriptor: sun_path has 108 bytes, homes may be longer. */
static int bind_in_folder(int fd, int dir_fd, const char *name, mode_t mode) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        mode_t old_mask;
        int n, r;

        n = snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", dir_fd,
                     name);
        if (n < 0 || (size_t)n >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        old_mask = umask((mode_t)(~mode & 0777));
        r = bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
        (void)umask(old_mask);
        return r;
}

/* Removes a socket that is there, and nothing but a socket. */
static int remove_stale(int dir_fd, const char *name) {
        struct stat st;

        if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (!S_ISSOCK(st.st_mode))
                return -EEXIST;
        return unlinkat(dir_fd, name, 0) < 0 ? -errno : 0;
}

/* Fills in listener->fd from its path and mode. */
static int listener_open(Listener *listener, Error *error) {
        _cleanup_free_ char *folder_copy = strdup(listener->path),
                            *name_copy = strdup(listener->path);
        _cleanup_close_ int dir_fd = -1, fd = -1;
        const char *name;
        int r;

        if (!folder_copy || !name_copy)
                return error_set(error, -ENOMEM, "out of memory");
        dir_fd = open(dirname(folder_copy), O_DIRECTORY | O_PATH | O_CLOEXEC);
        if (dir_fd < 0)
                return error_set(error, -errno, "cannot listen on '%s': its folder: %s",
                                 listener->path, strerror(errno));
        name = basename(name_copy);
        r = remove_stale(dir_fd, name);
        if (r == -EEXIST)
                return error_set(error, r,
                                 "cannot listen on '%s': there is something that is not a socket",
                                 listener->path);
        if (r < 0)
                return error_set(error, r, "cannot remove the old socket '%s': %s", listener->path,
                                 strerror(-r));
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return error_set(error, -errno, "cannot make a socket: %s", strerror(errno));
        r = bind_in_folder(fd, dir_fd, name, listener->mode);
        if (r == 0 && listen(fd, SOMAXCONN) < 0)
                r = -errno;
        if (r < 0)
                return error_set(error, r, "cannot listen on '%s': %s", listener->path,
                                 strerror(-r));
        listener->fd = TAKE_FD(fd);
        return 0;
}

/* From here on whoever comes is let in. */
static int listener_begin(Server *server, Listener *listener) {
        int r;

        r = sd_event_add_io(server->daemon->event, &listener->source, listener->fd, EPOLLIN,
                            on_listen, server);
        if (r < 0)
                return r;
        (void)sd_event_source_set_exit_on_failure(listener->source, true);
        (void)sd_event_source_set_description(listener->source, "server-listen");
        server->n_listeners++;
        return 0;
}

int server_adopt(Server *server, int fd, const char *path, Error *error) {
        Listener *listener = &server->listeners[server->n_listeners];
        int r;

        assert(server->n_listeners < LISTENERS_MAX);
        *listener = (Listener){ .fd = fd, .path = strdup(path), .adopted = true };
        r = listener->path ? fd_set_nonblock(fd, true) : -ENOMEM;
        if (r == 0)
                r = listener_begin(server, listener);
        if (r < 0) {
                listener_close(listener);
                return error_set(error, r, "cannot listen on '%s', which was passed: %s", path,
                                 strerror(-r));
        }
        return 0;
}

int server_listen(Server *server, const char *path, mode_t mode, bool watched, Error *error) {
        Listener *listener = &server->listeners[server->n_listeners];
        int r;

        assert(server->n_listeners < LISTENERS_MAX);
        *listener = (Listener){ .fd = -1, .path = strdup(path), .mode = mode, .watched = watched };
        if (!listener->path)
                return error_set(error, -ENOMEM, "out of memory");
        r = listener_open(listener, error);
        if (r < 0) {
                free(listener->path);
                return r;
        }
        r = listener_begin(server, listener);
        if (r < 0) {
                listener_close(listener);
                return error_set(error, r, "cannot listen on '%s': %s", path, strerror(-r));
        }
        return 0;
}

bool server_leave_rest(Server *server) {
        for (size_t i = 0; i < server->n_listeners; i++)
                if (!server->listeners[i].adopted)
                        return false;
        for (size_t i = 0; i < server->n_listeners; i++)
                (void)sd_event_source_set_enabled(server->listeners[i].source, SD_EVENT_OFF);
        (void)sd_event_source_set_enabled(server->resume_source, SD_EVENT_OFF);
        return server->n_listeners > 0;
}

/*
 * The names go first, so that whoever comes later starts a daemon of his own; then whoever had found a name before that is
 * let in, and then the names are made again. A name of the service manager's stays: it starts a daemon for whoever comes by it.
 */
bool server_close_if_unused(Server *server) {
        Error error = {};

        for (size_t i = 0; i < server->n_listeners; i++)
                if (!server->listeners[i].adopted)
                        (void)unlink(server->listeners[i].path);
        for (size_t i = 0; i < server->n_listeners; i++)
                while (accept_one(server, server->listeners[i].fd) > 0)
                        ;
        if (peers_n(server->daemon->peers) == 0)
                return true;
        for (size_t i = 0; i < server->n_listeners; i++) {
                Listener *listener = &server->listeners[i];
                Listener renewed = *listener;

                if (listener->adopted)
                        continue;
                if (listener_open(&renewed, &error) < 0) {
                        log_error("%s", error.text);
                        continue;
                }
                (void)sd_event_source_set_io_fd(listener->source, renewed.fd);
                (void)fd_close(listener->fd);
                listener->fd = renewed.fd;
        }
        return false;
}
