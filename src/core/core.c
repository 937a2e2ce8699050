/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The core
 *
 * A life is a table: event by phase gives the next phase, or that it makes no sense. What else an
 * event changes of its task is in change.c, what it means for others (the array of an element, who
 * waits for its end) in array.c and after.c.
 */

#include "core/core.h"

#include <errno.h>
#include <stdlib.h>

#include "core/after.h"
#include "core/array.h"
#include "core/change.h"
#include "core/entry.h"
#include "core/experience.h"
#include "core/keep.h"
#include "core/look.h"
#include "core/queue.h"
#include "core/row.h"
#include "core/table.h"
#include "core/turn.h"

/* The phases, short enough to stand side by side. */
enum {
        NO = -1,
        WAIT = PHASE_WAITING,
        OFFER = PHASE_OFFERED,
        RUN = PHASE_RUNNING,
        OVER = PHASE_ENDED,
};

/*
 * Where the task waits next is resolved below: held, blocked, away and waiting are one to the
 * table.
 */
/* clang-format off */
static const int transitions[N_EVENT_TYPES][N_PHASES] = {
        /*                         waiting away    blocked held    offered running lost    ended */
        [EVENT_SUBMITTED]      = { NO,     NO,     NO,     NO,     NO,     NO,     NO,     NO },
        [EVENT_WITHDRAWN]      = { OVER,   OVER,   OVER,   OVER,   OVER,   NO,     NO,     NO },
        [EVENT_HELD]           = { WAIT,   WAIT,   WAIT,   NO,     WAIT,   NO,     NO,     NO },
        [EVENT_RELEASED]       = { NO,     NO,     NO,     WAIT,   NO,     NO,     NO,     NO },
        [EVENT_UPDATED]        = { WAIT,   WAIT,   WAIT,   WAIT,   NO,     NO,     NO,     NO },
        [EVENT_RUNNER_AWAY]    = { WAIT,   WAIT,   WAIT,   WAIT,   OFFER,  NO,     NO,     NO },
        [EVENT_RUNNER_BACK]    = { WAIT,   WAIT,   WAIT,   WAIT,   OFFER,  NO,     NO,     NO },
        [EVENT_RAM]            = { NO,     NO,     NO,     NO,     NO,     NO,     NO,     NO },
        [EVENT_GPUS]           = { NO,     NO,     NO,     NO,     NO,     NO,     NO,     NO },
        [EVENT_OFFERED]        = { OFFER,  NO,     NO,     NO,     NO,     NO,     NO,     NO },
        [EVENT_OFFER_RETURNED] = { NO,     NO,     NO,     NO,     WAIT,   WAIT,   NO,     NO },
        [EVENT_OFFER_EXPIRED]  = { NO,     NO,     NO,     NO,     WAIT,   NO,     NO,     NO },
        [EVENT_ACCEPTED]       = { NO,     NO,     NO,     NO,     RUN,    NO,     NO,     NO },
        [EVENT_STARTED]        = { NO,     NO,     NO,     NO,     NO,     RUN,    NO,     NO },
        [EVENT_USED]           = { NO,     NO,     NO,     NO,     NO,     RUN,    NO,     NO },
        [EVENT_ENDED]          = { NO,     NO,     NO,     NO,     OVER,   OVER,   OVER,   NO },
        [EVENT_SPLIT]          = { WAIT,   WAIT,   WAIT,   WAIT,   NO,     NO,     NO,     NO },
        [EVENT_REQUEUED]       = { NO,     NO,     NO,     NO,     NO,     WAIT,   NO,     NO },
        [EVENT_CANCELLED]      = { NO,     NO,     NO,     NO,     NO,     RUN,    NO,     NO },
        [EVENT_KEPT]           = { NO,     NO,     NO,     NO,     NO,     NO,     NO,     NO },
        [EVENT_DRAINED]        = { NO,     NO,     NO,     NO,     NO,     NO,     NO,     NO },
        [EVENT_USER]           = { NO,     NO,     NO,     NO,     NO,     NO,     NO,     NO },
        [EVENT_HISTORY]        = { NO,     NO,     NO,     NO,     NO,     NO,     NO,     NO },
        [EVENT_LEARNED]        = { NO,     NO,     NO,     NO,     NO,     NO,     NO,     NO },
};
/* clang-format on */

static uint64_t half_life_us(const Policy *policy) {
        return MAX(policy->share_half_life_us, POLICY_HALF_LIFE_MIN_US);
}

int core_new(Core **ret, const Policy *policy) {
        Core *core = calloc(1, sizeof(*core));

        if (!core)
                return -ENOMEM;

        core->policy = *policy;
        core->policy.share_half_life_us = half_life_us(policy);
        TAILQ_INIT(&core->users);
        TAILQ_INIT(&core->away);
        TAILQ_INIT(&core->blocked);
        TAILQ_INIT(&core->held);
        TAILQ_INIT(&core->active);
        TAILQ_INIT(&core->ended);
        TAILQ_INIT(&core->doomed);
        TAILQ_INIT(&core->experiences);
        *ret = core;
        return 0;
}

static void free_list(Core *core, EntryList *list) {
        Entry *entry;

        while ((entry = TAILQ_FIRST(list)))
                entry_free(core, entry);
}

Core *core_free(Core *core) {
        User *user, *next;

        if (!core)
                return NULL;

        free_list(core, &core->away);
        free_list(core, &core->blocked);
        free_list(core, &core->held);
        free_list(core, &core->active);
        free_list(core, &core->ended);
        while ((user = TAILQ_FIRST(&core->users))) {
                Class *class = TAILQ_FIRST(&user->classes);

                entry_free(core, class->queue[class->first + class->n_queued - 1]);
        }

        keep_clear(core);
        experience_clear(core);
        HASH_ITER(hh, core->users_by_uid, user, next) {
                table_remove_user(core, user);
                free(user);
        }
        free(core);
        return NULL;
}

void core_set_policy(Core *core, const Policy *policy) {
        turn_set_half_life(core, half_life_us(policy));
        core->policy = *policy;
        core->policy.share_half_life_us = half_life_us(policy);
        turn_recount(core, core->last_boot_us);
}

const Policy *core_policy(const Core *core) {
        return &core->policy;
}

const Drain *core_drain(const Core *core) {
        return &core->drain;
}

/* Where the table leaves a choice, it is the task's state that makes it. */
static Phase resolve_phase(const Entry *entry, Phase phase) {
        TaskState state = entry->task->state;

        if (phase == PHASE_WAITING || (phase == PHASE_ENDED && !task_state_is_final(state)))
                return entry_waiting_phase(entry);
        if (phase == PHASE_ENDED && state == TASK_STATE_LOST)
                return PHASE_LOST;

        return phase;
}

/* Into the next phase; and what it has then is its user's. */
static void move_on(Core *core, Entry *entry, Phase phase, const Event *event, Holding had) {
        const Entry *heir = NULL;
        Holding has;

        if (!phase_is_active(phase)) {
                heir = entry->ahead ? NULL : entry->behind;
                row_leave(core, entry, event);
        }
        if (phase != entry->phase)
                queue_move(core, entry, phase);

        has = turn_holding(core, heir ? heir : entry);
        turn_change(core, entry->class->user, &had, &has, event->boot_us);
}

static int apply_task_event(Core *core, const Event *event) {
        Entry *entry = table_find(core, event->task_id), *array;
        TaskState before;
        Holding had;
        int next, r;

        if (!entry)
                return CORE_E_NO_TASK;

        next = transitions[event->type][entry->phase];
        if (next == NO)
                return CORE_E_ILLEGAL;

        before = entry->task->state;
        had = turn_holding(core, entry);
        r = change_apply(core, entry, event);
        if (r != 0)
                return r;

        move_on(core, entry, resolve_phase(entry, (Phase)next), event, had);
        array = array_of(core, event->task_id);
        if (array)
                array_follow(core, array, entry->task, before, event);
        if (task_state_is_final(entry->task->state))
                after_ended(core, entry->task, event->boot_us);
        return 0;
}

static int set_rules(Core *core, const Event *event) {
        User *user = NULL;
        int r;

        r = queue_get_user(core, event->user.uid, &user);
        if (r < 0)
                return r;

        user->rules = event->user.rules;
        user->rules.weight_permille = MAX(user->rules.weight_permille, 1U);
        return 0;
}

int core_apply(Core *core, const Event *event) {
        turn_advance(core, event->boot_us);
        switch (event->type) {
        case EVENT_SUBMITTED:
                return entry_submit(core, event);
        case EVENT_RAM:
                look_take_ram(core, &event->ram, event->boot_us);
                return 0;
        case EVENT_GPUS:
                look_take_gpus(core, &event->gpus, event->boot_us);
                return 0;
        case EVENT_USER:
                return set_rules(core, event);
        case EVENT_HISTORY:
                return turn_restore(core, event);
        case EVENT_LEARNED:
                return experience_restore(core, event);
        case EVENT_DRAINED:
                core->drain = *event->drain;
                if (core->drain.on)
                        keep_clear(core);
                return 0;
        case EVENT_KEPT:
                return keep_apply(core, event);
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
        case EVENT_SPLIT:
        case EVENT_REQUEUED:
        case EVENT_CANCELLED:
                break;
        }

        return apply_task_event(core, event);
}

void core_forget(Core *core, uint64_t id) {
        Entry *entry = table_find(core, id);

        if (entry && phase_is_over(entry->phase))
                entry_free(core, entry);
}
