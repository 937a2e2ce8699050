#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Gantt charts
 *
 * A script for gnuplot that holds its data: `gnuplot -p FILE` shows it. A band for each GPU, in which tasks that share it stand
 * above one another; below them one for the tasks that have none. A colour for each user.
 */

#include <stdio.h>

#include "sim/run.h"

/* Return: 0, -ENOMEM, or -EIO if it could not be written. */
int gantt_write(FILE *f, const Run *run, const char *title);
