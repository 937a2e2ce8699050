/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "core/change.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/after.h"
#include "core/array.h"
#include "core/entry.h"
#include "core/expect.h"
#include "core/experience.h"
#include "core/keep.h"
#include "core/look.h"
#include "core/queue.h"
#include "core/row.h"
#include "core/share.h"
#include "core/table.h"

static int set_reason(Task *task, const char *reason) {
        char *copy = NULL;

        if (reason) {
                copy = strdup(reason);
                if (!copy)
                        return -ENOMEM;
        }

        free(task->reason);
        task->reason = copy;
        return 0;
}

/* The share of an offer that came to nothing is nobody's again. */
static void drop_grants(Core *core, Entry *entry) {
        if (!phase_is_active(entry->phase))
                return;

        share_free_all(core, entry);
        entry_forget_grants(entry->task);
}

static int on_withdrawn(Core *core, Entry *entry, const Event *event) {
        int r = set_reason(entry->task, event->reason);

        if (r < 0)
                return r;

        if (entry->task->array) {
                array_withdraw(core, entry, event);
                return 0;
        }

        after_leave(core, entry);
        drop_grants(core, entry);
        entry->task->state = TASK_STATE_CANCELLED;
        entry->task->ended_at_us = event->at_us;
        return 0;
}

static int on_held(Core *core, Entry *entry, const Event *event) {
        int r = set_reason(entry->task, event->reason);

        if (r < 0)
                return r;

        drop_grants(core, entry);
        entry->task->state = TASK_STATE_HELD;
        return 0;
}

static int on_released(Core *core, Entry *entry, const Event *event) {
        (void)set_reason(entry->task, NULL);
        entry->task->state = TASK_STATE_PENDING;
        entry->task->queued_boot_us = event->boot_us;
        entry->n_missed = 0;
        return 0;
}

/* The task leaves its class for that of what it asks for now. */
static void change_class(Core *core, Entry *entry, Class *class) {
        Class *former = entry->class;
        Phase phase = entry->phase;

        queue_leave(core, entry);
        entry->class = class;
        entry->task->needs = class->needs;
        entry->task->priority = class->priority;
        queue_unref_class(core, former);
        queue_enter(core, entry, phase);
}

static int on_updated(Core *core, Entry *entry, const Event *event) {
        const TaskUpdate *update = &event->updated;
        Task *task = entry->task;
        Alike alike = queue_alike(task);
        char *name = NULL;
        Class *class;
        int r;

        if (update->priority > TASK_PRIORITY_MAX ||
            (update->needs && update->needs->n_gpus > NEEDS_GPUS_MAX))
                return CORE_E_ILLEGAL;

        if (update->name) {
                name = strdup(update->name);
                if (!name)
                        return -ENOMEM;
        }

        if (update->priority >= 0)
                alike.priority = (unsigned)update->priority;
        if (update->set_time_limit)
                alike.time_limit_us = update->time_limit_us;
        if (update->needs)
                alike.needs = update->needs;
        r = queue_ref_class(core, &alike, &class);
        if (r < 0) {
                free(name);
                return r;
        }

        change_class(core, entry, class);
        if (update->set_time_limit)
                task->time_limit_us = update->time_limit_us;
        if (name) {
                free(task->name);
                task->name = name;
        }
        return 0;
}

static int on_offered(Core *core, Entry *entry, const Event *event) {
        Task *task = entry->task;
        const Entry *array = array_of(core, task->id);
        Entry *ahead = table_find(core, event->offered.behind);
        unsigned n = task->needs.n_gpus;
        GpuGrant *gpus = NULL;
        Usage *usage = NULL;
        int r = 0;

        if (task->array || (array && array_is_full(array->task->array)))
                return CORE_E_ILLEGAL; /* an array's elements start, and no more than may */
        if (event->offered.behind != 0 && (!ahead || !row_may_join(entry, ahead)))
                return CORE_E_ILLEGAL;

        if (n > 0) {
                if (!event->offered.gpus)
                        return CORE_E_ILLEGAL;
                gpus = calloc(n, sizeof(*gpus));
                usage = calloc(n, sizeof(*usage));
                if (!gpus || !usage)
                        r = -ENOMEM;
                else
                        memcpy(gpus, event->offered.gpus, n * sizeof(*gpus));
        }

        if (r == 0) {
                task->gpus = gpus;
                task->gpu_usage = usage;
                r = share_new_all(core, entry, core->n_offers + 1);
        }
        if (r < 0) {
                free(gpus);
                free(usage);
                task->gpus = NULL;
                task->gpu_usage = NULL;
                return r;
        }

        if (ahead)
                row_join(core, entry, ahead);
        entry->offer = ++core->n_offers;
        task->started_boot_us = event->boot_us;
        entry->expected_us = expect_learned_us(core, task->uid, entry->signature);
        if (task_ref_index(task->id) >= 0)
                keep_leave(core, task_ref_id(task->id)); /* its array has begun to start */
        if (!task->delay_given)
                task->delay_us = core->policy.default_delay_us;
        return 0;
}

static int on_offer_returned(Core *core, Entry *entry) {
        Task *task = entry->task;

        /* Accepted, but word of it never reached the runner: it waits again if nothing runs. */
        if (entry->phase == PHASE_RUNNING && task->pid != 0)
                return CORE_E_ILLEGAL;

        drop_grants(core, entry);
        task->state = TASK_STATE_PENDING;
        task->started_at_us = 0;
        entry->n_missed = 0;
        return 0;
}

static int on_offer_expired(Core *core, Entry *entry) {
        if (entry->n_missed + 1 >= CORE_OFFERS_MISSED_MAX) {
                int r = set_reason(entry->task,
                                   "its taskflow did not answer three offers in a row");

                if (r < 0)
                        return r;
                entry->task->state = TASK_STATE_HELD;
        }

        drop_grants(core, entry);
        entry->n_missed++;
        entry->away = true;
        return 0;
}

static void on_accepted(Entry *entry, const Event *event) {
        Task *task = entry->task;

        task->state = TASK_STATE_RUNNING;
        task->started_at_us = event->at_us;
        task->attempt++;
        entry->n_missed = 0;
}

/* What ran has ended, and waits again as if it had never run, but for its count of tries. */
static void wait_again(Core *core, Entry *entry, uint64_t now_boot_us) {
        Task *task = entry->task;

        share_free_all(core, entry);
        entry_forget_grants(task);
        task->state = TASK_STATE_PENDING;
        task->queued_boot_us = now_boot_us;
        task->started_at_us = 0;
        task->ended_at_us = 0;
        task->pid = 0;
        task->pid_start_ticks = 0;
        task->exit_status = -1;
        task->signal = 0;
        entry->n_missed = 0;
}

static int on_requeued(Core *core, Entry *entry, const Event *event) {
        int r;

        if (!entry->task->requeue || entry->task->cancelled)
                return CORE_E_ILLEGAL;

        r = set_reason(entry->task, "the machine went down");
        if (r < 0)
                return r;

        wait_again(core, entry, event->boot_us);
        return 0;
}

/* `try 1 failed with status 3`; -ENOMEM. */
static int describe_try(const Task *task, const Event *event, char **ret) {
        unsigned n = task->n_retries + 1;
        int r;

        if (event->ended.reason)
                r = asprintf(ret, "try %u: %s", n, event->ended.reason);
        else if (event->ended.state == TASK_STATE_TIMEOUT)
                r = asprintf(ret, "try %u ran out of time", n);
        else if (event->ended.signal > 0)
                r = asprintf(ret, "try %u was ended by signal %d", n, event->ended.signal);
        else
                r = asprintf(ret, "try %u failed with status %d", n, event->ended.exit_status);

        return r < 0 ? -ENOMEM : 0;
}

static int try_again(Core *core, Entry *entry, const Event *event) {
        char *reason;
        int r;

        r = describe_try(entry->task, event, &reason);
        if (r < 0)
                return r;

        free(entry->task->reason);
        entry->task->reason = reason;
        entry->task->n_retries++;
        wait_again(core, entry, event->boot_us);
        return 0;
}

/* One that was lost is over for all who have heard of it. */
static bool is_to_be_tried_again(const Entry *entry, TaskState end) {
        return (end == TASK_STATE_FAILED || end == TASK_STATE_TIMEOUT) &&
               phase_is_active(entry->phase) && entry->task->n_retries < entry->task->retry_max;
}

/* What it took is how long the next run of the same may take, unless it was cut short. */
static void learn(Core *core, const Entry *entry, const Event *event) {
        const Task *task = entry->task;

        if (task->state == TASK_STATE_DONE && phase_is_active(entry->phase) &&
            task->started_at_us > 0 && event->at_us > task->started_at_us)
                experience_learn(core, entry, event->at_us - task->started_at_us);
}

static int on_ended(Core *core, Entry *entry, const Event *event) {
        Task *task = entry->task;
        TaskState state = event->ended.state;
        const char *reason = event->ended.reason;
        int r;

        if (!task_state_is_final(state))
                return CORE_E_ILLEGAL;
        /* It may have ended by itself, or been lost, before the cancel reached it. */
        if (task->cancelled && state != TASK_STATE_CANCELLED) {
                state = TASK_STATE_CANCELLED;
                reason = "cancelled";
        }
        if (is_to_be_tried_again(entry, state))
                return try_again(core, entry, event);

        r = set_reason(task, reason);
        if (r < 0)
                return r;

        share_free_all(core, entry);
        task->state = state;
        task->exit_status = event->ended.exit_status;
        task->signal = event->ended.signal;
        task->ended_at_us = event->at_us;
        learn(core, entry, event);
        return 0;
}

int change_apply(Core *core, Entry *entry, const Event *event) {
        Task *task = entry->task;

        switch (event->type) {
        case EVENT_WITHDRAWN:
                return on_withdrawn(core, entry, event);
        case EVENT_HELD:
                return on_held(core, entry, event);
        case EVENT_RELEASED:
                return on_released(core, entry, event);
        case EVENT_UPDATED:
                return on_updated(core, entry, event);
        case EVENT_RUNNER_AWAY:
                entry->away = true;
                return 0;
        case EVENT_RUNNER_BACK:
                entry->away = false;
                return 0;
        case EVENT_OFFERED:
                return on_offered(core, entry, event);
        case EVENT_OFFER_RETURNED:
                return on_offer_returned(core, entry);
        case EVENT_OFFER_EXPIRED:
                return on_offer_expired(core, entry);
        case EVENT_ACCEPTED:
                on_accepted(entry, event);
                return 0;
        case EVENT_STARTED:
                task->pid = event->started.pid;
                task->pid_start_ticks = event->started.start_ticks;
                return 0;
        case EVENT_USED:
                look_take_report(core, entry, event->used.known, event->used.memory_bytes);
                return 0;
        case EVENT_ENDED:
                return on_ended(core, entry, event);
        case EVENT_SPLIT:
                return entry_split(core, entry, event);
        case EVENT_REQUEUED:
                return on_requeued(core, entry, event);
        case EVENT_CANCELLED:
                task->cancelled = true;
                return 0;
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

        return CORE_E_ILLEGAL;
}
