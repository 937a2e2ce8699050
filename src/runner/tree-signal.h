#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Signals to every descendant of this process (decisions.md 22)
 *
 * Those that left the session and the group too: a runner is a subreaper, so they stay its descendants. Never a group: it may
 * hold the rest of a pipeline.
 */

#include <stdbool.h>

/**
 * tree_signal() - to all of them, by pidfd
 * @proc_fd:    of /proc
 * @and_continue:       wake those that are stopped, so that they can obey
 *
 * Children that are made meanwhile are looked for again.
 *
 * Return: 0, or negative errno.
 */
int tree_signal(int proc_fd, int signal, bool and_continue);
