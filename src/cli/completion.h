#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Completion scripts
 *
 * One file a shell turns the tables of commands and options into a script of that shell.
 */

#include <stdbool.h>
#include <stdio.h>

#include "cli/command.h"

/* What may stand for an argument of an option, or for an operand. */
typedef enum CompletionKind {
        COMPLETION_NOTHING, /* a size, a time: nobody can guess */
        COMPLETION_WORDS,
        COMPLETION_FILE,
        COMPLETION_USER,
        COMPLETION_ID,
        COMPLETION_COMMAND, /* of taskflow */
        COMPLETION_SHELL,
        COMPLETION_PROGRAM, /* any command line */
} CompletionKind;

/* Of an option that takes an argument. */
CompletionKind completion_of_opt(const Opt *opt);

CompletionKind completion_of_operands(const Command *command);

/* The options of `taskflow ps` that list the ids which make sense for a command: "-u -p". */
const char *completion_ps_opts(const Command *command);

/* Shown are commands that are there, and options that are. */
static inline bool completion_has_command(const Command *command) {
        return !command->not_available;
}
static inline bool completion_has_opt(const Opt *opt) {
        return opt->help && opt->parse;
}

extern const char *const completion_shells[]; /* ended by NULL */

void completion_bash(FILE *out);
void completion_zsh(FILE *out);
void completion_fish(FILE *out);
