#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Options in a help text, from the table that parses them
 */

#include "cli/opt.h"

enum {
        HELP_WIDTH = 80,
};

/* "Options:", and a row for each with --help at the end; to stdout. */
void help_print_opts(const Opt *opts);

/* One row: names, and from @column on what they mean. */
void help_print_row(const char *names, const char *help, unsigned column);
