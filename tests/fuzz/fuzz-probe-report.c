/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Any bytes in place of the GPU probe's report: what passes the check can be used without another
 * thought. Random bytes are hardly ever as long as a report, so a sample is a short prefix of one,
 * laid over a good report with as many processes as its first byte says.
 */

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "probe/gpu-process.h"
#include "util/cleanup.h"

#include "fuzz.h"

/* Where the bytes of a sample are laid, so that they reach every part of a report. */
static const size_t places[] = {
        offsetof(GpuReport, ok),
        offsetof(GpuReport, n_gpus),
        offsetof(GpuReport, gpus),
        offsetof(GpuReport, gpus) + offsetof(GpuSample, name),
        offsetof(GpuReport, gpus) + offsetof(GpuSample, index),
        offsetof(GpuReport, gpus) + sizeof(GpuSample),
        offsetof(GpuReport, n_processes),
        sizeof(GpuReport),
};

/* What those who get a report rely on. */
static void use(const GpuReport *report) {
        assert(report->ok || (report->n_gpus == 0 && report->n_processes == 0));
        assert(strlen(report->text) < sizeof(report->text));
        for (unsigned i = 0; i < report->n_gpus; i++) {
                const GpuSample *gpu = &report->gpus[i];

                assert(strlen(gpu->uuid) > 0 && strlen(gpu->uuid) <= GPU_UUID_LONGEST);
                assert(strlen(gpu->name) < sizeof(gpu->name));
                assert(gpu_state_to_string(gpu->state));
                assert(gpu->processes_known || !gpu->processes_known);
                assert(gpu->state != GPU_STATE_OK || gpu->free_bytes <= gpu->total_bytes);
                for (unsigned k = 0; k < i; k++)
                        assert(strcmp(gpu->uuid, report->gpus[k].uuid) != 0);
        }
        for (unsigned i = 0; i < report->n_processes; i++)
                assert(report->processes[i].pid > 0 && report->processes[i].gpu < report->n_gpus);
}

static void check(const void *bytes, size_t n) {
        _cleanup_free_ GpuReport *report = NULL;

        if (gpu_report_check(bytes, n) != 0)
                return;
        report = malloc(n);
        assert(report);
        memcpy(report, bytes, n);
        use(report);
}

static void lay_over(const uint8_t *data, size_t n, size_t place, unsigned n_processes) {
        size_t n_bytes = sizeof(GpuReport) + n_processes * sizeof(GpuProcess);
        _cleanup_free_ GpuReport *report = calloc(1, n_bytes);

        assert(report);
        report->ok = true;
        report->n_gpus = 2;
        report->n_processes = n_processes;
        for (unsigned i = 0; i < 2; i++)
                report->gpus[i] = (GpuSample){ .uuid = { (char)('a' + i) },
                                               .name = "A",
                                               .index = i,
                                               .total_bytes = 100,
                                               .free_bytes = 50 };
        for (unsigned i = 0; i < n_processes; i++)
                report->processes[i] = (GpuProcess){ .pid = (pid_t)i + 1, .gpu = i % 2 };
        assert(gpu_report_check(report, n_bytes) == 0);

        memcpy((char *)report + place, data, MIN(n, n_bytes - place));
        check(report, n_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
        check(data, n);
        if (n > 2)
                lay_over(data + 2, n - 2, places[data[1] % ELEMENTSOF(places)], data[0] % 8);
        return 0;
}
