/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * A recorded workload on a machine of eight GPUs
 *
 * Each job asks for so many whole GPUs, of any, and for some RAM, when it did and for as long as it
 * did. Every rule is checked after every event, and all jobs must run.
 *
 *     replay TRACE.csv
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/macro.h"

#include "vm.h"

/* The columns of the trace that are used. */
typedef struct Row {
        uint64_t n_gpus, submit_s, duration_s;
} Row;

/* The @i-th number of a line of commas; false if there is none. */
static bool column(const char *line, unsigned i, uint64_t *ret) {
        char *end;

        for (; i > 0; i--) {
                line = strchr(line, ',');
                if (!line)
                        return false;
                line++;
        }
        errno = 0;
        *ret = strtoull(line, &end, 10);
        return errno == 0 && end != line && (*end == ',' || *end == '\n' || *end == '\0');
}

static void add_job(Vm *vm, const Row *row) {
        Job job = {
                .task = task_new(),
                .arrival_us = row->submit_s * US_PER_SEC,
                .ram_bytes = 4 * GIB,
                .gpu_bytes = 16 * GIB,
                .ramp_us = 10 * US_PER_SEC,
                .duration_us = row->duration_s * US_PER_SEC,
        };

        if (!job.task)
                abort();
        job.task->uid = 1000;
        job.task->needs.memory_bytes = 4 * GIB;
        for (uint64_t i = 0; i < row->n_gpus; i++)
                if (needs_add_gpu(&job.task->needs, "any", GPU_WHOLE) < 0)
                        abort();
        (void)vm_add(vm, &job);
}

static int read_trace(Vm *vm, FILE *f) {
        char line[256];

        if (!fgets(line, sizeof(line), f)) /* the names of the columns */
                return -EBADMSG;
        while (fgets(line, sizeof(line), f)) {
                Row row;

                if (!column(line, 1, &row.n_gpus) || !column(line, 2, &row.submit_s) ||
                    !column(line, 5, &row.duration_s) || row.n_gpus > VM_GPUS_MAX)
                        return -EBADMSG;
                add_job(vm, &row);
        }
        return ferror(f) ? -EIO : 0;
}

int main(int argc, char **argv) {
        VmOptions options = {
                .policy = policy_default(),
                .seed = 1,
                .ram_bytes = 256 * GIB,
                .n_gpus = VM_GPUS_MAX,
                .gpu_bytes = 24 * GIB,
                .probe_us = 50 * US_PER_MSEC,
        };
        uint64_t begin_us, span_s;
        bool good;
        FILE *f;
        Vm vm;

        f = argc == 2 ? fopen(argv[1], "re") : NULL;
        if (!f) {
                (void)fprintf(stderr, "usage: replay TRACE.csv\n");
                return EXIT_FAILURE;
        }

        vm_init(&vm, &options);
        if (read_trace(&vm, f) < 0) {
                (void)fprintf(stderr, "'%s' is no such trace\n", argv[1]);
                return EXIT_FAILURE;
        }
        (void)fclose(f);

        begin_us = vm.drive.now_us;
        good = vm_run(&vm) && vm.stats.n_overflows == 0 && vm.stats.n_started == vm.stats.n_jobs;
        if (!good)
                (void)fprintf(stderr, "event %" PRIu64 ": %s\n", vm.drive.n_events,
                              vm.drive.oracle.fault);
        span_s = MAX((vm.stats.end_us - begin_us) / US_PER_SEC, UINT64_C(1));
        (void)printf("replay: %" PRIu64 " of %" PRIu64 " jobs ran in %" PRIu64
                     " s, mean wait %" PRIu64 " s, longest %" PRIu64 " s, GPUs held %" PRIu64
                     " %% of the time, %" PRIu64 " events, %s\n",
                     vm.stats.n_started, vm.stats.n_jobs, span_s,
                     vm.stats.wait_sum_us / MAX(vm.stats.n_started, UINT64_C(1)) / US_PER_SEC,
                     vm.stats.wait_max_us / US_PER_SEC,
                     100 * vm.stats.busy_gpu_us / US_PER_SEC / span_s / VM_GPUS_MAX,
                     vm.drive.n_events, good ? "0 failed" : "1 failed");
        vm_done(&vm);
        return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
