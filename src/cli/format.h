#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Tasks in words
 *
 * What `ps`, `show` and their like print of a task. Strings that are returned are to be freed with
 * free(); NULL when out of memory. Nothing here is made visible yet: whoever prints does that.
 */

#include <stddef.h>
#include <stdint.h>

#include "cli/output.h"
#include "core/task.h"

enum {
        FORMAT_INSTANT_MAX = 64,
        FORMAT_STATUS_MAX = 32,
        FORMAT_SET_SHORT = 16, /* of format_id(), where there is little room */
        FORMAT_SET_LONG = 64,
};

/* The ID column: "12", "12_3"; of an array "12_[4-9%2]", the elements that wait in it, cut with an ellipsis where they take more than
 * @max_set bytes. */
char *format_id(const Task *task, size_t max_set);

/* What it waits for, in words: "3, 4 (must succeed); 5 (must end)"; "" for nothing. */
char *format_after(const Task *task);

/* How far an array is: "0-99, at most 2 at once: 90 waiting, 2 running, 8 done"; "" for what is none. */
char *format_array(const Task *task);

/* The NEEDS column: "5G,gpu0:10G,any:all,4c", with the GPUs that were given; "" for nothing. */
char *format_needs(const Task *task);

/* The same in words: "5G of RAM, 10G on GPU 0, a whole GPU (any), 4 cores"; "nothing". */
char *format_needs_words(const Needs *needs);

/* What it was seen to hold, now or at most: "4.2G,gpu0:9.8G"; "" if nothing is known. */
char *format_used(const Task *task, bool peak);

/* The same in words: "4.2G of RAM, 9.8G on GPU 0"; "not known". */
char *format_used_words(const Task *task, bool peak);

/* What people call a GPU that was given. */
const char *format_gpu_id(const GpuGrant *grant, char buf[static GPU_ID_MAX]);

/* The GPUs that it was given, one after another: "0 (GPU-12ab, 10G)"; "" for none. */
char *format_gpus(const Task *task);

/* How long a task has been running by now, whoever has set the clock meanwhile. @now_boot_us: CLOCK_BOOTTIME */
uint64_t format_ran_us(const Task *task, uint64_t now_boot_us);

/**
 * format_time() - the TIME column: how long it waits, runs, or ran
 * @now_us:     CLOCK_REALTIME
 * @now_boot_us: CLOCK_BOOTTIME
 *
 * Return: @buf.
 */
const char *format_time(const Task *task,
                        uint64_t now_us,
                        uint64_t now_boot_us,
                        char *buf,
                        size_t n);

/* The local time of an instant, "2026-01-31 10:00:00"; "-" for 0. Returns @buf. */
const char *format_instant(uint64_t realtime_us, char buf[static FORMAT_INSTANT_MAX]);

/* "0", "3", "SIGKILL", "-". Returns @buf. */
const char *format_status(const Task *task, char buf[static FORMAT_STATUS_MAX]);

/* The priority as a word where it has one: "high", "150". Returns @buf. */
const char *format_priority(unsigned priority, char *buf, size_t n);

/* A part of the machine, of CORE_WHOLE: "12.5%". Returns @buf. */
const char *format_share(uint64_t share, char *buf, size_t n);

Tone format_state_tone(TaskState state);

/* The exit status that stands for a task's end (`wait`, and `run` itself). */
int format_exit_status(const Task *task);
