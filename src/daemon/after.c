/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "daemon/after.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "daemon/records.h"
#include "util/cleanup.h"

typedef enum AfterState {
        AFTER_STATE_OPEN, /* the core has it, and knows what becomes of it */
        AFTER_STATE_MET,
        AFTER_STATE_DOOMED,
        AFTER_STATE_UNKNOWN,
} AfterState;

static AfterState state_of(Daemon *daemon, const TaskAfter *after, TaskState *ret_state) {
        _cleanup_(task_freep) Task *stored = NULL;

        if (core_find(daemon->core, after->id))
                return AFTER_STATE_OPEN;
        if (task_ref_index(after->id) >= 0 ||
            store_load_task(daemon->store, after->id, &stored) != 0)
                return AFTER_STATE_UNKNOWN;
        *ret_state = stored->state;
        if (after->any || stored->state == TASK_STATE_DONE)
                return AFTER_STATE_MET;
        return AFTER_STATE_DOOMED;
}

static void take_out(Task *task, unsigned at) {
        task->n_after--;
        memmove(task->after + at, task->after + at + 1,
                (task->n_after - at) * sizeof(*task->after));
}

static bool is_doomed_in_core(Daemon *daemon, const TaskAfter *after, TaskState *ret_state) {
        const Task *task = core_find(daemon->core, after->id);

        *ret_state = task->state;
        return task_state_is_final(task->state) && !after->any && task->state != TASK_STATE_DONE;
}

int after_resolve(Daemon *daemon, Task *task, Error *error) {
        for (unsigned i = 0; i < task->n_after;) {
                const TaskAfter *after = &task->after[i];
                TaskState state = TASK_STATE_PENDING;
                AfterState known = state_of(daemon, after, &state);

                if (known == AFTER_STATE_OPEN && is_doomed_in_core(daemon, after, &state))
                        known = AFTER_STATE_DOOMED;
                switch (known) {
                case AFTER_STATE_OPEN:
                        i++;
                        break;
                case AFTER_STATE_MET:
                        take_out(task, i);
                        break;
                case AFTER_STATE_DOOMED:
                        return error_set(error, AFTER_E_DOOMED,
                                         "it can never start: task %" PRIu64
                                         ", which it is to wait for, %s",
                                         after->id, task_end_in_words(state));
                case AFTER_STATE_UNKNOWN:
                        return error_set(error, AFTER_E_NO_TASK,
                                         "there is no task %" PRIu64
                                         " to wait for; 'taskflow ps -a' shows all",
                                         after->id);
                }
        }
        return 0;
}

bool after_reload(Daemon *daemon, Task *task, char reason[static AFTER_REASON_MAX]) {
        for (unsigned i = 0; i < task->n_after;) {
                TaskState state = TASK_STATE_PENDING;
                AfterState known = state_of(daemon, &task->after[i], &state);

                if (known == AFTER_STATE_OPEN) {
                        i++;
                        continue;
                }
                if (known == AFTER_STATE_MET || task->after[i].any) {
                        take_out(task, i);
                        continue;
                }
                (void)snprintf(reason, AFTER_REASON_MAX,
                               "task %" PRIu64 ", which it was to wait for, %s", task->after[i].id,
                               known == AFTER_STATE_DOOMED ? task_end_in_words(state) :
                                                             "is not known any more");
                task->n_after = 0;
                return false;
        }
        return true;
}

void after_cancel_doomed(Daemon *daemon) {
        char reason[AFTER_REASON_MAX];
        uint64_t id;

        while ((id = core_next_doomed(daemon->core, reason, sizeof(reason))) != 0) {
                Record *record = record_find(daemon, id);

                if (!record || record_cancel(record, reason) < 0)
                        return; /* out of memory: the next turn tries again */
        }
}
