#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Clients
 *
 * Finding the daemon, starting a personal one where there is none, and talking with it: one call at a time for most commands
 * (client_call()), or both ways without blocking for a runner (client_send(), client_next()).
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "util/error.h"
#include "util/macro.h"
#include "wire/message.h"

typedef struct Client Client;

/* client_connect(), and whatever talks */
enum {
        CLIENT_E_UNREACHABLE = 1, /* nobody there; @error says where, and what to do */
        CLIENT_E_CLOSED,          /* the connection has ended */
        CLIENT_E_AGAIN,           /* client_next(): nothing now */
        CLIENT_E_BAD,             /* what came makes no sense; @error */
};

typedef enum ClientFlags {
        CLIENT_START =
                1 << 0, /* start a personal daemon if there is none and this is where it would be */
        CLIENT_QUIET = 1 << 1, /* do not say on stderr that one was started */
} ClientFlags;

/* Where the daemon is looked for (interface.md, "Programs"). */
typedef enum DaemonKind {
        DAEMON_KIND_NAMED,   /* $TASKFLOW_SOCKET: no daemon is started for it */
        DAEMON_KIND_MACHINE, /* /run/taskflow exists */
        DAEMON_KIND_PERSONAL,
} DaemonKind;

/**
 * client_connect() - to the first place that applies
 *
 * Personal: both $XDG_RUNTIME_DIR/taskflow/taskflowd.sock and STATE/run/taskflowd.sock are tried before one is started. On the default
 * sockets the daemon's user must be root, `taskflow` or the caller (decisions.md 31). Several that start one at once end up with
 * exactly one.
 *
 * Return: 0, CLIENT_E_UNREACHABLE, or negative errno; @error is filled in.
 */
int client_connect(Client **ret, unsigned flags, Error *error);
Client *client_free(Client *client);
DEFINE_CLEANUP(Client *, client_free);

int client_fd(const Client *client); /* for poll() */
short client_poll_events(
        const Client *client); /* POLLIN, and POLLOUT while something waits to be sent */
DaemonKind client_kind(const Client *client);
const char *client_path(const Client *client); /* of the socket; owned */

/**
 * client_call() - say it and wait for the (next) reply
 * @reply:      release with reply_done()
 *
 * With call->more and reply->continues, read on with client_read_reply().
 *
 * Return: 0 (also when the reply is an error of the daemon's), an outcome, or negative errno.
 */
int client_call(Client *client, const Call *call, Reply *reply, Error *error);
int client_read_reply(Client *client, Reply *reply, Error *error);

/* The same with a descriptor that goes along (borrowed; -1: none). */
int client_call_fd(Client *client, const Call *call, int fd, Reply *reply, Error *error);

/* Queues a call, with a descriptor (borrowed; -1: none), without blocking. */
int client_send(Client *client, const Call *call, int fd, Error *error);

/* What is sent between these two goes out together. Return: 0, or as client_send(). */
void client_hold(Client *client);
int client_let_go(Client *client, Error *error);

/* Something that came. */
typedef struct Incoming {
        bool is_call;
        union {
                Call call;
                Reply reply; /* to the oldest call not yet answered */
        };
} Incoming;

/**
 * client_next() - what came, without blocking; sends what waits to be sent
 * @ret:        release with incoming_done()
 *
 * Call it until it says CLIENT_E_AGAIN before poll(): what was read already makes no descriptor readable.
 *
 * Return: 0, CLIENT_E_AGAIN, CLIENT_E_CLOSED, CLIENT_E_BAD, or negative errno.
 */
int client_next(Client *client, Incoming *ret, Error *error);
void incoming_done(Incoming *incoming);

/* Calls that were sent and not yet answered. */
size_t client_n_outstanding(const Client *client);
