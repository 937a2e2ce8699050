#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Tasks and elements as people write them
 *
 * `12` is a task, or an array as a whole; `12_3` is the element 3 of the array 12. Inside both are one number, see
 * core/task.h. The same words name log files and records, so there is one way only to write each.
 */

#include <stddef.h>
#include <stdint.h>

#include "util/error.h"

/* Enough for anything that task_ref_format() writes, with its NUL. */
#define TASK_REF_FORMAT_MAX 24

/**
 * task_ref_parse() - read `12` or `12_3`
 * @s:          the whole word: no sign, no space, no zero in front, nothing left over
 * @ret:        set to the number that names it, see task_ref()
 * @error:      says what is wrong with @s; may be NULL
 *
 * Return: 0, -EINVAL if it names no task, or -ERANGE if it is larger than TASK_ID_MAX or its index than TASK_INDEX_MAX.
 */
int task_ref_parse(const char *s, uint64_t *ret, Error *error);

/**
 * task_ref_format() - write it as people see it
 * @buf:        set; TASK_REF_FORMAT_MAX bytes are always enough
 * @n:          size of @buf
 *
 * Return: @buf.
 */
char *task_ref_format(char *buf, size_t n, uint64_t ref);
