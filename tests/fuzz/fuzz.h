#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * What every fuzzer is
 */

#include <stddef.h>
#include <stdint.h>

/**
 * LLVMFuzzerTestOneInput() - feed one sample
 * @data:       any bytes
 * @n:          number of bytes
 *
 * Ends the program by a failed assert() or a sanitizer if something is wrong.
 *
 * Return: 0.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
