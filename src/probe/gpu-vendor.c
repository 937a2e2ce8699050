/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "probe/gpu-vendor.h"

#include <stddef.h>

#include "probe/gpu-nvml.h"

const GpuVendor *const gpu_vendors[] = {
        &gpu_nvml,
        NULL,
};
