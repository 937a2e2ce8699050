#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The time, in microseconds
 *
 * Realtime is for records that people read and jumps when somebody sets the clock. Boottime is for
 * measuring: it never goes back and goes on while the machine sleeps.
 */

#include <stddef.h>
#include <stdint.h>

/* Enough for clock_format_iso(), with its NUL. */
#define CLOCK_ISO_MAX 32

uint64_t clock_realtime_us(void); /* CLOCK_REALTIME, since 1970 */
uint64_t clock_boottime_us(void); /* CLOCK_BOOTTIME, since the machine started */

/**
 * clock_format_iso() - write an instant in UTC, as in `2026-01-31T10:00:00.123Z`
 * @buf:        set; CLOCK_ISO_MAX bytes are enough for the years of four digits
 * @n:          size of @buf
 * @realtime_us: CLOCK_REALTIME; cut to milliseconds
 *
 * Return: 0, -EOVERFLOW if there is no such year, or -ENOBUFS if @buf is too small.
 */
int clock_format_iso(char *buf, size_t n, uint64_t realtime_us);
