#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Traces: workloads that were recorded
 *
 * What tasks asked for, when they came, and for how long they ran; not when they started: that is what a simulation finds
 * out. Read from four kinds of files, whose first lines tell which it is:
 *
 *  - history: `taskflow history --export` (taskflow-history(1) has the columns)
 *  - openb: Alibaba's GPU cluster of 2023, openb_pod_list.csv
 *  - tiresias: the job lists of the Tiresias simulator
 *  - swf: the Standard Workload Format of the Parallel Workloads Archive
 *
 * Whatever a file holds, all numbers of a Trace are within the bounds below, so that nothing which is reckoned from them
 * overflows.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/needs.h"
#include "util/error.h"
#include "util/macro.h"
#include "util/string-table.h"

typedef enum TraceFormat {
        TRACE_FORMAT_HISTORY,
        TRACE_FORMAT_OPENB,
        TRACE_FORMAT_TIRESIAS,
        TRACE_FORMAT_SWF,
} TraceFormat;

enum {
        N_TRACE_FORMATS = TRACE_FORMAT_SWF + 1,
        TRACE_TASKS_MAX = 4 * 1000 * 1000,
        TRACE_FILE_MAX = 1 << 30, /* bytes */
};

#define TRACE_YEAR_US      (UINT64_C(366) * 86400 * US_PER_SEC)
#define TRACE_DURATION_MAX (10 * TRACE_YEAR_US)
#define TRACE_SIZE_MAX     (UINT64_C(1) << 50)
#define TRACE_CPUS_MAX     (1U << 20)

/* One GPU that a task asked for. */
typedef struct TraceGpu {
        int index;            /* -1: any */
        uint64_t bytes;       /* or GPU_WHOLE */
        unsigned share_milli; /* of a GPU's memory, in place of @bytes; 0: @bytes */
        uint64_t peak_bytes;  /* the most it took; 0: not known */
} TraceGpu;

typedef struct TraceTask {
        uint64_t
                submitted_us; /* as the trace counts; after trace_narrow() since the first one came */
        uint64_t duration_us; /* above 0 */
        int64_t user;         /* -1: the trace does not tell */
        unsigned priority;
        unsigned cpus;              /* 0: none asked for */
        uint64_t memory_bytes;      /* 0: none asked for */
        uint64_t memory_peak_bytes; /* 0: not known */
        uint64_t time_limit_us; /* what its user said it takes at most; TASK_TIME_INF: nothing */
        bool delay_given;
        uint64_t delay_us; /* then; or TASK_TIME_INF */
        uint64_t program;  /* what it is a run of (core/signature.h); 0: the trace does not tell */
        unsigned n_gpus;
        TraceGpu *gpus; /* owned */
        unsigned n_tokens;
        Token *tokens; /* owned; by name, each once */
        unsigned line; /* of the file */
} TraceTask;

typedef struct Trace {
        TraceFormat format;
        size_t n_tasks;
        TraceTask *tasks;  /* owned; by submitted_us */
        size_t n_left_out; /* rows of tasks that never ran, or of which it is not known how long */
} Trace;

/**
 * trace_parse() - read a trace from memory
 * @ret:        overwritten on success; release with trace_done()
 * @name:       what messages call it
 * @format:     which it is; -1: find out
 *
 * Return: 0, or negative errno with @error.
 */
int trace_parse(Trace *ret, const char *name, const char *text, size_t n, int format, Error *error);

/* The same from a file; "-" is the standard input. */
int trace_load(Trace *ret, const char *path, int format, Error *error);
void trace_done(Trace *trace);

/*
 * Leaves only those that came from @from_us on and before @to_us, took no longer than @longest_us, and (@gpus_only) asked for a
 * GPU; the first of them is the new beginning.
 */
void trace_narrow(Trace *trace,
                  uint64_t from_us,
                  uint64_t to_us,
                  uint64_t longest_us,
                  bool gpus_only);

DECLARE_STRING_TABLE(trace_format, TraceFormat);
