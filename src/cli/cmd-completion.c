/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * taskflow completion: print the completion script of a shell.
 */

#include <string.h>

#include "cli/commands.h"
#include "cli/completion.h"
#include "cli/output.h"
#include "util/macro.h"

static const char *const shells[] = { "bash", "zsh", "fish", NULL };
static const char *const agent_words[] = { "status", "stop", "enable", NULL };

static void (*const generators[])(FILE *out) = { completion_bash, completion_zsh, completion_fish };

/* Which tasks a command can do something with. */
static const struct {
        const char *command;
        const char *ps_opts;
} tasks_for[] = {
        { "cancel", "-u" },     { "hold", "-u -p" },   { "logs", "-u -a" },
        { "release", "-u -p" }, { "update", "-u -p" }, { "why", "-p" },
};

static const char *ps_opts_for(const Command *command) {
        for (size_t i = 0; i < ELEMENTSOF(tasks_for); i++)
                if (strcmp(tasks_for[i].command, command->name) == 0)
                        return tasks_for[i].ps_opts;
        return "";
}

Completion completion_of_opt(const Opt *opt) {
        if (!opt->argument)
                return (Completion){ .kind = COMPLETION_NOTHING };
        if (opt->words)
                return (Completion){ .kind = COMPLETION_WORDS, .words = opt->words };
        if (strstr(opt->argument, "FILE"))
                return (Completion){ .kind = COMPLETION_FILE };
        if (strstr(opt->argument, "USER"))
                return (Completion){ .kind = COMPLETION_USER };
        if (strncmp(opt->argument, "ID", 2) == 0)
                return (Completion){ .kind = COMPLETION_ID, .ps_opts = "" };
        return (Completion){ .kind = COMPLETION_NOTHING };
}

Completion completion_of_operands(const Command *command) {
        if (command->stop_at_operand)
                return (Completion){ .kind = COMPLETION_PROGRAM };
        if (strstr(command->operands, "ID"))
                return (Completion){ .kind = COMPLETION_ID, .ps_opts = ps_opts_for(command) };
        if (strstr(command->operands, "FILE"))
                return (Completion){ .kind = COMPLETION_FILE };
        if (strstr(command->operands, "status|"))
                return (Completion){ .kind = COMPLETION_WORDS, .words = agent_words };
        if (strstr(command->operands, "SHELL"))
                return (Completion){ .kind = COMPLETION_WORDS, .words = shells };
        if (strstr(command->operands, "COMMAND"))
                return (Completion){ .kind = COMPLETION_COMMAND };
        return (Completion){ .kind = COMPLETION_NOTHING };
}

static int completion_run(const Command *command,
                          _unused_ void *v,
                          _unused_ int n,
                          char **operands) {
        for (size_t i = 0; shells[i]; i++)
                if (strcmp(shells[i], operands[0]) == 0) {
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
