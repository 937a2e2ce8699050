#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The room of our own cgroup, which the daemon cannot see (decisions.md 11)
 */

#include <stdint.h>

#include "core/task.h"

/* For a task that would run here; UINT64_MAX: no limit, none known, or it asks for no RAM. */
uint64_t own_room_bytes(const Task *task);
