#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * NVIDIA's GPUs, through NVML
 */

#include "probe/gpu.h"

/* The library that is meant when nobody says otherwise; only for it other places are tried. */
#define GPU_NVML_LIBRARY "libnvidia-ml.so.1"

extern const GpuVendor gpu_nvml;
