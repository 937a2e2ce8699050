#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * What taskflow-sim was told to do
 */

#include <stdbool.h>
#include <stdint.h>

#include "cli/opt.h"
#include "sim/scheduler.h"
#include "sim/workload.h"

enum {
        OPTIONS_SCHEDULERS_MAX = 16,
        OPTIONS_CONFIGS_MAX = 8,
        OPTIONS_SEEDS_MAX = 1000,
};

typedef struct Options {
        WorkloadOptions workload;
        bool has_memory;
        unsigned n_configs;
        const char *configs[OPTIONS_CONFIGS_MAX]; /* files of settings; borrowed */
        unsigned n_schedulers;
        const Scheduler *schedulers[OPTIONS_SCHEDULERS_MAX];
        int format; /* of the trace; -1: find out */
        uint64_t from_us, to_us, longest_us;
        bool gpus_only;
        uint64_t seed;
        uint64_t n_seeds;
        bool csv;
        const char *gantt;      /* a file; NULL: none */
        const char *completion; /* of a shell; NULL: none */
        bool version;
} Options;

extern const Opt options_opts[];

/* What holds where nothing was said. */
void options_init(Options *options);

/* What the words leave open, and what they rule out. Return: 0, or -EINVAL with @error. */
int options_finish(Options *options, Error *error);
