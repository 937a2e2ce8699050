/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * taskflow hold: keep waiting tasks from starting. Its opposite is in cmd-release.c.
 */

#include "cli/commands.h"
#include "cli/ids.h"

static int hold_run(const Command *command, _unused_ void *v, int n_operands, char **operands) {
        _cleanup_(reply_done) Reply reply = { 0 };
        _cleanup_(ids_done) IdList ids = { 0 };
        int status;

        status = ids_parse(command, n_operands, operands, &ids);
        if (status == 0)
                status = ids_call(CALL_HOLD, &ids, 0, NULL, &reply);
        return status != 0 ? status : ids_report_all(&reply, "hold");
}

const Command command_hold = {
        .name = "hold",
        .operands = "ID...",
        .summary = "keep waiting tasks from starting, until they are released",
        .min_operands = 1,
        .max_operands = -1,
        .usage_status = CLI_STATUS_USAGE,
        .run = hold_run,
};
