#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Rows
 *
 * An agent whose tasks take milliseconds would spend more time with asking than with running them. So when one that was as short has
 * ended, its successors are granted in advance, a few in a row, if it is certain that they are next (core_next_in_row()): the agent
 * starts each when the one in front of it has ended, and says so of several together. All of a row together should take no longer
 * than ROW_US; an agent gives back what has stood in one for longer.
 */

#include "daemon/daemon.h"

/* A task of an agent is about to end. @ended_at_us: by its agent */
void rows_note_end(Peer *agent, const Task *task, uint64_t ended_at_us);

/* It is the first of a row now: one that was granted in the turn of a rows_note_end(), or stood behind one that has ended. */
void rows_note_first(Peer *agent, uint64_t task_id);

/* Fills up the rows of those. */
void rows_fill(Daemon *daemon);
