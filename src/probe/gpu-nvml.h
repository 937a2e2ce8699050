#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * NVIDIA's GPUs, through NVML
 */

#include "probe/gpu-vendor.h"

/* The library that is meant when nobody says otherwise; only for it other places are tried. */
#define GPU_NVML_LIBRARY "libnvidia-ml.so.1"

extern const GpuVendor gpu_nvml;

/**
 * gpu_nvml_set_reopen_us() - how long after NVML was initialised a lost GPU is looked for again
 * @driver:     of this vendor
 * @us:         the default is 30 seconds; another is for tests
 */
void gpu_nvml_set_reopen_us(GpuDriver *driver, uint64_t us);
