#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Random numbers that are the same on every machine, for ever (splitmix64)
 */

#include <stdbool.h>
#include <stdint.h>

typedef struct Rng {
        uint64_t state;
} Rng;

static inline uint64_t rng_next(Rng *rng) {
        uint64_t z = rng->state += UINT64_C(0x9e3779b97f4a7c15);

        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        return z ^ (z >> 31);
}

/* 0 to n - 1 */
static inline uint64_t rng_below(Rng *rng, uint64_t n) {
        return rng_next(rng) % n;
}

static inline uint64_t rng_between(Rng *rng, uint64_t from, uint64_t to) {
        return from + rng_below(rng, to - from + 1);
}

static inline bool rng_chance(Rng *rng, unsigned percent) {
        return rng_below(rng, 100) < percent;
}

/* 0 up to, but not including, 1 */
static inline double rng_real(Rng *rng) {
        return (double)(rng_next(rng) >> 11) / (double)(UINT64_C(1) << 53);
}
