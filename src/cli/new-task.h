#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * From words to a task
 *
 * What `run` and `submit` make of their options and of a command: what the daemon is told, and what is executed.
 */

#include "cli/run-options.h"
#include "core/task.h"
#include "util/error.h"

typedef struct NewTask {
        Task *task;        /* owned: what the daemon sees; its texts are repaired and cut */
        char **argv;       /* owned: the shell, "-c" and the line, or the words */
        char **plain_argv; /* owned: words that the shell would do no more than execute; NULL: none */
        char *output;      /* owned: -o, made absolute; NULL: not given */
} NewTask;

/**
 * new_task_make() - a task with a key of its own
 * @words:      one is a line of shell, several are executed as they are
 * @ret:        set on success; release with new_task_done()
 *
 * Return: 0, or negative errno with @error.
 */
int new_task_make(const RunOptions *options, char *const *words, NewTask *ret, Error *error);
void new_task_done(NewTask *task);
