/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * taskflow agent: the process that owns one's detached tasks.
 */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/agent-unit.h"
#include "cli/agent.h"
#include "cli/commands.h"
#include "cli/fields.h"
#include "cli/output.h"
#include "cli/session.h"
#include "util/cleanup.h"
#include "util/clock.h"

#define ANSWER_US (30 * US_PER_SEC)

typedef struct Values {
        bool linger;
} Values;

static const Opt opts[] = {
        { 0, "linger", NULL, "enable: also from boot to shutdown, whether you are logged in or not",
          opt_parse_flag, offsetof(Values, linger), NULL },
        { 0 },
};

static const char *life_in_words(const char *lives) {
        if (strcmp(lives, "systemd") == 0)
                return "as a service of yours that lingers: beyond logout, and again after a boot";
        if (strcmp(lives, "session") == 0)
                return "until you log out, and its tasks with it; 'taskflow agent enable --linger' "
                       "changes that";
        if (strcmp(lives, "detached") == 0)
                return "beyond logout, until the machine goes down";
        return lives;
}

static void print_status(const Reply *reply) {
        field_printf("agent", "process %d", (int)reply->agent_status.pid);
        field_text("lives", life_in_words(reply->agent_status.lives));
        field_printf("daemon", "%s%s%s", reply->agent_status.daemon,
                     reply->agent_status.connected ? "" : ", not connected: ",
                     reply->agent_status.connected ? "" : reply->agent_status.text);
        field_text("folder", reply->agent_status.state_dir);
        field_printf("tasks", "%u waiting, %u running", reply->agent_status.n_waiting,
                     reply->agent_status.n_running);
        if (reply->agent_status.n_undelivered > 0)
                field_printf("to deliver", "%" PRIu64 " end%s that the daemon does not know yet",
                             reply->agent_status.n_undelivered,
                             reply->agent_status.n_undelivered == 1 ? "" : "s");
}

static int no_answer(int outcome, const Error *error) {
        if (outcome == SESSION_E_TIMEOUT)
                return cli_fail(CLI_STATUS_REFUSED, "agent: it does not answer; is it stopped?");
        return cli_fail(CLI_STATUS_REFUSED, "agent: lost it before it answered: %s", error->text);
}

static int show_status(unsigned flags) {
        _cleanup_(client_freep) Client *agent = NULL;
        _cleanup_(reply_done) Reply reply = { 0 };
        Error error = { .text = "the connection has ended" };
        int r;

        r = agent_connect(&agent, flags, &error);
        if (r != 0)
                return cli_fail(CLI_STATUS_REFUSED, "%s", error.text);
        r = agent_ask_status(agent, clock_boottime_us() + ANSWER_US, &reply);
        if (r != 0)
                return no_answer(r, &error);
        if (reply.error != ERROR_NONE)
                return cli_fail(CLI_STATUS_REFUSED, "agent: %s",
                                reply.message ? reply.message : error_name_to_string(reply.error));
        print_status(&reply);
        return output_finish(CLI_STATUS_DONE);
}

static int stop(void) {
        _cleanup_(client_freep) Client *agent = NULL;
        _cleanup_(reply_done) Reply reply = { 0 };
        const Call call = { .type = CALL_AGENT_STOP };
        uint64_t until_us = clock_boottime_us() + ANSWER_US;
        Error error = { .text = "the connection has ended" };
        Reply more;
        int r;

        r = agent_connect(&agent, 0, &error);
        if (r == 0)
                r = client_send(agent, &call, -1, &error);
        if (r != 0)
                return cli_fail(CLI_STATUS_REFUSED, "%s", error.text);
        r = session_receive(agent, until_us, &reply, &error);
        if (r != 0)
                return no_answer(r, &error);
        if (reply.error != ERROR_NONE)
                return cli_fail(CLI_STATUS_REFUSED, "agent: %s",
                                reply.message ? reply.message : error_name_to_string(reply.error));

        /* It closes the connection when it ends: whoever comes back from here finds none. */
        while (session_receive(agent, until_us, &more, NULL) == 0)
                reply_done(&more);
        return CLI_STATUS_DONE;
}

static int agent_run(const Command *command, void *v, int n_operands, char **operands) {
        const char *word = n_operands > 0 ? operands[0] : "";
        const Values *values = v;

        if (values->linger && strcmp(word, "enable") != 0)
                return cli_fail(CLI_STATUS_USAGE, "agent: --linger goes with 'enable' alone");
        if (!word[0])
                return show_status(CLIENT_START | CLIENT_QUIET);
        if (strcmp(word, "status") == 0)
                return show_status(0);
        if (strcmp(word, "stop") == 0)
                return stop();
        if (strcmp(word, "enable") == 0)
                return agent_unit_enable(values->linger);
        return cli_fail(CLI_STATUS_USAGE, "%s: unexpected '%s'; it is one of status, stop, enable",
                        command->name, word);
}

const Command command_agent = {
        .name = "agent",
        .operands = "[status|stop|enable]",
        .summary = "see, stop or enable the process that owns your detached tasks",
        .description =
                "It is started by the first command that needs it, and ends by itself when there is nothing to do. "
                "'status' says how it is; without a word it is started before. 'stop' ends it: running tasks go on, "
                "waiting ones wait for the next command that needs an agent. 'enable' has systemd start it at login.",
        .opts = opts,
        .max_operands = 1,
        .usage_status = CLI_STATUS_USAGE,
        .values_size = sizeof(Values),
        .run = agent_run,
};
