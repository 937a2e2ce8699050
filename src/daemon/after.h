#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Tasks that wait for the end of others (--after, --after-any)
 *
 * The core waits for tasks that it has; what is over already is the store's, and looked up here.
 */

#include "daemon/daemon.h"
#include "util/error.h"

/* after_resolve() */
enum {
        AFTER_E_NO_TASK = 1, /* one of them never was, or is forgotten */
        AFTER_E_DOOMED,      /* one of them has ended, and not as it was to */
};

/**
 * after_resolve() - what a new task still has to wait for
 * @task:       of its `after` what has come true already is taken out
 * @error:      names the task that can't be waited for
 *
 * Return: 0, or an outcome.
 */
int after_resolve(Daemon *daemon, Task *task, Error *error);

enum {
        AFTER_REASON_MAX = 256,
};

/* The same of a task of last time. Return: false if it can never start any more; @reason says why, and nothing is left in its
 * `after`. */
bool after_reload(Daemon *daemon, Task *task, char reason[static AFTER_REASON_MAX]);

/* Cancels whatever waits for something that will not come. */
void after_cancel_doomed(Daemon *daemon);
