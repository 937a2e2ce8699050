#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/* What NVIDIA's kernel module shows of itself in /proc/driver/nvidia. */

#include <stdbool.h>
#include <stdint.h>

/* @proc: where /proc is. False also where it does not show it: on WSL. */
bool nvml_kernel_is_loaded(const char *proc);

#define NVML_KERNEL_NO_GPU UINT64_C(1)

/**
 * nvml_kernel_gpus() - which GPUs the module has
 * @proc:       where /proc is
 *
 * NVML knows those that there were when it was initialised, and says nothing of one that came
 * since.
 *
 * Return: a number that is another one if other GPUs are there, NVML_KERNEL_NO_GPU if none is; 0 if
 * the module does not tell.
 */
uint64_t nvml_kernel_gpus(const char *proc);
