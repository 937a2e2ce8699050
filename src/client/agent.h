#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The agent
 *
 * The program that owns a user's detached tasks, one a user and daemon: finding it, and starting it where it lives longest
 * (decisions.md 24). It is the agent for the daemon that client_connect() would talk with.
 */

#include <stdbool.h>

#include "client/client.h"
#include "util/error.h"

/**
 * client_agent_dir() - the agent's folder
 * @ret:        STATE/agent-PLACE, to be freed; it need not exist
 *
 * PLACE is "machine", "personal", or "named-" and a hash of the path in TASKFLOW_SOCKET. In it are its socket `sock`, its database
 * `agent.db`, a record for each start in `run`, logs in `logs`, and `stopped` if it was told to stop.
 *
 * Return: 0, or negative errno with @error.
 */
int client_agent_dir(char **ret, Error *error);

/**
 * client_connect_agent() - to its socket
 * @flags:      CLIENT_START: start taskflow-agent if nobody listens, and wait until it does. CLIENT_QUIET: do not say on stderr that
 *              tasks end with the login
 *
 * Several that start one at once end up with exactly one. The client is for CALL_QUEUE, CALL_AGENT_STATUS and CALL_AGENT_STOP. An agent
 * that has just nothing more to do may end the connection before it has answered: connect once more then.
 *
 * Return: 0; CLIENT_E_UNREACHABLE: nobody is there, and was not to be started or could not be; or negative errno; @error is filled in.
 */
int client_connect_agent(Client **ret, unsigned flags, Error *error);

/*
 * Whether there is something in the agent's folder that it has to run, or to tell the daemon. Cheap, and starts nothing. Also true while an
 * agent runs that has nothing to do.
 */
bool client_agent_has_work(void);

/* Whether the user has stopped it, so that nobody but a command that needs it starts it again. */
bool client_agent_is_stopped(void);
