#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The foreground runner
 *
 * `taskflow run`: submits, waits for the grant, runs the command as its child in this terminal, measures it, and ends as it
 * ended. Design at the top of foreground.c.
 */

#include <stdbool.h>
#include <stdint.h>

#include "core/explain.h"
#include "core/task.h"
#include "util/error.h"

/* Own statuses of taskflow run (interface.md). */
enum {
        RUN_STATUS_TIMEOUT = 124,
        RUN_STATUS_FAILED = 125,
        RUN_STATUS_CANNOT_EXEC = 126,
        RUN_STATUS_NOT_FOUND = 127,
};

typedef struct RunRequest {
        Task *task; /* what is asked for; taken by foreground_run() */
        char *const *
                argv; /* to be executed, as given: the shell, "-c" and the line, or the words; borrowed */
        char *const *
                plain_argv; /* words that argv's shell would do no more than execute; tried first; NULL: none */
        uint64_t wait_us;          /* -w; TASK_TIME_INF: without end; 0: now or not at all */
        bool quiet;                /* no messages of our own */
        explain_user_fn user_name; /* for the waiting line */
} RunRequest;

/**
 * foreground_run() - all of it
 *
 * May not return: if a signal ended the command (or Ctrl-C the wait) the process dies of the same signal.
 *
 * Return: the exit status of taskflow.
 */
int foreground_run(RunRequest *request);

/**
 * foreground_dry_run() - say whether it could start now (`--dry-run`)
 *
 * Return: 0 it could, 1 it would wait, 125 never.
 */
int foreground_dry_run(RunRequest *request);
