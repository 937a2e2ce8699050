/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * taskflow drain, taskflow undrain: admins let nothing more start, and let tasks start again.
 */

#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/session.h"
#include "util/cleanup.h"
#include "util/text.h"

/* The words as one text. Return: 0, or a status after a message. */
static int join_reason(int n_operands, char **operands, char buf[static DRAIN_REASON_MAX]) {
        size_t n = 0;

        for (int i = 0; i < n_operands; i++) {
                int n_more = snprintf(buf + n, DRAIN_REASON_MAX - n, "%s%s", i > 0 ? " " : "",
                                      operands[i]);

                if (n_more < 0 || n + (size_t)n_more >= DRAIN_REASON_MAX)
                        return cli_fail(CLI_STATUS_USAGE,
                                        "drain: the reason is longer than %d bytes",
                                        DRAIN_REASON_MAX - 1);
                n += (size_t)n_more;
        }
        if (!text_is_utf8(buf, n))
                return cli_fail(CLI_STATUS_USAGE, "drain: the reason is not UTF-8");
        return 0;
}

static int drain_call(const Call *call) {
        _cleanup_(client_freep) Client *client = NULL;
        _cleanup_(reply_done) Reply reply = { .to = call->type };
        int status;

        status = session_open(&client, SESSION_CHANGE);
        if (status != 0)
                return status;
        if (!client)
                return cli_fail(CLI_STATUS_REFUSED, "no taskflowd runs: there is no queue yet");
        return session_change(client, call, &reply);
}

static int drain_run(_unused_ const Command *command,
                     _unused_ void *v,
                     int n_operands,
                     char **operands) {
        Call call = { .type = CALL_DRAIN };
        int status;

        status = join_reason(n_operands, operands, call.drain.reason);
        return status != 0 ? status : drain_call(&call);
}

static int undrain_run(_unused_ const Command *command,
                       _unused_ void *v,
                       _unused_ int n_operands,
                       _unused_ char **operands) {
        return drain_call(&(Call){ .type = CALL_UNDRAIN });
}

const Command command_drain = {
        .name = "drain",
        .operands = "[REASON...]",
        .summary = "admins: start nothing more; what runs goes on",
        .description = "REASON is shown to everybody whose task waits. It lasts until 'taskflow "
                       "undrain', also over restarts of the daemon and the machine.",
        .max_operands = -1,
        .usage_status = CLI_STATUS_USAGE,
        .run = drain_run,
};

const Command command_undrain = {
        .name = "undrain",
        .operands = "",
        .summary = "admins: start tasks again after 'taskflow drain'",
        .usage_status = CLI_STATUS_USAGE,
        .run = undrain_run,
};
