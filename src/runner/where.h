#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Where a process is
 *
 * An agent that looks at the namespaces of a process that has just begun makes /proc make files for it: that takes longer than all else
 * it does for a task. What is here costs a microsecond, and tells the usual case, that nothing is different from the last time.
 */

#include <limits.h>
#include <stdbool.h>

/* A mount's number, a user's, the machine's name. */
#define WHERE_MAX (2 * sizeof("4294967295 ") + HOST_NAME_MAX + 1)

/**
 * where_write() - where the calling process is
 *
 * Equal texts, with equal process numbers inside and out and one network (where_is_same_net()), are one place: one root folder, one user,
 * one host name. Shared memory of its own, with nothing else, is not noticed, and neither are users of their own that have the same numbers.
 *
 * Return: @buf, or NULL if this kernel does not tell.
 */
char *where_write(char buf[static WHERE_MAX]);

/**
 * where_is_same_net() - whether two sockets are of one network namespace
 *
 * One that was accepted is of its caller's.
 *
 * Return: false also if this kernel does not tell.
 */
bool where_is_same_net(int fd, int other_fd);
