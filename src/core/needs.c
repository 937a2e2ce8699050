/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "core/needs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int needs_copy(Needs *ret, const Needs *needs) {
        GpuNeed *gpus = NULL;

        if (needs->n_gpus > 0) {
                gpus = calloc(needs->n_gpus, sizeof(*gpus));
                if (!gpus)
                        return -ENOMEM;
                memcpy(gpus, needs->gpus, needs->n_gpus * sizeof(*gpus));
        }

        *ret = *needs;
        ret->gpus = gpus;
        return 0;
}

void needs_done(Needs *needs) {
        free(needs->gpus);
        *needs = (Needs){};
}

int needs_add_gpu(Needs *needs, const char *want, uint64_t bytes) {
        size_t n_want = strlen(want);
        GpuNeed *gpus;

        if (n_want == 0 || n_want >= GPU_WANT_MAX)
                return -EINVAL;
        if (needs->n_gpus >= NEEDS_GPUS_MAX)
                return -E2BIG;

        gpus = reallocarray(needs->gpus, (size_t)needs->n_gpus + 1, sizeof(*gpus));
        if (!gpus)
                return -ENOMEM;

        needs->gpus = gpus;
        gpus[needs->n_gpus] = (GpuNeed){ .bytes = bytes };
        memcpy(gpus[needs->n_gpus].want, want, n_want);
        needs->n_gpus++;
        return 0;
}

bool needs_equal(const Needs *a, const Needs *b) {
        if (a->memory_bytes != b->memory_bytes || a->cpus != b->cpus || a->n_gpus != b->n_gpus)
                return false;

        for (unsigned i = 0; i < a->n_gpus; i++)
                if (a->gpus[i].bytes != b->gpus[i].bytes ||
                    strncmp(a->gpus[i].uuid, b->gpus[i].uuid, GPU_UUID_MAX) != 0)
                        return false;

        return true;
}

bool needs_is_empty(const Needs *needs) {
        return needs->memory_bytes == 0 && needs->cpus == 0 && needs->n_gpus == 0;
}
