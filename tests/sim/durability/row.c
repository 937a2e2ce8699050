/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "row.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/strv.h"

#include "world.h"

static void pack_array(Row *ret, const TaskArray *array) {
        ret->is_array = true;
        ret->array = *array;
        ret->array.waiting = (IndexSet){ 0 };
        ret->array.n_active = ret->array.n_apart = 0;
        for (unsigned i = 0; i < ROW_ELEMENTS_MAX; i++)
                if (index_set_contains(&array->waiting, i))
                        ret->elements_waiting |= 1U << i;
}

void row_pack(Row *ret, const Task *task) {
        *ret = (Row){
                .id = task->id,
                .uid = task->uid,
                .state = task->state,
                .memory_bytes = task->needs.memory_bytes,
                .cpus = task->needs.cpus,
                .priority = task->priority,
                .delay_us = task->delay_us,
                .delay_given = task->delay_given,
                .time_limit_us = task->time_limit_us,
                .detached = task->detached,
                .requeue = task->requeue,
                .retry_max = task->retry_max,
                .n_after = task->n_after,
                .submitted_at_us = task->submitted_at_us,
                .started_at_us = task->started_at_us,
                .ended_at_us = task->ended_at_us,
                .queued_boot_us = task->queued_boot_us,
                .started_boot_us = task->started_boot_us,
                .attempt = task->attempt,
                .n_retries = task->n_retries,
                .pid = task->pid,
                .pid_start_ticks = task->pid_start_ticks,
                .exit_status = task->exit_status,
                .signal = task->signal,
                .cancelled = task->cancelled && world.mutant != MUTANT_CANCEL_FORGOTTEN,
        };
        assert(task->n_after <= ROW_AFTER_MAX && task->needs.n_gpus == 0);
        memcpy(ret->key, task->key, sizeof(ret->key));
        memcpy(ret->boot_id, task->boot_id, sizeof(ret->boot_id));
        for (unsigned i = 0; i < task->n_after; i++)
                ret->after[i] = task->after[i];
        if (task->array)
                pack_array(ret, task->array);
        if (task->reason)
                (void)snprintf(ret->reason, sizeof(ret->reason), "%s", task->reason);
}

static void *must(void *p) {
        if (!p)
                abort();
        return p;
}

static TaskArray *unpack_array(const Row *row) {
        TaskArray *array = must(malloc(sizeof(*array)));

        *array = row->array;
        for (uint32_t i = 0; i < ROW_ELEMENTS_MAX; i++)
                if (row->elements_waiting & 1U << i && index_set_add(&array->waiting, i, i) < 0)
                        abort();
        return array;
}

Task *row_submission(const Row *row) {
        Task *task = must(task_new());

        task->command = must(strdup("true"));
        task->cwd = must(strdup("/"));
        task->argv = must(strv_dup((char *[]){ (char[]){ "true" }, NULL }));
        task->needs.memory_bytes = row->memory_bytes;
        task->needs.cpus = row->cpus;
        task->priority = row->priority;
        task->delay_us = row->delay_us;
        task->delay_given = row->delay_given;
        task->time_limit_us = row->time_limit_us;
        task->detached = row->detached;
        task->requeue = row->requeue;
        task->retry_max = row->retry_max;
        memcpy(task->key, row->key, sizeof(row->key));
        if (row->n_after > 0) {
                task->after = must(calloc(row->n_after, sizeof(TaskAfter)));
                task->n_after = row->n_after;
                memcpy(task->after, row->after, row->n_after * sizeof(TaskAfter));
        }
        if (row->is_array)
                task->array = unpack_array(row);
        if (row->detached)
                task->output = must(strdup("/log"));
        return task;
}

Task *row_unpack(const Row *row) {
        Task *task = row_submission(row);

        task->id = row->id;
        task->uid = row->uid;
        task->state = row->state;
        task->submitted_at_us = row->submitted_at_us;
        task->started_at_us = row->started_at_us;
        task->ended_at_us = row->ended_at_us;
        task->queued_boot_us = row->queued_boot_us;
        task->started_boot_us = row->started_boot_us;
        task->attempt = row->attempt;
        task->n_retries = row->n_retries;
        task->pid = row->pid;
        task->pid_start_ticks = row->pid_start_ticks;
        task->exit_status = row->exit_status;
        task->signal = row->signal;
        task->cancelled = row->cancelled;
        memcpy(task->boot_id, row->boot_id, sizeof(task->boot_id));
        if (row->reason[0])
                task->reason = must(strdup(row->reason));
        return task;
}
