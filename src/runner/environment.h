#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The command's environment: the user's own, and what tells it its task and GPUs
 */

#include <stdbool.h>
#include <stddef.h>

#include "core/task.h"
#include "util/macro.h"

typedef struct Environment Environment;

/**
 * environment_new() - for a task that has its GPUs
 * @base:       copied by reference, must outlive the result
 * @task:       its id and gpus
 * @pin:        restrict the command to its GPUs
 *
 * Adds TASKFLOW_TASK_ID; TASKFLOW_ARRAY_INDEX to an element; TASKFLOW_GPUS if it has GPUs; and pinned CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER. All else stays as
 * it is, and in its order.
 *
 * Return: 0, or -ENOMEM.
 */
int environment_new(Environment **ret, char *const *base, const Task *task, bool pin);
Environment *environment_free(Environment *environment);
DEFINE_CLEANUP(Environment *, environment_free);

char *const *environment_vector(const Environment *environment); /* owned by it */

/*
 * "0,3": what people call them, for people and TASKFLOW_GPUS; @buf is ended always, and large enough
 * with GPU_MAX * GPU_ID_MAX bytes.
 */
void environment_gpu_list(const GpuGrant *gpus, unsigned n_gpus, char *buf, size_t n);

/*
 * Whether its UUID ([A-Za-z0-9./-]{1,80}) and number may stand in an environment and in front of
 * people (decisions.md 31).
 */
bool environment_grant_is_sound(const GpuGrant *grant);
