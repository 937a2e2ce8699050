/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * taskflow release: let held tasks start again. Its opposite is in cmd-hold.c.
 */

#include "cli/commands.h"
#include "cli/ids.h"

static int release_run(const Command *command, _unused_ void *v, int n_operands, char **operands) {
        _cleanup_(reply_done) Reply reply = { 0 };
        _cleanup_(ids_done) IdList ids = { 0 };
        int status;

        status = ids_parse(command, n_operands, operands, &ids);
        if (status == 0)
                status = ids_call(CALL_RELEASE, &ids, 0, NULL, &reply);
        return status != 0 ? status : ids_report_all(&reply, "release");
}

const Command command_release = {
        .name = "release",
        .operands = "ID...",
        .summary = "let held tasks start again",
        .min_operands = 1,
        .max_operands = -1,
        .usage_status = CLI_STATUS_USAGE,
        .run = release_run,
};
