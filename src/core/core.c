/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The core
 *
 * A life is a table: event by phase gives the next phase, or that it makes no sense. What else an
 * event changes is in one small function each, called with the entry still in its old phase; a
 * function that may fail does so before it has changed anything.
 */

#include "core/core.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/look.h"
#include "core/queue.h"
#include "core/share.h"
#include "core/table.h"

/* The phases, short enough to stand side by side. */
enum {
        NO = -1,
        WAIT = PHASE_WAITING,
        AWAY = PHASE_AWAY,
        HOLD = PHASE_HELD,
        OFFER = PHASE_OFFERED,
        RUN = PHASE_RUNNING,
        OVER = PHASE_ENDED,
};

/* clang-format off */
static const int transitions[N_EVENT_TYPES][N_PHASES] = {
        /*                         waiting away    held    offered running lost    ended */
        [EVENT_SUBMITTED]      = { NO,     NO,     NO,     NO,     NO,     NO,     NO },
        [EVENT_WITHDRAWN]      = { OVER,   OVER,   OVER,   OVER,   NO,     NO,     NO },
        [EVENT_HELD]           = { HOLD,   HOLD,   NO,     HOLD,   NO,     NO,     NO },
        [EVENT_RELEASED]       = { NO,     NO,     WAIT,   NO,     NO,     NO,     NO },
        [EVENT_UPDATED]        = { WAIT,   AWAY,   HOLD,   NO,     NO,     NO,     NO },
        [EVENT_RUNNER_AWAY]    = { AWAY,   AWAY,   HOLD,   OFFER,  NO,     NO,     NO },
        [EVENT_RUNNER_BACK]    = { WAIT,   WAIT,   HOLD,   OFFER,  NO,     NO,     NO },
        [EVENT_RAM]            = { NO,     NO,     NO,     NO,     NO,     NO,     NO },
        [EVENT_GPUS]           = { NO,     NO,     NO,     NO,     NO,     NO,     NO },
        [EVENT_OFFERED]        = { OFFER,  NO,     NO,     NO,     NO,     NO,     NO },
        [EVENT_OFFER_RETURNED] = { NO,     NO,     NO,     WAIT,   WAIT,   NO,     NO },
        [EVENT_OFFER_EXPIRED]  = { NO,     NO,     NO,     AWAY,   NO,     NO,     NO },
        [EVENT_ACCEPTED]       = { NO,     NO,     NO,     RUN,    NO,     NO,     NO },
        [EVENT_STARTED]        = { NO,     NO,     NO,     NO,     RUN,    NO,     NO },
        [EVENT_USED]           = { NO,     NO,     NO,     NO,     RUN,    NO,     NO },
        [EVENT_ENDED]          = { NO,     NO,     NO,     OVER,   OVER,   OVER,   NO },
};
/* clang-format on */

int core_new(Core **ret, const Policy *policy) {
        Core *core = calloc(1, sizeof(*core));

        if (!core)
                return -ENOMEM;

        core->policy = *policy;
        TAILQ_INIT(&core->users);
        TAILQ_INIT(&core->away);
        TAILQ_INIT(&core->held);
        TAILQ_INIT(&core->active);
        TAILQ_INIT(&core->ended);
        *ret = core;
        return 0;
}

/* Forget an entry in any phase. */
static void entry_free(Core *core, Entry *entry) {
        queue_leave(core, entry);
        table_remove(core, entry);
        free(entry->shares);
        entry->task->needs = (Needs){}; /* the class's */
        task_free(entry->task);
        queue_unref_class(core, entry->class);
        free(entry);
}

static void free_list(Core *core, EntryList *list) {
        Entry *entry;

        while ((entry = TAILQ_FIRST(list)))
                entry_free(core, entry);
}

Core *core_free(Core *core) {
        User *user;

        if (!core)
                return NULL;

        free_list(core, &core->away);
        free_list(core, &core->held);
        free_list(core, &core->active);
        free_list(core, &core->ended);
        while ((user = TAILQ_FIRST(&core->users))) {
                Class *class = TAILQ_FIRST(&user->classes);

                entry_free(core, class->queue[class->first + class->n_queued - 1]);
        }

        free(core);
        return NULL;
}

void core_set_policy(Core *core, const Policy *policy) {
        core->policy = *policy;
}

const Policy *core_policy(const Core *core) {
        return &core->policy;
}

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

/* A task that waits has no GPUs and was seen to use nothing, whatever it had in an earlier life. */
static void forget_grants(Task *task) {
        free(task->gpus);
        free(task->gpu_usage);
        task->gpus = NULL;
        task->gpu_usage = NULL;
        task->memory = (Usage){};
        task->started_boot_us = 0;
}

/* The share of an offer that came to nothing is nobody's again. */
static void drop_grants(Core *core, Entry *entry) {
        if (!phase_is_active(entry->phase))
                return;

        share_free_all(core, entry);
        forget_grants(entry->task);
}

static int on_withdrawn(Core *core, Entry *entry, const Event *event) {
        int r = set_reason(entry->task, event->reason);

        if (r < 0)
                return r;

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

        r = queue_ref_class(core, task->uid,
                            update->priority < 0 ? task->priority : (unsigned)update->priority,
                            task->delay_given, update->needs ? update->needs : &task->needs,
                            &class);
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
        unsigned n = task->needs.n_gpus;
        GpuGrant *gpus = NULL;
        Usage *usage = NULL;
        int r = 0;

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

        core->n_offers++;
        task->started_boot_us = event->boot_us;
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

static int on_ended(Core *core, Entry *entry, const Event *event) {
        Task *task = entry->task;
        int r;

        if (!task_state_is_final(event->ended.state))
                return CORE_E_ILLEGAL;

        r = set_reason(task, event->ended.reason);
        if (r < 0)
                return r;

        share_free_all(core, entry);
        task->state = event->ended.state;
        task->exit_status = event->ended.exit_status;
        task->signal = event->ended.signal;
        task->ended_at_us = event->at_us;
        return 0;
}

static int on_task_event(Core *core, Entry *entry, const Event *event) {
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
                task->state = TASK_STATE_RUNNING;
                task->started_at_us = event->at_us;
                entry->n_missed = 0;
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
        case EVENT_SUBMITTED:
        case EVENT_RAM:
        case EVENT_GPUS:
                break;
        }

        return CORE_E_ILLEGAL;
}

/* Where the table leaves a choice, it is the runner's and the task's state that make it. */
static Phase resolve_phase(const Entry *entry, Phase phase) {
        if (phase == PHASE_WAITING && entry->away)
                return PHASE_AWAY;
        if (phase == PHASE_AWAY && entry->task->state == TASK_STATE_HELD)
                return PHASE_HELD;
        if (phase == PHASE_ENDED && entry->task->state == TASK_STATE_LOST)
                return PHASE_LOST;

        return phase;
}

static int apply_task_event(Core *core, const Event *event) {
        Entry *entry = table_find(core, event->task_id);
        Phase phase;
        int next, r;

        if (!entry)
                return CORE_E_NO_TASK;

        next = transitions[event->type][entry->phase];
        if (next == NO)
                return CORE_E_ILLEGAL;

        r = on_task_event(core, entry, event);
        if (r != 0)
                return r;

        phase = resolve_phase(entry, (Phase)next);
        if (phase != entry->phase)
                queue_move(core, entry, phase);
        return 0;
}

/* The phase that a task comes in; NO if it makes no sense. */
static int phase_of_new(const Task *task) {
        if (task->id == 0 || task->priority > TASK_PRIORITY_MAX ||
            task->needs.n_gpus > NEEDS_GPUS_MAX)
                return NO;

        switch (task->state) {
        case TASK_STATE_PENDING:
                return PHASE_WAITING;
        case TASK_STATE_HELD:
                return PHASE_HELD;
        case TASK_STATE_RUNNING:
                return task->needs.n_gpus == 0 || task->gpus ? PHASE_RUNNING : NO;
        case TASK_STATE_DONE:
        case TASK_STATE_FAILED:
        case TASK_STATE_CANCELLED:
        case TASK_STATE_TIMEOUT:
        case TASK_STATE_LOST:
                break;
        }

        return NO;
}

static int entry_new(Core *core, Task *task, Phase phase, Entry **ret) {
        Entry *entry = calloc(1, sizeof(*entry));
        int r;

        if (!entry)
                return -ENOMEM;

        entry->task = task;
        if (phase == PHASE_RUNNING && task->needs.n_gpus > 0 && !task->gpu_usage) {
                task->gpu_usage = calloc(task->needs.n_gpus, sizeof(Usage));
                if (!task->gpu_usage) {
                        r = -ENOMEM;
                        goto fail;
                }
        }

        r = queue_ref_class(core, task->uid, task->priority, task->delay_given, &task->needs,
                            &entry->class);
        if (r < 0)
                goto fail;

        r = phase == PHASE_RUNNING ? share_new_all(core, entry, 0) : 0;
        if (r == 0)
                r = table_add(core, entry);
        if (r < 0) {
                free(entry->shares);
                queue_unref_class(core, entry->class);
                goto fail;
        }

        *ret = entry;
        return 0;

fail:
        free(entry);
        return r;
}

static int apply_submitted(Core *core, const Event *event) {
        Task *task = event->submitted;
        int phase = phase_of_new(task);
        Entry *entry;
        int r;

        if (phase == NO)
                return CORE_E_ILLEGAL;
        if (table_find(core, task->id))
                return CORE_E_EXISTS;

        r = entry_new(core, task, (Phase)phase, &entry);
        if (r < 0)
                return r;

        needs_done(&task->needs);
        task->needs = entry->class->needs;
        if (task->submitted_at_us == 0)
                task->submitted_at_us = event->at_us;
        if (task->queued_boot_us == 0)
                task->queued_boot_us = event->boot_us;
        if (phase != PHASE_RUNNING)
                forget_grants(task);
        if (!task->delay_given && phase != PHASE_RUNNING)
                task->delay_us = core->policy.default_delay_us;
        queue_enter(core, entry, (Phase)phase);
        return 0;
}

int core_apply(Core *core, const Event *event) {
        switch (event->type) {
        case EVENT_SUBMITTED:
                return apply_submitted(core, event);
        case EVENT_RAM:
                look_take_ram(core, &event->ram, event->boot_us);
                return 0;
        case EVENT_GPUS:
                look_take_gpus(core, &event->gpus, event->boot_us);
                return 0;
        case EVENT_WITHDRAWN:
        case EVENT_HELD:
        case EVENT_RELEASED:
        case EVENT_UPDATED:
        case EVENT_RUNNER_AWAY:
        case EVENT_RUNNER_BACK:
        case EVENT_OFFERED:
        case EVENT_OFFER_RETURNED:
        case EVENT_OFFER_EXPIRED:
        case EVENT_ACCEPTED:
        case EVENT_STARTED:
        case EVENT_USED:
        case EVENT_ENDED:
                break;
        }

        return apply_task_event(core, event);
}

void core_forget(Core *core, uint64_t id) {
        Entry *entry = table_find(core, id);

        if (entry && (entry->phase == PHASE_ENDED || entry->phase == PHASE_LOST))
                entry_free(core, entry);
}
