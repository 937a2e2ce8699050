/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "core/task.h"

#include <stdlib.h>

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
        free(task->reason);
        free(task);
        return NULL;
}

TaskState task_end_state(int exit_status) {
        return exit_status == 0 ? TASK_STATE_DONE : TASK_STATE_FAILED;
}
