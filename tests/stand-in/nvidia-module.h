#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * What NVIDIA's kernel module answers
 *
 * From the script of the stand-in for its library; nvidia-kernel.c says what of it counts here.
 */

#include <stddef.h>
#include <stdint.h>

unsigned module_count_gpus(void);

/* What stands in the script behind `init`, or that there is no driver. */
int module_init_status(void);

/* One of its own ioctl()s: the number, and the argument's words, whose pointers are followed. */
int module_ioctl(unsigned number, uint32_t *words, size_t n_bytes);
