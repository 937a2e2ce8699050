/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * taskflow's own core: the events that the daemon would send it, and the starts that it plans
 *
 * The daemon's I/O takes no time here: a look is answered at once, and an offer accepted.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/core.h"
#include "sim/people.h"
#include "sim/scheduler.h"
#include "util/macro.h"

/* The core's clock does not begin at 0, which stands for "never"; the calendar is of no matter. */
#define CLOCK_BEGIN_US (1000 * US_PER_SEC)

typedef struct CoreScheduler {
        Run *run;                 /* borrowed */
        const Settings *settings; /* borrowed */
        Person *people;           /* owned; by user of the workload */
        Core *core;
        size_t n_ids;
        size_t n_ids_allocated;
        size_t *jobs;  /* owned; by id - 1 */
        uint64_t *ids; /* owned; by job: that of its last task */
} CoreScheduler;

static uint64_t clock_us(const CoreScheduler *self) {
        return CLOCK_BEGIN_US + self->run->world.now_us;
}

static Event make_event(const CoreScheduler *self, EventType type, uint64_t id) {
        return (Event){
                .type = type,
                .boot_us = clock_us(self),
                .at_us = clock_us(self),
                .task_id = id,
        };
}

/* An outcome is a fault of this program: it says what cannot be. */
static int apply(CoreScheduler *self, const Event *event) {
        int r = core_apply(self->core, event);

        return r > 0 ? -EPROTO : r;
}

static int apply_simple(CoreScheduler *self, EventType type, uint64_t id) {
        Event event = make_event(self, type, id);

        return apply(self, &event);
}

/* -- looks -- */

static int look_at_memory(CoreScheduler *self) {
        Event event = make_event(self, EVENT_RAM, 0);

        event.ram = (RamSample){
                .total_bytes = self->run->machine->memory_bytes,
                .available_bytes = world_free_memory(&self->run->world),
                .n_offers_before = core_n_offers(self->core),
        };
        return apply(self, &event);
}

static void name_gpu(char uuid[static GPU_UUID_MAX], unsigned gpu) {
        (void)snprintf(uuid, GPU_UUID_MAX, "GPU-%u", gpu);
}

/* What tasks hold on their GPUs. Returns how many of these there are. */
static unsigned list_uses(const CoreScheduler *self, GpuTaskUse *uses, GpuSample *samples) {
        const Run *run = self->run;
        unsigned n = 0;

        for (size_t i = 0; i < run->n_active; i++) {
                const Running *running = run->courses[run->active[i]].running;
                uint64_t bytes = world_held(running, running->job->gpu_bytes);

                for (unsigned k = 0; k < running->job->needs.n_gpus && bytes > 0; k++) {
                        uses[n].task_id = self->ids[run->active[i]];
                        uses[n].used_bytes = bytes;
                        name_gpu(uses[n++].uuid, running->gpus[k]);
                        samples[running->gpus[k]].n_processes++;
                }
        }
        return n;
}

static int look_at_gpus(CoreScheduler *self) {
        const Run *run = self->run;
        Event event = make_event(self, EVENT_GPUS, 0);
        GpuSample samples[GPU_MAX] = {};
        GpuTaskUse *uses;
        size_t n_uses = 1;
        int r;

        for (size_t i = 0; i < run->n_active; i++)
                n_uses += run->workload->jobs[run->active[i]].needs.n_gpus;
        uses = calloc(n_uses, sizeof(*uses));
        if (!uses)
                return -ENOMEM;

        for (unsigned i = 0; i < run->machine->n_gpus; i++) {
                name_gpu(samples[i].uuid, i);
                samples[i].index = i;
                samples[i].total_bytes = run->machine->gpu_bytes[i];
                samples[i].free_bytes = world_free_gpu(&run->world, i);
                samples[i].n_processes = run->world.n_outside[i];
                samples[i].processes_known = true;
        }
        event.gpus = (GpusSample){
                .known = true,
                .n_gpus = run->machine->n_gpus,
                .gpus = samples,
                .n_uses = list_uses(self, uses, samples),
                .uses = uses,
                .n_offers_before = core_n_offers(self->core),
        };
        r = apply(self, &event);
        free(uses);
        return r;
}

static int look(void *userdata) {
        CoreScheduler *self = userdata;
        int r = look_at_memory(self);

        if (r == 0 && self->run->machine->n_gpus > 0)
                r = look_at_gpus(self);
        return r;
}

/* -- the life of a task -- */

static int take_id(CoreScheduler *self, size_t job, uint64_t *ret) {
        if (self->n_ids == self->n_ids_allocated) {
                size_t n = 2 * self->n_ids_allocated + 64;
                size_t *grown = reallocarray(self->jobs, n, sizeof(*grown));

                if (!grown)
                        return -ENOMEM;
                self->jobs = grown;
                self->n_ids_allocated = n;
        }
        self->jobs[self->n_ids++] = job;
        self->ids[job] = self->n_ids;
        *ret = self->n_ids;
        return 0;
}

static const Person *person_of(const CoreScheduler *self, size_t job) {
        return &self->people[self->run->workload->jobs[job].user];
}

/* As the daemon does when somebody comes: the core forgets those who have been away for long. */
static int tell_rules(CoreScheduler *self, const Person *person) {
        UserRules known = core_user_rules(self->core, person->uid);
        Event event = make_event(self, EVENT_USER, 0);

        if (user_rules_equal(&known, &person->rules))
                return 0;
        event.user.uid = person->uid;
        event.user.rules = person->rules;
        return apply(self, &event);
}

/* What counts of the delay that was asked for. */
static void set_delay(const CoreScheduler *self, Task *task, const Job *job, bool is_admin) {
        const Policy *policy = core_policy(self->core);

        task->delay_given = job->delay_given;
        task->delay_us = job->delay_given ? job->delay_us : policy->default_delay_us;
        if (job->delay_given && !is_admin)
                task->delay_us = MIN(task->delay_us, policy->max_delay_us);
}

/* What the daemon would answer to its submission. */
static int judge_task(const CoreScheduler *self, Task *task, const Person *person) {
        int r = core_resolve(self->core, &task->needs, NULL);

        if (r == 0)
                r = core_check_limits(self->core, &person->rules, &task->needs, task->time_limit_us,
                                      NULL);
        if (r != 0)
                return r < 0 ? r : SCHEDULER_E_REFUSED;
        return core_n_waiting_of(self->core, person->uid) < self->settings->max_pending_per_user ?
                       0 :
                       SCHEDULER_E_REFUSED;
}

static int fill_task(CoreScheduler *self, Task *task, size_t i) {
        const Job *job = &self->run->workload->jobs[i];
        const Person *person = person_of(self, i);
        int r;

        r = needs_copy(&task->needs, &self->run->courses[i].needs);
        if (r < 0)
                return r;
        task->time_limit_us = job->time_limit_us;
        r = judge_task(self, task, person);
        if (r != 0)
                return r;
        r = take_id(self, i, &task->id);
        if (r < 0)
                return r;

        if (asprintf(&task->command, "%016" PRIx64, job->program) < 0) {
                task->command = NULL;
                return -ENOMEM;
        }
        memcpy(task->key, &task->id, sizeof(task->id));
        task->uid = person->uid;
        task->priority = job->priority;
        set_delay(self, task, job, person->is_admin);
        return 0;
}

static int submit(void *userdata, size_t job) {
        CoreScheduler *self = userdata;
        Event event = make_event(self, EVENT_SUBMITTED, 0);
        Task *task = task_new();
        int r = task ? fill_task(self, task, job) : -ENOMEM;

        if (r == 0)
                r = tell_rules(self, person_of(self, job));
        if (r == 0) {
                event.submitted = task;
                r = apply(self, &event);
        }
        if (r != 0)
                (void)task_free(task);
        return r;
}

static int ended(void *userdata, size_t job, bool failed) {
        CoreScheduler *self = userdata;
        Event event = make_event(self, EVENT_ENDED, self->ids[job]);
        int r;

        event.ended.state = failed ? TASK_STATE_FAILED : TASK_STATE_DONE;
        event.ended.exit_status = failed;
        r = apply(self, &event);
        core_forget(self->core, self->ids[job]);
        return r;
}

static int report(void *userdata, size_t job) {
        CoreScheduler *self = userdata;
        const Running *running = self->run->courses[job].running;
        Event event = make_event(self, EVENT_USED, self->ids[job]);

        event.used.known = true;
        event.used.memory_bytes = world_held(running, running->job->memory_bytes);
        return apply(self, &event);
}

static int start(CoreScheduler *self, const PlanOffer *offer) {
        Event event = make_event(self, EVENT_OFFERED, offer->task_id);
        unsigned gpus[NEEDS_GPUS_MAX];
        int r;

        for (unsigned i = 0; i < offer->n_gpus; i++)
                gpus[i] = offer->gpus[i].index;
        event.offered.gpus = offer->gpus;
        r = apply(self, &event);
        if (r == 0)
                r = apply_simple(self, EVENT_ACCEPTED, offer->task_id);
        if (r == 0)
                r = apply_simple(self, EVENT_STARTED, offer->task_id);
        return r < 0 ? r : run_start(self->run, self->jobs[offer->task_id - 1], gpus);
}

static int keep_room(CoreScheduler *self, const Plan *plan) {
        Event event = make_event(self, EVENT_KEPT, plan->keep_id);

        event.kept.gpus = plan->keep_gpus;
        return apply(self, &event);
}

/* Carries out a plan, and takes the looks that it wants. Returns whether to plan again, or negative errno. */
static int carry_out(CoreScheduler *self, const Plan *plan) {
        int r = 0;

        for (size_t i = 0; i <= plan->n_offers && r == 0; i++) {
                if (plan->keeps && i == plan->keep_at)
                        r = keep_room(self, plan);
                if (r == 0 && i < plan->n_offers)
                        r = start(self, &plan->offers[i]);
        }
        if (r == 0 && plan->want_ram)
                r = look_at_memory(self);
        if (r == 0 && plan->want_gpus)
                r = look_at_gpus(self);
        return r < 0 ? r : plan->n_offers > 0 || plan->keeps || plan->want_ram || plan->want_gpus;
}

static int plan_all(void *userdata, uint64_t *ret_wake_us) {
        CoreScheduler *self = userdata;
        int r = 1;

        while (r > 0) {
                Plan plan;

                r = core_plan(self->core, clock_us(self), &plan);
                if (r < 0)
                        return r;
                r = carry_out(self, &plan);
                *ret_wake_us = plan.wake_boot_us == TASK_TIME_INF ?
                                       UINT64_MAX :
                                       plan.wake_boot_us - CLOCK_BEGIN_US;
                plan_done(&plan);
        }
        return r;
}

static void destroy(void *userdata) {
        CoreScheduler *self = userdata;

        (void)core_free(self->core);
        free(self->jobs);
        free(self->ids);
        free(self->people);
        free(self);
}

static int create(void **ret, Run *run, const Settings *settings) {
        CoreScheduler *self = calloc(1, sizeof(*self));
        Policy policy = settings->policy;
        int r;

        if (!self)
                return -ENOMEM;
        self->run = run;
        self->settings = settings;
        self->ids = calloc(run->workload->n_jobs, sizeof(*self->ids));
        policy.n_cpus = MAX(run->machine->n_cpus, 1U);
        if (policy.n_tokens == 0) {
                policy.n_tokens = run->machine->n_tokens;
                memcpy(policy.tokens, run->machine->tokens, sizeof(policy.tokens));
        }
        r = self->ids ? core_new(&self->core, &policy) : -ENOMEM;
        if (r == 0)
                r = people_make(&self->people, run->workload, settings);
        if (r == 0)
                r = look(self);
        if (r < 0) {
                destroy(self);
                return r;
        }
        *ret = self;
        return 0;
}

const Scheduler scheduler_core = {
        .name = "taskflow",
        .help = "taskflow itself, as the settings say",
        .create = create,
        .destroy = destroy,
        .submit = submit,
        .ended = ended,
        .report = report,
        .look = look,
        .plan = plan_all,
};
