#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Keepers, and commands
 *
 * A keeper is a process of its own, begun by the agent's nursery: it claims the start with a record file, starts the command,
 * notes it, waits, and notes the end; each a step at which it may be killed. The command does not care. With several orders it does
 * that for one after the other, as long as its agent lives, and says the ends of some of them together.
 */

#include <stdbool.h>
#include <stdint.h>

#include "check.h"

typedef struct Keeper Keeper;

enum {
        ORDERS_MAX = 32, /* in one row */
};

typedef struct Order {
        uint64_t ref;
        unsigned attempt;
        Deed *deed;
} Order;

/* What a keeper says to the agent that ordered it. */
typedef enum NewsType {
        NEWS_TAKEN, /* with its process */
        NEWS_CLAIMED,
        NEWS_STARTED, /* with the command's; not of one that was over soon */
        NEWS_ENDED,
} NewsType;

typedef struct News {
        NewsType type;
        uint64_t ref;
        unsigned attempt;
        Proc proc;
        End end;
        bool goes_on; /* ENDED: it takes the next order of its row */
} News;

void keepers_begin(void);

/* Orders to the nursery of an agent, for one keeper, one after the other; it lives a moment longer than the agent. */
void keeper_order(unsigned owner, const Order *orders, size_t n);

/* The agent's word to a keeper, or to a command without one: end it. */
void keeper_cancel(Proc proc, uint64_t ref, unsigned attempt);
void command_kill(Start *start);

/* A command that somebody has just started runs; its parent hears of its end. */
void command_run(Start *start, uint64_t duration_us, const End *end);

/* The agent is dead: those that have claimed nothing die with it. */
void keepers_agent_gone(unsigned owner);

void keepers_kill_one(void);
void keepers_kill_all(void);
void keepers_bury(void);
bool keepers_rest(void); /* none lives */
