/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The time, in microseconds
 */

#include "util/clock.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "util/macro.h"

static uint64_t clock_us(clockid_t clock) {
        struct timespec ts;
        int r;

        r = clock_gettime(clock, &ts);
        assert(r == 0); /* both clocks are older than any kernel we run on */
        return (uint64_t)ts.tv_sec * US_PER_SEC + (uint64_t)ts.tv_nsec / NS_PER_USEC;
}

uint64_t clock_realtime_us(void) {
        return clock_us(CLOCK_REALTIME);
}

uint64_t clock_boottime_us(void) {
        return clock_us(CLOCK_BOOTTIME);
}

int clock_format_iso(char *buf, size_t n, uint64_t realtime_us) {
        time_t seconds = (time_t)(realtime_us / US_PER_SEC);
        struct tm tm;
        char day[CLOCK_ISO_MAX];
        int r;

        if (!gmtime_r(&seconds, &tm) || strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm) == 0)
                return -EOVERFLOW;

        r = snprintf(buf, n, "%s.%03" PRIu64 "Z", day, realtime_us % US_PER_SEC / US_PER_MSEC);
        return r < 0 || (size_t)r >= n ? -ENOBUFS : 0;
}
