#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Intel's GPUs, which are counted and given out whole
 */

#include "probe/gpu-vendor.h"

extern const GpuVendor gpu_intel;
