#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Turns between users
 *
 * Among users of one priority the one whose share of the machine is the smallest goes first:
 *
 *     portion = max(RAM / total RAM, cores / all cores, mean over all GPUs of memory / its total)
 *     had(t)  = ln 2 / H * integral of portion(u) * 2^(-(t - u) / H) du, over all times u up to t
 *     share   = (had + portion) / weight
 *
 * `portion` is what the user's offered and running tasks hold now, each as the larger of what it asked
 * for and what it was seen to use: the dominant share of Ghodsi et al., "Dominant Resource
 * Fairness" (NSDI 2011). `had` is its mean over the past, in which what was one half-life H ago counts
 * half, like the usage of Slurm's multifactor priority. Both are fractions of the machine, so that
 * their sum needs no factor: who held all of it for ever has had 1.
 *
 * Not to be confused with the Shares of share.h, which are what one task claims of one resource.
 */

#include "core/state.h"

/* A whole machine, or GPU: shares are fractions with 40 binary places. */
#define TURN_ONE CORE_WHOLE

/* What a task has; nothing unless it is offered or running, and stands behind no other one in a row. */
Holding turn_holding(const Core *core, const Entry *entry);

/* What a task that asks for this would have, as far as that can be told before it has its GPUs. */
Holding turn_claim(const Core *core, const Needs *needs);

/* @a + @n * @b. Stops at the largest number. */
Holding holding_add(const Holding *a, const Holding *b, uint64_t n);

/* The part of the machine that this is, of TURN_ONE. May be more than all of it. */
uint64_t holding_portion(const Core *core, const Holding *holding);

/* The clock has gone on to @boot_us. */
void turn_advance(Core *core, uint64_t boot_us);

/**
 * turn_change() - what a task has is something else from now on
 * @before, @after:     turn_holding() of it
 * @since_us:   not later than now: of a task that ran before it came here
 */
void turn_change(Core *core,
                 User *user,
                 const Holding *before,
                 const Holding *after,
                 uint64_t since_us);

/* What all tasks have, or what there is, may be something else. */
void turn_recount(Core *core, uint64_t boot_us);

/* EVENT_HISTORY. Return: 0 or -ENOMEM. */
int turn_restore(Core *core, const Event *event);

/* Another half-life from now on. */
void turn_set_half_life(Core *core, uint64_t half_life_us);

/* How much of 1 is left at an instant of what there was when the core last looked at its clock; for turn_had(). */
uint64_t turn_fade(const Core *core, uint64_t now_boot_us);

/* What a user had, of TURN_ONE, at the instant of @fade. */
uint64_t turn_had(const User *user, uint64_t fade);

/* What users are compared by. */
uint64_t turn_share(const User *user, uint64_t had, uint64_t portion);

/* Whether nothing would be lost with a user of whom there are no tasks. */
bool turn_is_forgettable(const Core *core, const User *user);
