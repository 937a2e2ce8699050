#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Connecting
 *
 * From the environment to a connected socket.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "client/client.h"
#include "util/error.h"

/* Where somebody listens. */
typedef struct Place {
        DaemonKind kind;
        int fd;     /* owned */
        char *path; /* owned; of the socket */
} Place;

/**
 * connect_daemon() - to the first place that applies
 * @flags:      as client_connect()
 *
 * Return: 0, CLIENT_E_UNREACHABLE or negative errno with @error.
 */
int connect_daemon(unsigned flags, Place *ret, Error *error);

/**
 * connect_personal() - to the places of a personal daemon, as they are now
 *
 * Return: 0; CLIENT_E_UNREACHABLE with @error: nobody listens; CLIENT_E_BAD with @error: somebody who should not;
 * or negative errno with @error.
 */
int connect_personal(Place *ret, Error *error);

/**
 * connect_socket() - to one socket
 * @path:       of any length
 *
 * Return: 0, or negative errno (-ENOENT, -ECONNREFUSED …; -EAGAIN: it does not answer).
 */
int connect_socket(const char *path, int *ret_fd);

/* Whether a daemon of that user is believed on the default sockets (decisions.md 31). */
bool connect_trusts(uid_t uid);

/**
 * client_new() - a client over a connection
 * @place:      taken in any case
 * @who:        is there, in sentences: "the daemon"; borrowed for ever
 *
 * Return: 0, or -ENOMEM with @error.
 */
int client_new(Client **ret, Place *place, const char *who, Error *error);
