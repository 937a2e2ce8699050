/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "core/limit.h"

#include <inttypes.h>

#include "core/gpu-word.h"
#include "core/gpus.h"
#include "core/sat.h"
#include "core/turn.h"
#include "util/units.h"

bool limit_is_set(const UserRules *rules) {
        return rules->max_running != LIMIT_NONE || rules->max_memory_bytes != LIMIT_NONE ||
               rules->max_gpus != LIMIT_NONE || rules->max_gpu_memory_bytes != LIMIT_NONE;
}

LimitUse limit_sum(const LimitUse *a, const LimitUse *b) {
        return (LimitUse){
                .n_running = a->n_running + b->n_running,
                .memory_bytes = sat_add(a->memory_bytes, b->memory_bytes),
                .n_gpus = a->n_gpus + b->n_gpus,
                .gpu_bytes = sat_add(a->gpu_bytes, b->gpu_bytes),
        };
}

/* What a whole GPU stands for, where it is not known which: the smallest of its kind. */
static uint64_t smallest_bytes(const Core *core, GpuKind kind) {
        uint64_t bytes = 0;

        for (unsigned slot = 0; slot < core->n_gpus; slot++) {
                const GpuSample *sample = &core->gpus[slot].sample;

                if (sample->kind == kind && (bytes == 0 || sample->total_bytes < bytes))
                        bytes = sample->total_bytes;
        }
        return bytes;
}

static uint64_t bytes_of(const Core *core, const GpuNeed *need, const GpuGrant *grant) {
        uint64_t bytes = grant ? grant->bytes : need->bytes;
        int slot = gpus_find(core, grant ? grant->uuid : need->uuid);
        GpuKind kind;

        if (bytes != GPU_WHOLE)
                return bytes;
        if (slot != SLOT_NONE)
                return core->gpus[slot].sample.total_bytes;
        if (gpu_word_is_any(need->want, gpus_first_kind(core), &kind))
                return smallest_bytes(core, kind);
        return 0;
}

LimitUse limit_asked(const Core *core, const Needs *needs, const GpuGrant *grants) {
        LimitUse use = {
                .n_running = 1,
                .memory_bytes = needs->memory_bytes,
                .n_gpus = needs->n_gpus,
        };

        for (unsigned i = 0; i < needs->n_gpus; i++)
                use.gpu_bytes = sat_add(use.gpu_bytes, bytes_of(core, &needs->gpus[i],
                                                                grants ? &grants[i] : NULL));
        return use;
}

LimitUse limit_of_active(const Core *core, const Entry *entry) {
        LimitUse use = limit_asked(core, &entry->class->needs, entry->task->gpus);

        use.memory_bytes = turn_holding(core, entry).memory_bytes;
        return use;
}

LimitUse limit_used(const Core *core, const User *user) {
        LimitUse used = {};
        const Entry *entry;

        TAILQ_FOREACH(entry, &core->active, link) {
                LimitUse use;

                if (entry->class->user != user || entry->ahead)
                        continue;
                use = limit_of_active(core, entry);
                used = limit_sum(&used, &use);
        }
        return used;
}

static bool is_over(WaitReason reason,
                    uint64_t asked,
                    uint64_t used,
                    uint64_t most,
                    LimitLack *ret) {
        if (asked == 0 || asked <= sat_sub(most, used))
                return false;
        if (ret)
                *ret = (LimitLack){ reason, asked, used, most };
        return true;
}

bool limit_find(const UserRules *rules,
                const LimitUse *used,
                const LimitUse *asked,
                LimitLack *ret) {
        return is_over(WAIT_REASON_MAX_RUNNING, asked->n_running, used->n_running,
                       rules->max_running, ret) ||
               is_over(WAIT_REASON_MAX_MEMORY, asked->memory_bytes, used->memory_bytes,
                       rules->max_memory_bytes, ret) ||
               is_over(WAIT_REASON_MAX_GPUS, asked->n_gpus, used->n_gpus, rules->max_gpus, ret) ||
               is_over(WAIT_REASON_MAX_GPU_MEMORY, asked->gpu_bytes, used->gpu_bytes,
                       rules->max_gpu_memory_bytes, ret);
}

bool limit_blocks(const Core *core, const User *user, const Needs *needs, LimitLack *ret) {
        LimitUse used, asked;

        if (!limit_is_set(&user->rules))
                return false;

        used = limit_used(core, user);
        asked = limit_asked(core, needs, NULL);
        return limit_find(&user->rules, &used, &asked, ret);
}

static int refuse(const LimitLack *lack, Error *error) {
        char asked[UNITS_FORMAT_MAX], most[UNITS_FORMAT_MAX];

        if (lack->reason == WAIT_REASON_MAX_RUNNING)
                return error_set(error, CORE_E_IMPOSSIBLE,
                                 "max_running_per_user is 0: no task of this user may run");
        if (lack->reason == WAIT_REASON_MAX_GPUS)
                return error_set(error, CORE_E_IMPOSSIBLE,
                                 "it asks for %" PRIu64 " GPUs, but max_gpus_per_user is %" PRIu64,
                                 lack->asked, lack->most);

        return error_set(error, CORE_E_IMPOSSIBLE,
                         "it asks for %s %s, but max_%smemory_per_user is %s",
                         units_format_bytes(asked, sizeof(asked), lack->asked),
                         lack->reason == WAIT_REASON_MAX_MEMORY ? "of RAM" : "of memory on GPUs",
                         lack->reason == WAIT_REASON_MAX_MEMORY ? "" : "gpu_",
                         units_format_bytes(most, sizeof(most), lack->most));
}

int core_check_limits(const Core *core,
                      const UserRules *rules,
                      const Needs *needs,
                      uint64_t time_limit_us,
                      Error *error) {
        LimitUse nothing = {}, use = limit_asked(core, needs, NULL);
        char asked[UNITS_FORMAT_MAX], most[UNITS_FORMAT_MAX];
        LimitLack lack;

        if (limit_find(rules, &nothing, &use, &lack))
                return refuse(&lack, error);
        if (time_limit_us <= rules->max_time_us)
                return 0;

        (void)units_format_duration(most, sizeof(most), rules->max_time_us);
        if (time_limit_us == TASK_TIME_INF)
                return error_set(
                        error, CORE_E_IMPOSSIBLE,
                        "it has no time limit, but max_time is %s: say with -t how long it may run",
                        most);
        return error_set(error, CORE_E_IMPOSSIBLE, "its time limit is %s, but max_time is %s",
                         units_format_duration(asked, sizeof(asked), time_limit_us), most);
}
