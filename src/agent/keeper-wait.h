#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * What wakes a keeper
 *
 * A child's end, a signal, or the time: whatever comes first, and without a moment in which one of them is missed.
 */

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

/* Signals that are listened to, all of which stay blocked but for the time of keeper_wait(). Return: 0, or negative errno. */
int keeper_wait_init(const sigset_t *set);

/* In a child, which has the handlers but must not run them: before it unblocks any of the signals. */
void keeper_wait_undo(void);

/**
 * keeper_wait() - the next thing that happens
 * @until_boot_us:      CLOCK_BOOTTIME; UINT64_MAX: for ever
 * @ret:        the signal; SIGCHLD: a child has ended, and is still to be waited for
 *
 * Return: whether there was one; else it is time, or nearly so.
 */
bool keeper_wait(uint64_t until_boot_us, siginfo_t *ret);
