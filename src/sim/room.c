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
        return room;
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

bool room_fits(const Room *room, const Needs *needs, unsigned ret_gpus[static NEEDS_GPUS_MAX]) {
        uint64_t taken = 0;

        if (needs->memory_bytes > room->memory_bytes || needs->cpus > room->n_cpus)
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
        for (unsigned i = 0; i < needs->n_gpus; i++) {
                bool whole = needs->gpus[i].bytes == GPU_WHOLE;

                room->n_tasks[gpus[i]]--;
                room->whole[gpus[i]] &= !whole;
                room->gpu_bytes[gpus[i]] += whole ? 0 : needs->gpus[i].bytes;
        }
}
