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
        COMPLETION_PROGRAM, /* any command line */
} CompletionKind;

typedef struct Completion {
        CompletionKind kind;
        const char *const *words; /* WORDS: ended by NULL */
        const char *ps_opts;      /* ID: the options of `taskflow ps` that list the fitting ones */
} Completion;

/* Of an option that takes an argument. */
Completion completion_of_opt(const Opt *opt);

Completion completion_of_operands(const Command *command);

/* Shown are commands that are there, and options that are. */
static inline bool completion_has_command(const Command *command) {
        return !command->not_available;
}
static inline bool completion_has_opt(const Opt *opt) {
        return opt->help && opt->parse;
}

void completion_bash(FILE *out);
void completion_zsh(FILE *out);
void completion_fish(FILE *out);
