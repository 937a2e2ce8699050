/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The Standard Workload Format (Feitelson, Parallel Workloads Archive)
 *
 * A line a job, 18 numbers with spaces between, -1 for what is not known; comments begin with ';'. Processors become cores,
 * the time that was asked for becomes the time limit, memory is in KiB for each processor.
 */

#include <errno.h>
#include <string.h>

#include "sim/trace-read.h"
#include "util/macro.h"

enum {
        FIELD_SUBMIT = 1,
        FIELD_RUN = 3,
        FIELD_PROCESSORS = 4,
        FIELD_USED_MEMORY = 6,
        FIELD_ASKED_PROCESSORS = 7,
        FIELD_ASKED_TIME = 8,
        FIELD_ASKED_MEMORY = 9,
        FIELD_USER = 11,
        FIELD_PROGRAM = 13,
        N_FIELDS = 18,
        LINE_MAX_BYTES = 1024, /* 18 numbers */
};

typedef struct Line {
        unsigned number;
        char text[LINE_MAX_BYTES];
        size_t fields[N_FIELDS]; /* where they begin in @text */
} Line;

static const char *field_of(const Line *line, unsigned field) {
        return line->text + line->fields[field];
}

static bool is_known(const char *field) {
        return strcmp(field, "-1") != 0;
}

static int split(TraceReading *reading, Line *line) {
        char *rest = line->text, *word;
        size_t n = 0;

        while ((word = strsep(&rest, " \t\r"))) {
                if (word[0] == '\0')
                        continue;
                if (n == N_FIELDS)
                        return error_set(reading->error, -EINVAL,
                                         "'%s' line %u: there are more than %d numbers",
                                         reading->name, line->number, N_FIELDS);
                line->fields[n++] = (size_t)(word - line->text);
        }
        if (n > 0 && n < N_FIELDS)
                return error_set(reading->error, -EINVAL,
                                 "'%s' line %u: there are %zu numbers, not %d", reading->name,
                                 line->number, n, N_FIELDS);
        return n > 0;
}

/* -1 is 0 */
static int read_number(TraceReading *reading,
                       const Line *line,
                       unsigned field,
                       uint64_t max,
                       uint64_t *ret) {
        const char *text = field_of(line, field);

        *ret = 0;
        if (is_known(text) && !trace_uint(text, max, ret))
                return trace_refuse(reading, line->number, text, "number that is wanted there");
        return 0;
}

static int read_time(TraceReading *reading, const Line *line, unsigned field, uint64_t *ret) {
        const char *text = field_of(line, field);

        *ret = 0;
        if (is_known(text) && !trace_seconds(text, ret))
                return trace_refuse(reading, line->number, text, "time in seconds");
        return 0;
}

static int read_sizes(TraceReading *reading, const Line *line, TraceTask *task) {
        uint64_t n_allocated = 0, n_asked = 0, used_kib = 0, asked_kib = 0, n;
        int r;

        r = read_number(reading, line, FIELD_PROCESSORS, TRACE_CPUS_MAX, &n_allocated);
        if (r == 0)
                r = read_number(reading, line, FIELD_ASKED_PROCESSORS, TRACE_CPUS_MAX, &n_asked);
        if (r == 0)
                r = read_number(reading, line, FIELD_USED_MEMORY, TRACE_SIZE_MAX / KIB, &used_kib);
        if (r == 0)
                r = read_number(reading, line, FIELD_ASKED_MEMORY, TRACE_SIZE_MAX / KIB,
                                &asked_kib);
        if (r < 0)
                return r;

        n = n_asked > 0 ? n_asked : n_allocated;
        task->cpus = (unsigned)n;
        n = MAX(n, UINT64_C(1));
        task->memory_peak_bytes = MIN(used_kib * KIB, TRACE_SIZE_MAX / n) * n;
        task->memory_bytes = MIN(asked_kib * KIB, TRACE_SIZE_MAX / n) * n;
        if (task->memory_bytes == 0)
                task->memory_bytes = task->memory_peak_bytes;
        return 0;
}

static int read_line(TraceReading *reading, const Line *line) {
        TraceTask task = trace_task();
        uint64_t limit_us = 0, user = 0, program = 0;
        int r;

        r = read_time(reading, line, FIELD_SUBMIT, &task.submitted_us);
        if (r == 0)
                r = read_time(reading, line, FIELD_RUN, &task.duration_us);
        if (r == 0)
                r = read_time(reading, line, FIELD_ASKED_TIME, &limit_us);
        if (r == 0)
                r = read_number(reading, line, FIELD_USER, INT32_MAX, &user);
        if (r == 0)
                r = read_number(reading, line, FIELD_PROGRAM, INT32_MAX, &program);
        if (r == 0)
                r = read_sizes(reading, line, &task);
        if (r < 0)
                return r;

        if (task.duration_us == 0) {
                reading->trace.n_left_out++;
                return 0;
        }
        if (is_known(field_of(line, FIELD_USER)))
                task.user = (int64_t)user;
        task.program = program;
        if (limit_us > 0)
                task.time_limit_us = limit_us;
        return trace_add(reading, line->number, &task);
}

/* Copies the line that begins there. */
static int take_line(TraceReading *reading, const char *text, size_t n, Line *line) {
        line->number++;
        if (n >= sizeof(line->text))
                return error_set(reading->error, -EINVAL, "'%s' line %u: the line is too long",
                                 reading->name, line->number);
        memcpy(line->text, text, n);
        line->text[n] = '\0';
        return split(reading, line);
}

int trace_read_swf(TraceReading *reading, const char *text, size_t n) {
        const char *end = text + n;
        Line line = {};
        int r = 0;

        if (memchr(text, '\0', n))
                return error_set(reading->error, -EINVAL, "'%s' is no text", reading->name);

        for (const char *at = text, *stop; at < end && r >= 0; at = stop + 1) {
                stop = memchr(at, '\n', (size_t)(end - at));
                if (!stop)
                        stop = end;
                if (*at == ';') {
                        line.number++;
                        continue;
                }
                r = take_line(reading, at, (size_t)(stop - at), &line);
                if (r > 0)
                        r = read_line(reading, &line);
        }
        return MIN(r, 0);
}
