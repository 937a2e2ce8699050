/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/task.h"
#include "sim/trace-read.h"
#include "util/cleanup.h"

static const char *const trace_format_table[] = {
        [TRACE_FORMAT_HISTORY] = "history",
        [TRACE_FORMAT_OPENB] = "openb",
        [TRACE_FORMAT_TIRESIAS] = "tiresias",
        [TRACE_FORMAT_SWF] = "swf",
};

DEFINE_STRING_TABLE(trace_format, TraceFormat);

static const trace_reader_fn readers[] = {
        [TRACE_FORMAT_HISTORY] = trace_read_history,
        [TRACE_FORMAT_OPENB] = trace_read_openb,
        [TRACE_FORMAT_TIRESIAS] = trace_read_tiresias,
        [TRACE_FORMAT_SWF] = trace_read_swf,
};

/* A column that no other format has. */
static const char *const marks[] = {
        [TRACE_FORMAT_HISTORY] = "submitted_at",
        [TRACE_FORMAT_OPENB] = "gpu_milli",
        [TRACE_FORMAT_TIRESIAS] = "iterations",
};

TraceTask trace_task(void) {
        return (TraceTask){
                .user = -1,
                .priority = TASK_PRIORITY_DEFAULT,
                .time_limit_us = TASK_TIME_INF,
        };
}

int trace_set_gpus(TraceTask *task, unsigned n, TraceGpu gpu) {
        if (n == 0)
                return 0;
        task->gpus = calloc(n, sizeof(*task->gpus));
        if (!task->gpus)
                return -ENOMEM;
        task->n_gpus = n;
        for (unsigned i = 0; i < n; i++)
                task->gpus[i] = gpu;
        return 0;
}

int trace_refuse(TraceReading *reading, unsigned line, const char *field, const char *what) {
        return error_set(reading->error, -EINVAL, "'%s' line %u: '%.40s' is no %s", reading->name,
                         line, field, what);
}

static void task_done(TraceTask *task) {
        free(task->gpus);
        free(task->tokens);
}

int trace_add(TraceReading *reading, unsigned line, TraceTask *task) {
        Trace *trace = &reading->trace;

        if (trace->n_tasks == TRACE_TASKS_MAX) {
                task_done(task);
                return error_set(reading->error, -E2BIG, "'%s' line %u: more than %d tasks",
                                 reading->name, line, TRACE_TASKS_MAX);
        }
        if (trace->n_tasks == reading->n_allocated) {
                size_t n = 2 * reading->n_allocated + 64;
                TraceTask *tasks = reallocarray(trace->tasks, n, sizeof(*tasks));

                if (!tasks) {
                        task_done(task);
                        return error_set(reading->error, -ENOMEM, "out of memory");
                }
                trace->tasks = tasks;
                reading->n_allocated = n;
        }
        task->line = line;
        trace->tasks[trace->n_tasks++] = *task;
        return 0;
}

int trace_columns(TraceReading *reading,
                  const Csv *csv,
                  const char *const *names,
                  size_t n,
                  int *ret_columns) {
        for (size_t i = 0; i < n; i++) {
                ret_columns[i] = csv_column(csv, names[i]);
                if (ret_columns[i] < 0)
                        return error_set(reading->error, -EINVAL, "'%s' has no column '%s'",
                                         reading->name, names[i]);
        }
        return 0;
}

bool trace_uint(const char *field, uint64_t max, uint64_t *ret) {
        uint64_t value = 0;

        if (field[0] == '\0')
                return false;
        for (; *field; field++) {
                if (!isdigit((unsigned char)*field) ||
                    __builtin_mul_overflow(value, UINT64_C(10), &value) ||
                    __builtin_add_overflow(value, (uint64_t)(*field - '0'), &value) || value > max)
                        return false;
        }
        *ret = value;
        return true;
}

bool trace_seconds(const char *field, uint64_t *ret_us) {
        char whole[24];
        size_t n_whole = strcspn(field, ".");
        uint64_t seconds, us = 0, unit = US_PER_SEC;

        if (n_whole >= sizeof(whole))
                return false;
        memcpy(whole, field, n_whole);
        whole[n_whole] = '\0';
        if (!trace_uint(whole, TRACE_DURATION_MAX / US_PER_SEC, &seconds))
                return false;
        if (field[n_whole] == '.')
                for (const char *c = field + n_whole + 1; *c; c++) {
                        if (!isdigit((unsigned char)*c))
                                return false;
                        unit /= 10;
                        us += unit * (uint64_t)(*c - '0');
                }
        *ret_us = seconds * US_PER_SEC + us;
        return true;
}

/* By the names of the columns; what has none of them begins with a comment or a number. */
static int find_format(TraceReading *reading, const char *text, size_t n) {
        Csv csv = {};
        int format = -1;

        if (n > 0 && strchr(";0123456789 \t", text[0]))
                return TRACE_FORMAT_SWF;
        if (csv_open(&csv, reading->name, text, n, reading->error) == 0) {
                for (size_t i = 0; i < ELEMENTSOF(marks) && format < 0; i++)
                        if (csv_column(&csv, marks[i]) >= 0)
                                format = (int)i;
                if (format < 0)
                        (void)error_set(reading->error, -EINVAL,
                                        "'%s' is no trace: neither of taskflow's history, nor of "
                                        "openb, Tiresias or SWF",
                                        reading->name);
        }
        csv_done(&csv);
        return format < 0 ? -EINVAL : format;
}

static int compare_submitted(const void *a, const void *b) {
        const TraceTask *x = a, *y = b;

        if (x->submitted_us != y->submitted_us)
                return x->submitted_us < y->submitted_us ? -1 : 1;
        return (x->line > y->line) - (x->line < y->line);
}

static void begin_at_first(Trace *trace) {
        uint64_t first_us = trace->n_tasks > 0 ? trace->tasks[0].submitted_us : 0;

        for (size_t i = 0; i < trace->n_tasks; i++)
                trace->tasks[i].submitted_us -= first_us;
}

int trace_parse(Trace *ret,
                const char *name,
                const char *text,
                size_t n,
                int format,
                Error *error) {
        TraceReading reading = { .name = name, .error = error };
        int r;

        if (format < 0)
                format = find_format(&reading, text, n);
        if (format < 0)
                return format;

        r = readers[format](&reading, text, n);
        if (r < 0) {
                trace_done(&reading.trace);
                return r;
        }

        reading.trace.format = (TraceFormat)format;
        if (reading.trace.n_tasks > 0)
                qsort(reading.trace.tasks, reading.trace.n_tasks, sizeof(TraceTask),
                      compare_submitted);
        *ret = reading.trace;
        return 0;
}

static int read_stdin(char **ret, size_t *ret_n) {
        _cleanup_free_ char *text = NULL;
        size_t n = 0, n_allocated = 0;

        for (;;) {
                ssize_t n_read;

                if (n == n_allocated) {
                        char *grown = realloc(text, n_allocated += n_allocated / 2 + 65536);

                        if (!grown)
                                return -ENOMEM;
                        text = grown;
                }
                n_read = read(STDIN_FILENO, text + n, n_allocated - n);
                if (n_read < 0 && errno != EINTR)
                        return -errno;
                if (n_read == 0)
                        break;
                n += n_read > 0 ? (size_t)n_read : 0;
                if (n > TRACE_FILE_MAX)
                        return -EFBIG;
        }
        *ret = TAKE_PTR(text);
        *ret_n = n;
        return 0;
}

int trace_load(Trace *ret, const char *path, int format, Error *error) {
        _cleanup_free_ char *text = NULL;
        size_t n = 0;
        int r;

        r = strcmp(path, "-") == 0 ? read_stdin(&text, &n) :
                                     fd_read_file(AT_FDCWD, path, &text, &n, TRACE_FILE_MAX);
        if (r < 0)
                return error_set(error, r, "cannot read '%s': %s", path, strerror(-r));
        return trace_parse(ret, path, text, n, format, error);
}

void trace_done(Trace *trace) {
        for (size_t i = 0; i < trace->n_tasks; i++)
                task_done(&trace->tasks[i]);
        free(trace->tasks);
        *trace = (Trace){};
}

void trace_narrow(Trace *trace,
                  uint64_t from_us,
                  uint64_t to_us,
                  uint64_t longest_us,
                  bool gpus_only) {
        size_t n = 0;

        for (size_t i = 0; i < trace->n_tasks; i++) {
                TraceTask *task = &trace->tasks[i];

                if (task->submitted_us >= from_us && task->submitted_us < to_us &&
                    task->duration_us <= longest_us && (!gpus_only || task->n_gpus > 0))
                        trace->tasks[n++] = *task;
                else
                        task_done(task);
        }
        trace->n_tasks = n;
        begin_at_first(trace);
}
