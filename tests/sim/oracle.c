/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "oracle.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/signature.h"

void oracle_fault(Oracle *oracle, const char *fmt, ...) {
        va_list args;

        if (oracle->fault[0] != '\0')
                return;
        va_start(args, fmt);
        (void)vsnprintf(oracle->fault, sizeof(oracle->fault), fmt, args);
        va_end(args);
}

void oracle_init(Oracle *oracle, const Policy *policy) {
        *oracle = (Oracle){ .policy = *policy, .pressure_boot_us = UINT64_MAX / 2 };
}

void oracle_done(Oracle *oracle) {
        for (size_t i = 0; i < oracle->n_alive; i++)
                free(oracle->alive[i]);
        free(oracle->slots);
        free(oracle->alive);
        free(oracle->runs);
        *oracle = (Oracle){};
}

/* Where a task stands; NULL if there is no place for such a one. */
static OracleTask **place_of(const Oracle *oracle, uint64_t ref) {
        int64_t index = task_ref_index(ref);
        uint64_t id = task_ref_id(ref);

        if (id >= oracle->n_slots || index >= ORACLE_ELEMENTS_MAX)
                return NULL;
        return index < 0 ? &oracle->slots[id].task : &oracle->slots[id].elements[index];
}

OracleTask *oracle_find(const Oracle *oracle, uint64_t id) {
        OracleTask **place = place_of(oracle, id);

        return place ? *place : NULL;
}

/* The array of an element; NULL if it is none, or its array is forgotten. */
static OracleTask *array_of_element(const Oracle *oracle, uint64_t id) {
        return task_ref_index(id) < 0 ? NULL : oracle_find(oracle, task_ref_id(id));
}

unsigned oracle_n_waits(const OracleTask *task) {
        unsigned n = 0;

        for (unsigned i = 0; i < ORACLE_ELEMENTS_MAX; i++)
                n += task->waits[i];
        return n;
}

int oracle_next_wait(const OracleTask *task, int from) {
        for (; from < ORACLE_ELEMENTS_MAX; from++)
                if (task->waits[from])
                        return from;
        return -1;
}

unsigned oracle_n_slots_left(const Oracle *oracle, uint64_t id) {
        const OracleTask *array = oracle_find(oracle, task_ref_id(id));
        unsigned n = 0;

        if (!array || array->limit == 0)
                return UINT32_MAX;
        for (size_t i = 0; i < oracle->n_alive; i++)
                n += oracle_is_active(oracle_alive(oracle, i)) &&
                     task_ref_id(oracle_alive(oracle, i)->id) == array->id;
        return n < array->limit ? array->limit - n : 0;
}

bool oracle_is_blocked(const Oracle *oracle, const OracleTask *task) {
        return task->n_after > 0 ||
               (task->is_array &&
                (oracle_n_waits(task) == 0 || oracle_n_slots_left(oracle, task->id) == 0));
}

bool oracle_is_doomed(const OracleTask *task) {
        for (unsigned i = 0; i < task->n_after && !oracle_is_over(task); i++)
                if (task->after[i].doomed)
                        return true;
        return false;
}

OracleGpu *oracle_find_gpu(Oracle *oracle, const char *uuid) {
        for (unsigned i = 0; i < oracle->n_gpus; i++)
                if (strcmp(oracle->gpus[i].uuid, uuid) == 0)
                        return &oracle->gpus[i];
        return NULL;
}

/* -- events -- */

static void make_room(Oracle *oracle, uint64_t id) {
        size_t n = 2 * (size_t)(id + 1);

        if (id >= oracle->n_slots) {
                oracle->slots = realloc(oracle->slots, n * sizeof(OracleSlot));
                if (!oracle->slots)
                        abort();
                memset(oracle->slots + oracle->n_slots, 0,
                       (n - oracle->n_slots) * sizeof(OracleSlot));
                oracle->n_slots = n;
        }
        if (oracle->n_alive == oracle->n_alive_max) {
                oracle->n_alive_max = 2 * oracle->n_alive_max + 16;
                oracle->alive = realloc(oracle->alive, oracle->n_alive_max * sizeof(OracleTask *));
                if (!oracle->alive)
                        abort();
        }
}

/* A task takes its place among those alive. */
static OracleTask *put(Oracle *oracle, const OracleTask *task) {
        OracleTask *new = malloc(sizeof(*new)), **place;
        size_t at;

        if (!new)
                abort();
        *new = *task;
        make_room(oracle, task_ref_id(task->id));
        place = place_of(oracle, task->id);
        if (!place)
                abort();
        *place = new;
        at = oracle->n_alive++;
        for (; at > 0 && task_ref_place(oracle->alive[at - 1]->id) > task_ref_place(task->id); at--)
                oracle->alive[at] = oracle->alive[at - 1];
        oracle->alive[at] = new;
        return new;
}

static void add_array(OracleTask *new, const TaskArray *array) {
        new->is_array = true;
        new->limit = array->limit;
        for (uint32_t i = 0; i < ORACLE_ELEMENTS_MAX; i++)
                new->waits[i] = index_set_contains(&array->waiting, i);
}

static void set_tokens(const Oracle *oracle, OracleTask *task, const Needs *needs) {
        for (unsigned i = 0; i < ORACLE_TOKENS_MAX; i++) {
                task->tokens[i] = 0;
                for (unsigned k = 0; i < oracle->policy.n_tokens && k < needs->n_tokens; k++)
                        if (strcmp(oracle->policy.tokens[i].name, needs->tokens[k].name) == 0)
                                task->tokens[i] = needs->tokens[k].n;
        }
}

static void add_task(Oracle *oracle, const Task *task, const Event *event) {
        OracleTask new = {
                .id = task->id,
                .uid = task->uid,
                .priority = task->priority,
                .queued_boot_us = task->queued_boot_us ? task->queued_boot_us : event->boot_us,
                .delay_given = task->delay_given,
                .delay_us = task->delay_us,
                .time_limit_us = task->time_limit_us,
                .memory_bytes = task->needs.memory_bytes,
                .cpus = task->needs.cpus,
                .n_gpus = task->needs.n_gpus,
                .stage = task->state == TASK_STATE_HELD ? ORACLE_HELD : ORACLE_WAITING,
                .requeue = task->requeue,
                .retry_max = task->retry_max,
                .n_after = task->n_after,
                .signature = signature_of(task, NULL),
        };

        set_tokens(oracle, &new, &task->needs);
        for (unsigned i = 0; i < task->needs.n_gpus; i++) {
                memcpy(new.want[i], task->needs.gpus[i].uuid, GPU_UUID_MAX);
                new.want_bytes[i] = task->needs.gpus[i].bytes;
        }
        for (unsigned i = 0; i < task->n_after; i++)
                new.after[i] = (OracleAfter){ .id = task->after[i].id, .any = task->after[i].any };
        if (task->array)
                add_array(&new, task->array);
        oracle_user(oracle, task->uid)->at_us = event->boot_us;
        (void)put(oracle, &new);
}

void oracle_forget(Oracle *oracle, uint64_t id) {
        OracleTask **place = place_of(oracle, id);
        size_t at = 0;

        if (!place || !*place || !oracle_is_over(*place))
                return;
        while (oracle->alive[at] != *place)
                at++;
        oracle->n_alive--;
        memmove(&oracle->alive[at], &oracle->alive[at + 1],
                (oracle->n_alive - at) * sizeof(OracleTask *));
        free(*place);
        *place = NULL;
}

static void take_offer(Oracle *oracle, OracleTask *task, const Event *event) {
        task->offer = ++oracle->n_offers;
        task->offered_boot_us = event->boot_us;
        task->expected_us = oracle_expect(oracle, task);
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

/* What it held comes back: the next look will see it. */
static void mark_changed(Oracle *oracle, const OracleTask *task) {
        oracle->ram_changed |= task->ram_known && task->ram_used_bytes > 0;
        for (unsigned i = 0; i < task->n_shares; i++) {
                OracleGpu *gpu = oracle_find_gpu(oracle, task->shares[i].uuid);

                if (gpu)
                        gpu->changed = true;
                else
                        oracle->ram_changed = true;
        }
}

static void take_report(Oracle *oracle, OracleTask *task, const Event *event) {
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
        oracle->ram_changed |= event->used.memory_bytes > share->next_peak_bytes;
        share->next_peak_bytes = MAX(share->next_peak_bytes, event->used.memory_bytes);
        share->measured = true;
}

static void take_ram(Oracle *oracle, const Event *event) {
        oracle->ram_known = true;
        oracle->ram_changed = false;
        oracle->pressure_boot_us = event->ram.pressure_known ? event->boot_us : UINT64_MAX / 2;
        oracle->pressed = event->ram.pressure_known &&
                          event->ram.pressure_permyriad > oracle->policy.pressure_limit_permyriad;
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
        gpu->changed = false;
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
                share->use_known = gpu->processes_known;
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

/* What may be offered: not too many of an array, and no array as such. */
static bool may_be_offered(const Oracle *oracle, const OracleTask *task) {
        return task->stage == ORACLE_WAITING && !task->away && !task->is_array &&
               !oracle_is_blocked(oracle, task) && oracle_n_slots_left(oracle, task->id) > 0;
}

static bool is_legal(const Oracle *oracle, const OracleTask *task, const Event *event) {
        bool waits = task->stage == ORACLE_WAITING;

        switch (event->type) {
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
                return may_be_offered(oracle, task);
        case EVENT_OFFER_RETURNED:
                return task->stage == ORACLE_OFFERED ||
                       (task->stage == ORACLE_RUNNING && !task->started);
        case EVENT_OFFER_EXPIRED:
        case EVENT_ACCEPTED:
                return task->stage == ORACLE_OFFERED;
        case EVENT_STARTED:
        case EVENT_USED:
        case EVENT_CANCELLED:
                return task->stage == ORACLE_RUNNING;
        case EVENT_ENDED:
                return oracle_is_active(task) || task->stage == ORACLE_LOST;
        case EVENT_SPLIT:
                return (waits || task->stage == ORACLE_HELD) &&
                       event->split.index < ORACLE_ELEMENTS_MAX && task->waits[event->split.index];
        case EVENT_REQUEUED:
                return task->stage == ORACLE_RUNNING && task->requeue && !task->cancelled;
        case EVENT_SUBMITTED:
        case EVENT_RAM:
        case EVENT_GPUS:
        case EVENT_DRAINED:
        case EVENT_USER:
        case EVENT_HISTORY:
        case EVENT_LEARNED:
        case EVENT_KEPT:
                break;
        }
        return false;
}

static int submit_outcome(const Oracle *oracle, const Task *new) {
        const OracleTask *array = array_of_element(oracle, new->id);
        int64_t index = task_ref_index(new->id);

        if (index >= 0 && (!array || !array->is_array || oracle_is_over(array) ||
                           array->uid != new->uid || array->waits[index]))
                return CORE_E_ILLEGAL;
        if (oracle_find(oracle, new->id))
                return CORE_E_EXISTS;
        for (unsigned i = 0; i < new->n_after; i++)
                if (task_ref_index(new->after[i].id) >= 0 ||
                    new->after[i].id == task_ref_id(new->id) ||
                    !oracle_find(oracle, new->after[i].id))
                        return CORE_E_ILLEGAL;
        return 0;
}

/* -- what an event of one means for others -- */

static void end_array(Oracle *oracle, OracleTask *array) {
        unsigned n = 0;

        for (unsigned i = 0; i < N_TASK_STATES; i++)
                n += array->n_ends[i];
        array->stage = ORACLE_OVER;
        if (array->cancelled || array->n_ends[TASK_STATE_CANCELLED] == n)
                array->end = TASK_STATE_CANCELLED;
        else if (array->n_ends[TASK_STATE_DONE] == n)
                array->end = TASK_STATE_DONE;
        else
                array->end = TASK_STATE_FAILED;
}

/* An array is over when all its elements are; a late status may correct one that is over. */
static void settle_array(Oracle *oracle, OracleTask *array) {
        for (size_t i = 0; i < oracle->n_alive; i++)
                if (array_of_element(oracle, oracle_alive(oracle, i)->id) == array &&
                    !oracle_is_over(oracle_alive(oracle, i)))
                        return;
        if (oracle_n_waits(array) == 0)
                end_array(oracle, array);
}

static void settle_after(const Oracle *oracle, OracleTask *task, const Event *event) {
        unsigned n = 0;

        for (unsigned i = 0; i < task->n_after; i++) {
                OracleAfter after = task->after[i];
                const OracleTask *other = oracle_find(oracle, after.id);
                bool over = other && oracle_is_over(other);

                if (over && (after.any || other->end == TASK_STATE_DONE))
                        continue;
                after.doomed |= over;
                task->after[n++] = after;
        }
        if (n == 0 && task->n_after > 0 && event->type != EVENT_SUBMITTED)
                task->queued_boot_us = event->boot_us;
        task->n_after = n;
}

static void settle(Oracle *oracle, const Event *event) {
        for (size_t i = 0; i < oracle->n_alive; i++)
                if (oracle_alive(oracle, i)->is_array)
                        settle_array(oracle, oracle_alive(oracle, i));
        for (size_t i = 0; i < oracle->n_alive; i++)
                if (!oracle_is_over(oracle_alive(oracle, i)))
                        settle_after(oracle, oracle_alive(oracle, i), event);
}

static void end_task(Oracle *oracle, OracleTask *task, TaskState end) {
        OracleTask *array = array_of_element(oracle, task->id);

        if (array && task->stage == ORACLE_LOST)
                array->n_ends[TASK_STATE_LOST]--;
        if (array)
                array->n_ends[end]++;
        task->stage = end == TASK_STATE_LOST ? ORACLE_LOST : ORACLE_OVER;
        task->end = end;
}

static void withdraw(Oracle *oracle, OracleTask *task) {
        if (!task->is_array) {
                end_task(oracle, task, TASK_STATE_CANCELLED);
                return;
        }
        task->n_ends[TASK_STATE_CANCELLED] += oracle_n_waits(task);
        memset(task->waits, 0, sizeof(task->waits));
        task->stage = ORACLE_WAITING;
        task->cancelled = true;
        task->n_after = 0;
}

static void split(Oracle *oracle, OracleTask *array, unsigned index) {
        OracleTask new = *array;

        array->waits[index] = false;
        new.id = task_ref(array->id, index);
        new.is_array = false;
        new.limit = 0;
        new.n_missed = 0;
        memset(new.waits, 0, sizeof(new.waits));
        memset(new.n_ends, 0, sizeof(new.n_ends));
        (void)put(oracle, &new);
}

static void wait_again(OracleTask *task, const Event *event) {
        task->stage = ORACLE_WAITING;
        task->queued_boot_us = event->boot_us;
        task->started_at_us = 0;
        task->n_missed = 0;
}

static void end_or_try_again(Oracle *oracle, OracleTask *task, const Event *event) {
        TaskState end = task->cancelled ? TASK_STATE_CANCELLED : event->ended.state;

        if (task->stage != ORACLE_LOST && task->n_retries < task->retry_max &&
            (end == TASK_STATE_FAILED || end == TASK_STATE_TIMEOUT)) {
                task->n_retries++;
                wait_again(task, event);
                return;
        }
        if (oracle_is_active(task) && end == TASK_STATE_DONE)
                oracle_learn(oracle, task, event);
        end_task(oracle, task, end);
}

static void update(const Oracle *oracle, OracleTask *task, const TaskUpdate *update) {
        if (update->set_time_limit)
                task->time_limit_us = update->time_limit_us;
        if (update->priority >= 0)
                task->priority = (unsigned)update->priority;
        if (!update->needs)
                return;
        task->memory_bytes = update->needs->memory_bytes;
        task->cpus = update->needs->cpus;
        set_tokens(oracle, task, update->needs);
        task->n_gpus = update->needs->n_gpus;
        for (unsigned i = 0; i < task->n_gpus; i++) {
                memcpy(task->want[i], update->needs->gpus[i].uuid, GPU_UUID_MAX);
                task->want_bytes[i] = update->needs->gpus[i].bytes;
        }
}

static void apply(Oracle *oracle, OracleTask *task, const Event *event) {
        switch (event->type) {
        case EVENT_WITHDRAWN:
                withdraw(oracle, task);
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
                update(oracle, task, &event->updated);
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
                task->started_at_us = 0;
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
                task->started_at_us = event->at_us;
                task->attempt++;
                return;
        case EVENT_STARTED:
                task->started = true;
                return;
        case EVENT_USED:
                take_report(oracle, task, event);
                return;
        case EVENT_ENDED:
                end_or_try_again(oracle, task, event);
                return;
        case EVENT_SPLIT:
                split(oracle, task, event->split.index);
                return;
        case EVENT_REQUEUED:
                wait_again(task, event);
                return;
        case EVENT_CANCELLED:
                task->cancelled = true;
                return;
        case EVENT_SUBMITTED:
        case EVENT_RAM:
        case EVENT_GPUS:
        case EVENT_DRAINED:
        case EVENT_USER:
        case EVENT_HISTORY:
        case EVENT_LEARNED:
        case EVENT_KEPT:
                return;
        }
}

/* -- room that is kept -- */

static int keep_outcome(const Oracle *oracle, uint64_t id) {
        const OracleTask *task = oracle_find(oracle, id);

        if (id == 0)
                return 0;
        if (!task)
                return CORE_E_NO_TASK;
        return task->stage == ORACLE_WAITING && !task->away && !oracle_is_blocked(oracle, task) ?
                       0 :
                       CORE_E_ILLEGAL;
}

static void watch(Oracle *oracle, uint64_t now) {
        for (size_t i = 0; i < oracle->n_alive; i++) {
                const OracleTask *task = oracle_alive(oracle, i);
                uint64_t end_us = oracle_is_active(task) ? oracle_end_us(task, now, false) : 0;

                if (end_us != TASK_TIME_INF)
                        oracle->watched_until_us = MAX(oracle->watched_until_us, end_us);
        }
}

static void take_keep(Oracle *oracle, const Event *event) {
        OracleTask *former = oracle_find(oracle, oracle->keep.id);
        const OracleTask *task = oracle_find(oracle, event->task_id);
        uint64_t max_us = oracle->policy.keep_max_us;

        if (former && max_us != TASK_TIME_INF && event->boot_us >= oracle->keep.since_us + max_us)
                former->patient_boot_us = event->boot_us;
        oracle->keep = (OracleKeep){};
        if (!task)
                return;
        oracle->keep = (OracleKeep){ task->id, event->boot_us, oracle->n_offers, {} };
        if (task->id == oracle->watched_id)
                watch(oracle, event->boot_us);
        for (unsigned i = 0; i < task->n_gpus; i++)
                oracle->keep.gpus[i] = event->kept.gpus[i];
}

/* It starts, some of it does, it asks for something else, or it is no longer in line. */
static void settle_keep(Oracle *oracle, const Event *event) {
        uint64_t id = oracle->keep.id;

        if (id != 0 && (keep_outcome(oracle, id) != 0 || oracle->drained ||
                        (event->type == EVENT_UPDATED && event->task_id == id) ||
                        (event->type == EVENT_OFFERED && task_ref_id(event->task_id) == id)))
                oracle->keep = (OracleKeep){};
}

static void take_rules(Oracle *oracle, const Event *event) {
        OracleUser *user = oracle_user(oracle, event->user.uid);

        user->weight_permille = MAX(event->user.rules.weight_permille, 1U);
        user->rules = event->user.rules;
}

static void apply_general(Oracle *oracle, const Event *event, const Task *new, int r) {
        int want = event->type == EVENT_SUBMITTED ? submit_outcome(oracle, new) :
                   event->type == EVENT_KEPT      ? keep_outcome(oracle, event->task_id) :
                                                    0;

        if (r != want)
                oracle_fault(oracle, "event %d: %d instead of %d", (int)event->type, r, want);
        else if (event->type == EVENT_SUBMITTED && r == 0)
                add_task(oracle, new, event);
        else if (event->type == EVENT_RAM)
                take_ram(oracle, event);
        else if (event->type == EVENT_GPUS)
                take_gpus(oracle, event);
        else if (event->type == EVENT_KEPT && r == 0)
                take_keep(oracle, event);
        else if (event->type == EVENT_DRAINED)
                oracle->drained = event->drain->on;
        else if (event->type == EVENT_USER)
                take_rules(oracle, event);
        else if (event->type == EVENT_HISTORY)
                oracle_take_history(oracle, event);
        else if (event->type == EVENT_LEARNED)
                oracle_take_learned(oracle, event);
}

void oracle_apply(Oracle *oracle, const Event *event, const Task *new, int r) {
        OracleTask *task = oracle_find(oracle, event->task_id);
        bool was_active = task && oracle_is_active(task);
        int want;

        oracle_pass_time(oracle, event->boot_us);
        if (event->type == EVENT_SUBMITTED || event->type == EVENT_RAM ||
            event->type == EVENT_GPUS || event->type == EVENT_DRAINED ||
            event->type == EVENT_USER || event->type == EVENT_HISTORY ||
            event->type == EVENT_LEARNED || event->type == EVENT_KEPT) {
                apply_general(oracle, event, new, r);
        } else {
                want = !task ? CORE_E_NO_TASK : is_legal(oracle, task, event) ? 0 : CORE_E_ILLEGAL;
                if (r != want)
                        oracle_fault(oracle, "event %d of task %" PRIu64 ": %d instead of %d",
                                     (int)event->type, event->task_id, r, want);
                else if (r == 0)
                        apply(oracle, task, event);
                if (r != 0)
                        return;
                if (was_active && !oracle_is_active(task))
                        mark_changed(oracle, task);
        }
        settle(oracle, event);
        oracle_hold(oracle);
        settle_keep(oracle, event);
}
