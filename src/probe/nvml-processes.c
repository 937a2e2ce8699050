/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "probe/nvml-processes.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/macro.h"

enum {
        /* The driver lists at most 950 processes for each kind; more than this is no list. */
        ENTRIES_MAX = 4096,
        ENTRIES_FIRST = 128,
        ENTRIES_SLACK = 32,
        LIST_TRIES_MAX = 5,
};

/* Where the processes of one GPU go. */
typedef struct Sink {
        GpuReport *report;
        size_t first; /* of this GPU */
        size_t n_max; /* that the report has room for */
} Sink;

/* Ask for one list into @entries, which grow: NVML's status. */
static int list_entries(NvmlEntries *entries,
                        NvmlDevice *device,
                        nvml_processes_fn list,
                        unsigned *ret_n) {
        unsigned n_wanted = MAX(entries->n_allocated, (unsigned)ENTRIES_FIRST);

        for (unsigned i = 0; i < LIST_TRIES_MAX && n_wanted <= ENTRIES_MAX; i++) {
                unsigned n;
                int status;

                if (n_wanted > entries->n_allocated) {
                        unsigned char *bytes =
                                reallocarray(entries->bytes, n_wanted, NVML_PROCESS_SIZE_MAX);

                        if (!bytes)
                                return NVML_E_UNKNOWN;
                        entries->bytes = bytes;
                        entries->n_allocated = n_wanted;
                }

                n = entries->n_allocated;
                status = list(device, &n, entries->bytes);
                if (status == NVML_SUCCESS && n <= entries->n_allocated)
                        *ret_n = n;
                if (status != NVML_E_INSUFFICIENT_SIZE)
                        return n <= entries->n_allocated ? status : NVML_E_UNKNOWN;
                /* More may have come until we ask again. */
                n_wanted = MAX(MIN(n, (unsigned)ENTRIES_MAX), entries->n_allocated) +
                           MIN(n, (unsigned)ENTRIES_SLACK);
        }
        return NVML_E_INSUFFICIENT_SIZE;
}

static bool is_process(uint32_t pid) {
        return pid > 0 && pid <= INT32_MAX && (kill((pid_t)pid, 0) == 0 || errno != ESRCH);
}

/* A process may be in several lists of the same GPU, each with all that it has there. */
static bool add_process(const Sink *sink, const GpuProcess *process) {
        GpuReport *report = sink->report;

        for (size_t i = sink->first; i < report->n_processes; i++)
                if (report->processes[i].pid == process->pid) {
                        report->processes[i].used_bytes =
                                MAX(report->processes[i].used_bytes, process->used_bytes);
                        return true;
                }
        if (report->n_processes >= sink->n_max)
                return false;
        report->processes[report->n_processes++] = *process;
        return true;
}

/* *ret_n_alive: those of the list that are there. False: there were more than fit. */
static bool add_entries(const unsigned char *entries,
                        unsigned n,
                        size_t size,
                        const Sink *sink,
                        unsigned *ret_n_alive) {
        *ret_n_alive = 0;
        for (unsigned i = 0; i < n; i++) {
                const unsigned char *entry = entries + i * size;
                uint32_t pid;
                uint64_t used_bytes;

                (void)memcpy(&pid, entry, sizeof(pid));
                (void)memcpy(&used_bytes, entry + 8, sizeof(used_bytes));
                if (!is_process(pid))
                        continue; /* it has just ended, or is none that we can see */
                (*ret_n_alive)++;
                if (!add_process(sink, &(GpuProcess){ .pid = (pid_t)pid,
                                                      .gpu = sink->report->n_gpus,
                                                      .used_bytes = used_bytes }))
                        return false;
        }
        return true;
}

int nvml_processes_read(const NvmlApi *api,
                        NvmlEntries *entries,
                        NvmlDevice *device,
                        GpuReport *report,
                        size_t n_max,
                        GpuSample *sample) {
        const Sink sink = { .report = report, .first = report->n_processes, .n_max = n_max };

        sample->processes_known = true;
        sample->n_computing = 0;
        for (unsigned kind = 0; kind < N_NVML_PROCESSES; kind++) {
                int status = NVML_E_FUNCTION_NOT_FOUND;
                nvml_processes_fn list;
                unsigned n = 0, n_alive = 0;
                size_t size;

                list = nvml_api_processes(api, kind, &size);
                if (list)
                        status = list_entries(entries, device, list, &n);
                if (status == NVML_E_GPU_IS_LOST || status == NVML_E_UNINITIALIZED)
                        return status;
                /*
                 * Graphics and MPS are not on every GPU; without the list of compute none is whole.
                 */
                if ((status == NVML_E_NOT_SUPPORTED || status == NVML_E_FUNCTION_NOT_FOUND) &&
                    kind != NVML_PROCESSES_COMPUTE)
                        continue;
                if (status != NVML_SUCCESS ||
                    !add_entries(entries->bytes, n, size, &sink, &n_alive))
                        sample->processes_known = false;
                if (kind == NVML_PROCESSES_COMPUTE)
                        sample->n_computing = n_alive;
        }
        return NVML_SUCCESS;
}

void nvml_processes_check(GpuReport *report, size_t first, uint64_t most_bytes, GpuSample *sample) {
        for (size_t i = first; i < report->n_processes; i++) {
                uint64_t used_bytes = report->processes[i].used_bytes;

                if (used_bytes == NVML_VALUE_NOT_AVAILABLE) {
                        sample->processes_known = false;
                } else if (used_bytes > most_bytes) {
                        report->n_processes = (unsigned)first;
                        sample->processes_known = false;
                        sample->n_computing = 0;
                        (void)snprintf(sample->note, sizeof(sample->note),
                                       "its list of processes makes no sense");
                }
        }
        sample->n_processes = report->n_processes - (unsigned)first;
}
