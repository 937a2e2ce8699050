#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Workloads: what a machine is given to do in one simulation
 *
 * Made from a trace, for a machine, by a seed. All chance is in here: it is drawn task by task, before anything is decided, so
 * that every policy has the very same tasks to deal with.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/needs.h"
#include "sim/trace.h"
#include "util/macro.h"

/* The machine that is simulated. */
typedef struct SimMachine {
        uint64_t memory_bytes;
        unsigned n_cpus; /* 0: cores are not reckoned with, whatever tasks ask for */
        unsigned n_gpus;
        uint64_t gpu_bytes[GPU_MAX];
        unsigned n_tokens;
        Token tokens[TOKENS_MAX]; /* others are not reckoned with, whoever asks for them */
} SimMachine;

typedef struct WorkloadOptions {
        SimMachine machine;
        uint64_t
                load_permille; /* arrivals are moved closer, or apart, until there is so much to do; 0: as recorded */
        uint64_t jitter_us; /* each task comes later by up to that */
        unsigned
                error_pct; /* what is asked for differs from what is taken by up to that, either way */
        uint64_t
                estimate_permille; /* users say up to so many times as long as it takes; from 1000 on */
        unsigned
                with_time_pct; /* of tasks that are run with a time limit, and that is the estimate */
        unsigned outside_pct; /* of the machine that people take beside the queue, on the average */
        unsigned n_users;     /* where the trace has none */
        uint64_t ramp_us;     /* until a task has taken all its memory, at most */
} WorkloadOptions;

/* A task, and what it will do. */
typedef struct Job {
        size_t number; /* in the trace */
        unsigned user;
        unsigned priority;
        Needs needs;      /* as asked for; GPU i of the machine is "GPU-i" */
        uint64_t program; /* the same for what its user takes for runs of the same */
        uint64_t time_limit_us;
        bool delay_given;
        uint64_t delay_us;

        uint64_t arrival_us;
        uint64_t duration_us;
        uint64_t estimate_us; /* its user's, never less than it takes */
        uint64_t ramp_us;
        uint64_t memory_bytes; /* that it really takes at most */
        uint64_t
                gpu_bytes; /* likewise, of each of its GPUs; GPU_WHOLE of needs: of the machine's smallest */
} Job;

/* Somebody takes memory without taskflow. */
typedef struct Outsider {
        uint64_t from_us, to_us;
        uint64_t memory_bytes;
        unsigned gpu; /* if the machine has one */
        uint64_t gpu_bytes;
} Outsider;

typedef struct Workload {
        size_t n_jobs;
        Job *jobs; /* owned; by arrival */
        size_t n_outsiders;
        Outsider *outsiders; /* owned; by from_us */
        unsigned n_users;
        int64_t *uids; /* owned; of each user, as the trace has it; NULL: it has none */
        double load; /* what there is to do, of what the machine could do meanwhile: GPUs, RAM or cores, whichever is most */
} Workload;

/**
 * workload_make() - what a trace means for a machine
 * @ret:        overwritten on success; release with workload_done()
 * @trace:      with one task at least
 *
 * Whoever asks for more than the machine has, asks for all of it; for more GPUs, for all.
 *
 * Return: 0 or -ENOMEM.
 */
int workload_make(Workload *ret, const Trace *trace, const WorkloadOptions *options, uint64_t seed);
void workload_done(Workload *workload);

/* So much of a resource is asked for at most: what is always kept free must not make a task impossible. */
uint64_t workload_ask_max(uint64_t total_bytes);

/* The smallest GPU; 0: there is none. */
uint64_t sim_machine_smallest_gpu(const SimMachine *machine);
