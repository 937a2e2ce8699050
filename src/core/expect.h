#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * When running tasks will have ended
 *
 * As far as that can be known: the one place that says it, for those who reckon with it.
 */

#include "core/state.h"

/* When an offered or running task will have ended; TASK_TIME_INF: that is not known. It may be past. */
uint64_t expect_end_us(const Entry *entry);

/* When one will have ended that starts now. */
uint64_t expect_end_of_new_us(uint64_t time_limit_us, uint64_t now_boot_us);
