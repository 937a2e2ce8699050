#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Giving each of several needs a GPU of its own
 *
 * A bipartite matching: if there is a way to serve all needs with different GPUs, it is found,
 * also where the best GPU for one need is the only one for another.
 */

#include <stdbool.h>
#include <stdint.h>

#include "core/needs.h"

typedef struct Assign {
        unsigned n_needs;             /* at most NEEDS_GPUS_MAX */
        unsigned n_slots;             /* at most GPU_MAX */
        uint64_t can[NEEDS_GPUS_MAX]; /* for each need, a bit for each slot that could serve it */
        unsigned prefer[GPU_MAX];     /* the slots, the one to be taken first in front */
        int slot_of[NEEDS_GPUS_MAX];  /* the result; -1: not served */
} Assign;

/**
 * assign_all() - find a slot for every need
 * @assign:     slot_of is set, also if not all can be served; earlier needs get what they prefer
 *
 * Return: whether every need has a slot.
 */
bool assign_all(Assign *assign);
