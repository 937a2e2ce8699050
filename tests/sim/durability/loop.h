#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The daemon's loop: sd-event's functions on the virtual clock
 *
 * What is pending at once is taken by priority, and otherwise in any order.
 */

#include <stdbool.h>
#include <stdint.h>

/* When the loop has something to do: now, later, or never (UINT64_MAX); on the world's clock. */
uint64_t loop_next_us(void);

/* One thing that is pending. Return: whether there was one. */
bool loop_dispatch(void);

/* Whether the daemon has asked for its end. */
bool loop_has_exited(void);
void loop_begin(void);
