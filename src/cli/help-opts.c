/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "cli/help-opts.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "cli/output.h"
#include "util/macro.h"

enum {
        NAMES_MAX = 96,
        HELP_COLUMN_MAX = 28, /* longer option names push their help to the next line */
};

/* "-s, --signal SIGNAL"; "    --json"; "-u, --user[=USER]" */
static void format_names(const Opt *opt, char buf[static NAMES_MAX]) {
        char letter[8] = "    ";

        if (opt->letter)
                (void)snprintf(letter, sizeof(letter), "-%c, ", opt->letter);

        if (!opt->argument)
                (void)snprintf(buf, NAMES_MAX, "%s--%s", letter, opt->name);
        else if (opt->argument[0] == '[')
                (void)snprintf(buf, NAMES_MAX, "%s--%s[=%s", letter, opt->name, opt->argument + 1);
        else
                (void)snprintf(buf, NAMES_MAX, "%s--%s %s", letter, opt->name, opt->argument);
}

static bool is_shown(const Opt *opt) {
        return opt->help && opt->parse;
}

void help_print_row(const char *names, const char *help, unsigned column) {
        (void)printf("  %s", names);
        if (strlen(names) + 4 > column)
                (void)printf("\n%*s", (int)column, "");
        else
                (void)printf("%*s", (int)(column - 2 - (unsigned)strlen(names)), "");
        output_wrapped(help, column, HELP_WIDTH);
}

void help_print_opts(const Opt *opts) {
        char names[NAMES_MAX];
        size_t longest = strlen("-h, --help");
        unsigned column;

        for (const Opt *opt = opts; opt && opt->name; opt++) {
                if (!is_shown(opt))
                        continue;
                format_names(opt, names);
                longest = MAX(longest, strlen(names));
        }

        column = (unsigned)MIN(longest + 4, (size_t)HELP_COLUMN_MAX);
        (void)puts("Options:");
        for (const Opt *opt = opts; opt && opt->name; opt++) {
                if (!is_shown(opt))
                        continue;
                format_names(opt, names);
                help_print_row(names, opt->help, column);
        }
        help_print_row("-h, --help", "show this help", column);
}
