/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * probe-cost - what a look at the GPUs costs
 *
 *     probe-cost TASKFLOWD N        starts the probe as taskflowd does, and asks it N times
 *
 * It prints, in microseconds from the question to the checked report,
 *
 *     first 812345 median 412 max 1033
 *
 * where the first has the opening of the driver in it and the others have not. Status 1: it did not answer, and stderr says why.
 */

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "probe/gpu-process.h"
#include "util/clock.h"
#include "util/macro.h"

enum {
        LOOKS_MAX = 100000,
        ANSWER_MS_MAX = 90000, /* as taskflowd waits for the first one (decisions.md 32) */
};

static int compare(const void *a, const void *b) {
        const uint64_t *x = a, *y = b;

        return (*x > *y) - (*x < *y);
}

/* Return: NULL, or why there is no report. */
static const char *look(GpuProcessHandle *handle, uint64_t *ret_us) {
        uint64_t start_us = clock_boottime_us();
        GpuReport *report = NULL;
        const char *why = NULL;
        int r;

        r = gpu_process_ask(handle);
        if (r < 0)
                return strerror(-r);
        do {
                struct pollfd poll_fd = { .fd = handle->report_fd, .events = POLLIN };

                if (poll(&poll_fd, 1, ANSWER_MS_MAX) == 0)
                        return "it does not answer";
                r = gpu_process_receive(handle, &report);
        } while (r == GPU_PROCESS_E_AGAIN);
        if (r != 0)
                return r == GPU_PROCESS_E_GONE ? "it has ended" : "its report makes no sense";

        *ret_us = clock_boottime_us() - start_us;
        if (!report->ok) {
                (void)fprintf(stderr, "probe-cost: %s\n", report->text);
                why = "no driver answers";
        }
        free(report);
        return why;
}

static const char *measure(const char *program, size_t n, uint64_t *looks_us) {
        const GpuSources sources = { .nvml_library = "libnvidia-ml.so.1" };
        GpuProcessHandle handle = GPU_PROCESS_HANDLE_NULL;
        const char *why = NULL;
        int r;

        r = gpu_process_start(&handle, program, &sources);
        if (r < 0)
                return strerror(-r);
        for (size_t i = 0; i < n && !why; i++)
                why = look(&handle, &looks_us[i]);
        gpu_process_stop(&handle);
        while (!gpu_process_reap(&handle)) {
                struct pollfd poll_fd = { .fd = handle.pid_fd, .events = POLLIN };

                (void)poll(&poll_fd, 1, -1);
        }
        return why;
}

int main(int argc, char **argv) {
        size_t n = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
        uint64_t *looks_us;
        const char *why;

        if (n < 2 || n > LOOKS_MAX) {
                (void)fputs("usage: probe-cost TASKFLOWD N, N from 2\n", stderr);
                return 2;
        }
        looks_us = calloc(n, sizeof(*looks_us));
        if (!looks_us)
                return 1;

        why = measure(argv[1], n, looks_us);
        if (why) {
                (void)fprintf(stderr, "probe-cost: %s\n", why);
        } else {
                qsort(looks_us + 1, n - 1, sizeof(*looks_us), compare);
                (void)printf("first %ju median %ju max %ju\n", (uintmax_t)looks_us[0],
                             (uintmax_t)looks_us[1 + (n - 1) / 2], (uintmax_t)looks_us[n - 1]);
        }
        free(looks_us);
        return why ? 1 : 0;
}
