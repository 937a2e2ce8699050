/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * A peer is served in one place, peer_work(), when it is its turn (service.h): it takes messages from its channel until there
 * is none, or until one must wait (parked, waiting, listing); then no further message is read, so that replies keep the order
 * of their calls, and only the end of the connection is watched for.
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

#include "daemon/limits.h"
#include "daemon/log.h"
#include "daemon/methods.h"
#include "daemon/records.h"
#include "daemon/service.h"
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
        Service *service;
        Limits *limits;
};

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
        service_forget(peers->service, peer);
        limits_forget(peers->limits, peer);
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

/* So much waits to be sent that it shall read before it is served again. */
static bool peer_is_clogged(const Peer *peer) {
        return channel_n_unsent_bytes(peer->channel) > PEER_BACKLOG_BYTES;
}

/* What is to be waited for now. EPOLLHUP and EPOLLERR come always; EPOLLRDHUP while nothing is read. */
static void peer_set_events(Peer *peer) {
        uint32_t events = peer_is_busy(peer) ? EPOLLRDHUP : peer_is_clogged(peer) ? 0 : EPOLLIN;

        /* A list goes on as soon as there is room for its next part. */
        if (!peer->held && (channel_n_unsent_bytes(peer->channel) > 0 || peer->lister))
                events |= EPOLLOUT;
        (void)sd_event_source_set_io_events(peer->io, events);
}

/* After whatever has happened to it. Messages that came with the last read wait in the channel, where epoll does not see them. */
static void peer_settle(Peer *peer) {
        peer_set_events(peer);
        if (!peer->served && !peer_is_busy(peer) && !peer_is_clogged(peer) &&
            channel_has_message(peer->channel))
                service_queue(peer->peers->service, peer);
        limits_note(peer->peers->limits, peer);
}

/* Sends bytes, or keeps them until what was changed before is written; a peer that does not read is cut at its limit. */
static void peer_send_bytes(Peer *peer, const char *bytes, size_t n) {
        int r;

        if (peer->cut)
                return;
        if (peer->peers->daemon->write_wanted)
                hold(peer);
        r = peer->held ? channel_queue(peer->channel, bytes, n, -1) :
                         channel_send(peer->channel, bytes, n, -1);
        if (r == FRAME_E_FULL) {
                peer_cut(peer, "it does not read what it asked for");
                return;
        }
        if (r != 0)
                peer->ending = true;
        peer_settle(peer);
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
        peer_settle(peer);
        daemon_want_turn(peer->peers->daemon);
}

static void log_end(const Peer *peer, const char *text) {
        uint64_t n_unsaid = 0;

        if (account_may_log(peer->account, clock_boottime_us(), &n_unsaid))
                log_info("connection of uid %u, pid %d ended: %s", peer->uid, peer->pid, text);
}

void peer_cut(Peer *peer, const char *fmt, ...) {
        char text[sizeof(((Error *)NULL)->text)];
        va_list args;

        if (peer->cut)
                return;
        va_start(args, fmt);
        (void)vsnprintf(text, sizeof(text), fmt, args);
        va_end(args);
        log_end(peer, text);
        peer->cut = true;
        channel_drop_unsent(peer->channel);
        peer_end(peer);
}

void peer_dismiss(Peer *peer, const char *fmt, ...) {
        char text[sizeof(((Error *)NULL)->text)];
        va_list args;

        va_start(args, fmt);
        (void)vsnprintf(text, sizeof(text), fmt, args);
        va_end(args);
        log_end(peer, text);
        peer_refuse(peer, CALL_GET_INFO, ERROR_LIMIT, "%s", text);
        peer_end(peer);
}

void peer_refuse(Peer *peer, CallType to, ErrorName name, const char *fmt, ...) {
        char text[sizeof(((Error *)NULL)->text)];
        va_list args;

        va_start(args, fmt);
        (void)vsnprintf(text, sizeof(text), fmt, args);
        va_end(args);
        peer_reply(peer, &(Reply){ .to = to, .error = name, .message = text });
}

static void peer_resume(Peer *peer) {
        Call call = peer->parked;
        bool looked = peer->looked;

        peer->has_parked = peer->resume_due = peer->looked = false;
        peer->park_source = sd_event_source_disable_unref(peer->park_source);
        methods_serve(peer, &call, looked);
        call_done(&call);
}

static void peer_let_go_on(Peer *peer, bool looked) {
        peer->resume_due = true;
        peer->looked |= looked;
        service_peer(peer->peers->service, peer);
}

static int on_park_timeout(sd_event_source *source, uint64_t usec, void *userdata) {
        peer_let_go_on(userdata, true);
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
        peer_settle(peer);
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
        peer->n_call_bytes = n;
        methods_serve(peer, &call, false);
        call_done(&call);
        return true;
}

/* Takes messages until there is none or one must wait. Return: false if the connection has ended. */
static bool peer_receive(Peer *peer) {
        for (unsigned i = 0;
             i < MESSAGES_PER_WAKEUP && !peer_is_busy(peer) && !peer_is_clogged(peer); i++) {
                const char *bytes;
                size_t n;
                int r;

                r = channel_receive(peer->channel, &bytes, &n);
                limits_note(peer->peers->limits, peer);
                if (r == FRAME_E_AGAIN) {
                        limits_check_received(peer->peers->limits, peer);
                        return true;
                }
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
                limits_touch(peer->peers->limits, peer);
                if (!peer_serve_message(peer, bytes, n))
                        return false;
        }
        return true;
}

/* Sends more of what waits. Return: as channel_flush(). */
static int peer_flush(Peer *peer) {
        size_t n_unsent = channel_n_unsent_bytes(peer->channel);
        int r;

        if (peer->held || n_unsent == 0)
                return FRAME_E_AGAIN;
        r = channel_flush(peer->channel);
        if (channel_n_unsent_bytes(peer->channel) < n_unsent)
                limits_touch(peer->peers->limits, peer);
        return r;
}

/* Return: false if the connection has ended. */
static bool peer_serve(Peer *peer) {
        if (peer->lister && channel_n_unsent_bytes(peer->channel) == 0)
                lister_continue(peer);
        if (peer->resume_due)
                peer_resume(peer);
        if (peer->wait_due && peer->is_waiting)
                (void)wait_try(peer);
        peer->wait_due = false;
        return peer_receive(peer);
}

void peer_work(Peer *peer) {
        bool goes_on;
        int r;

        r = peer_flush(peer);
        goes_on = r == 0 || r == FRAME_E_AGAIN;
        if (goes_on) {
                peer->served = true;
                goes_on = peer_serve(peer);
                peer->served = false;
        }
        if (goes_on && peer->ending && !peer->held)
                goes_on = channel_flush(peer->channel) == FRAME_E_AGAIN;
        if (goes_on)
                peer_settle(peer);
        else
                peer_close(peer);
}

static int on_peer(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Peer *peer = userdata;

        if (peer_is_busy(peer) && (revents & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)))
                peer_close(peer);
        else
                service_peer(peer->peers->service, peer);
        return 0;
}

void peer_tell_rules(Peer *peer) {
        Daemon *daemon = peer->peers->daemon;
        UserRules known = core_user_rules(daemon->core, peer->uid);
        Event event = daemon_event(EVENT_USER, 0);

        if (user_rules_equal(&known, &peer->account->rules))
                return;
        event.user.uid = peer->uid;
        event.user.rules = peer->account->rules;
        if (core_apply(daemon->core, &event) < 0)
                log_error("out of memory: uid %u counts as any other", peer->uid);
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
        peer->account->rules = settings_rules(settings, peer->uid, groups, n);
        peer_tell_rules(peer);
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
        account = accounts_get(&peers->daemon->accounts, cred.uid);
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
        service_peer(peers->service, peer);
        return 0;
}

int peers_new(Peers **ret, Daemon *daemon) {
        _cleanup_(peers_freep) Peers *peers = calloc(1, sizeof(*peers));
        int r;

        if (!peers)
                return -ENOMEM;
        peers->daemon = daemon;
        r = service_new(&peers->service, daemon);
        if (r < 0)
                return r;
        r = limits_new(&peers->limits, daemon);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(peers);
        return 0;
}

Peers *peers_free(Peers *peers) {
        if (!peers)
                return NULL;
        while (peers->first)
                peer_close(peers->first);
        (void)service_free(peers->service);
        (void)limits_free(peers->limits);
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
                        peer_settle(peer);
        }
}

void peers_resume_parked(Peers *peers, bool looked) {
        for (Peer *peer = peers->first, *next; peer; peer = next) {
                next = peer->next;
                if (peer->has_parked)
                        peer_let_go_on(peer, looked);
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
                if (peer->is_waiting && waits_for(&peer->waiting, task_id)) {
                        peer->wait_due = true;
                        service_queue(peers->service, peer);
                }
}

Daemon *peer_daemon(const Peer *peer) {
        return peer->peers->daemon;
}

int peer_take_fd(Peer *peer) {
        return channel_take_fd(peer->channel);
}
