/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * A regular look tells what it told before, unless something has changed since: so it is only taken then, in the second in
 * which the daemon would, and once a minute besides.
 */

#include "sim/run.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sim/scheduler.h"
#include "util/macro.h"

enum {
        LOOK_AT_LEAST_S = 60,
        REPORT_AFTER_MS = 1000, /* a runner looks every two seconds */
        JOB_BITS = 32,          /* of an alarm's argument; the number of the try is above */
};

/* Further than anybody plans. */
#define RUN_MAX_US (1000 * TRACE_YEAR_US)

enum {
        ALARM_ARRIVAL,
        ALARM_AGAIN,
        ALARM_STEP,
        ALARM_REPORT,
        ALARM_END,
        ALARM_LOOK,
        ALARM_WAKE,
        ALARM_COMES,
        ALARM_GOES,
};

static int set_alarm(Run *run, uint64_t after_us, int what, uint64_t arg) {
        return alarms_set(&run->alarms, run->world.now_us + after_us, what, arg);
}

/* What an alarm of a job says, unless it is of an earlier try. */
static uint64_t try_of(const Run *run, size_t job) {
        return job | (uint64_t)run->courses[job].n_tries << JOB_BITS;
}

static size_t job_of(uint64_t arg) {
        return arg & UINT32_MAX;
}

static Running *running_of(const Run *run, uint64_t arg) {
        size_t job = job_of(arg);

        return arg == try_of(run, job) ? run->courses[job].running : NULL;
}

/* -- the life of a job -- */

int run_start(Run *run, size_t job, const unsigned *gpus) {
        Course *course = &run->courses[job];
        unsigned n_gpus = run->workload->jobs[job].needs.n_gpus;
        Running *running = calloc(1, sizeof(*running) + n_gpus * sizeof(*gpus));
        int r;

        assert(!course->running && !course->over);
        if (!running)
                return -ENOMEM;
        course->running = running;
        running->job = &run->workload->jobs[job];
        running->needs = &course->needs;
        running->start_us = run->world.now_us;
        if (n_gpus > 0)
                memcpy(running->gpus, gpus, n_gpus * sizeof(*gpus));

        course->n_tries++;
        course->start_us = run->world.now_us;
        course->place = run->n_active;
        run->active[run->n_active++] = job;
        run->n_waiting--;
        run->changed = true;
        world_begin(&run->world, running);

        r = set_alarm(run, 0, ALARM_STEP, try_of(run, job));
        if (r == 0)
                r = set_alarm(run, running->job->duration_us, ALARM_END, try_of(run, job));
        return r;
}

/* It runs no more. */
static int leave(Run *run, size_t job, bool failed) {
        Course *course = &run->courses[job];

        world_end(&run->world, course->running);
        free(course->last);
        course->last = TAKE_PTR(course->running);
        course->end_us = run->world.now_us;
        run->active[course->place] = run->active[--run->n_active];
        run->courses[run->active[course->place]].place = course->place;
        run->changed = true;
        return run->scheduler->ended(run->self, job, failed);
}

static void finish(Run *run, size_t job) {
        run->courses[job].over = true;
        run->n_open--;
}

static int submit(Run *run, size_t job) {
        int r = run->scheduler->submit(run->self, job);

        run->changed = true;
        if (r == SCHEDULER_E_REFUSED) {
                run->courses[job].refused = true;
                finish(run, job);
                return 0;
        }
        run->n_waiting++;
        return r;
}

static int on_arrival(Run *run, size_t job) {
        if (job + 1 < run->workload->n_jobs) {
                int r = alarms_set(&run->alarms, run->workload->jobs[job + 1].arrival_us,
                                   ALARM_ARRIVAL, job + 1);

                if (r < 0)
                        return r;
        }
        return submit(run, job);
}

/* Half as much again of whatever it asked for, because nobody told which of it was too little. */
static void ask_for_more(Run *run, size_t job) {
        uint64_t gpu_max = workload_ask_max(sim_machine_smallest_gpu(run->machine));
        Needs *needs = &run->courses[job].needs;

        needs->memory_bytes = MIN(needs->memory_bytes + needs->memory_bytes / 2,
                                  workload_ask_max(run->machine->memory_bytes));
        for (unsigned i = 0; i < needs->n_gpus; i++) {
                GpuNeed *gpu = &needs->gpus[i];

                if (gpu->bytes != GPU_WHOLE)
                        gpu->bytes += gpu->bytes / 2;
                if (gpu->bytes > gpu_max)
                        gpu->bytes = GPU_WHOLE;
        }
}

static int on_out_of_memory(Run *run, size_t job) {
        int r = leave(run, job, true);

        run->n_ooms++;
        if (r < 0)
                return r;
        ask_for_more(run, job);
        if (run->courses[job].n_tries < RUN_TRIES_MAX)
                return set_alarm(run, RUN_AGAIN_S * US_PER_SEC, ALARM_AGAIN, job);
        run->courses[job].given_up = true;
        finish(run, job);
        return 0;
}

static int on_step(Run *run, uint64_t arg) {
        Running *running = running_of(run, arg);
        int r = 0;

        if (!running)
                return 0;
        if (!world_grow(&run->world, running))
                return on_out_of_memory(run, job_of(arg));
        run->changed = true;
        if (running->step < WORLD_STEPS)
                r = alarms_set(&run->alarms,
                               running->start_us + world_step_us(running->job, running->step),
                               ALARM_STEP, arg);
        if (r == 0 && run->scheduler->report)
                r = set_alarm(run, REPORT_AFTER_MS * US_PER_MSEC, ALARM_REPORT, arg);
        return r;
}

static int on_report(Run *run, uint64_t arg) {
        if (!running_of(run, arg))
                return 0;
        run->changed = true;
        return run->scheduler->report(run->self, job_of(arg));
}

static int on_end(Run *run, uint64_t arg) {
        if (!running_of(run, arg))
                return 0;
        finish(run, job_of(arg));
        return leave(run, job_of(arg), false);
}

/* -- people beside the queue -- */

static int on_outsider(Run *run, int what, size_t i) {
        Outsider *outsider = &run->outsiders[i];
        int r;

        run->changed = true;
        if (what == ALARM_GOES) {
                world_outsider_goes(&run->world, outsider);
                return 0;
        }
        world_outsider_comes(&run->world, outsider);
        r = alarms_set(&run->alarms, outsider->to_us, ALARM_GOES, i);
        if (r == 0 && i + 1 < run->workload->n_outsiders)
                r = alarms_set(&run->alarms, outsider[1].from_us, ALARM_COMES, i + 1);
        return r;
}

/* -- the daemon's turn -- */

static uint64_t clock_ns(void) {
        struct timespec ts;

        (void)clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static int note_pass(Run *run, uint64_t ns) {
        if (run->n_passes == run->n_passes_allocated && run->n_passes < RUN_PASSES_MAX) {
                size_t n = MIN(2 * run->n_passes_allocated + 1024, (size_t)RUN_PASSES_MAX);
                uint32_t *grown = reallocarray(run->passes_ns, n, sizeof(*grown));

                if (!grown)
                        return -ENOMEM;
                run->passes_ns = grown;
                run->n_passes_allocated = n;
        }
        run->passes_ns[run->n_passes++ % RUN_PASSES_MAX] = (uint32_t)MIN(ns, (uint64_t)UINT32_MAX);
        return 0;
}

static int plan(Run *run) {
        uint64_t wake_us = UINT64_MAX, begin_ns = clock_ns();
        int r;

        if (run->n_waiting == 0)
                return 0;
        r = run->scheduler->plan(run->self, &wake_us);
        if (r == 0)
                r = note_pass(run, clock_ns() - begin_ns);
        if (r == 0 && wake_us != UINT64_MAX && wake_us != run->wake_at_us) {
                run->wake_at_us = wake_us;
                r = alarms_set(&run->alarms, MAX(wake_us, run->world.now_us), ALARM_WAKE, 0);
        }
        return r;
}

static int on_look(Run *run, uint64_t at_us) {
        if (at_us != run->look_at_us)
                return 0; /* it was put forward */
        run->look_at_us = UINT64_MAX;
        run->last_look_us = at_us;
        run->changed = false;
        return run->scheduler->look(run->self);
}

/* Sees to the next look, if anybody waits for what it would tell. */
static int mind_looks(Run *run) {
        uint64_t each_us = run->changed ? run->look_each_us :
                                          MAX(run->look_each_us, LOOK_AT_LEAST_S * US_PER_SEC);
        uint64_t at_us = MAX(run->last_look_us + each_us, run->world.now_us);

        if (!run->scheduler->look || run->n_waiting == 0 || at_us >= run->look_at_us)
                return 0;
        run->look_at_us = at_us;
        return alarms_set(&run->alarms, at_us, ALARM_LOOK, 0);
}

static int ring(Run *run, const Alarm *alarm) {
        switch (alarm->what) {
        case ALARM_ARRIVAL:
                return on_arrival(run, alarm->arg);
        case ALARM_AGAIN:
                return submit(run, alarm->arg);
        case ALARM_STEP:
                return on_step(run, alarm->arg);
        case ALARM_REPORT:
                return on_report(run, alarm->arg);
        case ALARM_END:
                return on_end(run, alarm->arg);
        case ALARM_LOOK:
                return on_look(run, alarm->at_us);
        case ALARM_COMES:
        case ALARM_GOES:
                return on_outsider(run, alarm->what, alarm->arg);
        default:
                return 0; /* to plan again */
        }
}

static int step(Run *run, Error *error) {
        Alarm alarm = alarms_take(&run->alarms);
        int r;

        if (alarm.at_us > RUN_MAX_US)
                return error_set(error, -EOVERFLOW, "it would take more than 1000 years");
        world_advance(&run->world, alarm.at_us);
        r = ring(run, &alarm);
        /* to take more, or to come, makes room for nobody */
        if (r == 0 && alarm.what != ALARM_STEP && alarm.what != ALARM_COMES)
                r = plan(run);
        if (r == 0)
                r = mind_looks(run);
        return r < 0 ? error_set(error, r, "the simulation failed: %s", strerror(-r)) : 0;
}

/* Whether it goes round and round: all is over that could make room, and yet somebody waits. */
static bool is_stuck(const Run *run) {
        uint64_t last_us = run->workload->jobs[run->workload->n_jobs - 1].arrival_us;

        return run->n_active == 0 && run->n_waiting > 0 && run->world.now_us > last_us &&
               run->world.now_us - last_us > TRACE_DURATION_MAX;
}

static int init(Run *run, const Settings *settings) {
        size_t n_outsiders = run->workload->n_outsiders;
        int r;

        run->courses = calloc(run->workload->n_jobs, sizeof(Course));
        run->active = calloc(run->workload->n_jobs, sizeof(size_t));
        run->outsiders = calloc(n_outsiders + 1, sizeof(Outsider));
        if (!run->courses || !run->active || !run->outsiders)
                return -ENOMEM;
        if (n_outsiders > 0)
                memcpy(run->outsiders, run->workload->outsiders, n_outsiders * sizeof(Outsider));

        for (size_t i = 0; i < run->workload->n_jobs; i++)
                if (needs_copy(&run->courses[i].needs, &run->workload->jobs[i].needs) < 0)
                        return -ENOMEM;

        world_init(&run->world, run->machine);
        r = run->scheduler->create(&run->self, run, settings);
        if (r == 0)
                r = alarms_set(&run->alarms, run->workload->jobs[0].arrival_us, ALARM_ARRIVAL, 0);
        if (r == 0 && n_outsiders > 0)
                r = alarms_set(&run->alarms, run->outsiders[0].from_us, ALARM_COMES, 0);
        return r;
}

/* NOLINTNEXTLINE(readability-function-size): what makes a simulation */
int run_all(Run *ret,
            const Workload *workload,
            const SimMachine *machine,
            const Scheduler *scheduler,
            const Settings *settings,
            Error *error) {
        Run run = {
                .workload = workload,
                .machine = machine,
                .scheduler = scheduler,
                .look_each_us = settings->sample_interval_us,
                .n_open = workload->n_jobs,
                .look_at_us = UINT64_MAX,
                .wake_at_us = UINT64_MAX,
        };
        int r;

        /* what the scheduler keeps is where it stays */
        *ret = run;
        r = init(ret, settings);
        if (r < 0)
                (void)error_set(error, r, "%s", strerror(-r));
        while (r == 0 && ret->n_open > 0) {
                if (ret->alarms.n == 0 || is_stuck(ret))
                        r = error_set(error, -EDEADLK, "%s: %zu of %zu tasks never start",
                                      scheduler->name, ret->n_waiting, workload->n_jobs);
                else
                        r = step(ret, error);
        }
        if (r < 0)
                run_done(ret);
        return r;
}

static void course_done(Course *course) {
        needs_done(&course->needs);
        free(course->running);
        free(course->last);
}

void run_done(Run *run) {
        if (run->self)
                run->scheduler->destroy(run->self);
        for (size_t i = 0; run->courses && i < run->workload->n_jobs; i++)
                course_done(&run->courses[i]);
        free(run->courses);
        free(run->active);
        free(run->outsiders);
        free(run->passes_ns);
        alarms_done(&run->alarms);
        *run = (Run){};
}
