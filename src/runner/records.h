#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Ends that no daemon could take (decisions.md 23)
 *
 * Each is a file of the user's state folder that holds the very messages that were to be said; the user's next taskflow says
 * them.
 */

#include <stdbool.h>

#include "client/client.h"

enum {
        RECORDS_PLACE_MAX = 128, /* longer than any path of a socket */
};

/* Which daemon a client talks with, as it is found again by the next taskflow: not by its path, of which a personal one has two. */
void records_place(const Client *client, char buf[static RECORDS_PLACE_MAX]);

/**
 * records_leave() - write one
 * @place:      of the daemon that was to hear it
 * @attach:     says whose task it is, and of which database
 * @ended:      says how it ended
 *
 * Return: 0, or negative errno.
 */
int records_leave(const char *place, const Call *attach, const Call *ended);

/* Whether there may be any: one look for a folder that usually is not there. */
bool records_exist(void);

/**
 * records_deliver() - say those that were meant for this daemon, and remove them
 *
 * To be called while nothing that was said on the connection waits for its answer. Costs what records_exist() costs in the usual
 * case, and in the worst a second for a daemon that does not answer. What can't be delivered stays, for a month.
 */
void records_deliver(Client *client);
