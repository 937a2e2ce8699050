/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * taskflow version: of the command, and of the daemon if one answers.
 */

#include <stdio.h>

#include "cli/commands.h"
#include "cli/output.h"
#include "cli/session.h"
#include "util/clock.h"
#include "util/macro.h"

#include "config.h"

/* Who asks for a version often does so because something hangs. */
#define ANSWER_US (2 * US_PER_SEC)

static void print_daemon(const char *version) {
        (void)fputs("taskflowd ", stdout);
        output_text(version);
        (void)putchar('\n');
}

static int version_run(_unused_ const Command *command,
                       _unused_ void *v,
                       _unused_ int n,
                       _unused_ char **operands) {
        _cleanup_(client_freep) Client *client = NULL;
        _cleanup_(reply_done) Reply reply = { 0 };
        Call call = { .type = CALL_GET_INFO };
        Error error;

        (void)printf("taskflow %s\n", TASKFLOW_VERSION);
        if (session_connect(&client, 0, &error) != 0)
                return output_finish(CLI_STATUS_DONE);

        if (client_send(client, &call, -1, &error) == 0 &&
            session_receive(client, clock_boottime_us() + ANSWER_US, &reply, &error) == 0 &&
            reply.error == ERROR_NONE)
                print_daemon(reply.get_info.version);
        else
                (void)printf("taskflowd does not answer at '%s'\n", client_path(client));
        return output_finish(CLI_STATUS_DONE);
}

const Command command_version = {
        .name = "version",
        .operands = "",
        .summary = "show the version, and that of the daemon if one answers",
        .usage_status = CLI_STATUS_USAGE,
        .run = version_run,
};
