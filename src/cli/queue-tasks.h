#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Queueing detached tasks
 *
 * Through the user's agent, which is started if need be. Each call is all or nothing; one whose answer was lost is said again with
 * the same keys, so that nothing is queued twice.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/new-task.h"
#include "client/client.h"
#include "util/error.h"

enum {
        QUEUE_TASKS_MAX = 250,        /* in one call */
        QUEUE_BYTES_MAX = 512 * 1024, /* of queue_tasks_bytes() in one call, or a single task */
        QUEUE_NOTICES_MAX = 64,
};

/* What is known from one call to the next; {} but for what is to be set. */
typedef struct TaskQueue {
        bool quiet;       /* to be set: no notices */
        bool wait_given;  /* to be set: -w */
        uint64_t wait_us; /* to be set: -w; 0: now or not at all; or TASK_TIME_INF */

        bool daemon_seen;
        Client *agent; /* owned; NULL: not connected */
        size_t n_notices;
        char *notices[QUEUE_NOTICES_MAX]; /* owned; those that were said, each once */
} TaskQueue;

/* At least the bytes that a task takes in messages to the agent and from there to the daemon, and those of its command. */
size_t queue_tasks_bytes(const NewTask *task);

/**
 * queue_tasks() - all of them or none
 * @tasks:      borrowed; 1 to QUEUE_TASKS_MAX
 * @ret_ids:    @n of them, set on success
 * @error:      why not
 *
 * Says notices of agent and daemon on stderr.
 *
 * Return: 0, or negative errno. -EINPROGRESS: nobody knows whether they were queued.
 */
int queue_tasks(TaskQueue *queue, NewTask *tasks, size_t n, uint64_t *ret_ids, Error *error);
void queue_tasks_done(TaskQueue *queue);
