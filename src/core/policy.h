#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Policy
 *
 * The settings that the core decides by (taskflow.conf(5) explains each).
 */

#include <stdbool.h>
#include <stdint.h>

#include "core/machine.h"
#include "core/needs.h"

/* Shorter ones would only make turns a lottery; and it is divided by. */
#define POLICY_HALF_LIFE_MIN_US UINT64_C(60000000)

typedef struct Policy {
        uint64_t default_delay_us;      /* or TASK_TIME_INF */
        bool delay_strict;              /* delay_mode = strict */
        uint64_t ample_factor_permille; /* 2000: twice what was asked */
        bool unfilled_delay; /* unfilled = delay: let the unfilled part go when the delay is over */
        uint64_t reserved_memory_bytes;
        uint64_t reserved_gpu_memory_bytes; /* on each GPU */
        unsigned whole_gpu_used_permyriad;  /* 500: 5 % */
        unsigned pressure_limit_permyriad;  /* 2000: 20 % */
        bool gpu_pick_pack;                 /* gpu_pick = pack; else spread */
        bool order_fifo;                    /* order = fifo; else users take turns */
        uint64_t share_half_life_us;        /* from POLICY_HALF_LIFE_MIN_US on */
        unsigned priority_limit;            /* 0 to 200 */
        uint64_t priority_age_us;           /* TASK_TIME_INF: never */
        uint64_t max_delay_us;              /* for others than admins; or TASK_TIME_INF */
        uint64_t patience_us;       /* waiting so long makes room be kept; TASK_TIME_INF: never */
        uint64_t keep_max_us;       /* and this is how long; or TASK_TIME_INF */
        uint64_t sample_max_age_us; /* a start needs figures no older: policy_default() says why */
        unsigned max_offers_per_uid;
        unsigned max_active_per_uid; /* running ones and open offers */
        unsigned n_cpus;             /* cores of the machine that are online */
        bool gpus_all;               /* gpus = all; else only those listed */
        unsigned n_gpus;
        char gpus[GPU_MAX][GPU_WANT_MAX]; /* numbers, UUIDs or their beginnings */
        unsigned n_tokens;
        Token tokens[TOKENS_MAX]; /* that there are, each name once */
} Policy;

/* No limit at all. */
#define LIMIT_NONE UINT64_MAX

/* What they say of one user; whoever reads them knows the groups. The limits are for all tasks of the user together, or LIMIT_NONE. */
typedef struct UserRules {
        unsigned weight_permille; /* 1 to 1000000; 2000: counts as having had half as much */
        uint64_t max_running;
        uint64_t max_memory_bytes;
        uint64_t max_gpus;
        uint64_t max_gpu_memory_bytes;
        uint64_t
                max_time_us; /* for each task; a request is held against it, not a task that was taken */
} UserRules;

/* Of a user of whom nothing is said. */
UserRules user_rules_default(void);

bool user_rules_equal(const UserRules *a, const UserRules *b);

/* The defaults of interface.md for a machine's daemon; n_cpus is 1. */
Policy policy_default(void);

/* Whether the settings allow that this GPU is given out; @first_kind: what a bare number means. */
bool policy_allows_gpu(const Policy *policy, const GpuSample *gpu, GpuKind first_kind);
