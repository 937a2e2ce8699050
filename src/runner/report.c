/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * What the daemon is told of the task: that it is withdrawn, how its command does, how it ended
 *
 * The two ends wait for the daemon's word, but not for long: a connection that closes withdraws a task as well, and an end that
 * no daemon takes is left as a record.
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runner/records.h"
#include "runner/run.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/macro.h"
#include "util/units.h"

#define REPORT_PATIENCE_US (5 * US_PER_SEC) /* interface.md */
#define LEAVE_PATIENCE_US  US_PER_SEC

void run_leave(Run *run, int status, int signal, const char *reason) {
        _cleanup_free_ char *copy = strdup(reason);
        const Call call = {
                .type = CALL_WITHDRAW,
                .withdraw = { .id = run->task->id, .reason = copy },
        };

        run->status = status;
        run->die_signal = signal;
        if (!run->attached || run->phase == RUN_PHASE_SUBMITTING) {
                run->phase = RUN_PHASE_OVER;
                return;
        }
        run->phase = RUN_PHASE_LEAVING;
        run_set_timer(run, RUN_TIMER_WHY, RUN_NEVER);
        run_set_timer(run, RUN_TIMER_GIVE_UP, RUN_NEVER);
        run_set_timer(run, RUN_TIMER_PATIENCE, clock_boottime_us() + LEAVE_PATIENCE_US);
        run_tell(run, &call, -1);
}

void run_give_up(Run *run) {
        _cleanup_free_ char *why = run_reason(run, run->explain, run->explain_boot_us);
        char waited[UNITS_FORMAT_MAX];
        char reason[64];

        run_set_timer(run, RUN_TIMER_GIVE_UP, RUN_NEVER);
        if (run->phase != RUN_PHASE_SUBMITTING && run->phase != RUN_PHASE_WAITING)
                return; /* it starts this instant */
        (void)snprintf(reason, sizeof(reason), "not started within %s",
                       units_format_duration(waited, sizeof(waited), run->request->wait_us));
        run_complain(run, "%s%s%s", reason, why && why[0] ? ": " : "", why ? why : "");
        run_leave(run, RUN_STATUS_FAILED, 0, reason);
}

void run_tell_started(Run *run) {
        const Call call = { .type = CALL_STARTED, .oneway = true, .started.id = run->task->id };

        run_tell(run, &call, run->child.pidfd);
}

void run_tell_used(Run *run, uint64_t memory_bytes) {
        const Call call = {
                .type = CALL_USED,
                .oneway = true,
                .used = { .id = run->task->id, .memory_bytes = memory_bytes },
        };

        run_tell(run, &call, -1);
}

void run_tell_away(Run *run, bool away) {
        const Call call = {
                .type = CALL_AWAY,
                .oneway = true,
                .away = { .id = run->task->id, .away = away },
        };

        run_tell(run, &call, -1);
}

static Call ended_call(const Run *run) {
        const Task *task = run->task;

        return (Call){
                .type = CALL_ENDED,
                .ended = {
                        .id = task->id,
                        .state = task->state,
                        .exit_status = task->exit_status,
                        .signal = task->signal,
                        .ended_at_us = task->ended_at_us,
                        .reason = task->reason,
                },
        };
}

void run_report(Run *run) {
        const Call call = ended_call(run);

        if (run->phase != RUN_PHASE_REPORTING) {
                run->phase = RUN_PHASE_REPORTING;
                run_set_timer(run, RUN_TIMER_LOOK, RUN_NEVER);
                run_set_timer(run, RUN_TIMER_LIMIT, RUN_NEVER);
                run_set_timer(run, RUN_TIMER_KILL, RUN_NEVER);
                run_set_timer(run, RUN_TIMER_PATIENCE, clock_boottime_us() + REPORT_PATIENCE_US);
                if (!run->client)
                        run_set_timer(run, RUN_TIMER_RECONNECT, 0);
        }
        run_tell(run, &call, -1);
}

void run_lose_patience(Run *run) {
        const Call ended = ended_call(run);
        const Call attached = {
                .type = CALL_ATTACH,
                .attach = { .task = run->task, .started = true, .room_bytes = UINT64_MAX },
        };
        Call with_database = attached;
        int r;

        if (run->phase == RUN_PHASE_REPORTING) {
                (void)memcpy(with_database.attach.database, run->database, sizeof(run->database));
                r = records_leave(run->place, &with_database, &ended);
                if (r < 0)
                        run_say(run, "the end of task %" PRIu64 " could not be recorded: %s",
                                run->task->id, strerror(-r));
        }
        run->phase = RUN_PHASE_OVER;
}
