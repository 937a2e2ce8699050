/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * taskflow help: the same text as --help.
 */

#include "cli/commands.h"
#include "cli/output.h"
#include "util/macro.h"

#include "config.h"

static int help_run(_unused_ const Command *command,
                    _unused_ void *v,
                    int n_operands,
                    char **operands) {
        const Command *about;

        if (n_operands == 0) {
                command_print_help(NULL);
                return output_finish(CLI_STATUS_DONE);
        }

        about = command_find(operands[0]);
        if (!about)
                return command_refuse_unknown(operands[0]);
        if (about->not_available)
                return cli_fail(CLI_STATUS_REFUSED, "'%s' is not available yet in version %s",
                                about->name, TASKFLOW_VERSION);

        command_print_help(about);
        return output_finish(CLI_STATUS_DONE);
}

const Command command_help = {
        .name = "help",
        .operands = "[COMMAND]",
        .summary = "show how a command is used",
        .max_operands = 1,
        .usage_status = CLI_STATUS_USAGE,
        .run = help_run,
};
