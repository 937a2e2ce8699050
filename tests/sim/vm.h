#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * A virtual machine
 *
 * A clock that jumps from event to event, RAM and GPUs, tasks that take memory bit by bit, people
 * who use the machine without taskflow, runners that die or do not answer, and a GPU probe that is
 * slow or silent. It does with the core what the daemon does: looks, plans, offers.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/rng.h"

#include "drive.h"

enum {
        VM_GPUS_MAX = 8,
};

/* What a task will do, that nobody knows before. */
typedef struct Job {
        Task *task; /* taken; its id is given at its arrival */
        uint64_t arrival_us;
        uint64_t ram_bytes; /* takes at most */
        uint64_t gpu_bytes; /* on each of its GPUs */
        uint64_t ramp_us;   /* from nothing to that */
        uint64_t duration_us;
        bool lies;          /* its use can't be measured */
        unsigned n_silent;  /* offers that it will not answer */
        bool dies;          /* its runner, with the first offer open */
        bool is_killed;     /* its runner, while it runs: lost, and corrected later */
        unsigned n_crashes; /* of the machine, while it runs; it asked for `requeue` */

        uint64_t id;
        uint64_t limit_us; /* its task's time limit */
        uint64_t queued_us;
        uint64_t start_us; /* 0: not yet */
        bool over;
        TaskState end; /* then: how */
        size_t n_grants;
        unsigned grants[VM_GPUS_MAX]; /* GPUs it has */
} Job;

typedef struct VmOptions {
        Policy policy;
        uint64_t seed;
        uint64_t ram_bytes;
        unsigned n_gpus;
        uint64_t gpu_bytes;
        bool outsiders;          /* people beside taskflow come and go */
        unsigned outage_percent; /* of looks at the GPUs that get no answer */
        uint64_t probe_us;       /* a look at the GPUs takes at most that long */
        bool hides_uses;         /* the driver does not tell what each process uses */
} VmOptions;

typedef struct VmStats {
        uint64_t n_jobs, n_started, n_done, n_lost, n_withdrawn, n_again;
        uint64_t n_overflows; /* looks at which more was taken than there is */
        uint64_t wait_sum_us, wait_max_us;
        uint64_t busy_gpu_us; /* GPUs times time that they were held */
        uint64_t end_us;
} VmStats;

typedef struct Vm Vm;

typedef struct VmAlarm {
        uint64_t at_us;
        uint64_t order; /* of two at one time the one that was set first */
        void (*ring)(Vm *vm, uint64_t arg);
        uint64_t arg;
} VmAlarm;

struct Vm {
        Drive drive;
        Rng rng;
        VmOptions options;
        VmStats stats;
        Job *jobs;
        size_t n_jobs;  /* by id; behind an array its elements, from 0 on */
        size_t n_tasks; /* jobs that are no elements */
        size_t n_open;  /* of them that are not over */
        size_t n_active;
        uint64_t *active; /* jobs that run, by their place in @jobs */
        uint64_t outside_ram_bytes;
        uint64_t outside_gpu_bytes[VM_GPUS_MAX];
        bool gpu_is_gone[VM_GPUS_MAX];
        VmAlarm *alarms; /* a heap */
        size_t n_alarms, n_alarms_max;
        uint64_t n_alarms_set;
        bool probe_is_asked;
        bool ticks;
        uint64_t wake_us;
};

void vm_init(Vm *vm, const VmOptions *options);
void vm_done(Vm *vm);

/*
 * A job that will come at its time; its task is taken. All are added before the run, in the order in
 * which they come. Of an array the elements 0 to n - 1 wait; each does what the job says. What the
 * task waits for was added before. Returns its id.
 */
uint64_t vm_add(Vm *vm, const Job *job);

/* Until all jobs are over. Returns whether every rule was kept. */
bool vm_run(Vm *vm);
