/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "runner/look.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/fd.h"
#include "util/macro.h"

/* A program has read its libraries after the first, and often its data after the second. */
#define FIRST_US  (200 * US_PER_MSEC)
#define SECOND_US US_PER_SEC

#define INTERVAL_DEFAULT_US (10 * US_PER_SEC)
#define INTERVAL_MIN_US     (100 * US_PER_MSEC)
#define INTERVAL_MAX_US     (3600 * US_PER_SEC)

/* PSS is read with the processes' memory maps locked: of the time between two looks at most one part in so many. */
#define COST_PARTS 50
#define BUDGET_US  (50 * US_PER_MSEC)

Look look_make(void) {
        return (Look){ .proc_fd = -1, .interval_us = INTERVAL_DEFAULT_US };
}

void look_done(Look *look) {
        look->proc_fd = fd_close(look->proc_fd);
}

void look_start(Look *look, uint64_t now_boot_us) {
        look->started_boot_us = now_boot_us;
        look->last_boot_us = now_boot_us;
}

void look_set_interval(Look *look, uint64_t interval_us) {
        look->interval_us = MIN(MAX(interval_us, INTERVAL_MIN_US), INTERVAL_MAX_US);
}

uint64_t look_due_boot_us(const Look *look) {
        uint64_t due;

        switch (look->n_taken) {
        case 0:
                return look->started_boot_us + FIRST_US;
        case 1:
                due = look->started_boot_us + SECOND_US;
                break;
        default:
                due = look->last_boot_us + look->interval_us;
        }
        return MAX(due, look->last_boot_us + look->cost_us * COST_PARTS);
}

int look_proc_fd(Look *look) {
        if (look->proc_fd < 0)
                look->proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return look->proc_fd < 0 ? -errno : look->proc_fd;
}

void look_taken(Look *look, uint64_t begin_boot_us) {
        look->n_taken++;
        look->last_boot_us = clock_boottime_us();
        look->cost_us = look->last_boot_us - begin_boot_us;
}

int look_take(Look *look, TreeUse *ret) {
        uint64_t begin = clock_boottime_us();
        int r;

        r = look_proc_fd(look);
        if (r >= 0)
                r = tree_measure(r, getpid(), getuid(), BUDGET_US, ret);

        look_taken(look, begin);
        return r;
}
