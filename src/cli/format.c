/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "cli/format.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/core.h"
#include "core/gpu-word.h"
#include "core/index-set.h"
#include "core/ref.h"
#include "util/cleanup.h"
#include "util/macro.h"
#include "util/units.h"

/* Statuses of tasks that have none of their own: those of `taskflow run`. */
enum {
        STATUS_ARRAY = 1, /* not all of its elements have succeeded */
        STATUS_TIMEOUT = 124,
        STATUS_UNKNOWN = 125, /* never started, or its end was not seen */
        STATUS_SIGNAL = 128,
};

/* Text that grows; NULL from text_end() when out of memory. */
typedef struct Text {
        FILE *stream;
        char *data;
        size_t n;
        bool started;
} Text;

static bool text_begin(Text *text) {
        *text = (Text){ 0 };
        text->stream = open_memstream(&text->data, &text->n);
        return text->stream != NULL;
}

static char *text_end(Text *text) {
        bool failed = ferror(text->stream) != 0;

        if (fclose(text->stream) == 0 && !failed)
                return text->data;
        free(text->data);
        return NULL;
}

/* Puts what stands between two items, from the second on. */
static FILE *next(Text *text, const char *separator) {
        if (text->started)
                (void)fputs(separator, text->stream);
        text->started = true;
        return text->stream;
}

/* As much of a set as fits, up to a comma. */
static void put_set(Text *text, const char *set, size_t max) {
        size_t n = strlen(set);

        if (n <= max) {
                (void)fputs(set, text->stream);
                return;
        }
        n = max;
        while (n > 0 && set[n] != ',')
                n--;
        (void)fprintf(text->stream, "%.*s%s", (int)n, set, n > 0 ? ",…" : "…");
}

char *format_id(const Task *task, size_t max_set) {
        _cleanup_free_ char *set = NULL;
        char buf[TASK_REF_FORMAT_MAX];
        Text text;

        if (!task->array || task->array->waiting.n == 0)
                return strdup(task_ref_format(buf, sizeof(buf), task->id));

        set = index_set_format(&task->array->waiting);
        if (!set || !text_begin(&text))
                return NULL;
        (void)fprintf(text.stream, "%s_[", task_ref_format(buf, sizeof(buf), task->id));
        put_set(&text, set, max_set);
        if (task->array->limit > 0)
                (void)fprintf(text.stream, "%%%u", task->array->limit);
        (void)fputc(']', text.stream);
        return text_end(&text);
}

static void put_after(Text *text, const Task *task, bool any, const char *how) {
        bool some = false;

        for (unsigned i = 0; i < task->n_after; i++) {
                if (task->after[i].any != any)
                        continue;
                (void)fprintf(next(text, some ? ", " : "; "), "%" PRIu64, task->after[i].id);
                some = true;
        }
        if (some)
                (void)fputs(how, text->stream);
}

char *format_after(const Task *task) {
        Text text;

        if (!text_begin(&text))
                return NULL;
        put_after(&text, task, false, " (must succeed)");
        put_after(&text, task, true, " (must end)");
        return text_end(&text);
}

char *format_array(const Task *task) {
        const TaskArray *array = task->array;
        uint64_t n_waiting;
        Text text;

        if (!text_begin(&text))
                return NULL;
        if (!array)
                return text_end(&text);

        (void)fprintf(text.stream, "%u-%u", array->first, array->last);
        if (array->limit > 0)
                (void)fprintf(text.stream, ", at most %u at once", array->limit);
        (void)fputs(": ", text.stream);

        n_waiting = index_set_count(&array->waiting) +
                    (array->n_apart > array->n_active ? array->n_apart - array->n_active : 0);
        const struct {
                uint64_t n;
                const char *what;
        } counts[] = {
                { n_waiting, "waiting" },
                { array->n_active, "running" },
                { array->n_done, "done" },
                { array->n_failed, "failed" },
                { array->n_cancelled, "cancelled" },
                { array->n_timeout, "timeout" },
                { array->n_lost, "lost" },
        };
        for (size_t i = 0; i < ELEMENTSOF(counts); i++)
                if (counts[i].n > 0)
                        (void)fprintf(next(&text, ", "), "%" PRIu64 " %s", counts[i].n,
                                      counts[i].what);
        return text_end(&text);
}

static const char *size_or_all(uint64_t bytes, char buf[static UNITS_FORMAT_MAX]) {
        return bytes == GPU_WHOLE ? "all" : units_format_bytes(buf, UNITS_FORMAT_MAX, bytes);
}

const char *format_gpu_id(const GpuGrant *grant, char buf[static GPU_ID_MAX]) {
        return gpu_id_or_index(grant->id, grant->index, buf);
}

/* A number has "gpu" in front; a kind, a UUID or "any" speaks for itself. */
static const char *gpu_prefix(const char *want) {
        return want[0] >= '0' && want[0] <= '9' ? "gpu" : "";
}

char *format_needs(const Task *task) {
        char buf[UNITS_FORMAT_MAX];
        char id[GPU_ID_MAX];
        const char *want;
        Text text;

        if (!text_begin(&text))
                return NULL;

        if (task->needs.memory_bytes > 0)
                (void)fputs(units_format_bytes(buf, sizeof(buf), task->needs.memory_bytes),
                            next(&text, ","));
        for (unsigned i = 0; i < task->needs.n_gpus; i++) {
                const GpuNeed *need = &task->needs.gpus[i];

                want = task->gpus ? format_gpu_id(&task->gpus[i], id) : need->want;
                (void)fprintf(next(&text, ","), "%s%s:", gpu_prefix(want), want);
                (void)fputs(size_or_all(need->bytes, buf), text.stream);
        }
        if (task->needs.cpus > 0)
                (void)fprintf(next(&text, ","), "%uc", task->needs.cpus);
        for (unsigned i = 0; i < task->needs.n_tokens; i++)
                (void)fprintf(next(&text, ","), "%s:%u", task->needs.tokens[i].name,
                              task->needs.tokens[i].n);

        return text_end(&text);
}

static void put_gpu_words(FILE *out, const GpuNeed *need) {
        char buf[UNITS_FORMAT_MAX];
        bool any = strcmp(need->want, "any") == 0;

        if (need->bytes == GPU_WHOLE && any)
                (void)fputs("a whole GPU (any)", out);
        else if (need->bytes == GPU_WHOLE)
                (void)fprintf(out, "the whole GPU %s", need->want);
        else
                (void)fprintf(out, "%s on %s%s", units_format_bytes(buf, sizeof(buf), need->bytes),
                              any ? "any GPU" : "GPU ", any ? "" : need->want);
}

char *format_needs_words(const Needs *needs) {
        char buf[UNITS_FORMAT_MAX];
        Text text;

        if (!text_begin(&text))
                return NULL;

        if (needs->memory_bytes > 0)
                (void)fprintf(next(&text, ", "), "%s of RAM",
                              units_format_bytes(buf, sizeof(buf), needs->memory_bytes));
        for (unsigned i = 0; i < needs->n_gpus; i++)
                put_gpu_words(next(&text, ", "), &needs->gpus[i]);
        if (needs->cpus > 0)
                (void)fprintf(next(&text, ", "), "%u core%s", needs->cpus,
                              needs->cpus == 1 ? "" : "s");
        for (unsigned i = 0; i < needs->n_tokens; i++)
                (void)fprintf(next(&text, ", "), "%u token%s of %s", needs->tokens[i].n,
                              needs->tokens[i].n == 1 ? "" : "s", needs->tokens[i].name);
        if (!text.started)
                (void)fputs("nothing", text.stream);

        return text_end(&text);
}

static uint64_t usage_bytes(const Usage *usage, bool peak) {
        return peak ? usage->peak_bytes : usage->used_bytes;
}

static uint64_t stray_bytes(const GpuStray *stray, bool peak) {
        return peak ? stray->peak_bytes : stray->used_bytes;
}

static bool has_gpu_usage(const Task *task, unsigned i) {
        return task->gpus && task->gpu_usage && task->gpu_usage[i].known;
}

static const char *stray_id(const GpuStray *stray, char buf[static GPU_ID_MAX]) {
        return gpu_id_or_index(stray->id, stray->index, buf);
}

static void put_on_gpu(Text *text, const char *id, uint64_t bytes) {
        char buf[UNITS_FORMAT_MAX];

        (void)fprintf(next(text, ","), "%s%s:%s", gpu_prefix(id), id,
                      units_format_bytes(buf, sizeof(buf), bytes));
}

char *format_used(const Task *task, bool peak) {
        char buf[UNITS_FORMAT_MAX];
        char id[GPU_ID_MAX];
        Text text;

        if (!text_begin(&text))
                return NULL;

        if (task->memory.known)
                (void)fputs(units_format_bytes(buf, sizeof(buf), usage_bytes(&task->memory, peak)),
                            next(&text, ","));
        for (unsigned i = 0; i < task->needs.n_gpus; i++)
                if (has_gpu_usage(task, i))
                        put_on_gpu(&text, format_gpu_id(&task->gpus[i], id),
                                   usage_bytes(&task->gpu_usage[i], peak));
        for (unsigned i = 0; i < task->n_strays; i++)
                if (stray_bytes(&task->strays[i], peak) > 0)
                        put_on_gpu(&text, stray_id(&task->strays[i], id),
                                   stray_bytes(&task->strays[i], peak));

        return text_end(&text);
}

char *format_used_words(const Task *task, bool peak) {
        char buf[UNITS_FORMAT_MAX];
        char id[GPU_ID_MAX];
        Text text;

        if (!text_begin(&text))
                return NULL;

        if (task->memory.known)
                (void)fprintf(next(&text, ", "), "%s of RAM",
                              units_format_bytes(buf, sizeof(buf),
                                                 usage_bytes(&task->memory, peak)));
        for (unsigned i = 0; i < task->needs.n_gpus; i++)
                if (has_gpu_usage(task, i))
                        (void)fprintf(next(&text, ", "), "%s on GPU %s",
                                      units_format_bytes(buf, sizeof(buf),
                                                         usage_bytes(&task->gpu_usage[i], peak)),
                                      format_gpu_id(&task->gpus[i], id));
        for (unsigned i = 0; i < task->n_strays; i++)
                if (stray_bytes(&task->strays[i], peak) > 0)
                        (void)fprintf(next(&text, ", "), "%s on GPU %s",
                                      units_format_bytes(buf, sizeof(buf),
                                                         stray_bytes(&task->strays[i], peak)),
                                      stray_id(&task->strays[i], id));
        if (!text.started)
                (void)fputs("not known", text.stream);

        return text_end(&text);
}

char *format_gpus(const Task *task) {
        char buf[UNITS_FORMAT_MAX];
        char id[GPU_ID_MAX];
        Text text;

        if (!text_begin(&text))
                return NULL;

        for (unsigned i = 0; task->gpus && i < task->needs.n_gpus; i++)
                (void)fprintf(next(&text, ", "), "%s (%s, %s)", format_gpu_id(&task->gpus[i], id),
                              task->gpus[i].uuid, size_or_all(task->gpus[i].bytes, buf));

        return text_end(&text);
}

uint64_t format_ran_us(const Task *task, uint64_t now_boot_us) {
        return now_boot_us - MIN(now_boot_us, task->started_boot_us);
}

const char *format_time(const Task *task,
                        uint64_t now_us,
                        uint64_t now_boot_us,
                        char *buf,
                        size_t n) {
        uint64_t from_us = task->started_at_us ? task->started_at_us : task->submitted_at_us;
        uint64_t to_us = task->ended_at_us ? task->ended_at_us : now_us;

        if (task->state == TASK_STATE_RUNNING && !task->array && task->started_boot_us > 0)
                return units_format_duration(buf, n, format_ran_us(task, now_boot_us));

        /* The clock may have been set back meanwhile. */
        return units_format_duration(buf, n, to_us > from_us ? to_us - from_us : 0);
}

const char *format_instant(uint64_t realtime_us, char buf[static FORMAT_INSTANT_MAX]) {
        time_t seconds = (time_t)(realtime_us / US_PER_SEC);
        struct tm tm;

        if (realtime_us == 0 || !localtime_r(&seconds, &tm) ||
            strftime(buf, FORMAT_INSTANT_MAX, "%Y-%m-%d %H:%M:%S", &tm) == 0)
                (void)snprintf(buf, FORMAT_INSTANT_MAX, "-");
        return buf;
}

const char *format_status(const Task *task, char buf[static FORMAT_STATUS_MAX]) {
        const char *name = task->signal > 0 ? sigabbrev_np(task->signal) : NULL;

        if (name)
                (void)snprintf(buf, FORMAT_STATUS_MAX, "SIG%s", name);
        else if (task->signal > 0)
                (void)snprintf(buf, FORMAT_STATUS_MAX, "signal %d", task->signal);
        else if (task->exit_status >= 0)
                (void)snprintf(buf, FORMAT_STATUS_MAX, "%d", task->exit_status);
        else
                (void)snprintf(buf, FORMAT_STATUS_MAX, "-");
        return buf;
}

const char *format_priority(unsigned priority, char *buf, size_t n) {
        if (priority == 0)
                return "low";
        if (priority == TASK_PRIORITY_DEFAULT)
                return "medium";
        if (priority == TASK_PRIORITY_MAX)
                return "high";
        (void)snprintf(buf, n, "%u", priority);
        return buf;
}

const char *format_share(uint64_t share, char *buf, size_t n) {
        uint64_t permille = share / CORE_WHOLE * 1000 + share % CORE_WHOLE * 1000 / CORE_WHOLE;

        (void)snprintf(buf, n, "%" PRIu64 ".%u%%", permille / 10, (unsigned)(permille % 10));
        return buf;
}

Tone format_state_tone(TaskState state) {
        switch (state) {
        case TASK_STATE_RUNNING:
                return TONE_GOOD;
        case TASK_STATE_PENDING:
        case TASK_STATE_HELD:
                return TONE_WAITING;
        case TASK_STATE_FAILED:
        case TASK_STATE_TIMEOUT:
        case TASK_STATE_LOST:
                return TONE_BAD;
        case TASK_STATE_CANCELLED:
                return TONE_FAINT;
        case TASK_STATE_DONE:
                return TONE_PLAIN;
        }
        return TONE_PLAIN;
}

int format_exit_status(const Task *task) {
        /* Of an array: its elements' own statuses are many. */
        if (task->array && task->exit_status < 0)
                return task->state == TASK_STATE_DONE ? 0 : STATUS_ARRAY;
        if (task->state == TASK_STATE_TIMEOUT)
                return STATUS_TIMEOUT;
        if (task->signal > 0)
                return STATUS_SIGNAL + task->signal;
        if (task->exit_status >= 0)
                return task->exit_status;
        return STATUS_UNKNOWN;
}
