#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Service
 *
 * Whose messages are served next. Each user has a credit of the daemon's time, which fills up again as time passes. While it
 * lasts his connections are served as they become ready; behind that they wait for turns, which go round by user and are short.
 * So whoever asks now and then is served at once, whatever others do; and of several who flood the daemon each gets the same.
 */

#include "daemon/peers.h"

typedef struct Service Service;

enum {
        SERVICE_CREDIT_MAX_US = 20 * 1000, /* some hundred calls at once */
        SERVICE_CREDIT_SHARE = 10,         /* it fills up by 1 us in so many */
        SERVICE_TURN_US = 1000,            /* one message more may be begun until then */
};

int service_new(Service **ret, Daemon *daemon);
Service *service_free(Service *service);

/* Does what is to be done for a peer: now if its user has credit, or when it is his turn. It may be gone then. */
void service_peer(Service *service, Peer *peer);

/* It has something to be served, in its channel, where nobody else would notice: when it is its user's turn. */
void service_queue(Service *service, Peer *peer);

/* It is about to go. */
void service_forget(Service *service, Peer *peer);
