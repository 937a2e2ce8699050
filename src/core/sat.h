#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Arithmetic that saturates
 *
 * Sizes come from drivers, files and users. Whatever they are, a sum of them never wraps around: it
 * stops at the largest number, and a difference at 0.
 */

#include <stdint.h>

static inline uint64_t sat_add(uint64_t a, uint64_t b) {
        uint64_t sum;

        return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

static inline uint64_t sat_sub(uint64_t a, uint64_t b) {
        return a > b ? a - b : 0;
}

/* a * mul / div, without overflow in between; @div is not 0. */
static inline uint64_t sat_mul_div(uint64_t a, uint64_t mul, uint64_t div) {
        unsigned __int128 product = (unsigned __int128)a * mul / div;

        return product > UINT64_MAX ? UINT64_MAX : (uint64_t)product;
}
