/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "util/steady-clock.h"

#include "util/macro.h"

#define SLEW_US    (60 * US_PER_SEC)                  /* as NTP does it, between two looks */
#define BELIEVE_US (UINT64_C(24) * 3600 * US_PER_SEC) /* a jump, when it has lasted for so long */

static uint64_t distance(uint64_t a, uint64_t b) {
        uint64_t d = a - b;

        return MIN(d, -d);
}

static void believe(SteadyClock *clock, uint64_t offset_us) {
        *clock = (SteadyClock){ .known = true, .offset_us = offset_us };
}

uint64_t steady_clock_us(SteadyClock *clock, uint64_t realtime_us, uint64_t boottime_us) {
        uint64_t offset_us = realtime_us - boottime_us;
        uint64_t jumped_us = offset_us - clock->offset_us;

        if (!clock->known || distance(jumped_us, 0) <= SLEW_US) {
                believe(clock, offset_us);
                return realtime_us;
        }
        if (clock->jumped_us == 0 || distance(jumped_us, clock->jumped_us) > SLEW_US)
                clock->since_boot_us = boottime_us;
        clock->jumped_us = jumped_us;
        if (boottime_us - clock->since_boot_us < BELIEVE_US)
                return MIN(realtime_us, boottime_us + clock->offset_us);
        believe(clock, offset_us);
        return realtime_us;
}
