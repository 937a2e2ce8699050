#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * What a task uses beyond its word
 *
 * A GPU that it did not ask for, or more than twice what it asked for there: what others reckoned with is gone then. Nothing is
 * done about it, but it is said: in `show` and `status`, and by `run` at its end. Less than that is no news, since what people ask
 * for is a guess.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/task.h"

typedef struct Excess {
        unsigned gpu_index;
        const char *gpu_id;   /* what people call it, the task's; empty: not known */
        const char *gpu_uuid; /* the task's */
        uint64_t asked_bytes; /* 0: it did not ask for this GPU */
        uint64_t used_bytes;
        uint64_t peak_bytes;
} Excess;

/**
 * excess_next() - the GPUs where its peak was too much, one after the other
 * @at:         0 before the first; moved on
 * @ret:        set if there is one
 *
 * Return: whether there is one more.
 */
bool excess_next(const Task *task, unsigned *at, Excess *ret);

/* Whether what it holds at this moment is too much. */
bool excess_is_now(const Excess *excess);

/**
 * excess_sentence() - in words
 * @peak:       what it held at most, else what it holds now
 *
 * "9G on GPU 0, where it asked for 2G"; "3G on GPU 1, which it did not ask for". Returns @buf.
 */
const char *excess_sentence(const Excess *excess, bool peak, char *buf, size_t n);

enum {
        EXCESS_SENTENCE_MAX = 128,
};
