#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Agents
 *
 * The connection that owns a user's detached tasks. There is one for each user at most; when it ends its tasks wait for the
 * next one, which hears first what the daemon has.
 */

#include "daemon/methods.h"

/* Submit of a detached task. */
void agents_submit(Peer *peer, Call *call, bool resumed);

/* More of the list of what an agent has to mind; after the last part its tasks are the agent's. Return: whether there is more. */
bool agents_list(Peer *peer);
