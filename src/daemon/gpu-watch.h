#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The watch over the GPU probe
 *
 * Keeps one probe process alive while anybody needs it: asks it, gives it a deadline (5 s for an answer, 90 s for the first one of
 * a driver; decisions.md 32), replaces it with back-off (1 s doubling to 4 s; never before the old one was reaped), and says
 * "unknown" until it answers again. A first answer that takes more than 5 s, and longer than those before, is waited for while a
 * second probe is tried, so that a driver that hung is found to be back within 10 s. One that has answered before has three times
 * as long for its first answer as it took then, but 5 s at least, until "unknown" is said. Nothing here blocks.
 */

#include <stdbool.h>
#include <stdint.h>

#include <systemd/sd-event.h>

#include "probe/gpu-vendor.h"
#include "util/macro.h"

typedef struct GpuWatch GpuWatch;

/*
 * A look has ended: @report is borrowed, or NULL if the probe did not answer in time or died: the
 * GPUs are unknown now, and
 * @why (borrowed) says so for people. @ticket is what came with gpu_watch_ask().
 */
typedef void (*gpu_watch_fn)(const GpuReport *report,
                             const char *why,
                             uint64_t ticket,
                             void *userdata);

/**
 * gpu_watch_new() - nothing is started yet
 * @event:      referenced; SIGCHLD must be blocked
 * @sources:    of the vendors; copied
 */
int gpu_watch_new(GpuWatch **ret,
                  sd_event *event,
                  const GpuSources *sources,
                  gpu_watch_fn on_report,
                  void *userdata);
GpuWatch *gpu_watch_free(GpuWatch *watch); /* kills the probe */
DEFINE_CLEANUP(GpuWatch *, gpu_watch_free);

/**
 * gpu_watch_ask() - a look is wanted
 * @ticket:     core_n_offers() now; comes back with the answer
 *
 * Starts the probe if there is none. While a look is under way a second one is remembered (with the
 * newest ticket) and asked for at its end. While the probe is being replaced, the callback comes at
 * once with NULL the first time, and again with a report as soon as there is one.
 *
 * Return: 0, or negative errno.
 */
int gpu_watch_ask(GpuWatch *watch, uint64_t ticket);

/* Whether a look is under way. */
bool gpu_watch_is_asking(const GpuWatch *watch);

/*
 * Nobody needs GPUs now but who asked and has not heard yet: the probe is let go after 60 s, unless gpu_watch_ask() comes before;
 * its library is closed with it.
 */
void gpu_watch_idle(GpuWatch *watch);

/* Other sources from now on (SIGHUP): the probe is replaced if one of them differs. */
int gpu_watch_set_sources(GpuWatch *watch, const GpuSources *sources);

/* How long to wait for what; the defaults are those named above. */
typedef struct GpuWatchTimes {
        uint64_t first_answer_us;
        uint64_t answer_us;
        uint64_t idle_us;
        uint64_t back_off_us; /* the first one */
} GpuWatchTimes;

/* Other times, for tests. */
void gpu_watch_set_times(GpuWatch *watch, const GpuWatchTimes *times);
