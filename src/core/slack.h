#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * How far off a request was
 *
 * Of a task that is over: resources of which it never took half of what it asked for, so that others waited for room which
 * nobody used; and RAM of which it took more than twice as much. (More than that of a GPU is core/excess.h's.) It is only known of
 * tasks that ran for a minute, because they are looked at every ten seconds; and less than 100 MiB off is no news.
 */

#include <stdbool.h>
#include <stddef.h>

#include "core/task.h"

enum {
        SLACK_SENTENCE_MAX = 1024, /* some twelve resources */
};

/**
 * slack_sentence() - in words
 * @ended_at_us:        CLOCK_REALTIME
 *
 * "asked 20G on GPU 0, took 7.8G at most; asked 64G of RAM, took 3.1G at most"; as many as there is room for.
 *
 * Return: whether there is anything to say; else @buf is empty.
 */
bool slack_sentence(const Task *task, uint64_t ended_at_us, char *buf, size_t n);
