/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "sim/world.h"

#include <assert.h>

#include "util/macro.h"

void world_init(World *world, const SimMachine *machine) {
        *world = (World){ .machine = machine };
}

void world_advance(World *world, uint64_t now_us) {
        double us = (double)(now_us - world->now_us);

        assert(now_us >= world->now_us);
        world->now_us = now_us;
        world->memory_sum += us * (double)world->memory_bytes;
        for (unsigned i = 0; i < world->machine->n_gpus; i++) {
                world->gpu_memory_sum += us * (double)world->gpu_bytes[i];
                world->gpu_sum += world->n_tasks[i] > 0 ? us : 0;
        }
}

uint64_t world_free_memory(const World *world) {
        return world->machine->memory_bytes - world->memory_bytes - world->outside_memory_bytes;
}

uint64_t world_free_gpu(const World *world, unsigned gpu) {
        return world->machine->gpu_bytes[gpu] - world->gpu_bytes[gpu] -
               world->outside_gpu_bytes[gpu];
}

static uint64_t part(uint64_t bytes, unsigned step) {
        return (uint64_t)((unsigned __int128)bytes * step / WORLD_STEPS);
}

uint64_t world_held(const Running *running, uint64_t bytes) {
        return part(bytes, running->step);
}

uint64_t world_step_us(const Job *job, unsigned step) {
        return job->ramp_us / (WORLD_STEPS - 1) * step;
}

void world_begin(World *world, const Running *running) {
        for (unsigned i = 0; i < running->job->needs.n_gpus; i++)
                world->n_tasks[running->gpus[i]]++;
}

bool world_grow(World *world, Running *running) {
        const Job *job = running->job;
        uint64_t memory =
                part(job->memory_bytes, running->step + 1) - part(job->memory_bytes, running->step);
        uint64_t gpu =
                part(job->gpu_bytes, running->step + 1) - part(job->gpu_bytes, running->step);

        assert(running->step < WORLD_STEPS);
        if (memory > world_free_memory(world))
                return false;
        for (unsigned i = 0; i < job->needs.n_gpus; i++)
                if (gpu > world_free_gpu(world, running->gpus[i]))
                        return false;

        running->step++;
        world->memory_bytes += memory;
        for (unsigned i = 0; i < job->needs.n_gpus; i++)
                world->gpu_bytes[running->gpus[i]] += gpu;
        return true;
}

void world_end(World *world, const Running *running) {
        const Job *job = running->job;

        world->memory_bytes -= world_held(running, job->memory_bytes);
        for (unsigned i = 0; i < job->needs.n_gpus; i++) {
                world->gpu_bytes[running->gpus[i]] -= world_held(running, job->gpu_bytes);
                world->n_tasks[running->gpus[i]]--;
        }
}

void world_outsider_comes(World *world, Outsider *outsider) {
        unsigned gpu = outsider->gpu;

        outsider->memory_bytes = MIN(outsider->memory_bytes, world_free_memory(world));
        world->outside_memory_bytes += outsider->memory_bytes;
        if (world->machine->n_gpus == 0)
                return;
        outsider->gpu_bytes = MIN(outsider->gpu_bytes, world_free_gpu(world, gpu));
        world->outside_gpu_bytes[gpu] += outsider->gpu_bytes;
        world->n_outside[gpu] += outsider->gpu_bytes > 0;
}

void world_outsider_goes(World *world, const Outsider *outsider) {
        unsigned gpu = outsider->gpu;

        world->outside_memory_bytes -= outsider->memory_bytes;
        if (world->machine->n_gpus == 0)
                return;
        world->outside_gpu_bytes[gpu] -= outsider->gpu_bytes;
        world->n_outside[gpu] -= outsider->gpu_bytes > 0;
}
