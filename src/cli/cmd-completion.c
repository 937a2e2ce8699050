/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * taskflow completion: print the completion script of a shell.
 */

#include <string.h>

#include "cli/commands.h"
#include "cli/completion.h"
#include "cli/output.h"
#include "util/macro.h"

const char *const completion_shells[] = { "bash", "zsh", "fish", NULL };

static void (*const generators[])(FILE *out) = { completion_bash, completion_zsh, completion_fish };

/* Which tasks a command can do something with. */
static const struct {
        const char *command;
        const char *ps_opts;
} tasks_for[] = {
        { "cancel", "-u" },    { "hold", "-u -p" }, { "release", "-u -p" },
        { "update", "-u -p" }, { "why", "-p" },
};

CompletionKind completion_of_opt(const Opt *opt) {
        if (!opt->argument)
                return COMPLETION_NOTHING;
        if (opt->words)
                return COMPLETION_WORDS;
        if (strstr(opt->argument, "FILE"))
                return COMPLETION_FILE;
        if (strstr(opt->argument, "USER"))
                return COMPLETION_USER;
        if (strncmp(opt->argument, "ID", 2) == 0)
                return COMPLETION_ID;
        return COMPLETION_NOTHING;
}

CompletionKind completion_of_operands(const Command *command) {
        if (command->stop_at_operand)
                return COMPLETION_PROGRAM;
        if (strstr(command->operands, "ID"))
                return COMPLETION_ID;
        if (strstr(command->operands, "SHELL"))
                return COMPLETION_SHELL;
        if (strstr(command->operands, "COMMAND"))
                return COMPLETION_COMMAND;
        return COMPLETION_NOTHING;
}

const char *completion_ps_opts(const Command *command) {
        for (size_t i = 0; i < ELEMENTSOF(tasks_for); i++)
                if (strcmp(tasks_for[i].command, command->name) == 0)
                        return tasks_for[i].ps_opts;
        return "";
}

static int completion_run(const Command *command,
                          _unused_ void *v,
                          _unused_ int n,
                          char **operands) {
        for (size_t i = 0; completion_shells[i]; i++)
                if (strcmp(completion_shells[i], operands[0]) == 0) {
                        generators[i](stdout);
                        return output_finish(CLI_STATUS_DONE);
                }

        return cli_fail(CLI_STATUS_USAGE, "%s: there is none for '%s', but for bash, zsh and fish",
                        command->name, operands[0]);
}

const Command command_completion = {
        .name = "completion",
        .operands = "SHELL",
        .summary = "print the completion script of a shell: bash, zsh or fish",
        .description = "For the running bash: eval \"$(taskflow completion bash)\"",
        .min_operands = 1,
        .max_operands = 1,
        .usage_status = CLI_STATUS_USAGE,
        .run = completion_run,
};
