#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Ends that no daemon could take (decisions.md 23)
 *
 * Each is a file of the user's state folder that holds the very messages that were to be said; the user's next taskflow says
 * them.
 */

#include "client/client.h"

/**
 * records_leave() - write one
 * @attach:     says whose task it is, and of which database
 * @ended:      says how it ended
 *
 * Return: 0, or negative errno.
 */
int records_leave(const Call *attach, const Call *ended);

/**
 * records_deliver() - say those that belong to this daemon, and remove them
 * @database:   the daemon's, as it told
 *
 * Costs one look for a folder that is not there in the usual case; waits for the daemon for about a second in the worst.
 * What can't be delivered stays, for a month.
 */
void records_deliver(Client *client, const char *database);
