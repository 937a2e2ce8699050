/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "vm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/macro.h"

#define HOUR (3600 * US_PER_SEC)

enum {
        TICK_S = 1,      /* sample_interval */
        EXPIRY_S = 5,    /* of an offer */
        REPORT_S = 2,    /* between two reports of a runner */
        STUCK_DAYS = 90, /* of the clock, after which a run is given up */
};

/* -- the clock -- */

static bool is_before(const VmAlarm *a, const VmAlarm *b) {
        return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

static void set_alarm(Vm *vm, uint64_t after_us, void (*ring)(Vm *, uint64_t), uint64_t arg) {
        VmAlarm alarm = { vm->drive.now_us + after_us, vm->n_alarms_set++, ring, arg };
        size_t at = vm->n_alarms++;

        if (vm->n_alarms > vm->n_alarms_max) {
                vm->n_alarms_max = 2 * vm->n_alarms;
                vm->alarms = realloc(vm->alarms, vm->n_alarms_max * sizeof(VmAlarm));
                if (!vm->alarms)
                        abort();
        }
        for (; at > 0 && is_before(&alarm, &vm->alarms[(at - 1) / 2]); at = (at - 1) / 2)
                vm->alarms[at] = vm->alarms[(at - 1) / 2];
        vm->alarms[at] = alarm;
}

static VmAlarm next_alarm(Vm *vm) {
        VmAlarm first = vm->alarms[0], last = vm->alarms[--vm->n_alarms];
        size_t at = 0;

        for (;;) {
                size_t child = 2 * at + 1;

                if (child >= vm->n_alarms)
                        break;
                if (child + 1 < vm->n_alarms &&
                    is_before(&vm->alarms[child + 1], &vm->alarms[child]))
                        child++;
                if (!is_before(&vm->alarms[child], &last))
                        break;
                vm->alarms[at] = vm->alarms[child];
                at = child;
        }
        vm->alarms[at] = last;
        return first;
}

/* -- what is really used -- */

static uint64_t used_now(const Vm *vm, const Job *job, uint64_t bytes) {
        uint64_t age_us = vm->drive.now_us - job->start_us;

        if (age_us >= job->ramp_us)
                return bytes;
        return (uint64_t)((unsigned __int128)bytes * age_us / job->ramp_us);
}

static uint64_t less(uint64_t a, uint64_t b) {
        return a > b ? a - b : 0;
}

static uint64_t free_ram(Vm *vm) {
        uint64_t used = vm->outside_ram_bytes;

        for (size_t i = 0; i < vm->n_active; i++) {
                const Job *job = &vm->jobs[vm->active[i]];

                used += used_now(vm, job, job->ram_bytes);
        }
        vm->stats.n_overflows += used > vm->options.ram_bytes;
        return less(vm->options.ram_bytes, used);
}

static void gpu_uuid(char uuid[static GPU_UUID_MAX], unsigned gpu) {
        (void)snprintf(uuid, GPU_UUID_MAX, "GPU-%u", 100 + gpu);
}

/* Fills in a GPU and what its tasks hold. Returns how many uses were added. */
static unsigned look_at_gpu(Vm *vm, unsigned gpu, GpuSample *sample, GpuTaskUse *uses) {
        uint64_t used = vm->outside_gpu_bytes[gpu];
        unsigned n_uses = 0;

        *sample = (GpuSample){ .index = gpu,
                               .total_bytes = vm->options.gpu_bytes,
                               .n_processes = used > 0,
                               .processes_known = !vm->options.hides_uses };
        gpu_uuid(sample->uuid, gpu);
        for (size_t i = 0; i < vm->n_active; i++) {
                const Job *job = &vm->jobs[vm->active[i]];

                for (size_t j = 0; j < job->n_grants; j++) {
                        uint64_t bytes = used_now(vm, job, job->gpu_bytes);

                        if (job->grants[j] != gpu || bytes == 0)
                                continue;
                        used += bytes;
                        sample->n_processes++;
                        if (job->lies || vm->options.hides_uses)
                                continue;
                        uses[n_uses] = (GpuTaskUse){ .task_id = job->id, .used_bytes = bytes };
                        memcpy(uses[n_uses++].uuid, sample->uuid, GPU_UUID_MAX);
                }
        }
        vm->stats.n_overflows += used > vm->options.gpu_bytes;
        sample->free_bytes = less(vm->options.gpu_bytes, used);
        return n_uses;
}

/* -- looks -- */

static void look_at_ram(Vm *vm) {
        Event event = drive_event(&vm->drive, EVENT_RAM, 0);

        event.ram =
                (RamSample){ vm->options.ram_bytes, free_ram(vm), core_n_offers(vm->drive.core) };
        (void)drive_apply(&vm->drive, &event);
}

/* @n_offers: when it was asked for */
static void on_probe_answer(Vm *vm, uint64_t n_offers) {
        Event event = drive_event(&vm->drive, EVENT_GPUS, 0);
        GpuTaskUse *uses = calloc(vm->n_active * VM_GPUS_MAX + 1, sizeof(GpuTaskUse));
        GpuSample gpus[VM_GPUS_MAX];
        unsigned n = 0;

        if (!uses)
                abort();
        event.gpus = (GpusSample){ .known = !rng_chance(&vm->rng, vm->options.outage_percent),
                                   .gpus = gpus,
                                   .uses = uses,
                                   .n_offers_before = n_offers };
        for (unsigned i = 0; i < vm->options.n_gpus; i++)
                if (!vm->gpu_is_gone[i])
                        event.gpus.n_uses +=
                                look_at_gpu(vm, i, &gpus[n++], uses + event.gpus.n_uses);
        event.gpus.n_gpus = n;
        vm->probe_is_asked = false;
        (void)drive_apply(&vm->drive, &event);
        free(uses);
}

static void ask_probe(Vm *vm) {
        if (vm->probe_is_asked || vm->options.n_gpus == 0)
                return;
        vm->probe_is_asked = true;
        set_alarm(vm, rng_below(&vm->rng, vm->options.probe_us + 1), on_probe_answer,
                  core_n_offers(vm->drive.core));
}

static void on_tick(Vm *vm, uint64_t arg) {
        vm->ticks = core_is_waiting(vm->drive.core) || core_uses_gpus(vm->drive.core);
        if (!vm->ticks)
                return;
        look_at_ram(vm);
        if (core_uses_gpus(vm->drive.core))
                ask_probe(vm);
        set_alarm(vm, TICK_S * US_PER_SEC, on_tick, 0);
}

static void on_nothing(Vm *vm, uint64_t arg) {
}

/* -- the life of a job -- */

static Job *job_of(Vm *vm, uint64_t id) {
        return &vm->jobs[(int64_t)task_ref_id(id) + task_ref_index(id)];
}

static int simple_event(Vm *vm, EventType type, uint64_t id) {
        Event event = drive_event(&vm->drive, type, id);

        return drive_apply(&vm->drive, &event);
}

/* It runs no more. */
static void leave(Vm *vm, const Job *job) {
        size_t at = 0;

        while (at < vm->n_active && vm->active[at] != (uint64_t)(job - vm->jobs))
                at++;
        if (at < vm->n_active)
                vm->active[at] = vm->active[--vm->n_active];
}

static void job_is_over(Vm *vm, Job *job) {
        const Task *array;

        job->over = true;
        job->end = core_find(vm->drive.core, job->id)->state;
        leave(vm, job);
        drive_forget(&vm->drive, job->id);
        if (task_ref_index(job->id) < 0) {
                vm->n_open--;
                return;
        }

        array = core_find(vm->drive.core, task_ref_id(job->id));
        if (array && task_state_is_final(array->state))
                job_is_over(vm, job_of(vm, array->id));
}

static void on_late_status(Vm *vm, uint64_t id) {
        Event event = drive_event(&vm->drive, EVENT_ENDED, id);

        event.ended.state = TASK_STATE_DONE;
        (void)drive_apply(&vm->drive, &event);
        job_is_over(vm, job_of(vm, id));
}

static void on_end(Vm *vm, uint64_t id) {
        Event event = drive_event(&vm->drive, EVENT_ENDED, id);
        Job *job = job_of(vm, id);

        if (job->n_crashes > 0) {
                job->n_crashes--;
                vm->stats.n_again++;
                leave(vm, job);
                (void)simple_event(vm, EVENT_REQUEUED, id);
                return;
        }
        vm->stats.busy_gpu_us += job->n_grants * (vm->drive.now_us - job->start_us);
        vm->stats.end_us = vm->drive.now_us;
        if (job->is_killed) {
                event.ended.state = TASK_STATE_LOST;
                vm->stats.n_lost++;
                (void)drive_apply(&vm->drive, &event);
                job->ram_bytes = job->gpu_bytes = 0;
                set_alarm(vm, 20 * US_PER_SEC, on_late_status, id);
                return;
        }
        event.ended.state = rng_chance(&vm->rng, 10) ? TASK_STATE_FAILED : TASK_STATE_DONE;
        (void)drive_apply(&vm->drive, &event);
        if (core_find(vm->drive.core, id)->state == TASK_STATE_PENDING) {
                vm->stats.n_again++;
                leave(vm, job);
                return;
        }
        vm->stats.n_done++;
        job_is_over(vm, job);
}

static void on_report(Vm *vm, uint64_t id) {
        Event event = drive_event(&vm->drive, EVENT_USED, id);
        Job *job = job_of(vm, id);

        if (job->over || core_find(vm->drive.core, id)->state != TASK_STATE_RUNNING)
                return;
        event.used.known = !job->lies;
        event.used.memory_bytes = used_now(vm, job, job->ram_bytes);
        (void)drive_apply(&vm->drive, &event);
        set_alarm(vm, REPORT_S * US_PER_SEC, on_report, id);
}

static void start(Vm *vm, Job *job) {
        const Task *task = core_find(vm->drive.core, job->id);
        uint64_t wait_us = vm->drive.now_us - job->queued_us;

        (void)simple_event(vm, EVENT_STARTED, job->id);
        job->start_us = vm->drive.now_us;
        vm->active[vm->n_active++] = (uint64_t)(job - vm->jobs);
        job->n_grants = task->needs.n_gpus;
        for (size_t i = 0; i < job->n_grants; i++)
                job->grants[i] = task->gpus[i].index;
        vm->stats.n_started++;
        vm->stats.wait_sum_us += wait_us;
        vm->stats.wait_max_us = MAX(vm->stats.wait_max_us, wait_us);
        set_alarm(vm, rng_below(&vm->rng, REPORT_S * US_PER_SEC), on_report, job->id);
        set_alarm(vm, job->duration_us, on_end, job->id);
}

static void on_runner_back(Vm *vm, uint64_t id) {
        (void)simple_event(vm, EVENT_RUNNER_BACK, id);
        if (core_find(vm->drive.core, id)->state == TASK_STATE_HELD)
                (void)simple_event(vm, EVENT_RELEASED, id);
}

static void on_expiry(Vm *vm, uint64_t id) {
        (void)simple_event(vm, EVENT_OFFER_EXPIRED, id);
        set_alarm(vm, 7 * US_PER_SEC, on_runner_back, id);
}

static void on_answer(Vm *vm, uint64_t id) {
        Job *job = job_of(vm, id);

        if (job->dies) {
                (void)simple_event(vm, EVENT_WITHDRAWN, id);
                vm->stats.n_withdrawn++;
                job_is_over(vm, job);
                return;
        }
        (void)simple_event(vm, EVENT_ACCEPTED, id);
        start(vm, job);
}

static void make_offer(Vm *vm, const PlanOffer *offer) {
        Job *job = job_of(vm, drive_offered_id(offer));

        job->id = drive_offered_id(offer);
        job->queued_us = job_of(vm, offer->task_id)->queued_us;
        (void)drive_offer(&vm->drive, offer);
        if (job->n_silent > 0) {
                job->n_silent--;
                set_alarm(vm, EXPIRY_S * US_PER_SEC, on_expiry, job->id);
                return;
        }
        set_alarm(vm, rng_below(&vm->rng, 20 * US_PER_MSEC), on_answer, job->id);
}

/* What it waits for and has ended by now is resolved. False if it can't start any more. */
static bool resolve_after(Vm *vm, Task *task) {
        unsigned n = 0;

        for (unsigned i = 0; i < task->n_after; i++) {
                const Job *other = job_of(vm, task->after[i].id);

                if (!other->over)
                        task->after[n++] = task->after[i];
                else if (!task->after[i].any && other->end != TASK_STATE_DONE)
                        return false;
        }
        task->n_after = n;
        return true;
}

static void on_arrival(Vm *vm, uint64_t i) {
        Event event = drive_event(&vm->drive, EVENT_SUBMITTED, 0);
        Job *job = &vm->jobs[i];

        if (!resolve_after(vm, job->task)) {
                job->over = true;
                job->end = TASK_STATE_CANCELLED;
                vm->n_open--;
                vm->stats.n_withdrawn++;
                return;
        }
        event.submitted = TAKE_PTR(job->task);
        job->id = event.submitted->id;
        job->limit_us = event.submitted->time_limit_us;
        job->queued_us = vm->drive.now_us;
        for (unsigned j = 0; j < event.submitted->needs.n_gpus; j++) {
                GpuNeed *need = &event.submitted->needs.gpus[j];

                if (strcmp(need->want, "any") != 0)
                        gpu_uuid(need->uuid, (unsigned)strtoul(need->want, NULL, 10));
        }
        (void)drive_apply(&vm->drive, &event);
}

/* -- people beside taskflow -- */

static void on_outsider(Vm *vm, uint64_t arg) {
        unsigned gpu = (unsigned)rng_below(&vm->rng, VM_GPUS_MAX);

        if (vm->n_open == 0)
                return;
        vm->outside_ram_bytes = vm->options.ram_bytes / 100 * rng_below(&vm->rng, 40);
        vm->outside_gpu_bytes[gpu] =
                rng_chance(&vm->rng, 40) ? vm->options.gpu_bytes / 100 * rng_below(&vm->rng, 100) :
                                           0;
        vm->gpu_is_gone[gpu] = rng_chance(&vm->rng, 5);
        set_alarm(vm, rng_between(&vm->rng, 1, 240) * US_PER_SEC, on_outsider, 0);
}

/* -- the daemon's turn -- */

static void withdraw_doomed(Vm *vm) {
        char reason[100];
        uint64_t id;

        while ((id = core_next_doomed(vm->drive.core, reason, sizeof(reason))) != 0) {
                if (simple_event(vm, EVENT_WITHDRAWN, id) != 0 || drive_failed(&vm->drive))
                        return;
                vm->stats.n_withdrawn++;
                job_is_over(vm, job_of(vm, id)); /* nothing of it can have started */
        }
}

static void turn(Vm *vm) {
        bool again = true;

        withdraw_doomed(vm);
        if (!vm->ticks && core_is_waiting(vm->drive.core)) {
                vm->ticks = true;
                set_alarm(vm, 0, on_tick, 0);
        }

        while (again && core_is_waiting(vm->drive.core) && !drive_failed(&vm->drive)) {
                Plan plan = drive_plan(&vm->drive);

                for (size_t i = 0; i <= plan.n_offers; i++) {
                        if (i == plan.keep_at)
                                drive_keep(&vm->drive, &plan);
                        if (i < plan.n_offers)
                                make_offer(vm, &plan.offers[i]);
                }
                if (plan.want_ram)
                        look_at_ram(vm);
                if (plan.want_gpus)
                        ask_probe(vm);
                again = plan.n_offers > 0 || plan.keeps || plan.want_ram;
                if (plan.wake_boot_us != TASK_TIME_INF && plan.wake_boot_us != vm->wake_us) {
                        vm->wake_us = plan.wake_boot_us;
                        set_alarm(vm, plan.wake_boot_us - vm->drive.now_us, on_nothing, 0);
                }
                plan_done(&plan);
        }
}

void vm_init(Vm *vm, const VmOptions *options) {
        *vm = (Vm){ .options = *options, .rng = { options->seed } };
        drive_init(&vm->drive, &options->policy);
        vm->drive.now_us = 1000 * US_PER_SEC;
}

void vm_done(Vm *vm) {
        drive_done(&vm->drive);
        for (size_t i = 0; i < vm->n_jobs; i++)
                task_free(vm->jobs[i].task);
        free(vm->jobs);
        free(vm->active);
        free(vm->alarms);
}

static void add_job(Vm *vm, const Job *job) {
        vm->jobs = reallocarray(vm->jobs, vm->n_jobs + 1, sizeof(Job));
        if (!vm->jobs)
                abort();
        vm->jobs[vm->n_jobs++] = *job;
}

uint64_t vm_add(Vm *vm, const Job *job) {
        Task *task = job->task;
        Job element = *job;

        task->id = vm->n_jobs + 1;
        memcpy(task->key, &task->id, sizeof(uint64_t));
        add_job(vm, job);
        vm->n_tasks++;
        element.task = NULL;
        for (uint64_t i = 0; task->array && i < index_set_count(&task->array->waiting); i++)
                add_job(vm, &element);
        return task->id;
}

bool vm_run(Vm *vm) {
        uint64_t until_us = vm->drive.now_us + STUCK_DAYS * (24 * HOUR);

        vm->n_open = vm->stats.n_jobs = vm->n_tasks;
        vm->active = calloc(vm->n_jobs + 1, sizeof(uint64_t));
        if (!vm->active)
                abort();
        for (size_t i = 0; i < vm->n_jobs; i++)
                if (vm->jobs[i].task)
                        set_alarm(vm, vm->jobs[i].arrival_us, on_arrival, i);
        look_at_ram(vm);
        on_probe_answer(vm, 0);
        if (vm->options.outsiders)
                set_alarm(vm, 0, on_outsider, 0);

        while (vm->n_alarms > 0 && !drive_failed(&vm->drive)) {
                VmAlarm alarm = next_alarm(vm);

                vm->drive.now_us = alarm.at_us;
                alarm.ring(vm, alarm.arg);
                turn(vm);
                if (vm->drive.now_us > until_us)
                        (void)snprintf(vm->drive.oracle.fault, sizeof(vm->drive.oracle.fault),
                                       "%zu of %zu tasks never ran", vm->n_open, vm->n_jobs);
        }
        if (vm->n_open > 0 && !drive_failed(&vm->drive))
                (void)snprintf(vm->drive.oracle.fault, sizeof(vm->drive.oracle.fault),
                               "the machine sleeps, and %zu tasks wait", vm->n_open);
        return !drive_failed(&vm->drive);
}
