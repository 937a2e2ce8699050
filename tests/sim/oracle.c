/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "oracle.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void oracle_fault(Oracle *oracle, const char *fmt, ...) {
        va_list args;

        if (oracle->fault[0] != '\0')
                return;
        va_start(args, fmt);
        (void)vsnprintf(oracle->fault, sizeof(oracle->fault), fmt, args);
        va_end(args);
}

void oracle_init(Oracle *oracle, const Policy *policy) {
        *oracle = (Oracle){ .policy = *policy };
}

void oracle_done(Oracle *oracle) {
        for (size_t i = 0; i < oracle->n_tasks; i++)
                free(oracle->tasks[i]);
        free(oracle->tasks);
        free(oracle->alive);
        *oracle = (Oracle){};
}

OracleTask *oracle_find(const Oracle *oracle, uint64_t id) {
        return id < oracle->n_tasks ? oracle->tasks[id] : NULL;
}

OracleGpu *oracle_find_gpu(Oracle *oracle, const char *uuid) {
        for (unsigned i = 0; i < oracle->n_gpus; i++)
                if (strcmp(oracle->gpus[i].uuid, uuid) == 0)
                        return &oracle->gpus[i];
        return NULL;
}

/* -- events -- */

static void add_task(Oracle *oracle, const Task *task) {
        OracleTask *new = calloc(1, sizeof(*new));

        if (task->id >= oracle->n_tasks) {
                size_t n = 2 * (size_t)task->id;

                oracle->tasks = realloc(oracle->tasks, n * sizeof(OracleTask *));
                oracle->alive = realloc(oracle->alive, n * sizeof(uint64_t));
                if (!oracle->tasks || !oracle->alive)
                        abort();
                memset(oracle->tasks + oracle->n_tasks, 0,
                       (n - oracle->n_tasks) * sizeof(OracleTask *));
                oracle->n_tasks = n;
        }

        if (!new)
                abort();
        *new = (OracleTask){
                .id = task->id,
                .uid = task->uid,
                .priority = task->priority,
                .queued_boot_us = task->queued_boot_us,
                .delay_given = task->delay_given,
                .delay_us = task->delay_us,
                .memory_bytes = task->needs.memory_bytes,
                .cpus = task->needs.cpus,
                .n_gpus = task->needs.n_gpus,
                .stage = task->state == TASK_STATE_HELD ? ORACLE_HELD : ORACLE_WAITING,
        };
        for (unsigned i = 0; i < task->needs.n_gpus; i++) {
                memcpy(new->want[i], task->needs.gpus[i].uuid, GPU_UUID_MAX);
                new->want_bytes[i] = task->needs.gpus[i].bytes;
        }
        oracle->tasks[task->id] = new;
        oracle->alive[oracle->n_alive++] = task->id;
}

void oracle_forget(Oracle *oracle, uint64_t id) {
        size_t at = 0;

        if (!oracle_find(oracle, id) || oracle_find(oracle, id)->stage < ORACLE_LOST)
                return;
        free(oracle->tasks[id]);
        oracle->tasks[id] = NULL;
        while (oracle->alive[at] != id)
                at++;
        oracle->n_alive--;
        memmove(&oracle->alive[at], &oracle->alive[at + 1],
                (oracle->n_alive - at) * sizeof(uint64_t));
}

static void take_offer(Oracle *oracle, OracleTask *task, const Event *event) {
        oracle->n_offers++;
        task->offered_boot_us = event->boot_us;
        task->ram_known = false;
        task->ram_used_bytes = 0;
        task->n_shares = 0;
        if (!task->delay_given)
                task->delay_us = oracle->policy.default_delay_us;
        if (task->memory_bytes > 0) {
                task->shares[task->n_shares++] = (OracleShare){ .asked_bytes = task->memory_bytes };
                oracle->ram_last_offer = oracle->n_offers;
        }
        for (unsigned i = 0; i < task->n_gpus; i++) {
                const GpuGrant *grant = &event->offered.gpus[i];
                OracleShare *share = &task->shares[task->n_shares++];
                OracleGpu *gpu = oracle_find_gpu(oracle, grant->uuid);

                *share = (OracleShare){ .asked_bytes = grant->bytes,
                                        .is_whole = grant->bytes == GPU_WHOLE };
                memcpy(share->uuid, grant->uuid, GPU_UUID_MAX);
                if (gpu)
                        gpu->last_offer = oracle->n_offers;
                else
                        oracle_fault(oracle, "task %" PRIu64 " is offered a GPU that is not there",
                                     task->id);
        }
}

static void take_report(OracleTask *task, const Event *event) {
        OracleShare *share =
                task->n_shares > 0 && task->shares[0].uuid[0] == '\0' ? &task->shares[0] : NULL;

        task->ram_known = event->used.known;
        if (event->used.known)
                task->ram_used_bytes = event->used.memory_bytes;
        if (!share)
                return;
        share->unmeasurable = !event->used.known;
        if (!event->used.known)
                return;
        share->next_peak_bytes = MAX(share->next_peak_bytes, event->used.memory_bytes);
        share->measured = true;
}

static void take_ram(Oracle *oracle, const Event *event) {
        oracle->ram_known = true;
        oracle->ram_total_bytes = event->ram.total_bytes;
        oracle->ram_free_bytes = MIN(event->ram.available_bytes, event->ram.total_bytes);
        oracle->ram_boot_us = event->boot_us;
        oracle->ram_n_offers = event->ram.n_offers_before;
        for (size_t i = 0; i < oracle->n_alive; i++) {
                OracleTask *task = oracle_alive(oracle, i);

                if (oracle_is_active(task) && task->n_shares > 0 && task->shares[0].uuid[0] == '\0')
                        task->shares[0].peak_bytes = task->shares[0].next_peak_bytes;
        }
}

static bool anybody_on(const Oracle *oracle, const char *uuid) {
        for (size_t i = 0; i < oracle->n_alive; i++)
                for (unsigned j = 0; oracle_is_active(oracle_alive(oracle, i)) &&
                                     j < oracle_alive(oracle, i)->n_shares;
                     j++)
                        if (strcmp(oracle_alive(oracle, i)->shares[j].uuid, uuid) == 0)
                                return true;
        return false;
}

static void take_gpu(Oracle *oracle, const GpuSample *sample) {
        OracleGpu *gpu = oracle_find_gpu(oracle, sample->uuid);

        if (!gpu) {
                gpu = &oracle->gpus[oracle->n_gpus++];
                *gpu = (OracleGpu){};
                memcpy(gpu->uuid, sample->uuid, GPU_UUID_MAX);
        }
        gpu->index = sample->index;
        gpu->state = sample->state;
        if (sample->state != GPU_STATE_OK)
                return;
        gpu->total_bytes = sample->total_bytes;
        gpu->free_bytes = MIN(sample->free_bytes, sample->total_bytes);
        gpu->processes_known = sample->processes_known;
        if (sample->processes_known && sample->n_processes == 0 && !anybody_on(oracle, gpu->uuid)) {
                uint64_t idle = MIN(gpu->total_bytes - gpu->free_bytes, gpu->total_bytes / 4);

                gpu->idle_bytes = gpu->idle_known ? MIN(gpu->idle_bytes, idle) : idle;
                gpu->idle_known = true;
        }
}

static void take_uses(Oracle *oracle, const GpusSample *sample, OracleTask *task) {
        for (unsigned i = 0; i < task->n_shares; i++) {
                OracleShare *share = &task->shares[i];
                const OracleGpu *gpu = oracle_find_gpu(oracle, share->uuid);

                if (!gpu || gpu->state != GPU_STATE_OK)
                        continue;
                share->unmeasurable = !gpu->processes_known;
                share->used_bytes = 0;
                if (!gpu->processes_known)
                        continue;
                for (unsigned j = 0; j < sample->n_uses; j++)
                        if (sample->uses[j].task_id == task->id &&
                            strcmp(sample->uses[j].uuid, share->uuid) == 0)
                                share->used_bytes += sample->uses[j].used_bytes;
                share->peak_bytes = MAX(share->peak_bytes, share->used_bytes);
                share->measured = true;
        }
}

static void take_gpus(Oracle *oracle, const Event *event) {
        oracle->gpus_boot_us = event->boot_us;
        oracle->gpus_n_offers = event->gpus.n_offers_before;
        for (unsigned i = 0; i < oracle->n_gpus; i++)
                oracle->gpus[i].state = event->gpus.known ? GPU_STATE_LOST : GPU_STATE_UNKNOWN;
        if (!event->gpus.known)
                return;
        for (unsigned i = 0; i < event->gpus.n_gpus; i++)
                take_gpu(oracle, &event->gpus.gpus[i]);
        for (size_t i = 0; i < oracle->n_alive; i++)
                if (oracle_alive(oracle, i)->stage == ORACLE_RUNNING)
                        take_uses(oracle, &event->gpus, oracle_alive(oracle, i));
}

static bool is_legal(const OracleTask *task, EventType type) {
        bool waits = task->stage == ORACLE_WAITING;

        switch (type) {
        case EVENT_WITHDRAWN:
        case EVENT_RUNNER_AWAY:
        case EVENT_RUNNER_BACK:
                return waits || task->stage == ORACLE_HELD || task->stage == ORACLE_OFFERED;
        case EVENT_HELD:
                return waits || task->stage == ORACLE_OFFERED;
        case EVENT_RELEASED:
                return task->stage == ORACLE_HELD;
        case EVENT_UPDATED:
                return waits || task->stage == ORACLE_HELD;
        case EVENT_OFFERED:
                return waits && !task->away;
        case EVENT_OFFER_RETURNED:
                return task->stage == ORACLE_OFFERED ||
                       (task->stage == ORACLE_RUNNING && !task->started);
        case EVENT_OFFER_EXPIRED:
        case EVENT_ACCEPTED:
                return task->stage == ORACLE_OFFERED;
        case EVENT_STARTED:
        case EVENT_USED:
                return task->stage == ORACLE_RUNNING;
        case EVENT_ENDED:
                return oracle_is_active(task) || task->stage == ORACLE_LOST;
        case EVENT_SUBMITTED:
        case EVENT_RAM:
        case EVENT_GPUS:
                break;
        }
        return false;
}

static void update(OracleTask *task, const TaskUpdate *update) {
        if (update->priority >= 0)
                task->priority = (unsigned)update->priority;
        if (!update->needs)
                return;
        task->memory_bytes = update->needs->memory_bytes;
        task->cpus = update->needs->cpus;
        task->n_gpus = update->needs->n_gpus;
        for (unsigned i = 0; i < task->n_gpus; i++) {
                memcpy(task->want[i], update->needs->gpus[i].uuid, GPU_UUID_MAX);
                task->want_bytes[i] = update->needs->gpus[i].bytes;
        }
}

static void apply(Oracle *oracle, OracleTask *task, const Event *event) {
        switch (event->type) {
        case EVENT_WITHDRAWN:
                task->stage = ORACLE_OVER;
                return;
        case EVENT_HELD:
                task->stage = ORACLE_HELD;
                return;
        case EVENT_RELEASED:
                task->stage = ORACLE_WAITING;
                task->queued_boot_us = event->boot_us;
                task->n_missed = 0;
                return;
        case EVENT_UPDATED:
                update(task, &event->updated);
                return;
        case EVENT_RUNNER_AWAY:
                task->away = true;
                return;
        case EVENT_RUNNER_BACK:
                task->away = false;
                return;
        case EVENT_OFFERED:
                task->stage = ORACLE_OFFERED;
                take_offer(oracle, task, event);
                return;
        case EVENT_OFFER_RETURNED:
                task->stage = ORACLE_WAITING;
                task->n_missed = 0;
                return;
        case EVENT_OFFER_EXPIRED:
                task->away = true;
                task->stage = ++task->n_missed >= 3 ? ORACLE_HELD : ORACLE_WAITING;
                return;
        case EVENT_ACCEPTED:
                task->stage = ORACLE_RUNNING;
                task->n_missed = 0;
                task->started = false;
                return;
        case EVENT_STARTED:
                task->started = true;
                return;
        case EVENT_USED:
                take_report(task, event);
                return;
        case EVENT_ENDED:
                task->stage = event->ended.state == TASK_STATE_LOST ? ORACLE_LOST : ORACLE_OVER;
                return;
        case EVENT_SUBMITTED:
        case EVENT_RAM:
        case EVENT_GPUS:
                return;
        }
}

void oracle_apply(Oracle *oracle, const Event *event, const Task *new, int r) {
        OracleTask *task = oracle_find(oracle, event->task_id);
        int want;

        if (event->type == EVENT_SUBMITTED || event->type == EVENT_RAM ||
            event->type == EVENT_GPUS) {
                if (r != 0)
                        oracle_fault(oracle, "event %d: %d", (int)event->type, r);
                else if (event->type == EVENT_SUBMITTED)
                        add_task(oracle, new);
                else if (event->type == EVENT_RAM)
                        take_ram(oracle, event);
                else
                        take_gpus(oracle, event);
                return;
        }

        want = !task ? CORE_E_NO_TASK : is_legal(task, event->type) ? 0 : CORE_E_ILLEGAL;
        if (r != want)
                oracle_fault(oracle, "event %d of task %" PRIu64 ": %d instead of %d",
                             (int)event->type, event->task_id, r, want);
        else if (r == 0)
                apply(oracle, task, event);
}
