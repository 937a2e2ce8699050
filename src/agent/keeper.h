#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The keeper of one detached command
 *
 * A process of its own that starts the command, waits for it, ends it when it is told to or when its time is over, and writes
 * down how it ended. It needs nobody: the agent may die and come again meanwhile. It is a session leader without a terminal and a
 * subreaper, so that all of the command's processes stay its descendants. What the command leaves behind when it ends by itself
 * is left alone; cancelled or out of time, everything goes.
 *
 * Ask it to end its command with keeper_cancel(). Signals that a process sends to it otherwise are passed on to the command, like
 * those that a foreground `taskflow run` gets.
 */

#include <stdbool.h>
#include <sys/types.h>

#include "agent/keeper-report.h"
#include "util/proc-id.h"

/**
 * keeper_agent_fn - start the agent of this folder
 * @folder:     as in the order
 *
 * Called in a keeper whose command ended while no agent listened; all signals are blocked there. Whether it succeeds is of no matter to the keeper: the record
 * stays until an agent comes.
 */
typedef void (*keeper_agent_fn)(const char *folder);

/* What a keeper has before it has its order. */
typedef struct Keeper {
        ProcId id;
        pid_t parent; /* while that lives, so does the agent whose orders these are */
        int pidfd;    /* of itself */
        int null_fd;
        keeper_agent_fn start_agent; /* NULL: nobody is started */
        Report report;
} Keeper;

/**
 * keeper_prepare() - make the calling process a keeper
 * @report_fd:  borrowed for ever
 *
 * To be called in a process that was forked for it, has the standard descriptors, and blocks all signals. All that can be done
 * before there is an order.
 *
 * Return: 0, or negative errno.
 */
int keeper_prepare(Keeper *keeper, int report_fd, keeper_agent_fn start_agent);

/* Whether the calling process dies with its parent: until it claims a start. Return: whether that could be said. */
bool keeper_set_mortal(bool mortal);

/**
 * keeper_run() - carry out a row of orders
 * @bytes:      as of keeper_row_compose(); on the heap, taken
 *
 * Returns when the last command has ended and all that was to be written and said is; does not return if nothing could be started. The
 * next one is not started if the agent is gone.
 *
 * Return: whether the process may keep another command: nothing of this one is left in it. Else it must end.
 */
bool keeper_run(Keeper *keeper, char *bytes, size_t n);

/**
 * keeper_cancel() - ask a keeper to end its command
 * @pidfd:      of the keeper
 * @ref:        of the start that is meant, with @attempt: a keeper that is past it does nothing
 * @signal:     the first one that all of its processes get; 0: SIGTERM. SIGKILL follows 10 s later
 *
 * Return: 0, -ESRCH if it is gone, or another negative errno.
 */
int keeper_cancel(int pidfd, uint64_t ref, unsigned attempt, int signal);
