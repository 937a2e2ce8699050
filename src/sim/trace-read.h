#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Readers of traces
 *
 * One file a format; trace.c has the list, and what all of them need.
 */

#include "sim/csv.h"
#include "sim/trace.h"

/* A trace that is being read. */
typedef struct TraceReading {
        const char *name;
        Trace trace; /* submitted_us as the file has it */
        size_t n_allocated;
        Error *error;
} TraceReading;

/**
 * trace_reader_fn - reads all of a file
 *
 * Adds what it finds with trace_add(), in any order. Return: 0, or negative errno with reading->error.
 */
typedef int (*trace_reader_fn)(TraceReading *reading, const char *text, size_t n);

int trace_read_history(TraceReading *reading, const char *text, size_t n);
int trace_read_openb(TraceReading *reading, const char *text, size_t n);
int trace_read_tiresias(TraceReading *reading, const char *text, size_t n);
int trace_read_swf(TraceReading *reading, const char *text, size_t n);

/* A task that asks for nothing, and is of nobody, with the usual priority. */
TraceTask trace_task(void);

/* One more; its gpus are taken, also on failure. Return: 0, or negative errno with reading->error. */
int trace_add(TraceReading *reading, unsigned line, TraceTask *task);

/* As many GPUs of a task, all alike. Return: 0 or -ENOMEM. */
int trace_set_gpus(TraceTask *task, unsigned n, TraceGpu gpu);

/* "…: 'FIELD' is no WHAT". Returns -EINVAL. */
int trace_refuse(TraceReading *reading, unsigned line, const char *field, const char *what);

/* Columns that must be there. Return: 0, or -EINVAL with @error. */
int trace_columns(TraceReading *reading,
                  const Csv *csv,
                  const char *const *names,
                  size_t n,
                  int *ret_columns);

/* A whole number up to @max. Returns whether it is one. */
bool trace_uint(const char *field, uint64_t max, uint64_t *ret);

/* Seconds, with or without decimals, up to TRACE_DURATION_MAX. */
bool trace_seconds(const char *field, uint64_t *ret_us);
