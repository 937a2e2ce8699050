#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * A clock for what is thrown away
 *
 * What has become too old is gone for good, so a clock that jumps is not believed at once: one without a battery, or a slip of
 * somebody's hand, is mostly put right soon. It shows CLOCK_REALTIME; after a jump the earlier of what it would show without, and
 * what is shown, until the jump has lasted for a day.
 */

#include <stdbool.h>
#include <stdint.h>

typedef struct SteadyClock {
        bool known; /* zeroed: not looked at yet */
        uint64_t
                offset_us; /* of CLOCK_REALTIME to CLOCK_BOOTTIME, as it is believed; modulo 2^64 */
        uint64_t jumped_us;     /* since it jumped: by the jump; 0: it did not */
        uint64_t since_boot_us; /* when that was seen */
} SteadyClock;

/**
 * steady_clock_us() - what it shows
 * @realtime_us, @boottime_us: now
 *
 * A jump is what CLOCK_REALTIME has gained or lost, by more than a minute, since it was looked at before.
 */
uint64_t steady_clock_us(SteadyClock *clock, uint64_t realtime_us, uint64_t boottime_us);
