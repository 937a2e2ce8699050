/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * openb_pod_list.csv of Alibaba's cluster-trace-gpu-v2023, and of the Kubernetes scheduler simulator of FGD (USENIX ATC '23)
 *
 * A task has so many GPUs, or a share of one. How much of a GPU's memory it takes is not there: the same share of it. What
 * was taken away is not told from what ended, and what is still there has no end.
 */

#include <errno.h>
#include <stdlib.h>

#include "sim/trace-read.h"
#include "util/macro.h"

typedef enum Column {
        COLUMN_CPU_MILLI,
        COLUMN_MEMORY_MIB,
        COLUMN_NUM_GPU,
        COLUMN_GPU_MILLI,
        COLUMN_CREATION_TIME,
        COLUMN_DELETION_TIME,
        COLUMN_SCHEDULED_TIME,
} Column;

static const char *const names[] = {
        [COLUMN_CPU_MILLI] = "cpu_milli",
        [COLUMN_MEMORY_MIB] = "memory_mib",
        [COLUMN_NUM_GPU] = "num_gpu",
        [COLUMN_GPU_MILLI] = "gpu_milli",
        [COLUMN_CREATION_TIME] = "creation_time",
        [COLUMN_DELETION_TIME] = "deletion_time",
        [COLUMN_SCHEDULED_TIME] = "scheduled_time",
};

enum {
        N_COLUMNS = ELEMENTSOF(names),
        WHOLE_MILLI = 1000,
};

static int read_times(TraceReading *reading,
                      const Csv *csv,
                      const char *const fields[static N_COLUMNS],
                      TraceTask *task) {
        uint64_t scheduled_us = 0, deleted_us = 0;

        for (Column i = COLUMN_CREATION_TIME; i <= COLUMN_SCHEDULED_TIME; i++) {
                uint64_t *us = i == COLUMN_CREATION_TIME ? &task->submitted_us :
                               i == COLUMN_DELETION_TIME ? &deleted_us :
                                                           &scheduled_us;

                if (!trace_seconds(fields[i], us))
                        return trace_refuse(reading, csv->line, fields[i], "time in seconds");
        }
        task->duration_us = deleted_us > scheduled_us ? deleted_us - scheduled_us : 0;
        return 0;
}

static int read_row(TraceReading *reading,
                    const Csv *csv,
                    const char *const fields[static N_COLUMNS]) {
        uint64_t cpu_milli, memory_mib, n_gpus, gpu_milli;
        TraceTask task = trace_task();
        TraceGpu gpu = { .index = -1 };
        int r;

        r = read_times(reading, csv, fields, &task);
        if (r < 0)
                return r;
        if (task.duration_us == 0) {
                reading->trace.n_left_out++;
                return 0;
        }

        if (!trace_uint(fields[COLUMN_CPU_MILLI], TRACE_CPUS_MAX, &cpu_milli))
                return trace_refuse(reading, csv->line, fields[COLUMN_CPU_MILLI],
                                    "number of cores / 1000");
        if (!trace_uint(fields[COLUMN_MEMORY_MIB], TRACE_SIZE_MAX / MIB, &memory_mib))
                return trace_refuse(reading, csv->line, fields[COLUMN_MEMORY_MIB], "size in MiB");
        if (!trace_uint(fields[COLUMN_NUM_GPU], NEEDS_GPUS_MAX, &n_gpus))
                return trace_refuse(reading, csv->line, fields[COLUMN_NUM_GPU], "number of GPUs");
        if (!trace_uint(fields[COLUMN_GPU_MILLI], WHOLE_MILLI, &gpu_milli))
                return trace_refuse(reading, csv->line, fields[COLUMN_GPU_MILLI],
                                    "share of a GPU / 1000");

        task.cpus = (unsigned)((cpu_milli + 999) / 1000);
        task.memory_bytes = memory_mib * MIB;
        if (gpu_milli == 0 || gpu_milli == WHOLE_MILLI)
                gpu.bytes = GPU_WHOLE;
        else
                gpu.share_milli = (unsigned)gpu_milli;
        if (trace_set_gpus(&task, (unsigned)n_gpus, gpu) < 0)
                return error_set(reading->error, -ENOMEM, "out of memory");
        return trace_add(reading, csv->line, &task);
}

/* One that was never scheduled, or is not gone, has an empty field. */
static bool has_run(const char *const fields[static N_COLUMNS]) {
        return fields[COLUMN_SCHEDULED_TIME][0] != '\0' && fields[COLUMN_DELETION_TIME][0] != '\0';
}

int trace_read_openb(TraceReading *reading, const char *text, size_t n) {
        Csv csv = {};
        int columns[N_COLUMNS];
        int r;

        r = csv_open(&csv, reading->name, text, n, reading->error);
        if (r == 0)
                r = trace_columns(reading, &csv, names, N_COLUMNS, columns);
        while (r == 0 && (r = csv_next(&csv, reading->error)) == 0) {
                const char *fields[N_COLUMNS] = {};

                for (size_t i = 0; i < N_COLUMNS; i++)
                        fields[i] = csv_field(&csv, columns[i]);
                if (has_run(fields))
                        r = read_row(reading, &csv, fields);
                else
                        reading->trace.n_left_out++;
        }
        csv_done(&csv);
        return r == CSV_E_END ? 0 : r;
}
