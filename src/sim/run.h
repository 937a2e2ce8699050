#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * A simulation: a workload, a scheduler, and a clock that jumps from event to event
 *
 * What runs out of memory ends there; its user sees that, asks for half as much again, and starts it again a minute later, up to
 * ten times. Its wait is all the time that it did not spend in the run that came to its end.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "settings/settings.h"
#include "sim/alarms.h"
#include "sim/workload.h"
#include "sim/world.h"
#include "util/error.h"

typedef struct Scheduler Scheduler;

enum {
        RUN_TRIES_MAX = 10,
        RUN_AGAIN_S = 60,
        RUN_PASSES_MAX = 1 << 22, /* of which it is known what they took: the last ones */
};

/* How it went for a job. */
typedef struct Course {
        Needs needs;       /* owned; as they are asked for by now */
        Running *running;  /* owned; NULL: it does not run */
        size_t place;      /* then: in run->active */
        Running *last;     /* owned; the one that is over */
        unsigned n_tries;  /* starts */
        uint64_t start_us; /* of the last one */
        uint64_t end_us;
        bool over;
        bool refused; /* the scheduler can never start it */
        bool given_up;
} Course;

typedef struct Run {
        const Workload *workload;   /* borrowed */
        const SimMachine *machine;  /* borrowed */
        const Scheduler *scheduler; /* borrowed */
        void *self;                 /* the scheduler's own */
        uint64_t look_each_us;
        World world;
        Course *courses; /* owned; of each job */
        size_t *active;  /* owned; jobs that run */
        size_t n_active;
        Outsider *outsiders; /* owned; with what they got */
        size_t n_waiting;
        size_t n_open; /* jobs that are not over */

        Alarms alarms;
        uint64_t last_look_us;
        uint64_t look_at_us; /* when the next one is; UINT64_MAX: not at all */
        uint64_t wake_at_us;
        bool changed; /* since the last look */

        uint64_t n_ooms;
        size_t n_passes;
        size_t n_passes_allocated;
        uint32_t *passes_ns; /* owned; what each pass took, a ring */
} Run;

/**
 * run_all() - from the first arrival to the last end
 * @ret:        overwritten on success; release with run_done()
 * @settings:   of taskflow; how often to look at the machine is of all
 *
 * Return: 0, or negative errno with @error (-EDEADLK: some task was never started).
 */
int run_all(Run *ret,
            const Workload *workload,
            const SimMachine *machine,
            const Scheduler *scheduler,
            const Settings *settings,
            Error *error);
void run_done(Run *run);

/**
 * run_start() - for schedulers: a waiting job starts
 * @gpus:       as many as it needs, all different
 *
 * Return: 0 or -ENOMEM.
 */
int run_start(Run *run, size_t job, const unsigned *gpus);
