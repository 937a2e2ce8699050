/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "core/machine.h"

static const char *const gpu_state_table[] = {
        [GPU_STATE_OK] = "ok",
        [GPU_STATE_UNKNOWN] = "unknown",
        [GPU_STATE_LOST] = "lost",
};

DEFINE_STRING_TABLE(gpu_state, GpuState);

static const char *const gpu_kind_table[] = {
        [GPU_KIND_NVIDIA] = "nvidia",
        [GPU_KIND_AMD] = "amd",
        [GPU_KIND_INTEL] = "intel",
        [GPU_KIND_OTHER] = "other",
};

DEFINE_STRING_TABLE(gpu_kind, GpuKind);

static const char *const gpu_use_table[] = {
        [GPU_USE_SHARED] = "shared",
        [GPU_USE_EXCLUSIVE] = "exclusive",
        [GPU_USE_PROHIBITED] = "prohibited",
        [GPU_USE_SPLIT] = "split",
};

DEFINE_STRING_TABLE(gpu_use, GpuUse);
