/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "core/slack.h"

#include <stdio.h>

#include "core/gpu-word.h"
#include "util/macro.h"
#include "util/units.h"

enum {
        TOO_MANY_TIMES = 2,
};

#define RAN_AT_LEAST_US (60 * US_PER_SEC)
#define NO_NEWS_BYTES   (100 * MIB)

static bool is_far_below(uint64_t bytes, uint64_t other) {
        return bytes < other / TOO_MANY_TIMES && other - bytes >= NO_NEWS_BYTES;
}

/* Behind what @buf has. Returns how long it is then; without room it stays as it is. */
static size_t add(char *buf,
                  size_t n,
                  size_t at,
                  const char *where,
                  uint64_t asked,
                  uint64_t took) {
        char asked_text[UNITS_FORMAT_MAX], took_text[UNITS_FORMAT_MAX], text[128];
        int length;

        length = snprintf(text, sizeof(text), "%sasked %s %s, took %s at most", at > 0 ? "; " : "",
                          units_format_bytes(asked_text, sizeof(asked_text), asked), where,
                          units_format_bytes(took_text, sizeof(took_text), took));
        if (at + (size_t)length >= n)
                return at;
        (void)snprintf(buf + at, n - at, "%s", text);
        return at + (size_t)length;
}

static size_t add_gpu(const Task *task, unsigned i, char *buf, size_t n, size_t at) {
        const GpuGrant *grant = &task->gpus[i];
        const Usage *usage = &task->gpu_usage[i];
        char where[GPU_ID_MAX + 16];
        char id[GPU_ID_MAX];

        /* A whole GPU is asked for to be alone there. */
        if (!usage->known || grant->bytes == GPU_WHOLE ||
            !is_far_below(usage->peak_bytes, grant->bytes))
                return at;
        (void)snprintf(where, sizeof(where), "on GPU %s",
                       gpu_id_or_index(grant->id, grant->index, id));
        return add(buf, n, at, where, grant->bytes, usage->peak_bytes);
}

bool slack_sentence(const Task *task, uint64_t ended_at_us, char *buf, size_t n) {
        unsigned n_gpus = task->gpus && task->gpu_usage ? task->needs.n_gpus : 0;
        uint64_t asked = task->needs.memory_bytes, took = task->memory.peak_bytes;
        size_t at = 0;

        buf[0] = '\0';
        if (task->started_at_us == 0 || ended_at_us < task->started_at_us ||
            ended_at_us - task->started_at_us < RAN_AT_LEAST_US)
                return false;
        for (unsigned i = 0; i < n_gpus; i++)
                at = add_gpu(task, i, buf, n, at);
        if (task->memory.known && asked > 0 &&
            (is_far_below(took, asked) || is_far_below(asked, took)))
                at = add(buf, n, at, "of RAM", asked, took);
        return at > 0;
}
