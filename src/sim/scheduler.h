#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Schedulers: what a simulation compares
 *
 * taskflow's own core, with settings; and what else people use, to measure it by. All get the same events, and start tasks
 * with run_start().
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "settings/settings.h"
#include "sim/run.h"
#include "util/error.h"

/* submit() */
enum {
        SCHEDULER_E_REFUSED = 1, /* it can never start, and is not kept */
};

struct Scheduler {
        const char *name;
        const char *help; /* a phrase */

        /* @settings: of taskflow, borrowed; others leave them alone. Return: 0 or negative errno. */
        int (*create)(void **ret, Run *run, const Settings *settings);
        void (*destroy)(void *self);

        int (*submit)(void *self, size_t job);
        int (*ended)(void *self, size_t job, bool failed);
        int (*report)(void *self,
                      size_t job); /* what it holds of RAM is told; NULL: nobody listens */
        int (*look)(void *self);   /* the regular one; NULL: nobody looks */

        /* Starts what may start. @ret_wake_us: when to be asked again, whatever happens; UINT64_MAX: never */
        int (*plan)(void *self, uint64_t *ret_wake_us);
};

extern const Scheduler scheduler_core;
extern const Scheduler scheduler_fcfs;
extern const Scheduler scheduler_first_fit;
extern const Scheduler scheduler_easy;
extern const Scheduler scheduler_sjf;

/* All of them, ended by NULL; the core first. */
extern const Scheduler *const schedulers[];
