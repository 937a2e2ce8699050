#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Who uses the machine beside taskflow
 *
 * The daemon knows processes on GPUs by number; their names are looked up here. Who holds RAM is found here altogether: it costs
 * a reading of /proc, for which nobody but who asks should pay.
 */

#include <stddef.h>

#include "client/client.h"
#include "core/outsiders.h"

enum {
        OUTSIDE_PROGRAM_MAX = 32, /* the kernel has 15 bytes of it */
};

/**
 * outside_program() - what a process is called
 * @buf:        written; any bytes but NUL, to be made visible
 *
 * Return: @buf; NULL if it has ended, or is not to be seen from here: in a container pids are others'.
 */
const char *outside_program(const OutsideProcess *outsider, char *buf, size_t n);

/**
 * outside_ram() - who holds most RAM outside taskflow
 * @client:     asked which tasks run; NULL: none does
 * @ret:        set on success
 *
 * Return: 0, or negative errno: it is not known.
 */
int outside_ram(Client *client, Outsiders *ret);
