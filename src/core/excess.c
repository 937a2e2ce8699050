/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "core/excess.h"

#include <stdio.h>

#include "core/gpu-word.h"
#include "core/sat.h"
#include "util/units.h"

enum {
        TOO_MANY_TIMES = 2, /* what was asked for */
};

static bool is_too_much(uint64_t asked_bytes, uint64_t bytes) {
        return bytes > sat_mul_div(asked_bytes, TOO_MANY_TIMES, 1);
}

static bool of_need(const Task *task, unsigned i, Excess *ret) {
        const GpuGrant *grant = &task->gpus[i];
        const Usage *usage = &task->gpu_usage[i];

        if (!usage->known || grant->bytes == GPU_WHOLE ||
            !is_too_much(grant->bytes, usage->peak_bytes))
                return false;

        *ret = (Excess){
                .gpu_index = grant->index,
                .gpu_id = grant->id,
                .gpu_uuid = grant->uuid,
                .asked_bytes = grant->bytes,
                .used_bytes = usage->used_bytes,
                .peak_bytes = usage->peak_bytes,
        };
        return true;
}

static void of_stray(const GpuStray *stray, Excess *ret) {
        *ret = (Excess){
                .gpu_index = stray->index,
                .gpu_id = stray->id,
                .gpu_uuid = stray->uuid,
                .used_bytes = stray->used_bytes,
                .peak_bytes = stray->peak_bytes,
        };
}

bool excess_next(const Task *task, unsigned *at, Excess *ret) {
        unsigned n_needs = task->gpus && task->gpu_usage ? task->needs.n_gpus : 0;

        while (*at < n_needs)
                if (of_need(task, (*at)++, ret))
                        return true;

        if (*at - n_needs >= task->n_strays)
                return false;
        of_stray(&task->strays[(*at)++ - n_needs], ret);
        return true;
}

bool excess_is_now(const Excess *excess) {
        return is_too_much(excess->asked_bytes, excess->used_bytes);
}

const char *excess_sentence(const Excess *excess, bool peak, char *buf, size_t n) {
        char bytes[UNITS_FORMAT_MAX];
        char asked[UNITS_FORMAT_MAX];
        char id_buf[GPU_ID_MAX];
        const char *id = gpu_id_or_index(excess->gpu_id, excess->gpu_index, id_buf);

        (void)units_format_bytes(bytes, sizeof(bytes),
                                 peak ? excess->peak_bytes : excess->used_bytes);
        if (excess->asked_bytes == 0)
                (void)snprintf(buf, n, "%s on GPU %s, which it did not ask for", bytes, id);
        else
                (void)snprintf(buf, n, "%s on GPU %s, where it asked for %s", bytes, id,
                               units_format_bytes(asked, sizeof(asked), excess->asked_bytes));
        return buf;
}
