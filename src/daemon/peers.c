/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * A peer is served in one place, peer_serve(): it takes messages from its channel until there is none, or until one must
 * wait (parked, waiting, listing); then no further message is read, so that replies keep the order of their calls, and only
 * the end of the connection is watched for.
 */

#include "daemon/peers.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "daemon/log.h"
#include "daemon/methods.h"
#include "daemon/records.h"
#include "util/cleanup.h"
#include "util/clock.h"

enum {
        MESSAGES_PER_WAKEUP = 16, /* so that one busy peer does not hold up the others */
        GROUPS_MAX = 1024,        /* of a user; of one who has more, his main group alone counts */
};

struct Peers {
        Daemon *daemon;
        Peer *first;
        Peer *held; /* by held_next */
        size_t n;
        Accounts accounts;
};

static void peer_serve(Peer *peer);

static void lister_free(Lister *lister) {
        if (!lister)
                return;
        free(lister->ids);
        free(lister);
}

static void hold(Peer *peer) {
        if (peer->held)
                return;
        peer->held = true;
        peer->held_next = peer->peers->held;
        peer->peers->held = peer;
}

static void unhold(Peer *peer) {
        Peer **p;

        if (!peer->held)
                return;
        for (p = &peer->peers->held; *p != peer; p = &(*p)->held_next)
                ;
        *p = peer->held_next;
        peer->held_next = NULL;
        peer->held = false;
}

/* Drops the connection; what its tasks become is decided by their records. */
static void peer_close(Peer *peer) {
        Peers *peers = peer->peers;

        while (peer->records)
                record_owner_gone(peer->records);
        unhold(peer);
        if (peer->has_parked)
                call_done(&peer->parked);
        (void)sd_event_source_disable_unref(peer->park_source);
        if (peer->is_waiting)
                call_done(&peer->waiting);
        lister_free(peer->lister);
        (void)sd_event_source_disable_unref(peer->io);
        (void)channel_free(peer->channel);
        peer->account->n_peers--;
        if (peer->prev)
                peer->prev->next = peer->next;
        else
                peers->first = peer->next;
        if (peer->next)
                peer->next->prev = peer->prev;
        peers->n--;
        free(peer);
        daemon_want_turn(peers->daemon);
}

static bool peer_is_busy(const Peer *peer) {
        return peer->has_parked || peer->is_waiting || peer->lister || peer->ending;
}

/* What is to be waited for now. EPOLLHUP and EPOLLERR come always; EPOLLRDHUP while nothing is read. */
static void peer_set_events(Peer *peer) {
        uint32_t events = peer_is_busy(peer) ? EPOLLRDHUP : EPOLLIN;

        /* A list goes on as soon as there is room for its next part. */
        if (!peer->held && (channel_n_unsent_bytes(peer->channel) > 0 || peer->lister))
                events |= EPOLLOUT;
        (void)sd_event_source_set_io_events(peer->io, events);
}

/* Sends bytes, or keeps them until what was changed before is written; a peer that does not read is cut at its limit. */
static void peer_send_bytes(Peer *peer, const char *bytes, size_t n) {
        int r;

        if (peer->peers->daemon->write_wanted)
                hold(peer);
        r = peer->held ? channel_queue(peer->channel, bytes, n, -1) :
                         channel_send(peer->channel, bytes, n, -1);
        if (r == FRAME_E_FULL)
                log_about(LOG_WARNING, (LogSubject){ .uid = peer->uid },
                          "connection of uid %u, pid %d does not read what it asked for: cut",
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

bool peer_has_hung_up(const Peer *peer) {
        struct pollfd poll_fd = { .fd = channel_fd(peer->channel), .events = POLLRDHUP };

        return peer->ending ||
               (poll(&poll_fd, 1, 0) > 0 && (poll_fd.revents & (POLLRDHUP | POLLHUP | POLLERR)));
}

void peer_end(Peer *peer) {
        peer->ending = true;
        hold(peer);
        peer_set_events(peer);
        daemon_want_turn(peer->peers->daemon);
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
        uint64_t now_us = clock_boottime_us();

        peer->parked = *call;
        peer->has_parked = true;
        *call = (Call){};
        if (max_us != TASK_TIME_INF && peer->park_end_boot_us == 0)
                peer->park_end_boot_us = now_us + max_us;
        if (max_us != TASK_TIME_INF)
                (void)sd_event_add_time(peer->peers->daemon->event, &peer->park_source,
                                        CLOCK_BOOTTIME, peer->park_end_boot_us, 0, on_park_timeout,
                                        peer);
        peer_set_events(peer);
}

bool peer_park_is_over(const Peer *peer) {
        return peer->park_end_boot_us != 0 && clock_boottime_us() >= peer->park_end_boot_us;
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
        peer->park_end_boot_us = 0;
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
        if (peer->ending && !peer->held) {
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
        Peers *peers = peer->peers;
        int r;

        if (peer_is_busy(peer) && (revents & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))) {
                peer_close(peer);
                return 0;
        }
        if (!peer->held && channel_n_unsent_bytes(peer->channel) > 0) {
                r = channel_flush(peer->channel);
                if (r != 0 && r != FRAME_E_AGAIN) {
                        peer_close(peer);
                        return 0;
                }
        }
        if (peer->lister && channel_n_unsent_bytes(peer->channel) == 0)
                lister_continue(peer);
        peer_serve(peer);
        daemon_hurry_turn(peers->daemon);
        return 0;
}

/* What the settings say of the peer; its groups, like its user, are the kernel's word. */
static void peer_judge(Peer *peer) {
        const Settings *settings = &peer->peers->daemon->settings;
        gid_t groups[1 + GROUPS_MAX] = { peer->gid };
        socklen_t size = GROUPS_MAX * sizeof(*groups);
        size_t n = 1;

        if (getsockopt(channel_fd(peer->channel), SOL_SOCKET, SO_PEERGROUPS, groups + 1, &size) ==
            0)
                n += size / sizeof(*groups);
        peer->is_admin = settings_is_admin(settings, peer->uid, groups, n);
        peer->is_allowed = settings_is_allowed(settings, peer->uid, groups, n);
}

void peers_judge(Peers *peers) {
        for (Peer *peer = peers->first; peer; peer = peer->next)
                peer_judge(peer);
}

/* Says why and closes; there is no peer yet. */
static void refuse_connection(int fd) {
        static const char text[] =
                "{\"error\":\"" WIRE_INTERFACE
                ".Limit\",\"parameters\":{\"message\":\"this user has 4096 connections already\"}}";

        _Static_assert(ACCOUNT_PEERS_MAX == 4096, "the sentence names the limit");
        (void)send(fd, text, sizeof(text), MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Takes @fd. */
int peers_add(Peers *peers, int fd) {
        _cleanup_close_ int peer_fd = fd;
        struct ucred cred;
        socklen_t l = sizeof(cred);
        Account *account;
        Peer *peer;
        int r;

        if (getsockopt(peer_fd, SOL_SOCKET, SO_PEERCRED, &cred, &l) < 0)
                return 0; /* drop this one, keep listening */
        account = accounts_get(&peers->accounts, cred.uid);
        if (!account)
                return -ENOMEM;
        if (account->n_peers >= ACCOUNT_PEERS_MAX) {
                refuse_connection(peer_fd);
                return 0;
        }

        peer = calloc(1, sizeof(*peer));
        if (!peer)
                return -ENOMEM;
        peer->peers = peers;
        peer->account = account;
        peer->pid = cred.pid;
        peer->uid = cred.uid;
        peer->gid = cred.gid;
        r = channel_new(&peer->channel, peer_fd, PEER_QUEUE_MAX_BYTES);
        if (r < 0) {
                free(peer);
                return r;
        }
        (void)TAKE_FD(peer_fd);
        account->n_peers++;
        peer_judge(peer);

        peer->next = peers->first;
        if (peer->next)
                peer->next->prev = peer;
        peers->first = peer;
        peers->n++;
        r = sd_event_add_io(peers->daemon->event, &peer->io, channel_fd(peer->channel), EPOLLIN,
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

int peers_new(Peers **ret, Daemon *daemon) {
        *ret = calloc(1, sizeof(**ret));
        if (!*ret)
                return -ENOMEM;
        (*ret)->daemon = daemon;
        return 0;
}

Peers *peers_free(Peers *peers) {
        if (!peers)
                return NULL;
        while (peers->first)
                peer_close(peers->first);
        accounts_done(&peers->accounts);
        free(peers);
        return NULL;
}

size_t peers_n(const Peers *peers) {
        return peers->n;
}

Peer *peers_first(Peers *peers) {
        return peers->first;
}

void peers_release(Peers *peers, bool written) {
        bool broken = store_is_broken(peers->daemon->store);

        /* The end of one may change something: what is said of that waits for the next turn. */
        while (peers->held && !peers->daemon->write_wanted) {
                Peer *peer = peers->held;
                int r;

                unhold(peer);
                r = written || (!peer->is_agent && !broken) ? channel_flush(peer->channel) :
                                                              FRAME_E_CLOSED;
                if (r < 0 || r == FRAME_E_CLOSED || (peer->ending && r == 0))
                        peer_close(peer);
                else
                        peer_set_events(peer);
        }
}

void peers_resume_parked(Peers *peers, bool looked) {
        for (Peer *peer = peers->first, *next; peer; peer = next) {
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

void peers_task_ended(Peers *peers, uint64_t task_id) {
        for (Peer *peer = peers->first; peer; peer = peer->next)
                if (peer->is_waiting && waits_for(&peer->waiting, task_id))
                        (void)wait_try(peer);
}

Daemon *peer_daemon(const Peer *peer) {
        return peer->peers->daemon;
}

int peer_take_fd(Peer *peer) {
        return channel_take_fd(peer->channel);
}
