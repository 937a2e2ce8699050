#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Who is an admin: the value of `admins`
 */

#include <sys/types.h>

#include "daemon/settings.h"
#include "util/error.h"

/**
 * settings_set_admins() - names of users and @groups, or their numbers, with commas between
 * @settings:   its lists are replaced, unless it fails
 *
 * Looks names up (NSS).
 *
 * Return: 0, -EINVAL, or another negative errno, always with @error.
 */
int settings_set_admins(Settings *settings, const char *value, Error *error);

/* One more. Return: 0 or -ENOMEM. */
int settings_add_admin_uid(Settings *settings, uid_t uid);

/* The next word of a list with commas, without the spaces around it; *@list becomes NULL behind the last. */
char *settings_next_word(char **list);
