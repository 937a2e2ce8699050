/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * taskflow wait: until tasks have ended.
 *
 * One call that the daemon answers when it is so. A daemon that goes away meanwhile is waited for:
 * whoever waits in a script wants the end of the tasks, and not that of the daemon.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/format.h"
#include "cli/ids.h"
#include "cli/session.h"
#include "core/task.h"
#include "util/clock.h"
#include "util/macro.h"

enum {
        STATUS_TIMEOUT = 124,
};

#define FIRST_RETRY_US (50 * US_PER_MSEC)
#define RETRY_US       US_PER_SEC
#define ANSWER_US      (30 * US_PER_SEC) /* of a daemon that knows the answer */

typedef struct Values {
        bool any;
        uint64_t timeout_us;
} Values;

static void init(void *v) {
        Values *values = v;

        values->timeout_us = TASK_TIME_INF;
}

static const Opt opts[] = {
        { 0, "any", NULL, "until the first of them has ended", opt_parse_flag,
          offsetof(Values, any), NULL },
        { 't', "time", "TIME", "give up after TIME, with status 124", opt_parse_duration,
          offsetof(Values, timeout_us), NULL },
        { 0 },
};

static uint64_t deadline_us(uint64_t timeout_us) {
        uint64_t now_us = clock_boottime_us();

        return timeout_us > UINT64_MAX - now_us ? UINT64_MAX : now_us + timeout_us;
}

static void sleep_us(uint64_t us) {
        struct timespec left = { .tv_sec = (time_t)(us / US_PER_SEC),
                                 .tv_nsec = (long)(us % US_PER_SEC * NS_PER_USEC) };

        (void)nanosleep(&left, NULL);
}

/* Tries until it is there again; its status, or that of the time-out. */
static int reconnect(Client **client, uint64_t until_boot_us) {
        *client = client_free(*client);

        for (uint64_t pause_us = FIRST_RETRY_US;; pause_us = RETRY_US) {
                Error error;

                /* Also before the first time: a daemon may end every connection at once. */
                uint64_t now_us = clock_boottime_us();

                if (now_us >= until_boot_us)
                        return STATUS_TIMEOUT;
                sleep_us(MIN(pause_us, until_boot_us - now_us));
                if (session_connect(client, CLIENT_START | CLIENT_QUIET, &error) == 0)
                        return 0;
        }
}

/* Asks again until there is an answer: 0, or a status. */
static int wait_for_reply(Client **client, const Call *call, uint64_t until_boot_us, Reply *reply) {
        bool said = false;

        for (;;) {
                Error error = { .text = "the connection has ended" };
                int status;
                int r;

                r = client_send(*client, call, -1, &error) == 0 ?
                            session_receive(*client, until_boot_us, reply, &error) :
                            SESSION_E_CLOSED;
                if (r == 0)
                        return 0;
                if (r == SESSION_E_TIMEOUT)
                        return STATUS_TIMEOUT;
                if (r == SESSION_E_BAD)
                        return cli_fail(CLI_STATUS_UNREACHABLE, "%s", error.text);

                if (!said)
                        (void)cli_fail(0, "lost taskflowd (%s); waiting for it", error.text);
                said = true;
                status = reconnect(client, until_boot_us);
                if (status != 0)
                        return status;
        }
}

/* The status of the task named last, or with --any of the only one; else there is none. */
static int status_of(const Reply *reply, const Call *call, uint64_t last_id) {
        for (size_t i = 0; i < reply->wait.n; i++)
                if (call->wait.any || reply->wait.tasks[i].task->id == last_id)
                        return format_exit_status(reply->wait.tasks[i].task);
        return CLI_STATUS_DONE;
}

/* Whether task @id has ended: 0 with @ret, or a status after saying what is wrong. */
static int look_at(Client *client, uint64_t id, bool *ret) {
        _cleanup_(reply_done) Reply reply = { 0 };
        const Call call = { .type = CALL_SHOW, .show = { .id = id } };
        int status;

        status = session_call(client, &call, &reply);
        if (status != 0)
                return status;

        *ret = reply.list.n == 1 && task_state_is_final(reply.list.tasks[0].task->state);
        return 0;
}

/* Whether any task of one's own waits or runs; else as look_at(). */
static int look_at_own(Client *client, bool *ret) {
        Call call = { .type = CALL_LIST, .more = true };
        bool more = true;
        Reply reply;
        int status;

        call.list.has_uid = true;
        call.list.uid = getuid();
        *ret = false;
        status = session_call(client, &call, &reply);
        while (status == 0 && more) {
                *ret = *ret || reply.list.n > 0;
                more = reply.continues;
                reply_done(&reply);
                if (more)
                        status = session_read(client, &reply);
        }
        return status;
}

/*
 * `-t 0`: now or not at all. The daemon answers a Wait when it is so, and never says "not yet", so
 * it is asked how far they are before. 0: it is so; else a status.
 */
static int look_before(Client *client, const Call *call) {
        size_t n_ended = 0;
        bool some = false;
        int status = 0;

        if (call->wait.ids.n == 0) {
                status = look_at_own(client, &some);
                return status == 0 && some ? STATUS_TIMEOUT : status;
        }

        for (size_t i = 0; i < call->wait.ids.n && status == 0; i++) {
                bool ended = false;

                status = look_at(client, call->wait.ids.ids[i], &ended);
                n_ended += ended;
        }
        if (status != 0)
                return status;
        return n_ended >= (call->wait.any ? 1 : call->wait.ids.n) ? 0 : STATUS_TIMEOUT;
}

static int wait_for(Client **client, const Call *call, uint64_t timeout_us, uint64_t last_id) {
        _cleanup_(reply_done) Reply reply = { 0 };
        uint64_t patience_us = timeout_us;
        int status;

        if (timeout_us == 0) {
                status = look_before(*client, call);
                if (status != 0)
                        return status;
                patience_us = ANSWER_US; /* it is so: only the answer is waited for */
        }

        status = wait_for_reply(client, call, deadline_us(patience_us), &reply);
        if (status != 0)
                return status;
        if (reply.error != ERROR_NONE)
                return cli_fail(CLI_STATUS_REFUSED, "%s",
                                reply.message ? reply.message : error_name_to_string(reply.error));
        return status_of(&reply, call, last_id);
}

static int wait_run(const Command *command, void *v, int n_operands, char **operands) {
        _cleanup_(client_freep) Client *client = NULL;
        _cleanup_(ids_done) IdList ids = { 0 };
        const Values *values = v;
        Call call = { .type = CALL_WAIT };
        uint64_t last_id = 0;
        int status;

        status = ids_parse(command, n_operands, operands, &ids);
        if (status == 0)
                status = session_open(&client, n_operands > 0 ? SESSION_ACT : SESSION_LOOK);
        if (status != 0)
                return status;
        if (!client)
                return ids.n > 0 ? session_no_task(ids.ids[0]) : CLI_STATUS_DONE;

        /* Each id is asked for once, so that the last one asked for may be another. */
        if (n_operands > 0)
                (void)cli_parse_id(operands[n_operands - 1], &last_id, NULL);
        call.wait.ids = ids;
        call.wait.any = values->any;
        return wait_for(&client, &call, values->timeout_us, last_id);
}

const Command command_wait = {
        .name = "wait",
        .operands = "[ID...]",
        .summary = "wait until tasks have ended, and return the status of the last one",
        .description =
                "Without an ID: until all of your own have ended, with status 0. Else the status is "
                "that of the last task named, or with --any of the first to end; 124 if it was ended "
                "by its time limit or 'wait' by its own; 125 if it has none, because it never started or was lost. "
                "An array has ended when all of its elements have: 0 if all have succeeded, else 1.",
        .opts = opts,
        .max_operands = -1,
        .usage_status = CLI_STATUS_USAGE,
        .values_size = sizeof(Values),
        .init = init,
        .run = wait_run,
};
