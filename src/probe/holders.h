#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Who holds RAM outside taskflow
 *
 * One reading of /proc, for people who ask. What belongs to a task is left out with all that descends from it.
 */

#include "core/outsiders.h"

/**
 * holders_of_ram() - the processes that hold most
 * @proc_fd:    of /proc
 * @roots:      processes whose trees are no outsiders: commands of tasks, and their runners
 * @n_roots:    may be 0
 * @ret:        set on success; used_bytes is what its end would make free: anonymous and shared memory, the latter also where
 *              others share it
 *
 * Processes that may not be looked at (hidepid) are left out.
 *
 * Return: 0, or negative errno.
 */
int holders_of_ram(int proc_fd, const pid_t *roots, size_t n_roots, Outsiders *ret);
