#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Keepers, and commands
 *
 * A keeper is a process of its own, begun by the agent's nursery: it claims the start with a record file, starts the command,
 * notes it, waits, and notes the end; each a step at which it may be killed. The command does not care.
 */

#include <stdbool.h>
#include <stdint.h>

#include "check.h"

typedef struct Keeper Keeper;

/* What a keeper says to the agent that ordered it. */
typedef enum NewsType {
        NEWS_TAKEN, /* with its process */
        NEWS_CLAIMED,
        NEWS_STARTED, /* with the command's */
        NEWS_ENDED,
} NewsType;

typedef struct News {
        NewsType type;
        uint64_t ref;
        unsigned attempt;
        Proc proc;
        End end;
} News;

void keepers_begin(void);

/* An order to the nursery of an agent; it lives a moment longer than the agent. */
void keeper_order(unsigned owner, uint64_t ref, unsigned attempt, Deed *deed);

/* The agent's word to a keeper, or to a command without one: end it. */
void keeper_cancel(unsigned owner, uint64_t ref, unsigned attempt);
void command_kill(Start *start);

/* A command that somebody has just started runs; its parent hears of its end. */
void command_run(Start *start, uint64_t duration_us, const End *end);

/* The agent is dead: those that have claimed nothing die with it. */
void keepers_agent_gone(unsigned owner);

void keepers_kill_one(void);
void keepers_kill_all(void);
void keepers_bury(void);
bool keepers_rest(void); /* none lives */
