#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Outsiders
 *
 * Processes that belong to no task and hold some of a resource: who it is that tasks wait for when it is no other task. Numbers
 * alone; names are looked up by who shows them.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
        OUTSIDERS_MAX = 8,
};

#define OUTSIDER_UID_UNKNOWN   ((uid_t)-1)
#define OUTSIDER_BYTES_UNKNOWN UINT64_MAX /* the driver does not tell */

typedef struct OutsideProcess {
        pid_t pid; /* as the daemon sees it */
        uint64_t
                start_ticks; /* after boot, which tells it from a later one of that pid; 0: unknown */
        uid_t uid;
        uint64_t used_bytes;
} OutsideProcess;

/* Those that hold most, the largest first, behind them those of which that is not known. */
typedef struct Outsiders {
        size_t n;
        OutsideProcess items[OUTSIDERS_MAX];
        size_t n_more; /* that are not listed */
} Outsiders;

/* One more; whoever holds least falls out when there are too many. */
void outsiders_add(Outsiders *outsiders, const OutsideProcess *outsider);
