#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Vectors of strings, ended by NULL, like argv
 */

#include <stddef.h>

#include "util/macro.h"

/**
 * strv_dup() - copy a vector and its strings
 * @v:          copied; NULL counts as empty
 *
 * Return: a vector to be freed with strv_free(), or NULL when out of memory.
 */
char **strv_dup(char *const *v);
char **strv_free(char **v);
DEFINE_CLEANUP(char **, strv_free);

/**
 * strv_n() - how many strings there are
 * @v:          may be NULL, which is empty
 */
size_t strv_n(char *const *v);

/**
 * strv_join() - one string from many
 * @v:          may be NULL, which is empty
 * @sep:        stands between two
 *
 * Return: a string to be freed, or NULL when out of memory.
 */
char *strv_join(char *const *v, const char *sep);
