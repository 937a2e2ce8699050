#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Tasks as the daemon shows them
 *
 * What `ps`, `show` and `why` have in common.
 */

#include <stdint.h>

#include "wire/message.h"

enum {
        VIEW_SENTENCE_MAX = 4096,
};

/* The instant that the sentences of a reply are reckoned from, CLOCK_BOOTTIME. */
uint64_t view_now_boot_us(const Reply *reply);

/**
 * view_reason() - why it waits, or why it ended as it did
 * @now_boot_us:        view_now_boot_us()
 * @buf:        used if the sentence must be made
 *
 * Return: the sentence, in @buf or owned by the view; NULL if there is none.
 */
const char *view_reason(const TaskView *view,
                        uint64_t now_boot_us,
                        char buf[static VIEW_SENTENCE_MAX]);

/* To stdout, without a newline. Return: 0, or -ENOMEM. */
int view_print_json(const TaskView *view, uint64_t now_boot_us);
