/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "probe/gpu-vendor.h"

#include <stddef.h>
#include <unistd.h>

#include "probe/gpu-amd.h"
#include "probe/gpu-intel.h"
#include "probe/gpu-nvml.h"

const GpuVendor *const gpu_vendors[] = {
        &gpu_nvml,
        &gpu_amd,
        &gpu_intel,
        NULL,
};

uint64_t gpu_ram_total_bytes(void) {
        return (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
}
