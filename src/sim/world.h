#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The machine in a simulation: what is really taken of it
 *
 * Tasks take their memory in some steps from their start on; people beside the queue take what they get. Whoever wants more than
 * is left ends there: a task that runs out of memory. What a policy believes is not known here.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/workload.h"

enum {
        WORLD_STEPS = 4, /* in which a task takes its memory, the first at its start */
};

/* A task that runs. */
typedef struct Running {
        const Job *job;     /* borrowed */
        const Needs *needs; /* borrowed: what was asked for this time */
        uint64_t start_us;
        unsigned step;   /* so many of WORLD_STEPS were taken */
        unsigned gpus[]; /* as many as it needs */
} Running;

typedef struct World {
        const SimMachine *machine; /* borrowed */
        uint64_t now_us;
        uint64_t memory_bytes; /* taken by tasks */
        uint64_t gpu_bytes[GPU_MAX];
        unsigned n_tasks[GPU_MAX]; /* on each GPU */
        uint64_t outside_memory_bytes;
        uint64_t outside_gpu_bytes[GPU_MAX];
        unsigned n_outside[GPU_MAX]; /* processes */

        /* over all the time so far, in units times microseconds */
        double memory_sum;
        double gpu_memory_sum;
        double gpu_sum; /* GPUs that a task has */
} World;

void world_init(World *world, const SimMachine *machine);

/* The time goes on, up to @now_us. */
void world_advance(World *world, uint64_t now_us);

/* How much is left of a resource. */
uint64_t world_free_memory(const World *world);
uint64_t world_free_gpu(const World *world, unsigned gpu);

/* A task begins on its GPUs. It has no memory yet: world_grow(). */
void world_begin(World *world, const Running *running);

/* It takes the next step. Returns false if there is not so much: nothing was taken. */
bool world_grow(World *world, Running *running);

/* When, after its start, it takes step @step. */
uint64_t world_step_us(const Job *job, unsigned step);

/* What it holds of RAM, or of each of its GPUs, of so much in all. */
uint64_t world_held(const Running *running, uint64_t bytes);

/* It gives back all it has. */
void world_end(World *world, const Running *running);

/* Somebody comes, and gets at most what is left: written to @outsider; or goes. */
void world_outsider_comes(World *world, Outsider *outsider);
void world_outsider_goes(World *world, const Outsider *outsider);
