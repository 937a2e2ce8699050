/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * What `taskflow history --export` prints (taskflow-history(1))
 *
 * Only what a simulation needs must be there; a column that is missing says that nothing was asked for.
 */

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/signature.h"
#include "core/task.h"
#include "sim/trace-read.h"
#include "util/macro.h"

typedef enum Column {
        COLUMN_SUBMITTED_AT,
        COLUMN_STARTED_AT,
        COLUMN_ENDED_AT,
        COLUMN_UID,
        COLUMN_PRIORITY,
        COLUMN_MEMORY_BYTES,
        COLUMN_MEMORY_PEAK_BYTES,
        COLUMN_CPUS,
        COLUMN_GPUS,
        COLUMN_GPU_PEAKS,
        COLUMN_DELAY_SECONDS,
        COLUMN_DELAY_GIVEN,
        COLUMN_TIME_LIMIT_SECONDS,
        COLUMN_COMMAND,
        COLUMN_TOKENS,
} Column;

static const char *const names[] = {
        [COLUMN_SUBMITTED_AT] = "submitted_at",
        [COLUMN_STARTED_AT] = "started_at",
        [COLUMN_ENDED_AT] = "ended_at",
        [COLUMN_UID] = "uid",
        [COLUMN_PRIORITY] = "priority",
        [COLUMN_MEMORY_BYTES] = "memory_bytes",
        [COLUMN_MEMORY_PEAK_BYTES] = "memory_peak_bytes",
        [COLUMN_CPUS] = "cpus",
        [COLUMN_GPUS] = "gpus",
        [COLUMN_GPU_PEAKS] = "gpu_peaks",
        [COLUMN_DELAY_SECONDS] = "delay_seconds",
        [COLUMN_DELAY_GIVEN] = "delay_given",
        [COLUMN_TIME_LIMIT_SECONDS] = "time_limit_seconds",
        [COLUMN_COMMAND] = "command",
        [COLUMN_TOKENS] = "tokens",
};

enum {
        N_COLUMNS = ELEMENTSOF(names),
        N_NEEDED = COLUMN_ENDED_AT + 1,
};

typedef struct HistoryRow {
        TraceReading *reading;
        unsigned line;
        const char *fields[N_COLUMNS];
} HistoryRow;

/* Whole numbers with one character between each, by the shape: "2026-01-31T10:00:00". Returns whether it has it. */
static bool read_digits(const char *text, const char *shape, int values[static 7]) {
        size_t n = 0;

        for (; *shape; shape++, text++) {
                if (*shape != '0') {
                        if (*text != *shape)
                                return false;
                        n++;
                } else if (isdigit((unsigned char)*text)) {
                        values[n] = 10 * values[n] + (*text - '0');
                } else {
                        return false;
                }
        }
        return true;
}

/* "2026-01-31T10:00:00.123Z" */
static bool read_instant(const char *text, uint64_t *ret_us) {
        static const char shape[] = "0000-00-00T00:00:00.000Z";
        int values[7] = {};
        struct tm tm = {};
        time_t seconds;

        if (strlen(text) != sizeof(shape) - 1 || !read_digits(text, shape, values))
                return false;
        if (values[0] < 1970 || values[1] < 1 || values[1] > 12 || values[2] < 1 ||
            values[2] > 31 || values[3] > 23 || values[4] > 59 || values[5] > 60)
                return false;

        tm.tm_year = values[0] - 1900;
        tm.tm_mon = values[1] - 1;
        tm.tm_mday = values[2];
        tm.tm_hour = values[3];
        tm.tm_min = values[4];
        tm.tm_sec = values[5];
        seconds = timegm(&tm);
        if (seconds < 0)
                return false;
        *ret_us = (uint64_t)seconds * US_PER_SEC +
                  (uint64_t)(strtoul(text + 20, NULL, 10) % 1000) * US_PER_MSEC;
        return true;
}

static int refuse(const HistoryRow *row, Column column, const char *what) {
        return trace_refuse(row->reading, row->line, row->fields[column], what);
}

static int read_times(const HistoryRow *row, TraceTask *task) {
        uint64_t times_us[N_NEEDED];

        for (Column i = COLUMN_SUBMITTED_AT; i <= COLUMN_ENDED_AT; i++)
                if (!read_instant(row->fields[i], &times_us[i]))
                        return refuse(row, i, "time, such as 2026-01-31T10:00:00.123Z");

        task->submitted_us = times_us[COLUMN_SUBMITTED_AT];
        if (times_us[COLUMN_ENDED_AT] > times_us[COLUMN_STARTED_AT])
                task->duration_us = MIN(times_us[COLUMN_ENDED_AT] - times_us[COLUMN_STARTED_AT],
                                        TRACE_DURATION_MAX);
        return 0;
}

/* Empty: as it is. */
static int read_number(const HistoryRow *row, Column column, uint64_t max, uint64_t *value) {
        if (row->fields[column][0] != '\0' && !trace_uint(row->fields[column], max, value))
                return refuse(row, column, "number that is wanted there");
        return 0;
}

static int read_duration(const HistoryRow *row, Column column, uint64_t *us) {
        const char *field = row->fields[column];

        if (strcmp(field, "inf") == 0)
                *us = TASK_TIME_INF;
        else if (field[0] != '\0' && !trace_seconds(field, us))
                return refuse(row, column, "time in seconds, or 'inf'");
        return 0;
}

/* "any:10737418240", "0:all" */
static bool read_gpu(const char *word, TraceGpu *ret) {
        const char *colon = strchr(word, ':');
        char which[8];
        uint64_t index;

        if (!colon || (size_t)(colon - word) >= sizeof(which))
                return false;
        memcpy(which, word, (size_t)(colon - word));
        which[colon - word] = '\0';

        *ret = (TraceGpu){ .index = -1, .bytes = GPU_WHOLE };
        if (strcmp(which, "any") != 0) {
                if (!trace_uint(which, GPU_MAX - 1, &index))
                        return false;
                ret->index = (int)index;
        }
        return strcmp(colon + 1, "all") == 0 || trace_uint(colon + 1, TRACE_SIZE_MAX, &ret->bytes);
}

/* The words of a field, one after another: copied to @buf. NULL behind the last; "" for what is too long. */
static const char *next_word(const char **rest, char *buf, size_t n) {
        const char *word = *rest + strspn(*rest, " ");
        size_t n_word = strcspn(word, " ");

        *rest = word + n_word;
        if (n_word == 0)
                return NULL;
        if (n_word >= n)
                n_word = 0;
        memcpy(buf, word, n_word);
        buf[n_word] = '\0';
        return buf;
}

static bool names_twice(const TraceGpu *gpus, unsigned n, int index) {
        for (unsigned i = 0; i < n; i++)
                if (index >= 0 && gpus[i].index == index)
                        return true;
        return false;
}

static int read_gpus(const HistoryRow *row, TraceTask *task) {
        const char *rest = row->fields[COLUMN_GPUS], *peaks = row->fields[COLUMN_GPU_PEAKS];
        TraceGpu gpus[NEEDS_GPUS_MAX];
        char buf[40];
        unsigned n = 0;

        while (next_word(&rest, buf, sizeof(buf))) {
                if (n == NEEDS_GPUS_MAX || !read_gpu(buf, &gpus[n]) ||
                    names_twice(gpus, n, gpus[n].index))
                        return refuse(row, COLUMN_GPUS, "list of GPUs, such as 'any:1024 0:all'");
                if (next_word(&peaks, buf, sizeof(buf)) && strcmp(buf, "-") != 0 &&
                    !trace_uint(buf, TRACE_SIZE_MAX, &gpus[n].peak_bytes))
                        return refuse(row, COLUMN_GPU_PEAKS, "list of sizes");
                n++;
        }
        if (trace_set_gpus(task, n, (TraceGpu){}) < 0)
                return error_set(row->reading->error, -ENOMEM, "out of memory");
        if (n > 0)
                memcpy(task->gpus, gpus, n * sizeof(gpus[0]));
        return 0;
}

/* By the command as it is shown; in which folder is not there. */
static uint64_t program_of(const char *command) {
        char *copy = command[0] != '\0' ? strdup(command) : NULL;
        uint64_t program = copy ? signature_of(&(Task){ .command = copy }, NULL) : 0;

        free(copy);
        return program;
}

static int read_tokens(const HistoryRow *row, TraceTask *task) {
        Needs needs = {};
        int r = needs_add_tokens(&needs, row->fields[COLUMN_TOKENS]);

        if (r < 0) {
                needs_done(&needs);
                if (r == -ENOMEM)
                        return error_set(row->reading->error, r, "out of memory");
                return refuse(row, COLUMN_TOKENS, "list of tokens, such as 'ansys:1 matlab:2'");
        }

        task->n_tokens = needs.n_tokens;
        task->tokens = needs.tokens;
        return 0;
}

static int read_row(const HistoryRow *row) {
        TraceTask task = trace_task();
        uint64_t uid = UINT32_MAX, priority = task.priority, cpus = 0, delay_given = 0;
        int r;

        r = read_times(row, &task);
        if (r == 0)
                r = read_number(row, COLUMN_UID, UINT32_MAX, &uid);
        if (r == 0)
                r = read_number(row, COLUMN_PRIORITY, TASK_PRIORITY_MAX, &priority);
        if (r == 0)
                r = read_number(row, COLUMN_MEMORY_BYTES, TRACE_SIZE_MAX, &task.memory_bytes);
        if (r == 0)
                r = read_number(row, COLUMN_MEMORY_PEAK_BYTES, TRACE_SIZE_MAX,
                                &task.memory_peak_bytes);
        if (r == 0)
                r = read_number(row, COLUMN_CPUS, TRACE_CPUS_MAX, &cpus);
        if (r == 0)
                r = read_duration(row, COLUMN_DELAY_SECONDS, &task.delay_us);
        if (r == 0)
                r = read_number(row, COLUMN_DELAY_GIVEN, 1, &delay_given);
        if (r == 0)
                r = read_duration(row, COLUMN_TIME_LIMIT_SECONDS, &task.time_limit_us);
        if (r < 0)
                return r;
        if (task.duration_us == 0) {
                row->reading->trace.n_left_out++;
                return 0;
        }

        task.user = uid == UINT32_MAX ? -1 : (int64_t)uid;
        task.priority = (unsigned)priority;
        task.cpus = (unsigned)cpus;
        task.delay_given = delay_given == 1;
        task.program = program_of(row->fields[COLUMN_COMMAND]);
        r = read_gpus(row, &task);
        if (r == 0)
                r = read_tokens(row, &task);
        if (r < 0) {
                free(task.gpus);
                return r;
        }
        return trace_add(row->reading, row->line, &task);
}

int trace_read_history(TraceReading *reading, const char *text, size_t n) {
        HistoryRow row = { .reading = reading };
        int columns[N_COLUMNS];
        Csv csv = {};
        int r;

        r = csv_open(&csv, reading->name, text, n, reading->error);
        if (r == 0)
                r = trace_columns(reading, &csv, names, N_NEEDED, columns);
        for (int i = N_NEEDED; r == 0 && i < (int)N_COLUMNS; i++)
                columns[i] = csv_column(&csv, names[i]);

        while (r == 0 && (r = csv_next(&csv, reading->error)) == 0) {
                for (size_t i = 0; i < N_COLUMNS; i++)
                        row.fields[i] = csv_field(&csv, columns[i]);
                row.line = csv.line;
                if (row.fields[COLUMN_STARTED_AT][0] != '\0' &&
                    row.fields[COLUMN_ENDED_AT][0] != '\0')
                        r = read_row(&row);
                else
                        reading->trace.n_left_out++;
        }
        csv_done(&csv);
        return r == CSV_E_END ? 0 : r;
}
