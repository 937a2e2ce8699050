#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * What users had of the machine: a row for each
 */

#include <sys/types.h>

#include "core/machine.h"
#include "store/db.h"

/* Replaces all that was there. Return: 0 or negative errno. */
int past_rows_put(Db *db, const UserPast *pasts, size_t n);

/**
 * past_rows_get() - read them back
 * @max:        at most so many; rows that make no sense are left out
 *
 * Return: how many, or negative errno.
 */
ssize_t past_rows_get(Db *db, UserPast *ret, size_t max);
