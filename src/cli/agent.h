#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Talking with one's own agent
 *
 * The agent owns the detached tasks of its user (client/agent.h finds and starts it). Commands queue tasks through it, and see
 * to it that the daemon has heard of every end before they show or wait.
 */

#include <stdbool.h>
#include <stdint.h>

#include "client/client.h"
#include "util/error.h"

/* client_connect_agent(), with descriptors 0 to 2 taken. */
int agent_connect(Client **ret, unsigned flags, Error *error);

/**
 * agent_ask_status() - how it is, once it has said to the daemon all that it knows
 * @until_boot_us:      CLOCK_BOOTTIME at which waiting ends
 * @reply:      as for session_receive()
 *
 * Return: 0, or an outcome of session_receive().
 */
int agent_ask_status(Client *agent, uint64_t until_boot_us, Reply *reply);

/**
 * agent_deliver() - see to it that ends which no daemon has heard of get there
 *
 * Starts the agent if it has work and does not run, unless it was stopped by hand; waits no longer than is good for a command that
 * shows something. What fails is silent: the next command tries again.
 */
void agent_deliver(void);

/**
 * agent_rouse() - an agent that minds the tasks, for a command that needs one
 *
 * Return: true if one runs and the daemon has heard of it.
 */
bool agent_rouse(void);
