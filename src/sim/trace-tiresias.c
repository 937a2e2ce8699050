/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The job lists of the Tiresias simulator (NSDI '19): training jobs, each with so many whole GPUs.
 */

#include <errno.h>

#include "sim/trace-read.h"
#include "util/macro.h"

static const char *const names[] = { "num_gpu", "submit_time", "duration" };

static int read_row(TraceReading *reading, const Csv *csv, const int columns[static 3]) {
        TraceTask task = trace_task();
        const char *field;
        uint64_t n_gpus;

        field = csv_field(csv, columns[0]);
        if (!trace_uint(field, NEEDS_GPUS_MAX, &n_gpus))
                return trace_refuse(reading, csv->line, field, "number of GPUs");
        field = csv_field(csv, columns[1]);
        if (!trace_seconds(field, &task.submitted_us))
                return trace_refuse(reading, csv->line, field, "time in seconds");
        field = csv_field(csv, columns[2]);
        if (!trace_seconds(field, &task.duration_us))
                return trace_refuse(reading, csv->line, field, "time in seconds");

        if (task.duration_us == 0) {
                reading->trace.n_left_out++;
                return 0;
        }
        if (trace_set_gpus(&task, (unsigned)n_gpus, (TraceGpu){ .index = -1, .bytes = GPU_WHOLE }) <
            0)
                return error_set(reading->error, -ENOMEM, "out of memory");
        return trace_add(reading, csv->line, &task);
}

int trace_read_tiresias(TraceReading *reading, const char *text, size_t n) {
        Csv csv = {};
        int columns[ELEMENTSOF(names)];
        int r;

        r = csv_open(&csv, reading->name, text, n, reading->error);
        if (r == 0)
                r = trace_columns(reading, &csv, names, ELEMENTSOF(names), columns);
        while (r == 0 && (r = csv_next(&csv, reading->error)) == 0)
                r = read_row(reading, &csv, columns);
        csv_done(&csv);
        return r == CSV_E_END ? 0 : r;
}
