#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * taskflow's own logs (decisions.md 25)
 *
 * FOLDER/logs/12.log, 12_3.log: one for each task that was given no other file. They are private, grow to a limit, and stay for a
 * while after the end.
 */

#include "agent/agent.h"

int logs_new(Logs **ret, Agent *agent);
Logs *logs_free(Logs *logs);

/* The daemon's settings. */
void logs_set(Logs *logs, uint64_t limit_bytes, uint64_t keep_us);

/* The path of a task's, to be freed; NULL when out of memory. */
char *logs_path(const Logs *logs, uint64_t ref);

/* The same as a pattern for core/output.h, of a task or, @array, of its elements. */
char *logs_pattern(const Logs *logs, bool array);

/* Whether there is such a file. */
bool logs_exists(const Logs *logs, uint64_t ref);

/* Lets go of the front of a log that has become too long. */
void logs_trim(Logs *logs, uint64_t ref);

/* Removes the logs of tasks that have been over for too long, at once and then once a day. */
void logs_purge(Logs *logs);
