#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Where a detached task's output goes
 *
 * A path with places in it: `{id}` what people see as the id, `{index}` that of an element (empty
 * for a task that is none), `{name}` its name (empty if it has none; a slash in it becomes `_`, and
 * a name of only dots as many `_`). Anything else in braces stays as it is; another word there is
 * probably meant as a place, and is refused where people say it.
 */

#include <stdbool.h>
#include <stdint.h>

#include "util/error.h"

/* The path for this task; NULL when out of memory. @pattern: borrowed. */
char *output_expand(const char *pattern, uint64_t ref, const char *name);

/*
 * Whether it has one of the places: else all elements of an array, and all tries, would write to
 * one file.
 */
bool output_has_place(const char *pattern);

/**
 * output_check() - whether each word in braces is one of the places
 * @error:      which is not, and which there are; NULL if nobody will read it
 *
 * Return: 0, or -EINVAL.
 */
int output_check(const char *pattern, Error *error);
