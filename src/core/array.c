/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "core/array.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/after.h"
#include "core/queue.h"
#include "core/table.h"

enum {
        REASON_MAX = 256,
};

Entry *array_of(const Core *core, uint64_t ref) {
        return task_ref_index(ref) < 0 ? NULL : table_find(core, task_ref_id(ref));
}

size_t array_n_shut(const Entry *array) {
        return array_is_full(array->task->array) ? array->n_queued : 0;
}

/* Where the elements are counted that ended so. */
static unsigned *end_counter(TaskArray *array, TaskState state) {
        switch (state) {
        case TASK_STATE_DONE:
                return &array->n_done;
        case TASK_STATE_FAILED:
                return &array->n_failed;
        case TASK_STATE_CANCELLED:
                return &array->n_cancelled;
        case TASK_STATE_TIMEOUT:
                return &array->n_timeout;
        case TASK_STATE_LOST:
                return &array->n_lost;
        case TASK_STATE_PENDING:
        case TASK_STATE_HELD:
        case TASK_STATE_RUNNING:
                break;
        }

        return NULL;
}

static unsigned n_over(const TaskArray *array) {
        return array->n_done + array->n_failed + array->n_cancelled + array->n_timeout +
               array->n_lost;
}

static TaskState end_state(const Task *task) {
        unsigned n = n_over(task->array);

        if (task->cancelled || task->array->n_cancelled == n)
                return TASK_STATE_CANCELLED;

        return task->array->n_done == n ? TASK_STATE_DONE : TASK_STATE_FAILED;
}

/*
 * How its elements ended, but for those that ended as is expected of an array that is @state: `3 of 10 failed, 1 was cancelled`;
 * NULL if they all did, or when out of memory.
 */
static char *ends_in_words(const TaskArray *array, TaskState state) {
        const struct {
                unsigned n;
                const char *one, *many;
        } parts[] = {
                { state == TASK_STATE_CANCELLED ? array->n_done : 0, "was done", "were done" },
                { array->n_failed, "failed", "failed" },
                { array->n_timeout, "ran out of time", "ran out of time" },
                { array->n_lost, "was lost", "were lost" },
                { state == TASK_STATE_CANCELLED ? 0 : array->n_cancelled, "was cancelled",
                  "were cancelled" },
        };
        char text[REASON_MAX] = "", of[32];
        size_t at = 0;

        (void)snprintf(of, sizeof(of), " of %u", n_over(array));
        for (size_t i = 0; i < ELEMENTSOF(parts); i++)
                if (parts[i].n > 0)
                        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%u%s %s",
                                               at > 0 ? ", " : "", parts[i].n, at > 0 ? "" : of,
                                               parts[i].n == 1 ? parts[i].one : parts[i].many);

        return at > 0 ? strdup(text) : NULL;
}

/* Why it was cancelled as a whole, and how the elements ended that were not: `cancelled; 2 of 10 were done, 1 failed`. */
static void say_ends(Task *task) {
        char *ends = ends_in_words(task->array, TASK_STATE_CANCELLED);
        char *former = task_state_is_final(task->state) && task->reason ?
                               strrchr(task->reason, ';') :
                               NULL;
        char *text = NULL;

        if (former) /* a late status has corrected what was said */
                *former = '\0';
        if (ends &&
            asprintf(&text, "%s; %s", task->reason ? task->reason : "cancelled", ends) >= 0) {
                free(task->reason);
                task->reason = text;
        }
        free(ends);
}

/* All its elements are over. Out of memory it ends without a reason. */
static void finish(Task *task, const Event *event) {
        TaskState state = end_state(task);

        if (task->cancelled) {
                say_ends(task);
        } else {
                free(task->reason);
                task->reason =
                        state == TASK_STATE_FAILED ? ends_in_words(task->array, state) : NULL;
        }
        task->state = state;
        task->exit_status = state == TASK_STATE_DONE ? 0 : -1;
        task->ended_at_us = event->at_us;
}

static bool is_over(const Entry *array) {
        return array->n_waiting == 0 && array->task->array->n_apart == 0;
}

void array_withdraw(Core *core, Entry *array, const Event *event) {
        Task *task = array->task;

        after_leave(core, array);
        task->array->n_cancelled += array->n_waiting;
        index_set_done(&task->array->waiting);
        queue_set_n_waiting(core, array, 0);
        task->state = TASK_STATE_PENDING;
        task->cancelled = true;
        if (is_over(array)) {
                finish(task, event);
                return;
        }

        free(task->after);
        task->after = NULL;
        task->n_after = 0;
}

static void count_end(TaskArray *array, TaskState before, TaskState now) {
        unsigned *former = end_counter(array, before), *counter = end_counter(array, now);

        if (former && *former > 0) /* lost, and its runner came back with a status */
                (*former)--;
        if (counter)
                (*counter)++;
}

void array_follow(Core *core,
                  Entry *array,
                  const Task *element,
                  TaskState before,
                  const Event *event) {
        Task *task = array->task;

        if (event->type == EVENT_ACCEPTED && task->started_at_us == 0)
                task->started_at_us = event->at_us;
        if (task_state_is_final(element->state))
                count_end(task->array, before, element->state);

        if (!task_state_is_final(element->state) || !is_over(array)) {
                queue_settle(core, array);
                return;
        }

        finish(task, event);
        if (array->phase != PHASE_ENDED)
                queue_move(core, array, PHASE_ENDED);
        after_leave(core, array);
        after_ended(core, task, event->boot_us);
}
