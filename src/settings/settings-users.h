#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Lists of users: the values of `admins`, `allow_users` and `deny_users`
 *
 * Names become numbers when the settings are read, and never later: a directory server that hangs must not hold up the daemon.
 */

#include <sys/types.h>

#include "settings/settings.h"
#include "util/error.h"

/**
 * settings_users_set() - names of users and @groups, or their numbers, with commas between
 * @list:       replaced, unless it fails
 * @word:       the one word that may stand in place of a list: "all" or "none"; NULL: there is none
 *
 * Looks names up (NSS).
 *
 * Return: 0, -EINVAL, or another negative errno, always with @error.
 */
int settings_users_set(UserList *list, const char *word, const char *value, Error *error);
void settings_users_done(UserList *list);

/* The number of a user or group, by its name, or a number. Looks it up (NSS). Return: 0, or negative errno with @error. */
int settings_users_resolve(const char *name, bool is_group, unsigned *ret, Error *error);

/* One more. Return: 0 or -ENOMEM. */
int settings_users_add_uid(UserList *list, uid_t uid);

/* Whether somebody with these credentials is in the list. */
bool settings_users_contain(const UserList *list, uid_t uid, const gid_t *gids, size_t n_gids);

/* The next word of a list with commas, without the spaces around it; *@list becomes NULL behind the last. */
char *settings_next_word(char **list);
