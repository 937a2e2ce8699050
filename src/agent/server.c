/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Who the other side is comes from the kernel, and must be our own user: the folder is private, but a descriptor can be passed on.
 * While a peer waits for its answer nothing more is read from it.
 */

#include "agent/server.h"

#include <errno.h>
#include <fcntl.h>
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

#include "agent/conversation.h"
#include "agent/jobs.h"
#include "agent/queue.h"
#include "agent/runs.h"
#include "agent/say.h"
#include "agent/stop.h"
#include "runner/where.h"
#include "util/cleanup.h"
#include "util/fd.h"
#include "wire/frame.h"

#include "config.h"

enum {
        QUEUE_MAX_BYTES = 2 * 1024 * 1024, /* one answer, and some errors */
        ACCEPT_PAUSE_US = 200 * 1000,      /* when descriptors have run out */
        KEPT_FDS_MAX = 16,
        MESSAGES_PER_WAKEUP = 16,
};

static const char socket_name[] = "sock";

struct Peer {
        Server *server;
        Peer *prev, *next;
        Channel *channel;
        sd_event_source *io;
        bool waiting;     /* for an answer */
        bool asks_status; /* that one */
        bool ending;
};

struct Server {
        Agent *agent;
        int dir_fd;
        int fd; /* -1: not listening */
        sd_event_source *io;
        sd_event_source *resume;
        bool said_short; /* said once, not at each try */
        Peer *peers;
        size_t n_peers;
};

static void peer_close(Peer *peer) {
        Server *server = peer->server;

        queue_forget_peer(server->agent, peer);
        (void)sd_event_source_disable_unref(peer->io);
        (void)channel_free(peer->channel);
        if (peer->prev)
                peer->prev->next = peer->next;
        else
                server->peers = peer->next;
        if (peer->next)
                peer->next->prev = peer->prev;
        server->n_peers--;
        free(peer);
        agent_want_turn(server->agent);
}

/* What is to be waited for. What came with an earlier message is in the channel, where epoll does not see it. */
static void set_events(Peer *peer) {
        uint32_t events = peer->waiting || peer->ending ? EPOLLRDHUP : EPOLLIN;

        if (channel_n_unsent_bytes(peer->channel) > 0 || peer->ending ||
            (!peer->waiting && channel_has_message(peer->channel)))
                events |= EPOLLOUT;
        (void)sd_event_source_set_io_events(peer->io, events);
}

pid_t peer_pid(const Peer *peer) {
        struct ucred cred;
        socklen_t n = sizeof(cred);

        return getsockopt(channel_fd(peer->channel), SOL_SOCKET, SO_PEERCRED, &cred, &n) == 0 ?
                       cred.pid :
                       0;
}

bool peer_is_near(const Peer *peer, pid_t pid) {
        return pid > 0 && pid == peer_pid(peer) &&
               where_is_same_net(channel_fd(peer->channel), peer->server->fd);
}

void peer_answer(Peer *peer, const Reply *reply) {
        _cleanup_free_ char *bytes = NULL;
        size_t n;
        int r;

        r = reply_encode(reply, &bytes, &n);
        if (r == 0)
                r = channel_send(peer->channel, bytes, n, -1);
        if (r != 0)
                peer->ending = true;
        peer->waiting = false;
        peer->asks_status = false;
        set_events(peer);
}

void peer_refuse(Peer *peer, CallType to, ErrorName name, const char *fmt, ...) {
        char text[sizeof(((Error *)NULL)->text)];
        va_list args;

        va_start(args, fmt);
        (void)vsnprintf(text, sizeof(text), fmt, args);
        va_end(args);
        peer_answer(peer, &(Reply){ .to = to, .error = name, .message = text });
}

static void stop(Peer *peer) {
        int r;

        r = stop_by_user(peer->server->agent);
        if (r < 0)
                peer_refuse(peer, CALL_AGENT_STOP, ERROR_FAILED, "cannot write '%s/stopped': %s",
                            peer->server->agent->folder, strerror(-r));
        else
                peer_answer(peer, &(Reply){ .to = CALL_AGENT_STOP });
}

static void serve_call(Peer *peer, Call *call) {
        _cleanup_close_ int fd = -1;
        Reply info = { .to = CALL_GET_INFO };

        peer->waiting = true;
        switch (call->type) {
        case CALL_QUEUE:
                fd = channel_take_fd(peer->channel);
                queue_take(peer->server->agent, peer, call, fd);
                return;
        case CALL_AGENT_STATUS:
                peer->asks_status = true;
                agent_want_turn(peer->server->agent);
                return;
        case CALL_AGENT_STOP:
                stop(peer);
                return;
        case CALL_GET_INFO:
                (void)snprintf(info.get_info.version, sizeof(info.get_info.version), "%s",
                               TASKFLOW_VERSION);
                peer_answer(peer, &info);
                return;
        default:
                peer_refuse(peer, CALL_GET_INFO, ERROR_METHOD_NOT_FOUND,
                            "an agent has no method %s", call_type_to_string(call->type));
                return;
        }
}

static void serve_message(Peer *peer, const char *bytes, size_t n) {
        Error error = {};
        Call call = {};
        int r;

        r = call_decode(bytes, n, &call, &error);
        if (r == 0) {
                serve_call(peer, &call);
                call_done(&call);
                return;
        }
        peer_refuse(peer, CALL_GET_INFO,
                    r == MESSAGE_E_METHOD_NOT_FOUND ? ERROR_METHOD_NOT_FOUND : ERROR_BAD_REQUEST,
                    "%s", r < 0 ? strerror(-r) : error.text);
        peer->ending |= r != MESSAGE_E_METHOD_NOT_FOUND;
}

/* Takes messages until there is none, or one must wait. Return: false if the connection has ended. */
static bool serve(Peer *peer) {
        for (unsigned i = 0; i < MESSAGES_PER_WAKEUP && !peer->waiting && !peer->ending; i++) {
                const char *bytes;
                size_t n;
                int r;

                r = channel_receive(peer->channel, &bytes, &n);
                if (r == FRAME_E_AGAIN)
                        return true;
                if (r == FRAME_E_TOO_BIG || r == FRAME_E_BAD) {
                        peer_refuse(peer, CALL_GET_INFO, ERROR_LIMIT,
                                    r == FRAME_E_BAD ? "too many descriptors came along" :
                                                       "a message may have 1 MiB at most");
                        peer->ending = true;
                        return true;
                }
                if (r != 0)
                        return false;
                serve_message(peer, bytes, n);
        }
        return true;
}

static int on_peer(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Peer *peer = userdata;
        int r;

        if (peer->waiting && (revents & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))) {
                peer_close(peer);
                return 0;
        }
        r = channel_flush(peer->channel);
        if (r != 0 && r != FRAME_E_AGAIN) {
                peer_close(peer);
                return 0;
        }
        if (!serve(peer) || (peer->ending && channel_n_unsent_bytes(peer->channel) == 0)) {
                peer_close(peer);
                return 0;
        }
        set_events(peer);
        return 0;
}

static bool is_own_user(int fd) {
        struct ucred cred;
        socklen_t n = sizeof(cred);

        return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) == 0 && cred.uid == geteuid();
}

/* Return: 0, or negative errno: out of memory. @fd: taken */
static int add_peer(Server *server, int fd) {
        _cleanup_close_ int peer_fd = fd;
        Peer *peer;
        int r;

        if (!is_own_user(fd) || server->n_peers >= SERVER_PEERS_MAX)
                return 0;
        peer = calloc(1, sizeof(*peer));
        if (!peer)
                return -ENOMEM;
        r = channel_new(&peer->channel, peer_fd, QUEUE_MAX_BYTES);
        if (r < 0) {
                free(peer);
                return r;
        }
        (void)TAKE_FD(peer_fd);
        peer->server = server;
        peer->next = server->peers;
        if (peer->next)
                peer->next->prev = peer;
        server->peers = peer;
        server->n_peers++;
        r = sd_event_add_io(server->agent->event, &peer->io, channel_fd(peer->channel), EPOLLIN,
                            on_peer, peer);
        if (r < 0)
                peer_close(peer);
        agent_want_turn(server->agent);
        return r;
}

/* How many descriptors are kept for the daemon, records and orders. */
static unsigned n_kept_fds(void) {
        struct rlimit limit = { 0 };

        (void)getrlimit(RLIMIT_NOFILE, &limit);
        return (unsigned)MIN(limit.rlim_cur / 4, (rlim_t)KEPT_FDS_MAX);
}

/* Return: 1 one more, 0 nobody is there, or negative errno. */
static int accept_one(Server *server) {
        int fd, r;

        if (fd_is_short_of(server->fd, n_kept_fds()))
                return -EMFILE;
        fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
                switch (errno) {
                case EAGAIN:
                        return 0;
                case EMFILE:
                case ENFILE:
                case ENOBUFS:
                case ENOMEM:
                        return -errno;
                default:
                        return 1; /* an error of that one connection */
                }
        r = add_peer(server, fd);
        return r < 0 ? r : 1;
}

static int on_resume(sd_event_source *source, uint64_t usec, void *userdata) {
        Server *server = userdata;

        (void)sd_event_source_set_enabled(server->io, SD_EVENT_ON);
        return 0;
}

static int on_listen(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Server *server = userdata;
        int r = accept_one(server); /* mostly there is but one; for others the loop comes back */

        if (r >= 0 && server->said_short)
                say_warning("new connections are let in again");
        if (r >= 0) {
                server->said_short = false;
                return 0;
        }
        /* Out of descriptors or memory: the socket stays readable, so going on would spin. */
        if (!server->said_short)
                say_warning("new connections wait: %s", strerror(-r));
        server->said_short = true;
        (void)sd_event_source_set_enabled(server->io, SD_EVENT_OFF);
        (void)sd_event_source_set_time_relative(server->resume, ACCEPT_PAUSE_US);
        (void)sd_event_source_set_enabled(server->resume, SD_EVENT_ONESHOT);
        return 0;
}

/* By way of the folder's descriptor: an address has 108 bytes, homes may be longer. */
static int listen_in_folder(const Server *server) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_close_ int fd = -1;
        struct stat st;
        mode_t mask;
        int r;

        if (fstatat(server->dir_fd, socket_name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
                if (!S_ISSOCK(st.st_mode))
                        return -EEXIST;
                (void)unlinkat(server->dir_fd, socket_name, 0);
        }
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        (void)snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s",
                       server->dir_fd, socket_name);
        mask = umask(0177);
        r = bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
        (void)umask(mask);
        if (r == 0 && listen(fd, SOMAXCONN) < 0)
                r = -errno;
        return r < 0 ? r : TAKE_FD(fd);
}

int server_new(Server **ret, Agent *agent, Error *error) {
        Server *server;
        int r;

        server = calloc(1, sizeof(*server));
        if (!server)
                return error_set(error, -ENOMEM, "out of memory");
        *server = (Server){ .agent = agent, .fd = -1 };
        server->dir_fd = open(agent->folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
        server->fd = server->dir_fd < 0 ? -errno : listen_in_folder(server);
        r = server->fd < 0 ? server->fd : 0;
        if (r == 0)
                r = sd_event_add_io(agent->event, &server->io, server->fd, EPOLLIN, on_listen,
                                    server);
        if (r == 0)
                r = sd_event_add_time_relative(agent->event, &server->resume, CLOCK_MONOTONIC,
                                               ACCEPT_PAUSE_US, 0, on_resume, server);
        if (r < 0) {
                server_free(server);
                return error_set(error, r, "cannot listen on '%s/%s': %s", agent->folder,
                                 socket_name, strerror(-r));
        }
        (void)sd_event_source_set_enabled(server->resume, SD_EVENT_OFF);
        *ret = server;
        return 0;
}

Server *server_free(Server *server) {
        if (!server)
                return NULL;
        while (server->peers)
                peer_close(server->peers);
        (void)sd_event_source_disable_unref(server->io);
        (void)sd_event_source_disable_unref(server->resume);
        if (server->fd >= 0)
                (void)unlinkat(server->dir_fd, socket_name, 0);
        (void)fd_close(server->fd);
        (void)fd_close(server->dir_fd);
        free(server);
        return NULL;
}

size_t server_n_peers(const Server *server) {
        return server->n_peers;
}

static void fill_status(const Agent *agent, Reply *reply) {
        const Conversation *conversation = agent->conversation;

        reply->agent_status.pid = getpid();
        reply->agent_status.connected = conversation_state(conversation) == CONVERSATION_READY;
        (void)snprintf(reply->agent_status.daemon, sizeof(reply->agent_status.daemon), "%s",
                       conversation_path(conversation));
        (void)snprintf(reply->agent_status.state_dir, sizeof(reply->agent_status.state_dir), "%s",
                       agent->folder);
        (void)snprintf(reply->agent_status.lives, sizeof(reply->agent_status.lives), "%s",
                       agent->lives);
        (void)snprintf(reply->agent_status.text, sizeof(reply->agent_status.text), "%s",
                       conversation_text(conversation));
        (void)snprintf(reply->agent_status.version, sizeof(reply->agent_status.version), "%s",
                       TASKFLOW_VERSION);
        runs_count(agent, &reply->agent_status.n_running, &reply->agent_status.n_undelivered);
        reply->agent_status.n_waiting = (unsigned)HASH_CNT(hh_key, agent->jobs_by_key);
}

/* A plain task that runs is in the spool too, and does not wait. */
static unsigned n_started_jobs(const Agent *agent) {
        unsigned n = 0;

        for (const Run *run = agent->runs; run; run = run->hh.next)
                n += task_ref_index(run->ref) < 0 && run->phase != RUN_PHASE_CLAIMED &&
                     run->phase != RUN_PHASE_ACCEPTING && job_find(agent, run->ref);
        return n;
}

void server_answer_status(Server *server) {
        const Agent *agent = server->agent;
        Reply reply = { .to = CALL_AGENT_STATUS };
        bool settled;

        fill_status(agent, &reply);
        reply.agent_status.n_waiting -= n_started_jobs(agent);
        settled = conversation_has_failed(agent->conversation) || !agent_has_work(agent) ||
                  (conversation_is_settled(agent->conversation) &&
                   reply.agent_status.n_undelivered == 0 && !agent->submissions);
        for (Peer *peer = settled ? server->peers : NULL; peer; peer = peer->next)
                if (peer->asks_status)
                        peer_answer(peer, &reply);
}

/*
 * The name goes first, so that whoever comes later starts an agent of his own; then whoever had found the name before that is let
 * in, and then the name is made again.
 */
bool server_close_if_unused(Server *server) {
        int fd;

        (void)unlinkat(server->dir_fd, socket_name, 0);
        while (accept_one(server) > 0)
                ;
        if (server->n_peers == 0)
                return true;
        fd = listen_in_folder(server);
        if (fd < 0) {
                say_error("cannot listen on '%s/%s' again: %s", server->agent->folder, socket_name,
                          strerror(-fd));
                return false;
        }
        (void)sd_event_source_set_io_fd(server->io, fd);
        (void)fd_close(server->fd);
        server->fd = fd;
        return false;
}
