#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Who holds what on a GPU, as NVML tells it
 *
 * Lists of processes are for telling who holds what, never for what is free: they omit managed
 * memory and other containers. Which function there is, and what it writes, differs from driver to
 * driver.
 */

#include <stdbool.h>
#include <stddef.h>

#include "probe/gpu-vendor.h"
#include "probe/nvml-api.h"

/* Room for one list; kept from look to look. */
typedef struct NvmlEntries {
        unsigned char *bytes;
        unsigned n_allocated;
} NvmlEntries;

/**
 * nvml_processes_read() - all processes on a device, appended to the report
 * @entries:    grows; free(entries->bytes) at the end
 * @n_max:      how many the report has room for
 * @sample:     processes_known, n_computing set; false: a list is missing
 *
 * Return: NVML's status: only that of a lost GPU or driver is no success.
 */
int nvml_processes_read(const NvmlApi *api,
                        NvmlEntries *entries,
                        NvmlDevice *device,
                        GpuReport *report,
                        size_t n_max,
                        GpuSample *sample);

/**
 * nvml_processes_check() - whether the figures of a list can be true
 * @first:      the first of the report that are of this GPU
 * @most_bytes: more than that no process can have there
 * @sample:     n_processes set, and the rest as it is then
 *
 * A list with more than the GPU has was read in another layout than it was written: no part is
 * true, and all of it is dropped.
 */
void nvml_processes_check(GpuReport *report, size_t first, uint64_t most_bytes, GpuSample *sample);
