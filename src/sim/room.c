/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "sim/room.h"

#include <stdlib.h>
#include <string.h>

#include "util/macro.h"

enum {
        IDLE_PCT = 95, /* free of a GPU that counts as unused */
        NO_GPU = -1,
};

Room room_all(const SimMachine *machine) {
        Room room = {
                .machine = machine,
                .memory_bytes = machine->memory_bytes,
                .n_cpus = machine->n_cpus,
        };

        for (unsigned i = 0; i < machine->n_gpus; i++)
                room.gpu_bytes[i] = machine->gpu_bytes[i];
        for (unsigned i = 0; i < machine->n_tokens; i++)
                room.n_tokens[i] = machine->tokens[i].n;
        return room;
}

/* Those of its tokens that a task asks for. */
static uint64_t *tokens_of(Room *room, const Token *token) {
        int at = token_find(room->machine->tokens, room->machine->n_tokens, token->name);

        return at < 0 ? NULL : &room->n_tokens[at];
}

static void take_tokens(Room *room, const Needs *needs) {
        for (unsigned i = 0; i < needs->n_tokens; i++) {
                uint64_t *n = tokens_of(room, &needs->tokens[i]);

                if (n)
                        *n -= needs->tokens[i].n;
        }
}

Room room_measured(const SimMachine *machine,
                   const World *world,
                   Running *const *running,
                   size_t n_running) {
        Room room = room_all(machine);

        room.memory_bytes = world_free_memory(world);
        for (unsigned i = 0; i < machine->n_gpus; i++) {
                room.gpu_bytes[i] = world_free_gpu(world, i);
                room.n_tasks[i] = world->n_tasks[i];
        }
        for (size_t i = 0; i < n_running; i++) {
                const Needs *needs = running[i]->needs;

                room.n_cpus -= needs->cpus;
                take_tokens(&room, needs);
                for (unsigned k = 0; k < needs->n_gpus; k++)
                        room.whole[running[i]->gpus[k]] |= needs->gpus[k].bytes == GPU_WHOLE;
        }
        return room;
}

static bool gpu_fits(const Room *room, unsigned gpu, uint64_t bytes) {
        if (room->whole[gpu])
                return false;
        if (bytes == GPU_WHOLE)
                return room->n_tasks[gpu] == 0 &&
                       room->gpu_bytes[gpu] / IDLE_PCT * 100 + 100 >= room->machine->gpu_bytes[gpu];
        return room->gpu_bytes[gpu] >= bytes;
}

/* The one that it leaves least of, among those that are not taken yet. */
static int pick_gpu(const Room *room, const GpuNeed *need, uint64_t taken) {
        int best = NO_GPU;

        for (unsigned i = 0; i < room->machine->n_gpus; i++) {
                if ((taken & (UINT64_C(1) << i)) || !gpu_fits(room, i, need->bytes))
                        continue;
                if (!gpu_need_is_any(need) && strtoul(need->uuid + strlen("GPU-"), NULL, 10) != i)
                        continue;
                if (best == NO_GPU || room->gpu_bytes[i] < room->gpu_bytes[best])
                        best = (int)i;
        }
        return best;
}

bool room_has_tokens(const Room *room, const Needs *needs) {
        const SimMachine *machine = room->machine;

        for (unsigned i = 0; i < needs->n_tokens; i++) {
                int at = token_find(machine->tokens, machine->n_tokens, needs->tokens[i].name);

                if (at >= 0 && needs->tokens[i].n > room->n_tokens[at])
                        return false;
        }
        return true;
}

bool room_fits(const Room *room, const Needs *needs, unsigned ret_gpus[static NEEDS_GPUS_MAX]) {
        uint64_t taken = 0;

        if (needs->memory_bytes > room->memory_bytes || needs->cpus > room->n_cpus ||
            !room_has_tokens(room, needs))
                return false;
        /* those that name their GPU first */
        for (unsigned round = 0; round < 2; round++)
                for (unsigned i = 0; i < needs->n_gpus; i++) {
                        int gpu;

                        if (gpu_need_is_any(&needs->gpus[i]) != (round == 1))
                                continue;
                        gpu = pick_gpu(room, &needs->gpus[i], taken);
                        if (gpu == NO_GPU)
                                return false;
                        taken |= UINT64_C(1) << gpu;
                        ret_gpus[i] = (unsigned)gpu;
                }
        return true;
}

void room_take(Room *room, const Needs *needs, const unsigned *gpus) {
        room->memory_bytes -= needs->memory_bytes;
        room->n_cpus -= needs->cpus;
        take_tokens(room, needs);
        for (unsigned i = 0; i < needs->n_gpus; i++) {
                bool whole = needs->gpus[i].bytes == GPU_WHOLE;

                room->n_tasks[gpus[i]]++;
                room->whole[gpus[i]] |= whole;
                room->gpu_bytes[gpus[i]] -= whole ? 0 : needs->gpus[i].bytes;
        }
}

void room_give_back(Room *room, const Needs *needs, const unsigned *gpus) {
        room->memory_bytes += needs->memory_bytes;
        room->n_cpus += needs->cpus;
        for (unsigned i = 0; i < needs->n_tokens; i++) {
                uint64_t *n = tokens_of(room, &needs->tokens[i]);

                if (n)
                        *n += needs->tokens[i].n;
        }
        for (unsigned i = 0; i < needs->n_gpus; i++) {
                bool whole = needs->gpus[i].bytes == GPU_WHOLE;

                room->n_tasks[gpus[i]]--;
                room->whole[gpus[i]] &= !whole;
                room->gpu_bytes[gpus[i]] += whole ? 0 : needs->gpus[i].bytes;
        }
}
