#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * A number for each of some users and groups: the values of `weights`, and of the limits
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "settings/settings.h"
#include "util/error.h"

typedef enum FactorKind {
        FACTOR_KIND_WEIGHT, /* permille, from 1 to 1000000; 1000 where nothing is said */
        FACTOR_KIND_COUNT,  /* the rest are limits: LIMIT_NONE where nothing is said */
        FACTOR_KIND_SIZE,
        FACTOR_KIND_TIME,
} FactorKind;

/**
 * settings_factors_set() - "alice:2, @students:0.5", or the word "none"
 * @list:       replaced, unless it fails
 *
 * Of limits one may stand without a user, for all others: "4, alice:8, root:none". Looks names up (NSS).
 *
 * Return: 0, or negative errno with @error.
 */
int settings_factors_set(UserFactors *list, FactorKind kind, const char *value, Error *error);
void settings_factors_done(UserFactors *list);

/* What is said of the user; else the largest that is said of a group of these; else what is said of others. */
uint64_t settings_factors_get(const UserFactors *list, uid_t uid, const gid_t *gids, size_t n_gids);

/*
 * A decimal number as so many units of its last place: "1.5" with 3 places is 1500. @n: its bytes. Return: 0 or -EINVAL.
 */
int settings_parse_decimal(const char *s, size_t n, unsigned n_places, uint64_t *ret);
