#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * A task as the virtual disk has it: what store/task-row.c keeps, without pointers.
 */

#include "core/task.h"

enum {
        ROW_AFTER_MAX = 2,
        ROW_ELEMENTS_MAX = 16,
        ROW_REASON_MAX = 96,
};

typedef struct Row {
        uint64_t id;
        uint8_t key[TASK_KEY_BYTES];
        uid_t uid;
        TaskState state;
        uint64_t memory_bytes;
        unsigned cpus;
        unsigned priority;
        uint64_t delay_us;
        bool delay_given;
        uint64_t time_limit_us;
        bool detached, requeue, cancelled;
        unsigned retry_max;
        unsigned n_after;
        TaskAfter after[ROW_AFTER_MAX];
        bool is_array;
        TaskArray array;           /* its `waiting` is here: */
        uint32_t elements_waiting; /* a bit each */
        uint64_t submitted_at_us, started_at_us, ended_at_us, queued_boot_us, started_boot_us;
        unsigned attempt, n_retries;
        pid_t pid;
        uint64_t pid_start_ticks;
        char boot_id[37];
        int exit_status, signal;
        char reason[ROW_REASON_MAX]; /* empty: none */
} Row;

void row_pack(Row *ret, const Task *task);
Task *row_unpack(const Row *row); /* a new one */

/* All that somebody who submits has to say, made up from a few things that matter. */
Task *row_submission(const Row *row);
