/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "core/expect.h"

#include "core/sat.h"

uint64_t expect_end_of_new_us(uint64_t time_limit_us, uint64_t now_boot_us) {
        if (time_limit_us == TASK_TIME_INF)
                return TASK_TIME_INF;

        return sat_add(now_boot_us, time_limit_us);
}

uint64_t expect_end_us(const Entry *entry) {
        return expect_end_of_new_us(entry->task->time_limit_us, entry->task->started_boot_us);
}
