/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * A peer is served in one place, peer_serve(): it takes messages from its channel until there is none, or until one must
 * wait (parked, waiting, listing); then no further message is read, so that replies keep the order of their calls, and only
 * the end of the connection is watched for.
 */

#include "daemon/server.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <uthash.h>

#include "daemon/log.h"
#include "daemon/methods.h"
#include "daemon/records.h"
#include "util/cleanup.h"
#include "util/fd.h"

enum {
        LISTENERS_MAX = 2,
        RESERVED_FDS_MAX = 64,
        MESSAGES_PER_WAKEUP = 16, /* so that one busy peer does not hold up the others */
};

typedef struct Listener {
        int fd;
        char *path;
        mode_t mode;
        bool watched;
        sd_event_source *source;
} Listener;

typedef struct UserPeers {
        uid_t uid;
        unsigned n_peers;
        UT_hash_handle hh;
} UserPeers;

struct Server {
        Daemon *daemon;
        int n_reserved_fds;
        size_t n_listeners;
        Listener listeners[LISTENERS_MAX];
        sd_event_source *resume_source;
        Peer *peers;
        size_t n_peers;
        UserPeers *users;
};

static void peer_serve(Peer *peer);

static int user_add_peer(Server *server, uid_t uid) {
        UserPeers *user = NULL;

        HASH_FIND(hh, server->users, &uid, sizeof(uid), user);
        if (!user) {
                user = calloc(1, sizeof(*user));
                if (!user)
                        return -ENOMEM;
                user->uid = uid;
                HASH_ADD(hh, server->users, uid, sizeof(uid), user);
        }
        if (user->n_peers >= PEERS_PER_UID_MAX)
                return -EMFILE;
        user->n_peers++;
        return 0;
}

static void user_remove_peer(Server *server, uid_t uid) {
        UserPeers *user = NULL;

        HASH_FIND(hh, server->users, &uid, sizeof(uid), user);
        if (!user || --user->n_peers > 0)
                return;
        HASH_DEL(server->users, user);
        free(user);
}

static void lister_free(Lister *lister) {
        if (!lister)
                return;
        free(lister->ids);
        free(lister);
}

/* Drops the connection; what its tasks become is decided by their records. */
static void peer_close(Peer *peer) {
        Server *server = peer->server;

        while (peer->records)
                record_owner_gone(peer->records);
        if (peer->has_parked)
                call_done(&peer->parked);
        (void)sd_event_source_disable_unref(peer->park_source);
        if (peer->is_waiting)
                call_done(&peer->waiting);
        lister_free(peer->lister);
        (void)sd_event_source_disable_unref(peer->io);
        (void)channel_free(peer->channel);
        user_remove_peer(server, peer->uid);
        if (peer->prev)
                peer->prev->next = peer->next;
        else
                server->peers = peer->next;
        if (peer->next)
                peer->next->prev = peer->prev;
        server->n_peers--;
        free(peer);
        daemon_want_turn(server->daemon);
}

static bool peer_is_busy(const Peer *peer) {
        return peer->has_parked || peer->is_waiting || peer->lister || peer->ending;
}

/* What is to be waited for now. EPOLLHUP and EPOLLERR come always; EPOLLRDHUP while nothing is read. */
static void peer_set_events(Peer *peer) {
        uint32_t events = peer_is_busy(peer) ? EPOLLRDHUP : EPOLLIN;

        /* A list goes on as soon as there is room for its next part. */
        if (channel_n_unsent_bytes(peer->channel) > 0 || peer->lister)
                events |= EPOLLOUT;
        (void)sd_event_source_set_io_events(peer->io, events);
}

/* Queues bytes; a peer that does not read is cut at its limit. */
static void peer_send_bytes(Peer *peer, const char *bytes, size_t n) {
        int r;

        r = channel_send(peer->channel, bytes, n, -1);
        if (r == FRAME_E_FULL)
                log_warning("connection of uid %u, pid %d does not read what it asked for: cut",
                            peer->uid, peer->pid);
        if (r != 0)
                peer->ending = true;
        peer_set_events(peer);
}

void peer_reply(Peer *peer, const Reply *reply) {
        _cleanup_free_ char *bytes = NULL;
        size_t n;
        int r;

        r = reply_encode(reply, &bytes, &n);
        if (r < 0) {
                log_error("cannot encode a reply to %s: %s", call_type_to_string(reply->to),
                          strerror(-r));
                if (reply->error == ERROR_NONE)
                        peer_refuse(peer, reply->to, ERROR_FAILED,
                                    "the answer does not fit a message");
                return;
        }
        peer_send_bytes(peer, bytes, n);
}

void peer_send(Peer *peer, const Call *call) {
        _cleanup_free_ char *bytes = NULL;
        size_t n;
        int r;

        r = call_encode(call, &bytes, &n);
        if (r < 0) {
                log_error("cannot encode %s: %s", call_type_to_string(call->type), strerror(-r));
                return;
        }
        peer_send_bytes(peer, bytes, n);
}

void peer_refuse(Peer *peer, CallType to, ErrorName name, const char *fmt, ...) {
        char text[sizeof(((Error *)NULL)->text)];
        va_list args;

        va_start(args, fmt);
        (void)vsnprintf(text, sizeof(text), fmt, args);
        va_end(args);
        peer_reply(peer, &(Reply){ .to = to, .error = name, .message = text });
}

static void peer_resume(Peer *peer, bool looked) {
        Call call = peer->parked;

        peer->has_parked = false;
        peer->park_source = sd_event_source_disable_unref(peer->park_source);
        methods_serve(peer, &call, looked);
        call_done(&call);
        peer_serve(peer);
}

static int on_park_timeout(sd_event_source *source, uint64_t usec, void *userdata) {
        peer_resume(userdata, true);
        return 0;
}

void peer_park(Peer *peer, Call *call, uint64_t max_us) {
        peer->parked = *call;
        peer->has_parked = true;
        *call = (Call){};
        if (max_us != TASK_TIME_INF)
                (void)sd_event_add_time_relative(peer->server->daemon->event, &peer->park_source,
                                                 CLOCK_MONOTONIC, max_us, 0, on_park_timeout, peer);
        peer_set_events(peer);
}

/* One message. False: the connection is of no use any more. */
static bool peer_serve_message(Peer *peer, const char *bytes, size_t n) {
        Call call = {};
        Error error = {};
        int r;

        r = call_decode(bytes, n, &call, &error);
        if (r == MESSAGE_E_METHOD_NOT_FOUND) {
                peer_refuse(peer, CALL_GET_INFO, ERROR_METHOD_NOT_FOUND, "%s", error.text);
                return true;
        }
        if (r != 0) {
                peer_refuse(peer, CALL_GET_INFO, ERROR_BAD_REQUEST, "%s",
                            r < 0 ? strerror(-r) : error.text);
                peer->ending = true;
                return true;
        }
        methods_serve(peer, &call, false);
        call_done(&call);
        return true;
}

/* Takes messages until there is none or one must wait. Return: false if the connection has ended. */
static bool peer_receive(Peer *peer) {
        for (unsigned i = 0; i < MESSAGES_PER_WAKEUP && !peer_is_busy(peer); i++) {
                const char *bytes;
                size_t n;
                int r;

                r = channel_receive(peer->channel, &bytes, &n);
                if (r == FRAME_E_AGAIN)
                        return true;
                if (r == FRAME_E_TOO_BIG)
                        peer_refuse(peer, CALL_GET_INFO, ERROR_LIMIT,
                                    "a message may have %d bytes at most", FRAME_MESSAGE_MAX);
                if (r == FRAME_E_BAD)
                        peer_refuse(peer, CALL_GET_INFO, ERROR_LIMIT,
                                    "at most %d descriptors may wait", FRAME_FDS_MAX);
                if (r == FRAME_E_TOO_BIG || r == FRAME_E_BAD) {
                        peer->ending = true;
                        return true;
                }
                if (r != 0)
                        return false;
                if (!peer_serve_message(peer, bytes, n))
                        return false;
        }
        return true;
}

static void peer_serve(Peer *peer) {
        int r;

        if (!peer_receive(peer)) {
                peer_close(peer);
                return;
        }
        if (peer->ending) {
                r = channel_flush(peer->channel);
                if (r != FRAME_E_AGAIN) {
                        peer_close(peer);
                        return;
                }
        }
        peer_set_events(peer);

        /* Messages that came with the last read wait in the channel, where epoll does not see them. */
        if (!peer_is_busy(peer) && channel_has_message(peer->channel))
                (void)sd_event_source_set_io_events(peer->io, EPOLLIN | EPOLLOUT);
}

static int on_peer(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Peer *peer = userdata;
        int r;

        if (peer_is_busy(peer) && (revents & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))) {
                peer_close(peer);
                return 0;
        }
        if (channel_n_unsent_bytes(peer->channel) > 0) {
                r = channel_flush(peer->channel);
                if (r != 0 && r != FRAME_E_AGAIN) {
                        peer_close(peer);
                        return 0;
                }
        }
        if (peer->lister && channel_n_unsent_bytes(peer->channel) == 0)
                lister_continue(peer);
        peer_serve(peer);
        return 0;
}

/* The groups of the peer, by the kernel. */
static bool peer_credentials_are_admin(int fd, const Settings *settings, uid_t uid, gid_t gid) {
        gid_t groups[256];
        socklen_t size = sizeof(groups);

        if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0) {
                groups[0] = gid;
                size = sizeof(groups[0]);
        }
        return settings_is_admin(settings, uid, groups, size / sizeof(groups[0])) ||
               settings_is_admin(settings, uid, &gid, 1);
}

/* Says why and closes; there is no peer yet. */
static void refuse_connection(int fd) {
        static const char text[] =
                "{\"error\":\"" WIRE_INTERFACE
                ".Limit\",\"parameters\":{\"message\":\"this user has 4096 connections already\"}}";

        _Static_assert(PEERS_PER_UID_MAX == 4096, "the sentence names the limit");
        (void)send(fd, text, sizeof(text), MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Takes @fd. */
static int peer_new(Server *server, int fd) {
        _cleanup_close_ int peer_fd = fd;
        struct ucred cred;
        socklen_t l = sizeof(cred);
        Peer *peer;
        int r;

        if (getsockopt(peer_fd, SOL_SOCKET, SO_PEERCRED, &cred, &l) < 0)
                return 0; /* drop this one, keep listening */
        r = user_add_peer(server, cred.uid);
        if (r == -EMFILE) {
                refuse_connection(peer_fd);
                return 0;
        }
        if (r < 0)
                return r;

        peer = calloc(1, sizeof(*peer));
        if (!peer) {
                user_remove_peer(server, cred.uid);
                return -ENOMEM;
        }
        peer->server = server;
        peer->pid = cred.pid;
        peer->uid = cred.uid;
        peer->is_admin =
                peer_credentials_are_admin(peer_fd, &server->daemon->settings, cred.uid, cred.gid);
        r = channel_new(&peer->channel, peer_fd, PEER_QUEUE_MAX_BYTES);
        if (r < 0) {
                user_remove_peer(server, cred.uid);
                free(peer);
                return r;
        }
        (void)TAKE_FD(peer_fd);

        peer->next = server->peers;
        if (peer->next)
                peer->next->prev = peer;
        server->peers = peer;
        server->n_peers++;
        r = sd_event_add_io(server->daemon->event, &peer->io, channel_fd(peer->channel), EPOLLIN,
                            on_peer, peer);
        if (r < 0) {
                peer_close(peer);
                return r;
        }
        (void)sd_event_source_set_description(peer->io, "peer");

        /* The first message is mostly there already. */
        peer_serve(peer);
        return 0;
}

/* Out of descriptors or memory: the socket stays readable, so going on would spin. */
static int pause_listening(Server *server) {
        int r;

        log_warning("out of descriptors or memory: new connections wait");
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
static int n_reserved_fds(void) {
        struct rlimit limit = { 0 };

        (void)getrlimit(RLIMIT_NOFILE, &limit);
        return (int)MIN(limit.rlim_cur / 4, (rlim_t)RESERVED_FDS_MAX);
}

/* Whether a descriptor more would be taken from those; the lowest free number tells how many there are. */
static bool is_short_of_fds(const Server *server, int fd) {
        _cleanup_close_ int lowest = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        struct rlimit limit = { 0 };

        (void)getrlimit(RLIMIT_NOFILE, &limit);
        return lowest < 0 || (rlim_t)lowest + (rlim_t)server->n_reserved_fds >= limit.rlim_cur;
}

/* Return: 1 one more, 0 nobody is there, or negative errno. */
static int accept_one(Server *server, int fd) {
        int peer_fd, r;

        if (is_short_of_fds(server, fd))
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
        r = peer_new(server, peer_fd);
        return r < 0 ? r : 1;
}

static int on_listen(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Server *server = userdata;
        int r = 1;

        for (unsigned i = 0; i < ACCEPTS_PER_WAKEUP && r > 0; i++)
                r = accept_one(server, fd);
        if (r < 0)
                return pause_listening(server);
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
        (void)unlink(listener->path);
        (void)fd_close(listener->fd);
        free(listener->path);
        *listener = (Listener){ .fd = -1 };
}

Server *server_free(Server *server) {
        UserPeers *user, *next;

        if (!server)
                return NULL;
        while (server->peers)
                peer_close(server->peers);
        for (size_t i = 0; i < server->n_listeners; i++)
                listener_close(&server->listeners[i]);
        HASH_ITER(hh, server->users, user, next) {
                HASH_DEL(server->users, user);
                free(user);
        }
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
        r = sd_event_add_io(server->daemon->event, &listener->source, listener->fd, EPOLLIN,
                            on_listen, server);
        if (r < 0) {
                listener_close(listener);
                return error_set(error, r, "cannot listen on '%s': %s", path, strerror(-r));
        }
        (void)sd_event_source_set_exit_on_failure(listener->source, true);
        (void)sd_event_source_set_description(listener->source, "server-listen");
        server->n_listeners++;
        return 0;
}

size_t server_n_peers(const Server *server) {
        return server->n_peers;
}

Peer *server_first_peer(Server *server) {
        return server->peers;
}

/*
 * The names go first, so that whoever comes later starts a daemon of his own; then whoever had found a name before that is
 * let in, and then the names are made again.
 */
bool server_close_if_unused(Server *server) {
        Error error = {};

        for (size_t i = 0; i < server->n_listeners; i++)
                (void)unlink(server->listeners[i].path);
        for (size_t i = 0; i < server->n_listeners; i++)
                while (accept_one(server, server->listeners[i].fd) > 0)
                        ;
        if (server->n_peers == 0)
                return true;
        for (size_t i = 0; i < server->n_listeners; i++) {
                Listener *listener = &server->listeners[i];
                Listener renewed = *listener;

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

void server_resume_parked(Server *server, bool looked) {
        for (Peer *peer = server->peers, *next; peer; peer = next) {
                next = peer->next;
                if (peer->has_parked)
                        peer_resume(peer, looked);
        }
}

static bool waits_for(const Call *call, uint64_t task_id) {
        for (size_t i = 0; i < call->wait.ids.n; i++)
                if (call->wait.ids.ids[i] == task_id)
                        return true;
        return false;
}

void server_task_ended(Server *server, uint64_t task_id) {
        for (Peer *peer = server->peers; peer; peer = peer->next)
                if (peer->is_waiting && waits_for(&peer->waiting, task_id))
                        (void)wait_try(peer);
}

Daemon *peer_daemon(const Peer *peer) {
        return peer->server->daemon;
}

int peer_take_fd(Peer *peer) {
        return channel_take_fd(peer->channel);
}
