#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Room, as other schedulers than taskflow's reckon it
 *
 * A value: what is free of each resource. Where several GPUs would do it is the one that is filled most (best fit), which is
 * the kindest to those that need much.
 */

#include <stdbool.h>
#include <stdint.h>

#include "core/needs.h"
#include "sim/world.h"

typedef struct Room {
        const SimMachine *machine; /* borrowed */
        uint64_t memory_bytes;
        unsigned n_cpus;
        uint64_t gpu_bytes[GPU_MAX];
        unsigned n_tasks[GPU_MAX];
        bool whole[GPU_MAX];           /* one has it for itself */
        uint64_t n_tokens[TOKENS_MAX]; /* in the places of the machine's */
} Room;

/* All of a machine. */
Room room_all(const SimMachine *machine);

/* What is measured to be free now; who has cores, or a whole GPU, is known by what runs. */
Room room_measured(const SimMachine *machine,
                   const World *world,
                   Running *const *running,
                   size_t n_running);

/* Whether there is room; then @ret_gpus are the GPUs that it would get. */
bool room_fits(const Room *room, const Needs *needs, unsigned ret_gpus[static NEEDS_GPUS_MAX]);

/* Whether there are tokens enough; room_fits() asks it too. */
bool room_has_tokens(const Room *room, const Needs *needs);

/* Where room_fits(), or where it was taken before. */
void room_take(Room *room, const Needs *needs, const unsigned *gpus);
void room_give_back(Room *room, const Needs *needs, const unsigned *gpus);
