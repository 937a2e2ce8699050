#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Shares
 *
 * What an offered or running task asks for of each resource, what it was seen to take of it, and
 * what follows: how much is still promised to it, and whether it settles.
 */

#include "core/state.h"

/**
 * share_new_all() - the shares of a task that has its GPUs
 * @entry:      not in the ledger yet; its task's needs and grants say what is asked for
 * @offer:      number of the offer, or 0 if the task ran already when it came here
 *
 * Return: 0, or -ENOMEM.
 */
int share_new_all(Core *core, Entry *entry, uint64_t offer);

/* Take the task out of the ledger: what it held may be free now. */
void share_free_all(Core *core, Entry *entry);

/* The GPU that the share is of has this place in the task's grants; not for RAM. */
unsigned share_gpu_at(const Entry *entry, const Share *share);

/* A new figure of what it holds, from the same look as the resource's, or an earlier one. */
void share_measure(Share *share, uint64_t used_bytes);

/* Whether it is a whole GPU. */
bool share_is_whole(const Share *share);

/* Whether it was seen to hold what it asked for, a whole GPU: any of it. */
bool share_is_filled(const Share *share);

/**
 * share_missing_bytes() - what was asked for and not seen yet
 * @factor_permille:    as if it had asked for that many thousandths of it
 * @whole_bytes:        what a whole GPU stands for
 */
uint64_t share_missing_bytes(const Share *share, uint64_t factor_permille, uint64_t whole_bytes);

/* Whether what it has not taken is no longer kept for it, its delay being over. */
bool share_is_given_up(const Share *share, const Policy *policy);

/**
 * share_judge_all() - what is to be given up on a resource, after a look at it (decisions.md 8)
 * @slot:       the resource
 * @now_boot_us: of the look
 */
void share_judge_all(Core *core, int slot, uint64_t now_boot_us);

/* What is used of a resource by no task, by its last figures. */
uint64_t share_outside_bytes(const Core *core, int slot);

/**
 * share_held_bytes() - what its end would bring beside its promise: what it holds
 * @over:       its delay
 * @whole_bytes: what a whole GPU stands for
 *
 * One that still settles may hold all of it by now, although nobody has seen it yet; and so may one whose use can't be
 * measured.
 */
uint64_t share_held_bytes(const Entry *entry, const Share *share, bool over, uint64_t whole_bytes);

/* What a task was last seen to hold of its share; 0 if that is not known. */
uint64_t share_used_bytes(const Entry *entry, const Share *share);
