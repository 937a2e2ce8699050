#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Looks at what the command holds
 *
 * The first ones early, since the ledger keeps what was asked for until it was seen; then as often as the daemon wants to know.
 */

#include <stdint.h>

#include "probe/tree.h"

typedef struct Look {
        int proc_fd; /* of /proc; -1: not needed yet, most commands end before the first look */
        uint64_t started_boot_us;
        uint64_t interval_us;
        uint64_t n_taken;
        uint64_t last_boot_us;
        uint64_t cost_us; /* of the last one */
} Look;

Look look_make(void);
void look_done(Look *look);

void look_start(Look *look, uint64_t now_boot_us);

/* How often from the third look on; what makes no sense is made the nearest that does. */
void look_set_interval(Look *look, uint64_t interval_us);

/* When the next one is due. */
uint64_t look_due_boot_us(const Look *look);

/* Of /proc, opened when it is first asked for; owned by @look. Return: the descriptor, or negative errno. */
int look_proc_fd(Look *look);

/**
 * look_take() - measure all descendants of this process
 *
 * Return: 0, -ESRCH if there are none, or another negative errno. In any case the next one becomes due later.
 */
int look_take(Look *look, TreeUse *ret);

/* The same was done by somebody else, who began then. */
void look_taken(Look *look, uint64_t begin_boot_us);
