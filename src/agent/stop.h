#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The end on somebody's word
 *
 * What the daemon has granted counts as running there. An agent that ended between that and Started would leave a running task that has
 * no process, which nobody could end before the next agent comes. So starts that are under way are seen through first, and none is
 * begun.
 */

#include "agent/agent.h"

/* A user's word: marks the folder as stopped, and ends. Return: 0 or negative errno. */
int stop_by_user(Agent *agent);

/* A signal; a second one ends the loop at once. Return: 0 or negative errno. */
int stop_by_signal(Agent *agent);

/* Once a turn: ends the loop if nothing is under way any more. */
void stop_go_on(Agent *agent);
