#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Starting a personal daemon
 */

#include <stdbool.h>

#include "util/error.h"

/* start_daemon() */
enum {
        START_E_BUSY = 1, /* another one has the state, and will answer if it does not yet */
        START_E_FAILED,   /* @error says why */
};

/**
 * start_daemon() - start taskflowd for this user, and wait until it answers
 * @state:      its folder; made if it is not there
 *
 * Return: 0, an outcome, or negative errno; @error is filled in unless 0 or BUSY.
 */
int start_daemon(const char *state, Error *error);
