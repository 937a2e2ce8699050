#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The completion scripts of taskflow-sim
 */

#include <stdio.h>

#include "cli/opt.h"

/* Return: 0, or -EINVAL if there is none for that shell. */
int completion_print(FILE *out, const char *shell, const Opt *opts);
