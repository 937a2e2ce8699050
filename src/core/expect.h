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

/* How long runs of a signature take, to reckon with: the mean of the last ones, as above; 0: nothing is known. */
uint64_t expect_learned_us(const Core *core, uid_t uid, uint64_t signature);

/* How long they take at most, as likely as it can be told: the longest of those. 0: nothing is known. */
uint64_t expect_longest_us(const Core *core, uid_t uid, uint64_t signature);

/* When an offered or running task will have ended by its time limit; it may be past. TASK_TIME_INF: it has none. */
uint64_t expect_limit_us(const Entry *entry);

/*
 * When it will have ended: by its time limit, if it has one; else after what it was expected to take when it started, or, if it has
 * outlived that, after twice that, four times... TASK_TIME_INF: nothing is known.
 */
uint64_t expect_end_us(const Entry *entry, uint64_t now_boot_us);
