/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "core/policy.h"

#include "core/gpu-word.h"
#include "core/task.h"
#include "util/macro.h"

Policy policy_default(void) {
        return (Policy){
                .default_delay_us = 60 * US_PER_SEC,
                .ample_factor_permille = 2000,
                .reserved_memory_bytes = 100 * MIB,
                .reserved_gpu_memory_bytes = 1 * MIB,
                .whole_gpu_used_permyriad = 500,
                .pressure_limit_permyriad = 2000,
                .share_half_life_us = 86400 * US_PER_SEC,
                .priority_limit = TASK_PRIORITY_DEFAULT,
                .priority_age_us = 3600 * US_PER_SEC,
                .max_delay_us = 600 * US_PER_SEC,
                .patience_us = 600 * US_PER_SEC,
                .keep_max_us = 86400 * US_PER_SEC,
                /* A look is taken before each start; this is how old it may get until the plan is
                 * made. A program touches up to 1.6 GiB of new memory in a second, so what is missed
                 * stays below the usual reserve. */
                .sample_max_age_us = 50 * US_PER_MSEC,
                .max_offers_per_uid = 64,
                .max_active_per_uid = 4096,
                .n_cpus = 1,
                .gpus_all = true,
        };
}

UserRules user_rules_default(void) {
        return (UserRules){
                .weight_permille = 1000,
                .max_running = LIMIT_NONE,
                .max_memory_bytes = LIMIT_NONE,
                .max_gpus = LIMIT_NONE,
                .max_gpu_memory_bytes = LIMIT_NONE,
                .max_time_us = LIMIT_NONE,
        };
}

bool user_rules_equal(const UserRules *a, const UserRules *b) {
        return a->weight_permille == b->weight_permille && a->max_running == b->max_running &&
               a->max_memory_bytes == b->max_memory_bytes && a->max_gpus == b->max_gpus &&
               a->max_gpu_memory_bytes == b->max_gpu_memory_bytes &&
               a->max_time_us == b->max_time_us;
}

bool policy_allows_gpu(const Policy *policy, const GpuSample *gpu, GpuKind first_kind) {
        if (policy->gpus_all)
                return true;

        for (unsigned i = 0; i < policy->n_gpus && i < GPU_MAX; i++)
                if (gpu_word_matches(policy->gpus[i], gpu, first_kind))
                        return true;

        return false;
}
