/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "probe/gpu-vendor.h"

#include <stddef.h>

#include "probe/gpu-amd.h"
#include "probe/gpu-intel.h"
#include "probe/gpu-nvml.h"

const GpuVendor *const gpu_vendors[] = {
        &gpu_nvml,
        &gpu_amd,
        &gpu_intel,
        NULL,
};
