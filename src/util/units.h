#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Sizes, times and numbers as people write them
 *
 * Inside taskflow a size is bytes and a duration microseconds, both uint64_t. These functions
 * stand at the border. They read the whole word or refuse it: no sign, no space, nothing left
 * over, no overflow, no rounding through a double. On refusal *ret is left alone and the word is
 * in the message.
 */

#include <stddef.h>
#include <stdint.h>

#include "util/error.h"

#define UNITS_INF UINT64_MAX /* the duration that never ends */

/* Enough for anything that the formatting functions print, with its NUL. */
#define UNITS_FORMAT_MAX 32

/**
 * units_parse_bytes() - read a size
 * @s:          the word: `512M`, `1.5T`, `5GiB`, `5g`, `5GB`, `100B`, `4096`
 * @ret:        set to the size in bytes
 * @error:      says what is wrong with @s; may be NULL
 *
 * K M G T P, also with `iB` behind, are powers of 1024; KB MB GB TB PB are powers of 1000; a bare
 * number and `B` are bytes. Case does not matter. A fraction of a byte is cut off.
 *
 * Return: 0, -EINVAL if it is no size, or -ERANGE if it does not fit 64 bits.
 */
int units_parse_bytes(const char *s, uint64_t *ret, Error *error);

/**
 * units_parse_duration_us() - read a duration
 * @s:          the word: `90s`, `10m`, `1h30m`, `1.5h`, `1d`, `500ms`, `inf`, `60`
 * @ret:        set to the duration in microseconds, or to UNITS_INF
 * @error:      says what is wrong with @s; may be NULL
 *
 * A bare number is seconds. Several parts add up when each unit is smaller than the one before
 * it. A fraction of a microsecond is cut off.
 *
 * Return: 0, -EINVAL if it is no duration, or -ERANGE if it does not fit 64 bits.
 */
int units_parse_duration_us(const char *s, uint64_t *ret, Error *error);

/**
 * units_parse_uint() - read a whole number
 * @s:          the word: decimal digits
 * @min:        smallest allowed
 * @max:        largest allowed
 * @ret:        set to the number
 * @error:      says what is wrong with @s; may be NULL
 *
 * Return: 0, -EINVAL if it is no number, or -ERANGE if it is out of bounds.
 */
int units_parse_uint(const char *s, uint64_t min, uint64_t max, uint64_t *ret, Error *error);

/**
 * units_format_bytes() - write a size for people
 * @buf:        set; UNITS_FORMAT_MAX bytes are always enough
 * @n:          size of @buf
 * @bytes:      the size
 *
 * `7.8G`, `512M`, `100`, `0`: in the largest unit (powers of 1024) that it fills, with one decimal
 * below 100 and none where it would be 0, rounded to nearest. What is shown can thus be up to
 * half a last digit more than there is: where a person will type the figure back as a limit, use
 * units_format_bytes_exact().
 *
 * Return: @buf.
 */
char *units_format_bytes(char *buf, size_t n, uint64_t bytes);

/**
 * units_format_bytes_exact() - write a size so that reading it gives the same number
 * @buf:        set; UNITS_FORMAT_MAX bytes are always enough
 * @n:          size of @buf
 * @bytes:      the size
 *
 * In the largest unit that leaves no fraction: `10G`, `1536M`, `1000`.
 *
 * Return: @buf.
 */
char *units_format_bytes_exact(char *buf, size_t n, uint64_t bytes);

/**
 * units_format_duration() - write a duration for people
 * @buf:        set; UNITS_FORMAT_MAX bytes are always enough
 * @n:          size of @buf
 * @us:         the duration in microseconds, or UNITS_INF
 *
 * `45s`, `3m12s`, `2h05m`, `1d03h`, `inf`: the two largest units, the rest cut off. Under a second it
 * is `0s`.
 *
 * Return: @buf.
 */
char *units_format_duration(char *buf, size_t n, uint64_t us);
