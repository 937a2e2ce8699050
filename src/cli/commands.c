/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The list of commands, in the order in which `taskflow --help` shows them.
 */

#include "cli/commands.h"

#include <string.h>

const Command *const commands[] = {
        &command_run,
        &command_submit,
        &command_ps,
        &command_show,
        &command_why,
        &command_logs,
        &command_history,
        &command_status,
        &command_cancel,
        &command_hold,
        &command_release,
        &command_update,
        &command_wait,
        &command_drain,
        &command_undrain,
        &command_agent,
        &command_doctor,
        &command_metrics,
        &command_version,
        &command_help,
        &command_completion,

        /* refused by name */
        &command_top,
        NULL,
};

const Command *command_find(const char *name) {
        for (const Command *const *command = commands; *command; command++)
                if (strcmp((*command)->name, name) == 0)
                        return *command;
        return NULL;
}
