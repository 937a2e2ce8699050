#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * `-m auto`, `--gpu WHICH:auto`: to ask for what runs of the same took
 *
 * The daemon is asked before the task is queued, so that what is queued, shown and replayed has sizes like any other.
 */

#include <stdbool.h>

#include "cli/run-options.h"
#include "client/client.h"
#include "core/task.h"
#include "util/error.h"

/* Whether a SIZE is to be found out. */
bool learned_is_auto(const char *word);

/**
 * learned_fill() - the sizes that are to be found out
 * @options:    what was asked for
 * @task:       made of them; its needs are filled in: a fifth more than the last runs of the same took at most
 * @client:     to be used again for the next task; NULL in it: connects if need be. To be freed by the caller
 *
 * Says on stderr what it came to, unless quiet. Refused where no run of the same is known.
 *
 * Return: 0, or negative errno with @error.
 */
int learned_fill(const RunOptions *options, Task *task, Client **client, Error *error);
