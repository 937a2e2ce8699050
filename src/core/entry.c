/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "core/entry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/after.h"
#include "core/array.h"
#include "core/expect.h"
#include "core/queue.h"
#include "core/share.h"
#include "core/signature.h"
#include "core/table.h"
#include "core/turn.h"

enum {
        NO = -1,
};

void entry_forget_grants(Task *task) {
        free(task->gpus);
        free(task->gpu_usage);
        free(task->strays);
        task->gpus = NULL;
        task->gpu_usage = NULL;
        task->strays = NULL;
        task->n_strays = 0;
        task->memory = (Usage){};
        task->started_boot_us = 0;
}

/* All but its task, which is the caller's again; it was in no list. */
static void entry_discard(Core *core, Entry *entry) {
        after_leave(core, entry);
        table_remove(core, entry);
        free(entry->shares);
        queue_unref_class(core, entry->class);
        free(entry);
}

void entry_free(Core *core, Entry *entry) {
        Task *task = entry->task;

        queue_leave(core, entry);
        task->needs = (Needs){}; /* the class's */
        entry_discard(core, entry);
        task_free(task);
}

/* Whether an array can be one: all of its indices have a number. */
static bool is_array_sound(const Task *task) {
        const IndexSet *waiting = &task->array->waiting;

        return task_ref_index(task->id) < 0 && task->state != TASK_STATE_RUNNING &&
               (waiting->n == 0 || waiting->ranges[waiting->n - 1].last <= TASK_INDEX_MAX);
}

/* Whether an element belongs to an array that is there, and does not wait in it as well. */
static bool is_element_sound(const Core *core, const Task *task) {
        const Entry *array = array_of(core, task->id);

        return array && array->task->array && !phase_is_over(array->phase) &&
               array->task->uid == task->uid &&
               !index_set_contains(&array->task->array->waiting,
                                   (uint32_t)task_ref_index(task->id));
}

/* The phase that a task comes in, `waiting` for all in which it is not offered; NO if it makes no
 * sense. */
static int phase_of_new(const Core *core, const Task *task) {
        if (task_ref_id(task->id) == 0 || task->priority > TASK_PRIORITY_MAX ||
            task->needs.n_gpus > NEEDS_GPUS_MAX || (task->array && !is_array_sound(task)) ||
            (task_ref_index(task->id) >= 0 && !is_element_sound(core, task)))
                return NO;

        switch (task->state) {
        case TASK_STATE_PENDING:
        case TASK_STATE_HELD:
                return PHASE_WAITING;
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

/* What an entry is counted and found by; undone by entry_discard(). */
static int entry_register(Core *core, Entry *entry, Phase phase) {
        Alike alike = queue_alike(entry->task);
        int r;

        r = queue_ref_class(core, &alike, &entry->class);
        if (r < 0)
                return r;

        r = phase == PHASE_RUNNING ? share_new_all(core, entry, 0) : 0;
        if (r == 0)
                r = table_add(core, entry);
        if (r < 0) {
                free(entry->shares);
                queue_unref_class(core, entry->class);
        }

        return r;
}

/* In no list yet; its task is still the caller's. @array: that it is split off from, or NULL. */
static int entry_new(Core *core, Task *task, Phase phase, const Entry *array, Entry **ret) {
        Entry *entry = calloc(1, sizeof(*entry));
        int r;

        if (!entry)
                return -ENOMEM;

        entry->task = task;
        entry->signature = array ? array->signature : signature_of(task, NULL);
        if (task->array)
                entry->n_waiting = (uint32_t)index_set_count(&task->array->waiting);
        if (phase == PHASE_RUNNING && task->needs.n_gpus > 0 && !task->gpu_usage) {
                task->gpu_usage = calloc(task->needs.n_gpus, sizeof(Usage));
                if (!task->gpu_usage) {
                        free(entry);
                        return -ENOMEM;
                }
        }

        r = entry_register(core, entry, phase);
        if (r < 0) {
                free(entry);
                return r;
        }

        if (phase != PHASE_RUNNING)
                r = array ? after_inherit(core, entry, array) : after_enter(core, entry);
        if (r != 0) {
                entry_discard(core, entry);
                return r;
        }

        *ret = entry;
        return 0;
}

/* Into its list; the task is the core's from here on. */
static void entry_enter(Core *core, Entry *entry, Phase phase, const Event *event) {
        Task *task = entry->task;

        needs_done(&task->needs);
        task->needs = entry->class->needs;
        if (task->submitted_at_us == 0)
                task->submitted_at_us = event->at_us;
        if (task->queued_boot_us == 0)
                task->queued_boot_us = event->boot_us;
        if (phase != PHASE_RUNNING) {
                entry_forget_grants(task);
                phase = entry_waiting_phase(entry);
        }
        if (!task->delay_given && phase != PHASE_RUNNING)
                task->delay_us = core->policy.default_delay_us;
        if (phase == PHASE_RUNNING)
                entry->expected_us = expect_learned_us(core, task->uid, entry->signature);
        queue_enter(core, entry, phase);
}

/* What runs has waited for all that it was to wait for. */
static void forget_after(Task *task) {
        free(task->after);
        task->after = NULL;
        task->n_after = 0;
}

/* What runs already has had its part of the machine since it started; and may be the first that is known of a GPU. */
static void take_turn(Core *core,
                      const Entry *entry,
                      unsigned n_gpus_before,
                      uint64_t now_boot_us) {
        Holding none = {}, has = turn_holding(core, entry);

        turn_change(core, entry->class->user, &none, &has,
                    MIN(entry->task->started_boot_us, now_boot_us));
        if (core->n_gpus != n_gpus_before)
                turn_recount(core, now_boot_us);
}

int entry_submit(Core *core, const Event *event) {
        Task *task = event->submitted;
        int phase = phase_of_new(core, task);
        unsigned n_gpus = core->n_gpus;
        Entry *entry, *array;
        int r;

        if (phase == NO)
                return CORE_E_ILLEGAL;
        if (table_find(core, task->id))
                return CORE_E_EXISTS;

        r = entry_new(core, task, (Phase)phase, NULL, &entry);
        if (r != 0)
                return r;

        if (task->array)
                task->array->n_active = task->array->n_apart = 0; /* its elements come behind it */
        if (phase == PHASE_RUNNING)
                forget_after(task);
        entry_enter(core, entry, (Phase)phase, event);
        if (phase == PHASE_RUNNING)
                take_turn(core, entry, n_gpus, event->boot_us);

        array = array_of(core, task->id);
        if (array)
                queue_settle(core, array);
        return 0;
}

/* A task like the array, as if it had just been submitted in its place. */
static Task *element_of(Task *task, uint32_t index) {
        TaskArray *array = TAKE_PTR(task->array); /* may be large, and is not to be copied */
        Task *element = task_copy(task);

        task->array = array;
        if (!element)
                return NULL;

        element->id = task_ref(task->id, index);
        memset(element->key, 0, sizeof(element->key));
        element->started_at_us = 0;
        if (element->state == TASK_STATE_PENDING) {
                free(element->reason);
                element->reason = NULL;
        }
        return element;
}

int entry_split(Core *core, Entry *array, const Event *event) {
        TaskArray *own = array->task->array;
        uint32_t index = event->split.index;
        Entry *entry;
        Task *task;
        int r;

        if (!own || !index_set_contains(&own->waiting, index))
                return CORE_E_ILLEGAL;

        task = element_of(array->task, index);
        if (!task)
                return -ENOMEM;

        r = entry_new(core, task, PHASE_WAITING, array, &entry);
        if (r != 0) {
                task_free(task);
                return r;
        }

        r = index_set_remove(&own->waiting, index);
        if (r < 0) {
                entry_discard(core, entry);
                task_free(task);
                return r;
        }

        entry->away = array->away;
        entry->patient_boot_us = array->patient_boot_us;
        queue_set_n_waiting(core, array, array->n_waiting - 1);
        entry_enter(core, entry, PHASE_WAITING, event);
        return 0;
}
