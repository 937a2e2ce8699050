#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Commands
 *
 * One const descriptor a command, in a file of its own (cmd-NAME.c); commands.c has the list.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "cli/opt.h"

/* What a command other than `run` ends with (interface.md). */
enum {
        CLI_STATUS_DONE = 0,
        CLI_STATUS_REFUSED = 1, /* refused or failed: no such task, not yours */
        CLI_STATUS_USAGE = 2,
        CLI_STATUS_UNREACHABLE = 3, /* the daemon can't be reached */
};

typedef struct Command Command;

struct Command {
        const char *name;
        const char *operands;    /* "ID..."; "" for none */
        const char *summary;     /* a phrase, for `taskflow --help` */
        const char *description; /* a paragraph or two for its own --help; may be NULL */
        const Opt *opts;         /* NULL: none but --help */
        int min_operands;
        int max_operands;     /* -1: any number */
        bool stop_at_operand; /* run: options end at the first operand */
        int usage_status;     /* of a wrong command line: 2, and 125 for run */
        bool not_available;   /* known, not there yet: refused by name */
        size_t values_size;   /* of the struct that the options fill in; zeroed, then init() */
        void (*init)(void *values); /* NULL: all zero */
        int (*run)(const Command *command,
                   void *values,
                   int n_operands,
                   char **operands); /* an exit status */
};

extern const Command *const commands[]; /* ended by NULL */

const Command *command_find(const char *name);

/* `--help` of a command, or of the program if @command is NULL; to stdout. */
void command_print_help(const Command *command);

/* One line to stderr: "taskflow: …". Returns @status. */
int cli_fail(int status, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* "12" or "12_3" into what names the task inside (core/task.h, task_ref()). Return: 0, or -EINVAL with @error. */
int cli_parse_id(const char *word, uint64_t *ret, Error *error);

/* A user's name (NSS, remembered), for explain_sentence(). */
const char *cli_user_name(uid_t uid, char *buf, size_t n, void *userdata);
