#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * A number for each of some users and groups: the value of `weights`
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "settings/settings.h"
#include "util/error.h"

/**
 * settings_factors_set() - "alice:2, @students:0.5", or the word "none"
 * @list:       replaced, unless it fails
 * @min, @max:  of each number, in permille
 *
 * Looks names up (NSS).
 *
 * Return: 0, or negative errno with @error.
 */
int settings_factors_set(UserFactors *list,
                         const char *value,
                         uint64_t min,
                         uint64_t max,
                         Error *error);
void settings_factors_done(UserFactors *list);

/* Permille: what is said of the user; else the largest that is said of a group of these; else 1000. */
unsigned settings_factors_get(const UserFactors *list, uid_t uid, const gid_t *gids, size_t n_gids);

/*
 * A decimal number as so many units of its last place: "1.5" with 3 places is 1500. @n: its bytes. Return: 0 or -EINVAL.
 */
int settings_parse_decimal(const char *s, size_t n, unsigned n_places, uint64_t *ret);
