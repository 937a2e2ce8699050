#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The oracle's rules about room: what a resource has, and whether a task may start there
 */

#include "oracle.h"

/* Everything that is to be known of a resource at one instant, summed up from all tasks. */
typedef struct Sum {
        uint64_t promised_bytes, ample_bytes;
        uint64_t kept_ample_bytes; /* ample: if those alone settle that settle towards a kept one */
        uint64_t freed_bytes;      /* by the tasks that are taken as ended */
        uint64_t claimed_bytes;    /* the same, if they had taken all they asked for */
        unsigned n_tasks;
        bool is_whole, strict, kept_strict;
} Sum;

/* All sums of one instant. */
typedef struct Sums {
        uint64_t now;
        Sum ram;
        Sum gpus[GPU_MAX];
        uint64_t cpus;
        uint64_t tokens[ORACLE_TOKENS_MAX];
} Sums;

/* The room of one task. */
typedef struct Room {
        const OracleTask *task; /* NULL: none */
        uint64_t gpus;          /* a bit each */
        uint64_t bytes[GPU_MAX];
} Room;

/* How a request stands on a resource. */
typedef enum Verdict {
        VERDICT_NO,
        VERDICT_STALE, /* it fits, by figures that are too old */
        VERDICT_YES,
} Verdict;

/* Who asks, and what is kept from or for them. */
typedef struct Asker {
        const OracleTask *task;
        const Room *kept;
        bool is_kept;   /* it is their own */
        bool overtakes; /* they will have ended before */
} Asker;

/* Whose end is thought to have come. */
typedef struct Ended {
        uint64_t
                at_us; /* those who have ended by then, and all of whom that is not known; 0: nobody */
        bool by_limits;    /* known is a time limit alone */
        uint64_t as_of_us; /* as it was expected then */
} Ended;

#define NOBODY_ENDED ((Ended){})
#define ALL_ENDED    ((Ended){ .at_us = UINT64_MAX })

/**
 * oracle_sum_up() - one resource
 * @uuid:       empty: RAM
 * @ended:      as if those had ended that have by then
 */
Sum oracle_sum_up(const Oracle *oracle,
                  const char *uuid,
                  uint64_t total_bytes,
                  uint64_t now,
                  Ended ended);
void oracle_sum_up_all(const Oracle *oracle, uint64_t now, Ended ended, Sums *ret);

bool oracle_delay_is_over(const OracleTask *task, uint64_t now);
bool oracle_has_ended(const OracleTask *task, uint64_t now, Ended ended);

/* In line: pending, its runner is there, and it waits for no other to end. */
bool oracle_is_queued(const Oracle *oracle, const OracleTask *task);

/* In line, and its array, if it has one, has not too many active elements. */
bool oracle_may_start(const Oracle *oracle, const OracleTask *task);

/* Whether a user may have no offer more, with @n of this plan. */
bool oracle_is_full(const Oracle *oracle, uid_t uid, size_t n);

/* Whether a limit of its user is in its way, with what is offered and runs, and the first @n of @plan. */
bool oracle_is_beyond(const Oracle *oracle, const OracleTask *task, const Plan *plan, size_t n);

Verdict oracle_judge_cpus(const Oracle *oracle,
                          const Sums *sums,
                          const Asker *asker,
                          uint64_t cpus);

/* @before: of each, what was given before it in the same plan */
Verdict oracle_judge_tokens(const Oracle *oracle,
                            const Sums *sums,
                            const Asker *asker,
                            const uint64_t before[static ORACLE_TOKENS_MAX]);
Verdict oracle_judge_gpu(const Oracle *oracle,
                         const Sums *sums,
                         const Asker *asker,
                         const OracleGpu *gpu,
                         uint64_t bytes,
                         uint64_t *ret_bytes);
Verdict oracle_judge(const Oracle *oracle, const Sums *sums, const Asker *asker);

/* What a request means on a GPU; false: that GPU could never serve it. */
bool oracle_gpu_bytes(const Oracle *oracle, const OracleGpu *gpu, uint64_t bytes, uint64_t *ret);

/* -- oracle-keep.c -- */

/* How a task stands to the room that is kept. */
Asker oracle_asker(const Oracle *oracle, const OracleTask *task, const Room *kept, uint64_t now);

/* Whom room is kept for, if that could be on. */
Room oracle_former(const Oracle *oracle, uint64_t now);

/* What a plan keeps; its task is NULL if that is nothing. */
Room oracle_room_of_plan(Oracle *oracle, const Plan *plan);

/* Whether two are of one class. */
bool oracle_is_alike(const OracleTask *a, const OracleTask *b);

/* Whether what a plan keeps is what is to be kept; @order: those who may start, in order. */
void oracle_check_keep(Oracle *oracle,
                       const Plan *plan,
                       OracleTask *const *order,
                       size_t n,
                       uint64_t now);

/* The priority that counts between users. */
unsigned oracle_between_users(const Oracle *oracle, const OracleTask *task, uint64_t now);
