#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Reconciling what the daemon says with what is here
 *
 * Asks the table of life.c, and does what it says.
 */

#include "agent/agent.h"
#include "agent/life.h"

/* What the daemon says of one task or element. */
typedef struct Said {
        LifeSaid said;
        uint64_t ref;
        unsigned attempt;
        Call *offer; /* OFFERED, GRANTED: which, NULL if ours was answered; what is taken out of it */
} Said;

/* One task or element that the daemon speaks of. */
void reconcile_task(Agent *agent, const Said *said);

/**
 * reconcile_all() - after a connect
 * @tasks:      all that the daemon has of this user
 * @database:   that their ids are from
 */
void reconcile_all(Agent *agent, const AgentTask *tasks, size_t n, const char *database);
