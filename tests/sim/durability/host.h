#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The daemon's process: the real daemon, on the virtual system
 */

#include <stdint.h>

#include "core/task.h"

#include "system.h"

void host_begin(void);
void host_end(void);

/* Starts it a while later, if it is not there then. */
void host_start_soon(uint64_t after_us);

/* Something is there for it at that time. */
void host_wake_at(uint64_t at_us);

void host_accept(int fd);

/* It was killed. */
void host_bury(void);

/* A task as it has it in memory, or NULL. */
const Task *host_task(uint64_t id);

/* How many tasks that are not over it has. */
size_t host_n_tasks(void);

/* Whether it has changes that it could not write. */
bool host_is_failing(void);

/* A new version: it ends by itself, and another one starts. */
void host_restart(void);
