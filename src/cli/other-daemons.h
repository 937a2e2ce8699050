#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Daemons of other users
 *
 * A queue of one's own must not look shared (decisions.md 30): whose else there are is told by their processes.
 */

#include <stddef.h>

enum {
        OTHER_DAEMONS_MAX = 16,
        OTHER_DAEMONS_NAMES_MAX = OTHER_DAEMONS_MAX * 66,
};

/**
 * other_daemons() - users other than the caller whose taskflowd runs
 * @names:      set to their names, with ", " between them; empty if there are none
 *
 * Return: how many daemons, OTHER_DAEMONS_MAX at most.
 */
size_t other_daemons(char names[static OTHER_DAEMONS_NAMES_MAX]);
