/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * What else people use
 *
 * All but first-fit believe what tasks asked for, and look at nothing: as Slurm does on one machine. None knows users, or
 * priorities. Why each is here is said in docs/scheduling.md.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sim/room.h"
#include "sim/scheduler.h"
#include "util/macro.h"

typedef struct Other {
        Run *run;  /* borrowed */
        Room room; /* by what was asked for */
        size_t n_waiting;
        size_t *waiting;   /* owned; in the order in which they are to go */
        bool by_duration;  /* the shortest first */
        bool has_looked;   /* since the last pass */
        Running **running; /* owned; of room_measured(), and by their ends */
} Other;

static const Job *job_of(const Other *self, size_t job) {
        return &self->run->workload->jobs[job];
}

/* What it asks for by now. */
static const Needs *needs_of(const Other *self, size_t job) {
        return &self->run->courses[job].needs;
}

static int create(void **ret, Run *run, const Settings *settings) {
        Other *self = calloc(1, sizeof(*self));

        if (!self)
                return -ENOMEM;
        self->run = run;
        self->room = room_all(run->machine);
        self->waiting = calloc(run->workload->n_jobs, sizeof(*self->waiting));
        self->running = calloc(run->workload->n_jobs, sizeof(*self->running));
        *ret = self;
        return self->waiting && self->running ? 0 : -ENOMEM;
}

static int create_sjf(void **ret, Run *run, const Settings *settings) {
        int r = create(ret, run, settings);

        if (r == 0)
                ((Other *)*ret)->by_duration = true;
        return r;
}

static void destroy(void *userdata) {
        Other *self = userdata;

        free(self->waiting);
        free(self->running);
        free(self);
}

static int submit(void *userdata, size_t job) {
        Other *self = userdata;
        unsigned gpus[NEEDS_GPUS_MAX];
        Room all = room_all(self->run->machine);
        size_t at = self->n_waiting;

        if (!room_fits(&all, needs_of(self, job), gpus))
                return SCHEDULER_E_REFUSED;
        while (self->by_duration && at > 0 &&
               job_of(self, self->waiting[at - 1])->duration_us > job_of(self, job)->duration_us)
                at--;
        memmove(self->waiting + at + 1, self->waiting + at,
                (self->n_waiting - at) * sizeof(*self->waiting));
        self->waiting[at] = job;
        self->n_waiting++;
        return 0;
}

static int ended(void *userdata, size_t job, bool failed) {
        return 0;
}

/* What runs, and what is left of the machine if it takes what it asked for. Returns how many they are. */
static size_t reckon(Other *self) {
        const Run *run = self->run;

        self->room = room_all(run->machine);
        for (size_t i = 0; i < run->n_active; i++) {
                self->running[i] = run->courses[run->active[i]].running;
                room_take(&self->room, self->running[i]->needs, self->running[i]->gpus);
        }
        return run->n_active;
}

/* Starts one; where it stood in line is to be closed with close_line(). */
static int start(Other *self, size_t at, const unsigned *gpus) {
        size_t job = self->waiting[at];

        self->waiting[at] = SIZE_MAX;
        room_take(&self->room, needs_of(self, job), gpus);
        return run_start(self->run, job, gpus);
}

static void close_line(Other *self) {
        size_t n = 0;

        for (size_t i = 0; i < self->n_waiting; i++)
                if (self->waiting[i] != SIZE_MAX)
                        self->waiting[n++] = self->waiting[i];
        self->n_waiting = n;
}

/* From the first on; those that do not fit are stepped over, or (@in_order) end it. */
static int start_fitting(Other *self, bool in_order) {
        unsigned gpus[NEEDS_GPUS_MAX];
        int r = 0;

        for (size_t i = 0; i < self->n_waiting && r == 0; i++) {
                if (room_fits(&self->room, needs_of(self, self->waiting[i]), gpus))
                        r = start(self, i, gpus);
                else if (in_order)
                        break;
        }
        close_line(self);
        return r;
}

static int plan_fcfs(void *userdata, uint64_t *ret_wake_us) {
        (void)reckon(userdata);
        return start_fitting(userdata, true);
}

static int plan_sjf(void *userdata, uint64_t *ret_wake_us) {
        (void)reckon(userdata);
        return start_fitting(userdata, false);
}

/* -- first fit -- */

static int look(void *userdata) {
        ((Other *)userdata)->has_looked = true;
        return 0;
}

/* What it started in this pass it remembers until the next look, and not longer. */
static int plan_first_fit(void *userdata, uint64_t *ret_wake_us) {
        Other *self = userdata;
        size_t n;

        if (!self->has_looked)
                return 0;
        self->has_looked = false;
        n = reckon(self);
        self->room = room_measured(self->run->machine, &self->run->world, self->running, n);
        return start_fitting(self, false);
}

/* -- EASY -- */

static uint64_t expected_end_us(const Running *running) {
        return running->start_us + running->job->estimate_us;
}

static int compare_ends(const void *a, const void *b) {
        uint64_t x = expected_end_us(*(Running *const *)a);
        uint64_t y = expected_end_us(*(Running *const *)b);

        return (x > y) - (x < y);
}

/* When there would be room for the first in line, and what is free then; in @ret_gpus where. */
static uint64_t find_shadow(Other *self, size_t n_running, Room *ret, unsigned *ret_gpus) {
        const Needs *needs = needs_of(self, self->waiting[0]);
        size_t i = 0;

        *ret = self->room;
        qsort(self->running, n_running, sizeof(*self->running), compare_ends);
        while (!room_fits(ret, needs, ret_gpus) && i < n_running) {
                room_give_back(ret, self->running[i]->needs, self->running[i]->gpus);
                i++;
        }
        return i > 0 ? expected_end_us(self->running[i - 1]) : self->run->world.now_us;
}

/* Whether the first in line would still have its room, were this one there. */
static bool leaves_room(const Other *self,
                        const Room *shadow,
                        const Needs *needs,
                        const unsigned *gpus) {
        unsigned first_gpus[NEEDS_GPUS_MAX];
        Room after = *shadow;

        for (unsigned i = 0; i < needs->n_gpus; i++)
                if (after.whole[gpus[i]])
                        return false;
        if (after.memory_bytes < needs->memory_bytes || after.n_cpus < needs->cpus ||
            !room_has_tokens(&after, needs))
                return false;
        room_take(&after, needs, gpus);
        return room_fits(&after, needs_of(self, self->waiting[0]), first_gpus);
}

static int backfill(Other *self) {
        unsigned gpus[NEEDS_GPUS_MAX];
        uint64_t shadow_us, now_us = self->run->world.now_us;
        Room shadow;
        int r = 0;

        shadow_us = find_shadow(self, reckon(self), &shadow, gpus);
        for (size_t i = 1; i < self->n_waiting && r == 0; i++) {
                const Job *job = job_of(self, self->waiting[i]);
                const Needs *needs = needs_of(self, self->waiting[i]);
                bool in_time = now_us + job->estimate_us <= shadow_us;

                if (!room_fits(&self->room, needs, gpus) ||
                    (!in_time && !leaves_room(self, &shadow, needs, gpus)))
                        continue;
                if (!in_time)
                        room_take(&shadow, needs, gpus);
                r = start(self, i, gpus);
        }
        close_line(self);
        return r;
}

static int plan_easy(void *userdata, uint64_t *ret_wake_us) {
        Other *self = userdata;
        int r;

        (void)reckon(self);
        r = start_fitting(self, true);
        return r == 0 && self->n_waiting > 1 ? backfill(self) : r;
}

const Scheduler scheduler_fcfs = {
        .name = "fcfs",
        .help = "first come, first served: nobody overtakes",
        .create = create,
        .destroy = destroy,
        .submit = submit,
        .ended = ended,
        .plan = plan_fcfs,
};

const Scheduler scheduler_first_fit = {
        .name = "first-fit",
        .help = "whatever fits what is measured to be free; nothing is remembered, nothing kept",
        .create = create,
        .destroy = destroy,
        .submit = submit,
        .ended = ended,
        .look = look,
        .plan = plan_first_fit,
};

const Scheduler scheduler_easy = {
        .name = "easy",
        .help = "EASY backfill with the users' estimates",
        .create = create,
        .destroy = destroy,
        .submit = submit,
        .ended = ended,
        .plan = plan_easy,
};

const Scheduler scheduler_sjf = {
        .name = "sjf",
        .help = "the shortest first, by knowing how long each will take",
        .create = create_sjf,
        .destroy = destroy,
        .submit = submit,
        .ended = ended,
        .plan = plan_sjf,
};

const Scheduler *const schedulers[] = {
        &scheduler_core, &scheduler_fcfs, &scheduler_first_fit,
        &scheduler_easy, &scheduler_sjf,  NULL,
};
