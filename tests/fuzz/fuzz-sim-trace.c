/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Any file as a trace, of each format: it is read with every number in its bounds, or refused with a sentence; and a small one
 * can be simulated, whatever it asks for.
 */

#include <assert.h>

#include "core/task.h"
#include "sim/metrics.h"
#include "sim/run.h"
#include "sim/scheduler.h"
#include "sim/trace.h"
#include "sim/workload.h"

#include "fuzz.h"

enum {
        TASKS_MAX = 50, /* of a trace that is simulated */
};

static void check_task(const TraceTask *task) {
        assert(task->duration_us > 0 && task->duration_us <= TRACE_DURATION_MAX + US_PER_SEC);
        assert(task->user >= -1 && task->user <= UINT32_MAX);
        assert(task->priority <= TASK_PRIORITY_MAX);
        assert(task->cpus <= TRACE_CPUS_MAX);
        assert(task->memory_bytes <= TRACE_SIZE_MAX && task->memory_peak_bytes <= TRACE_SIZE_MAX);
        assert(task->n_gpus <= NEEDS_GPUS_MAX && (task->n_gpus > 0) == (task->gpus != NULL));
        assert(task->n_tokens <= NEEDS_TOKENS_MAX &&
               (task->n_tokens > 0) == (task->tokens != NULL));
        for (unsigned i = 0; i < task->n_gpus; i++) {
                const TraceGpu *gpu = &task->gpus[i];

                assert(gpu->index >= -1 && gpu->index < GPU_MAX);
                assert(gpu->bytes == GPU_WHOLE || gpu->bytes <= TRACE_SIZE_MAX);
                assert(gpu->share_milli < 1000);
                assert(gpu->peak_bytes <= TRACE_SIZE_MAX);
        }
}

/* Every task comes to its end, or is refused. */
static void simulate(const Trace *trace, const Scheduler *scheduler) {
        static const WorkloadOptions options = {
                .machine = { .memory_bytes = 64 * GIB,
                             .n_cpus = 8,
                             .n_gpus = 2,
                             .gpu_bytes = { 8 * GIB, 24 * GIB },
                             .n_tokens = 1,
                             .tokens = { { "matlab", 2 } } },
                .error_pct = 50,
                .estimate_permille = 5000,
                .with_time_pct = 50,
                .outside_pct = 0,
                .n_users = 3,
                .ramp_us = 60 * US_PER_SEC,
        };
        Settings settings;
        Workload workload;
        Metrics metrics;
        Error error = { "" };
        Run run;

        assert(settings_load(&settings, NULL, false, false, &error) == 0);
        assert(workload_make(&workload, trace, &options, 1) == 0);
        assert(run_all(&run, &workload, &options.machine, scheduler, &settings, &error) == 0);
        for (size_t i = 0; i < workload.n_jobs; i++)
                assert(run.courses[i].over && !run.courses[i].running);
        assert(run.world.memory_bytes == 0);
        assert(metrics_of(&run, &metrics) == 0);
        run_done(&run);
        workload_done(&workload);
        settings_done(&settings);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
        for (int format = -1; format < N_TRACE_FORMATS; format++) {
                Error error = { "" };
                Trace trace;
                int r;

                r = trace_parse(&trace, "sample", (const char *)data, n, format, &error);
                assert((r == 0) == (error.text[0] == '\0'));
                if (r < 0)
                        continue;
                for (size_t i = 0; i < trace.n_tasks; i++) {
                        check_task(&trace.tasks[i]);
                        assert(i == 0 ||
                               trace.tasks[i - 1].submitted_us <= trace.tasks[i].submitted_us);
                }
                trace_narrow(&trace, 0, UINT64_MAX, 3600 * US_PER_SEC, false);
                if (trace.n_tasks > 0 && trace.n_tasks <= TASKS_MAX &&
                    trace.tasks[trace.n_tasks - 1].submitted_us < 86400 * US_PER_SEC)
                        for (size_t i = 0; schedulers[i]; i++)
                                simulate(&trace, schedulers[i]);
                trace_done(&trace);
        }
        return 0;
}
