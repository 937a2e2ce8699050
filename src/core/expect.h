#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * How long tasks take, and when they will have ended
 *
 * As far as that can be known: the one place that says it, for those who reckon with it. Known are time limits, and what the
 * last runs of the same took (experience.h). A limit holds; what runs took is only likely.
 */

#include "core/state.h"

/* How much longer a task takes, at least, about, and at most; as likely as it can be told. */
typedef struct ExpectSpan {
        uint64_t lower_us, middle_us, upper_us;
        unsigned n_runs; /* that it is told by; 0: a time limit alone */
        bool of_same;    /* those were runs of the same */
} ExpectSpan;

/**
 * expect_span() - how long a task still takes
 * @entry:      one that waits: from its start on; that is offered or runs: from now on
 * @ret:        overwritten on success
 *
 * By what runs of the same took, or, if there were none, whatever that user ran; those left out that were over sooner than it is
 * now. And by its time limit, if there is one.
 *
 * Return: whether anything is known.
 */
bool expect_span(const Core *core, const Entry *entry, uint64_t now_boot_us, ExpectSpan *ret);

/* When one will have ended that starts now. */
uint64_t expect_end_of_new_us(uint64_t time_limit_us, uint64_t now_boot_us);

/* When an offered or running task will have ended; TASK_TIME_INF: that is not known. It may be past. */
uint64_t expect_end_us(const Entry *entry);
