#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Users by name
 *
 * cli_user_name() of cli/command.h, and the way back.
 */

#include <sys/types.h>

/**
 * names_find_user() - a name, or a number, into a user
 * @word:       as typed
 * @ret:        set to the user; a number needs no account
 *
 * Return: 0, or -ENOENT if there is no such user.
 */
int names_find_user(const char *word, uid_t *ret);
