/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Help is printed from the same tables that parse, so that it cannot say anything else.
 */

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/commands.h"
#include "cli/help-opts.h"
#include "cli/output.h"

static void print_sentence(const char *phrase) {
        (void)printf("%c%s.\n", toupper((unsigned char)phrase[0]), phrase + 1);
}

/* Paragraphs, separated by an empty line. */
static void print_description(const char *description) {
        while (*description) {
                const char *end = strstr(description, "\n\n");
                size_t n = end ? (size_t)(end - description) : strlen(description);
                char paragraph[2048];

                (void)snprintf(paragraph, sizeof(paragraph), "%.*s", (int)n, description);
                (void)putchar('\n');
                output_wrapped(paragraph, 0, HELP_WIDTH);
                description += n + (end ? 2 : 0);
        }
}

static void print_program_help(void) {
        (void)puts("Usage: taskflow COMMAND [OPTION]...\n"
                   "\n"
                   "Starts commands when the machine has the memory that they need.\n"
                   "\n"
                   "  taskflow run -m 5G \"my-command --option X Y\"       needs 5 GiB of RAM\n"
                   "  taskflow run --gpu 0:10G \"my-command --option X Y\" needs 10 GiB on GPU 0\n"
                   "  taskflow ps                                        what runs, what waits\n"
                   "\n"
                   "Commands:");
        for (const Command *const *command = commands; *command; command++)
                if (!(*command)->not_available)
                        help_print_row((*command)->name, (*command)->summary, 14);
        (void)puts("\n"
                   "Options:\n"
                   "  -h, --help     show this help\n"
                   "  -V, --version  show the version\n"
                   "\n"
                   "'taskflow help COMMAND' says more of each, 'man taskflow' all.");
}

void command_print_help(const Command *command) {
        if (!command) {
                print_program_help();
                return;
        }

        (void)printf("Usage: taskflow %s%s%s%s\n\n", command->name,
                     command->opts ? " [OPTION]..." : "", command->operands[0] ? " " : "",
                     command->operands);
        print_sentence(command->summary);
        if (command->description)
                print_description(command->description);
        (void)putchar('\n');
        help_print_opts(command->opts);
        (void)printf("\nThe manual has all of it: man taskflow-%s\n", command->name);
}
