/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "core/task.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/cleanup.h"
#include "util/strv.h"

static const char *const task_state_table[] = {
        [TASK_STATE_PENDING] = "pending", [TASK_STATE_HELD] = "held",
        [TASK_STATE_RUNNING] = "running", [TASK_STATE_DONE] = "done",
        [TASK_STATE_FAILED] = "failed",   [TASK_STATE_CANCELLED] = "cancelled",
        [TASK_STATE_TIMEOUT] = "timeout", [TASK_STATE_LOST] = "lost",
};

static const char *const pin_mode_table[] = {
        [PIN_MODE_DEFAULT] = "default",
        [PIN_MODE_ON] = "on",
        [PIN_MODE_OFF] = "off",
};

DEFINE_STRING_TABLE(task_state, TaskState);
DEFINE_STRING_TABLE(pin_mode, PinMode);

Task *task_new(void) {
        Task *task = calloc(1, sizeof(*task));

        if (!task)
                return NULL;

        task->priority = TASK_PRIORITY_DEFAULT;
        task->time_limit_us = TASK_TIME_INF;
        task->exit_status = -1;
        return task;
}

TaskArray *task_array_free(TaskArray *array) {
        if (!array)
                return NULL;

        index_set_done(&array->waiting);
        free(array);
        return NULL;
}

static int copy_text(char **ret, const char *text) {
        if (!text)
                return 0;
        *ret = strdup(text);
        return *ret ? 0 : -ENOMEM;
}

/* Without the terminating element that a vector may have: @n of @size bytes; NULL stays NULL. */
static int copy_items(void *ret, const void *items, size_t n, size_t size) {
        void *copy;

        if (!items || n == 0)
                return 0;
        copy = malloc(n * size);
        if (!copy)
                return -ENOMEM;
        (void)memcpy(copy, items, n * size);
        (void)memcpy(ret, &copy, sizeof(copy));
        return 0;
}

static int copy_array(TaskArray **ret, const TaskArray *array) {
        TaskArray *copy;

        if (!array)
                return 0;
        copy = malloc(sizeof(*copy));
        if (!copy)
                return -ENOMEM;
        *copy = *array;
        copy->waiting = (IndexSet){};
        *ret = copy;
        return index_set_copy(&copy->waiting, &array->waiting);
}

Task *task_copy(const Task *task) {
        _cleanup_(task_freep) Task *copy = malloc(sizeof(*copy));

        if (!copy)
                return NULL;

        *copy = *task;
        copy->name = copy->command = copy->cwd = copy->output = copy->reason = NULL;
        copy->argv = NULL;
        copy->needs = (Needs){};
        copy->gpus = NULL;
        copy->gpu_usage = NULL;
        copy->strays = NULL;
        copy->after = NULL;
        copy->array = NULL;
        if (copy_text(&copy->name, task->name) < 0 ||
            copy_text(&copy->command, task->command) < 0 || copy_text(&copy->cwd, task->cwd) < 0 ||
            copy_text(&copy->output, task->output) < 0 ||
            copy_text(&copy->reason, task->reason) < 0 ||
            needs_copy(&copy->needs, &task->needs) < 0 ||
            copy_items(&copy->gpus, task->gpus, task->needs.n_gpus, sizeof(*task->gpus)) < 0 ||
            copy_items(&copy->gpu_usage, task->gpu_usage, task->needs.n_gpus,
                       sizeof(*task->gpu_usage)) < 0 ||
            copy_items(&copy->strays, task->strays, task->n_strays, sizeof(*task->strays)) < 0 ||
            copy_items(&copy->after, task->after, task->n_after, sizeof(*task->after)) < 0 ||
            copy_array(&copy->array, task->array) < 0)
                return NULL;
        if (task->argv) {
                copy->argv = strv_dup(task->argv);
                if (!copy->argv)
                        return NULL;
        }
        return TAKE_PTR(copy);
}

Task *task_free(Task *task) {
        if (!task)
                return NULL;

        free(task->name);
        free(task->command);
        strv_free(task->argv);
        free(task->cwd);
        needs_done(&task->needs);
        free(task->gpus);
        free(task->gpu_usage);
        free(task->strays);
        free(task->reason);
        free(task->after);
        (void)task_array_free(task->array);
        free(task->output);
        free(task);
        return NULL;
}

const char *task_end_in_words(TaskState state) {
        switch (state) {
        case TASK_STATE_FAILED:
                return "failed";
        case TASK_STATE_CANCELLED:
                return "was cancelled";
        case TASK_STATE_TIMEOUT:
                return "ran out of time";
        case TASK_STATE_LOST:
                return "was lost";
        case TASK_STATE_PENDING:
        case TASK_STATE_HELD:
        case TASK_STATE_RUNNING:
        case TASK_STATE_DONE:
                break;
        }

        return "has ended";
}

TaskState task_end_state(int exit_status) {
        return exit_status == 0 ? TASK_STATE_DONE : TASK_STATE_FAILED;
}
