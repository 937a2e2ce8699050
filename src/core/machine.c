/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "core/machine.h"

static const char *const gpu_state_table[] = {
        [GPU_STATE_OK] = "ok",
        [GPU_STATE_UNKNOWN] = "unknown",
        [GPU_STATE_LOST] = "lost",
};

DEFINE_STRING_TABLE(gpu_state, GpuState);
