#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Limits of connections
 *
 * How much memory the connections of a user may take, and how long one is waited for that has sent half a message, does not
 * read what it asked for, or says nothing. docs/security.md reckons with them.
 */

#include "daemon/peers.h"

typedef struct Limits Limits;

enum {
        LIMITS_ENDING_MAX_US = 5 * 1000000, /* for the last words to be read */
};

int limits_new(Limits **ret, Daemon *daemon);
Limits *limits_free(Limits *limits);

/*
 * Something has happened to a peer: counts the memory that it takes now, cuts whoever takes most if that is too much, and sees
 * for what it is waited from now on. Cheap.
 */
void limits_note(Limits *limits, Peer *peer);

/* It has said something, or has read something: it is waited for anew. */
void limits_touch(Limits *limits, Peer *peer);

/* It is about to go. */
void limits_forget(Limits *limits, Peer *peer);

/* After something was received that is not whole: ends this connection if its user has too much of that, or, if all users together have, the
 * one that has most. */
void limits_check_received(Limits *limits, Peer *peer);
