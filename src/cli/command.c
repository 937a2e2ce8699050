/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * From words to a command: find its descriptor, fill in its values, call it. Whatever a wrong
 * command line gets is one line on stderr that names the way out.
 */

#include "cli/command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/output.h"
#include "cli/suggest.h"
#include "core/ref.h"
#include "util/cleanup.h"
#include "util/macro.h"

#include "config.h"

/* Words of other tools, and ours for the same. */
static const struct {
        const char *word;
        const char *name;
} habits[] = {
        { "add", "run" },        { "del", "cancel" },     { "delete", "cancel" },
        { "exec", "run" },       { "info", "show" },      { "jobs", "ps" },
        { "kill", "cancel" },    { "list", "ps" },        { "log", "logs" },
        { "ls", "ps" },          { "output", "logs" },    { "queue", "ps" },
        { "remove", "cancel" },  { "resume", "release" }, { "rm", "cancel" },
        { "sbatch", "submit" },  { "start", "run" },      { "stat", "status" },
        { "stop", "cancel" },    { "suspend", "hold" },   { "tail", "logs" },
        { "unhold", "release" },
};

int cli_parse_id(const char *word, uint64_t *ret, Error *error) {
        if (task_ref_parse(word, ret, NULL) < 0)
                return error_set(error, -EINVAL, "'%s' is no task id; 'taskflow ps' shows them",
                                 word);
        return 0;
}

int command_refuse_unknown(const char *word) {
        Suggestion suggestion = { 0 };

        for (size_t i = 0; i < ELEMENTSOF(habits); i++)
                if (strcmp(habits[i].word, word) == 0)
                        return cli_fail(CLI_STATUS_USAGE,
                                        "there is no command '%s'; did you mean '%s'?", word,
                                        habits[i].name);

        for (const Command *const *command = commands; *command; command++)
                if (!(*command)->not_available)
                        suggestion_consider(&suggestion, word, (*command)->name);
        if (suggestion.name)
                return cli_fail(CLI_STATUS_USAGE, "there is no command '%s'; did you mean '%s'?",
                                word, suggestion.name);

        return cli_fail(CLI_STATUS_USAGE,
                        "there is no command '%s'; to run one of your own: taskflow run ...; see "
                        "'taskflow --help'",
                        word);
}

static int refuse_operands(const Command *command, int n_operands, char **operands) {
        if (n_operands < command->min_operands)
                return cli_fail(command->usage_status,
                                "%s: %s is missing; see 'taskflow %s --help'", command->name,
                                command->operands, command->name);
        return cli_fail(command->usage_status, "%s: unexpected '%s'; see 'taskflow %s --help'",
                        command->name, operands[command->max_operands], command->name);
}

static int refuse_options(const Command *command, const char *why) {
        size_t n = strlen(why);

        if (n > 0 && why[n - 1] == '?') /* the way out was named */
                return cli_fail(command->usage_status, "%s: %s", command->name, why);
        return cli_fail(command->usage_status, "%s: %s; see 'taskflow %s --help'", command->name,
                        why, command->name);
}

static int run(const Command *command, int argc, char **argv) {
        _cleanup_free_ void *values = NULL;
        OptResult result;
        Error error;
        int r;

        if (command->not_available)
                return cli_fail(CLI_STATUS_REFUSED, "'%s' is not available yet in version %s",
                                command->name, TASKFLOW_VERSION);

        values = calloc(1, MAX(command->values_size, (size_t)1));
        if (!values)
                return cli_fail(CLI_STATUS_REFUSED, "out of memory");
        if (command->init)
                command->init(values);

        r = opt_parse(command->opts, argc, argv, command->stop_at_operand, values, &result, &error);
        if (r < 0)
                return refuse_options(command, error.text);
        if (result.help) {
                command_print_help(command);
                return output_finish(CLI_STATUS_DONE);
        }
        if (result.n_operands < command->min_operands ||
            (command->max_operands >= 0 && result.n_operands > command->max_operands))
                return refuse_operands(command, result.n_operands, result.operands);

        return command->run(command, values, result.n_operands, result.operands);
}

int cli_main(int argc, char **argv) {
        const Command *command;
        const char *word = argc > 1 ? argv[1] : NULL;

        if (!word)
                return cli_fail(CLI_STATUS_USAGE, "no command given; see 'taskflow --help'");
        if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
                command_print_help(NULL);
                return output_finish(CLI_STATUS_DONE);
        }
        if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0) {
                (void)printf("taskflow %s\n", TASKFLOW_VERSION);
                return output_finish(CLI_STATUS_DONE);
        }
        if (word[0] == '-')
                return cli_fail(
                        CLI_STATUS_USAGE,
                        "unknown option '%s'; a command comes first: taskflow run %s ...; see "
                        "'taskflow --help'",
                        word, word);

        command = command_find(word);
        return command ? run(command, argc - 1, argv + 1) : command_refuse_unknown(word);
}
