/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Turns between users, once more
 *
 * What a user holds is summed up from all tasks in whole numbers, and must be exactly what the core says. What a
 * user had is an integral, and reckoned here in floating point, step by step from event to event; the core may differ from it by as
 * much as rounding explains. The order then goes by the core's own figures, or ties would be decided by chance.
 */

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "oracle.h"

/* Of the machine: what the core's integers may be wrong by. */
#define TOLERANCE 1e-6

#define BYTES_MAX (UINT64_C(1) << 50)

OracleUser *oracle_user(Oracle *oracle, uid_t uid) {
        for (size_t i = 0; i < oracle->n_users; i++)
                if (oracle->users[i].uid == uid)
                        return &oracle->users[i];
        if (oracle->n_users == ORACLE_USERS_MAX)
                abort();
        oracle->users[oracle->n_users] =
                (OracleUser){ .uid = uid, .weight_permille = 1000, .rules = user_rules_default() };
        return &oracle->users[oracle->n_users++];
}

static uint64_t part(uint64_t bytes, uint64_t total_bytes) {
        if (bytes >= total_bytes)
                return CORE_WHOLE;
        return (uint64_t)((unsigned __int128)bytes * CORE_WHOLE / total_bytes);
}

static void add_task(Oracle *oracle, const OracleTask *task, OracleHeld *held) {
        uint64_t memory = MAX(task->memory_bytes, task->ram_known ? task->ram_used_bytes : 0);

        held->memory_bytes += MIN(memory, BYTES_MAX);
        held->cpus += task->cpus;
        for (unsigned i = 0; i < task->n_shares; i++) {
                const OracleGpu *gpu = oracle_find_gpu(oracle, task->shares[i].uuid);

                if (gpu)
                        held->gpus +=
                                part(MAX(task->shares[i].asked_bytes, task->shares[i].used_bytes),
                                     gpu->total_bytes);
        }
}

/* What it would hold; for any GPU, the largest part that it may turn out to be. */
void oracle_add_claim(Oracle *oracle, const OracleTask *task, OracleHeld *held) {
        held->memory_bytes += MIN(task->memory_bytes, BYTES_MAX);
        held->cpus += task->cpus;
        for (unsigned i = 0; i < task->n_gpus; i++) {
                uint64_t most = 0;

                for (unsigned j = 0; j < oracle->n_gpus; j++)
                        if (task->want[i][0] == '\0' ||
                            strcmp(task->want[i], oracle->gpus[j].uuid) == 0)
                                most = MAX(most,
                                           part(task->want_bytes[i], oracle->gpus[j].total_bytes));
                held->gpus += most;
        }
}

static OracleHeld held_by(Oracle *oracle, uid_t uid) {
        OracleHeld held = {};

        for (size_t i = 0; i < oracle->n_alive; i++)
                if (oracle_alive(oracle, i)->uid == uid &&
                    oracle_is_active(oracle_alive(oracle, i)))
                        add_task(oracle, oracle_alive(oracle, i), &held);
        return held;
}

static uint64_t portion_of(const Oracle *oracle, const OracleHeld *held) {
        unsigned __int128 portion =
                (unsigned __int128)held->cpus * CORE_WHOLE / oracle->policy.n_cpus;

        if (oracle->ram_total_bytes > 0)
                portion = MAX(portion, (unsigned __int128)held->memory_bytes * CORE_WHOLE /
                                               oracle->ram_total_bytes);
        if (oracle->n_gpus > 0)
                portion = MAX(portion, (unsigned __int128)(held->gpus / oracle->n_gpus));
        return (uint64_t)MIN(portion, (unsigned __int128)UINT64_MAX);
}

static double now_held(Oracle *oracle, uid_t uid) {
        OracleHeld held = held_by(oracle, uid);

        return (double)MIN(portion_of(oracle, &held), 4 * CORE_WHOLE) / (double)CORE_WHOLE;
}

static double fade(const Oracle *oracle, uint64_t us) {
        return exp2(-(double)us / (double)oracle->policy.share_half_life_us);
}

void oracle_pass_time(Oracle *oracle, uint64_t boot_us) {
        for (size_t i = 0; i < oracle->n_users; i++) {
                OracleUser *user = &oracle->users[i];

                user->had = user->portion +
                            (user->had - user->portion) * fade(oracle, boot_us - user->at_us);
                user->at_us = boot_us;
        }
}

void oracle_hold(Oracle *oracle) {
        for (size_t i = 0; i < oracle->n_users; i++)
                oracle->users[i].portion = now_held(oracle, oracle->users[i].uid);
}

void oracle_take_history(Oracle *oracle, const Event *event) {
        OracleUser *user = oracle_user(oracle, event->history.uid);

        user->at_us = event->boot_us;
        user->had = (double)event->history.had / (double)CORE_WHOLE *
                    fade(oracle, event->history.age_us);
}

static bool has_tasks(const Oracle *oracle, uid_t uid) {
        for (size_t i = 0; i < oracle->n_alive; i++)
                if (oracle_alive(oracle, i)->uid == uid)
                        return true;
        return false;
}

static void check_user(Oracle *oracle, OracleUser *user, const UserView *view, double had) {
        OracleHeld held = held_by(oracle, user->uid);

        if (view->portion != MIN(portion_of(oracle, &held), 4 * CORE_WHOLE))
                oracle_fault(oracle, "user %u holds something else", (unsigned)user->uid);
        if (fabs(had - (double)view->had / (double)CORE_WHOLE) > TOLERANCE)
                oracle_fault(oracle, "user %u had %f, not %f", (unsigned)user->uid, had,
                             (double)view->had / (double)CORE_WHOLE);
        if (view->weight_permille != user->weight_permille)
                oracle_fault(oracle, "user %u weighs something else", (unsigned)user->uid);
        user->had_of_core = view->had;
}

void oracle_check_users(Oracle *oracle, const Core *core, uint64_t now_boot_us) {
        UserView *views = NULL;
        ssize_t n = core_view_users(core, now_boot_us, &views);

        for (size_t i = 0; i < oracle->n_users; i++) {
                OracleUser *user = &oracle->users[i];
                double had = user->portion +
                             (user->had - user->portion) * fade(oracle, now_boot_us - user->at_us);
                bool seen = false;

                for (ssize_t k = 0; k < n; k++) {
                        if (views[k].uid != user->uid)
                                continue;
                        seen = true;
                        check_user(oracle, user, &views[k], had);
                }
                if (seen)
                        continue;
                if (has_tasks(oracle, user->uid) || had > 2 * TOLERANCE)
                        oracle_fault(oracle, "user %u is forgotten", (unsigned)user->uid);
                *user = (OracleUser){ .uid = user->uid,
                                      .weight_permille = 1000,
                                      .rules = user_rules_default(),
                                      .at_us = now_boot_us };
        }
        free(views);
}

void oracle_start_lines(Oracle *oracle) {
        for (size_t i = 0; i < oracle->n_users; i++)
                oracle->users[i].line_held = held_by(oracle, oracle->users[i].uid);
}

uint64_t oracle_line_share(Oracle *oracle, uid_t uid) {
        const OracleUser *user = oracle_user(oracle, uid);
        unsigned __int128 share =
                (unsigned __int128)user->had_of_core + portion_of(oracle, &user->line_held);

        if (oracle->policy.order_fifo)
                return 0;
        share = MIN(share, (unsigned __int128)UINT64_MAX) * 1000 / user->weight_permille;
        return (uint64_t)MIN(share, (unsigned __int128)UINT64_MAX);
}
