#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Memory pressure
 *
 * What the kernel says of time lost to a lack of memory (PSI): free figures alone do not show a machine that thrashes, since
 * what it pages in and out counts as available.
 */

#include <stddef.h>

/**
 * pressure_read() - the share of the last ten seconds in which some task waited for memory
 * @proc_fd:    of /proc
 * @ret_permyriad:      set to it, 0 to 10000, in hundredths of a percent
 *
 * Return: 0, -ENODATA if the file makes no sense, or another negative errno: this kernel has none.
 */
int pressure_read(int proc_fd, unsigned *ret_permyriad);

/* The pure half, for tests and fuzzers. @text needs no NUL. */
int pressure_parse(const char *text, size_t n, unsigned *ret_permyriad);
