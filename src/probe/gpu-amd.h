#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * AMD's GPUs, through sysfs alone
 */

#include "probe/gpu-vendor.h"

extern const GpuVendor gpu_amd;
