#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The server
 *
 * Listens and accepts. When descriptors run out it pauses, and goes on by itself.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/daemon.h"

enum {
        ACCEPT_PAUSE_US = 200 * 1000, /* when descriptors have run out */
        ACCEPTS_PER_WAKEUP = 64,
};

int server_new(Server **ret, Daemon *daemon);
Server *server_free(Server *server);

/**
 * server_listen() - one more socket
 * @path:       made anew (a socket that is there is removed: the state's lock says that nobody else listens)
 * @mode:       0600 or 0666
 * @watched:    make it again when it has vanished (XDG_RUNTIME_DIR after a logout)
 *
 * Return: 0, or negative errno with @error.
 */
int server_listen(Server *server, const char *path, mode_t mode, bool watched, Error *error);

/**
 * server_adopt() - a socket on which the service manager listens
 * @fd:         taken in any case; connections that wait when the daemon ends are the next one's
 * @path:       its name, which is left alone
 *
 * Return: 0, or negative errno with @error.
 */
int server_adopt(Server *server, int fd, const char *path, Error *error);

/**
 * server_leave_rest() - let nobody in any more, where the service manager keeps them for the next daemon
 *
 * Return: whether it is so; otherwise nothing has changed.
 */
bool server_leave_rest(Server *server);

/* Stops listening for good, unless somebody came in at the last moment. Return: whether it stopped. */
bool server_close_if_unused(Server *server);
