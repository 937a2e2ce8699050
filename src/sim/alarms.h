#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * What will happen, by time (a heap)
 */

#include <stddef.h>
#include <stdint.h>

typedef struct Alarm {
        uint64_t at_us;
        uint64_t order; /* of two at one time the one that was set first */
        int what;       /* the caller's */
        uint64_t arg;   /* likewise */
} Alarm;

/* Zeroed: none. */
typedef struct Alarms {
        size_t n;
        size_t n_allocated;
        Alarm *alarms; /* owned */
        uint64_t n_set;
} Alarms;

void alarms_done(Alarms *alarms);

/* One more. Return: 0 or -ENOMEM. */
int alarms_set(Alarms *alarms, uint64_t at_us, int what, uint64_t arg);

/* Takes the next one out; there must be one. */
Alarm alarms_take(Alarms *alarms);
