/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "cli/session.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/agent.h"
#include "cli/command.h"
#include "core/ref.h"
#include "runner/records.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/macro.h"
#include "wire/places.h"

/* The daemon answers from memory. One that is silent for so long is stopped, or hangs. */
#define ANSWER_TIMEOUT_US (30 * US_PER_SEC)

void session_occupy_descriptors(void) {
        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
                if (fcntl(fd, F_GETFD) < 0)
                        (void)open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

/* Nobody has named a socket, and the machine has no daemon. */
static bool is_personal(void) {
        const char *named = getenv("TASKFLOW_SOCKET");

        return (!named || !named[0]) && !places_machine_has_daemon();
}

static bool has_personal_state(void) {
        _cleanup_free_ char *state = NULL;

        return places_personal_state(&state, NULL) == 0 && access(state, F_OK) == 0;
}

int session_connect(Client **ret, unsigned flags, Error *error) {
        session_occupy_descriptors();
        return client_connect(ret, flags, error);
}

int session_open(Client **ret, SessionMode mode) {
        bool personal = is_personal();
        unsigned flags = 0;
        Error error;
        int r;

        if (mode != SESSION_CHANGE)
                agent_deliver(); /* as records_deliver() below, for detached tasks */

        if (personal && mode != SESSION_LOOK && has_personal_state())
                flags = CLIENT_START | CLIENT_QUIET;

        r = session_connect(ret, flags, &error);
        if (r == 0) {
                records_deliver(*ret); /* what ended while there was no daemon is to be seen */
                return 0;
        }
        if (r == CLIENT_E_UNREACHABLE && personal && !flags) {
                *ret = NULL;
                return 0;
        }
        return cli_fail(CLI_STATUS_UNREACHABLE, "%s", error.text);
}

/* -1: for ever */
static int remaining_ms(uint64_t until_boot_us) {
        uint64_t now_us = clock_boottime_us();
        uint64_t left_us = until_boot_us > now_us ? until_boot_us - now_us : 0;

        if (until_boot_us == UINT64_MAX)
                return -1;
        /* Rounded up, so that the last wait does not turn into a spin. */
        return (int)MIN(left_us / US_PER_MSEC + (left_us % US_PER_MSEC != 0), (uint64_t)INT_MAX);
}

int session_receive(Client *client, uint64_t until_boot_us, Reply *reply, Error *error) {
        for (;;) {
                struct pollfd poll_fd = { .fd = client_fd(client) };
                Incoming incoming = { 0 };
                int timeout_ms;
                int r;

                r = client_next(client, &incoming, error);
                if (r == 0 && !incoming.is_call) {
                        *reply = incoming.reply;
                        return 0;
                }
                if (r == 0) { /* meant for runners */
                        incoming_done(&incoming);
                        continue;
                }
                if (r != CLIENT_E_AGAIN)
                        return r == CLIENT_E_BAD ? SESSION_E_BAD : SESSION_E_CLOSED;

                timeout_ms = remaining_ms(until_boot_us);
                if (timeout_ms == 0)
                        return SESSION_E_TIMEOUT;
                poll_fd.events = client_poll_events(client);
                (void)poll(&poll_fd, 1,
                           timeout_ms); /* whatever it says, client_next() knows best */
        }
}

int session_read(Client *client, Reply *reply) {
        Error error = { .text = "the connection has ended" };
        int r;

        r = session_receive(client, clock_boottime_us() + ANSWER_TIMEOUT_US, reply, &error);
        if (r == SESSION_E_TIMEOUT)
                return cli_fail(CLI_STATUS_UNREACHABLE,
                                "taskflowd at '%s' does not answer; is it stopped? See its log",
                                client_path(client));
        if (r != 0)
                return cli_fail(CLI_STATUS_UNREACHABLE, "lost taskflowd at '%s': %s",
                                client_path(client), error.text);

        if (reply->error == ERROR_NONE)
                return 0;
        (void)cli_fail(CLI_STATUS_REFUSED, "%s",
                       reply->message ? reply->message : error_name_to_string(reply->error));
        reply_done(reply);
        *reply = (Reply){ 0 }; /* whoever has it marked for cleanup releases it again */
        return CLI_STATUS_REFUSED;
}

int session_call(Client *client, const Call *call, Reply *reply) {
        Error error = { .text = "the connection has ended" };
        int r;

        r = client_send(client, call, -1, &error);
        if (r != 0)
                return cli_fail(CLI_STATUS_UNREACHABLE, "cannot talk with taskflowd at '%s': %s",
                                client_path(client), error.text);
        return session_read(client, reply);
}

int session_change(Client *client, const Call *call, Reply *reply) {
        int status = session_call(client, call, reply);

        agent_deliver();
        return status;
}

int session_no_task(uint64_t id) {
        char buf[TASK_REF_FORMAT_MAX];

        return cli_fail(CLI_STATUS_REFUSED, "there is no task %s; 'taskflow ps -a' shows all",
                        task_ref_format(buf, sizeof(buf), id));
}
