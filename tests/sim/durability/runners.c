/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "runners.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/store.h"

#include "host.h"
#include "keepers.h"
#include "links.h"
#include "world.h"

enum {
        RUNNERS_MAX = 128,
        ASKED = 16,
};

#define RETRY_FIRST_US (100 * US_PER_MSEC)
#define RETRY_MAX_US   US_PER_SEC

typedef enum Phase {
        PHASE_SUBMITTING,
        PHASE_WAITING,
        PHASE_ACCEPTING,
        PHASE_RUNNING,
        PHASE_REPORTING,
        PHASE_OVER,
} Phase;

typedef struct Runner {
        Actor actor;
        Deed *deed;
        Proc proc;
        Link *link;
        Phase phase;
        bool attached;
        uint64_t id, offer, retry_us;
        Start *start;
        End end;
        CallType asked[ASKED]; /* a ring */
        unsigned first_asked, n_asked;
} Runner;

static Runner runners[RUNNERS_MAX];

static void connect_it(Runner *runner);

void runners_begin(void) {
        for (size_t i = 0; i < RUNNERS_MAX; i++)
                runners[i] = (Runner){ .actor = { .name = "runner" } };
}

static void say(Runner *runner, const Call *call, Proc proc) {
        if (!runner->link || !world_step(&runner->actor, call_type_to_string(call->type),
                                         runner->id, runner->deed->number))
                return;
        if (!call->oneway)
                runner->asked[(runner->first_asked + runner->n_asked++) % ASKED] = call->type;
        link_say(runner->link, call, proc);
}

static void go(Runner *runner) {
        const Task *task = host_task(runner->id);

        if (runner->link)
                link_close(runner->link);
        /* Nobody else knows of this command. */
        if (runner->start && !runner->start->over && (!task || task->pid == 0))
                runner->start->hidden = true;
        proc_exit(runner->proc);
        actor_sink(&runner->actor);
        *runner = (Runner){ .actor = runner->actor };
}

static void finish(Runner *runner) {
        runner->phase = PHASE_OVER;
        if (actor_lives(&runner->actor))
                go(runner);
}

static void report(Runner *runner) {
        say(runner,
            &(Call){ .type = CALL_ENDED,
                     .ended = { .id = runner->id,
                                .state = runner->end.state,
                                .exit_status = runner->end.exit_status,
                                .signal = runner->end.signal,
                                .ended_at_us = 1 + world.now_us } },
            0);
}

static void start(Runner *runner) {
        Deed *deed = runner->deed;
        End end = { .state = TASK_STATE_DONE };

        if (!world_step(&runner->actor, "starts the command", runner->id, deed->number))
                return;
        if (world_chance(deed->fail_percent))
                end = (End){ .state = TASK_STATE_FAILED, .exit_status = 1 };
        runner->start = check_start(deed, runner->id, 1, proc_fork(runner->proc, deed->row.uid));
        command_run(runner->start, deed->duration_us, &end);
        runner->phase = PHASE_RUNNING;
        if (runner->attached)
                say(runner,
                    &(Call){ .type = CALL_STARTED, .oneway = true, .started.id = runner->id },
                    runner->start->proc);
}

static void on_command_ended(void *userdata, uint64_t arg) {
        Runner *runner = userdata;

        if (!world_step(&runner->actor, "sees the end", runner->id, 0))
                return;
        runner->end = runner->start->end;
        runner->phase = PHASE_REPORTING;
        if (runner->attached)
                report(runner);
}

void runners_command_ended(const Start *ended) {
        for (size_t i = 0; i < RUNNERS_MAX; i++)
                if (actor_lives(&runners[i].actor) && runners[i].start == ended)
                        world_alarm(world_moment_us(), &runners[i].actor, on_command_ended,
                                    &runners[i], 0);
}

static void attach(Runner *runner) {
        bool started = runner->phase == PHASE_RUNNING || runner->phase == PHASE_REPORTING;
        Call call = { .type = CALL_ATTACH, .attach = { .started = started } };
        Task *task = row_submission(&runner->deed->row);

        call.attach.task = task;
        call.attach.room_bytes = UINT64_MAX;
        memcpy(call.attach.database, store_database_id(NULL), STORE_DATABASE_ID_CHARS + 1);
        task->id = runner->id;
        if (started) {
                task->state = TASK_STATE_RUNNING;
                task->pid = proc_pid(runner->start->proc);
                task->pid_start_ticks = proc_ticks(runner->start->proc);
                task->started_boot_us = world_boot_us();
                task->started_at_us = world.now_us;
                system_boot_id(task->boot_id);
        }
        say(runner, &call, started && proc_is_alive(runner->start->proc) ? runner->start->proc : 0);
        (void)task_free(task);
}

static void on_submitted(Runner *runner, const Reply *reply) {
        if (runner->phase != PHASE_SUBMITTING)
                return;
        if (reply->error != ERROR_NONE) {
                finish(runner);
                return;
        }
        runner->attached = true;
        runner->id = reply->submit.id;
        check_told(runner->deed, runner->id);
        runner->phase = PHASE_WAITING;
        if (reply->submit.granted)
                start(runner);
}

static void on_attached(Runner *runner, const Reply *reply) {
        if (reply->error != ERROR_NONE) {
                /* What it would report is left as a record, for another day. */
                if (runner->phase == PHASE_WAITING ||
                    (runner->phase == PHASE_REPORTING && world.calm))
                        finish(runner);
                return;
        }
        runner->attached = true;
        if (reply->attach.id != runner->id)
                world_fail("a foreground task has another number after Attach");
        if (runner->phase == PHASE_WAITING && task_state_is_final(reply->attach.state))
                finish(runner);
        else if (runner->phase == PHASE_REPORTING)
                report(runner);
}

static void on_reply(Runner *runner, const char *bytes, size_t n) {
        CallType to = runner->asked[runner->first_asked++ % ASKED];
        Error error = { 0 };
        Reply reply;

        if (runner->n_asked-- == 0 || reply_decode(to, bytes, n, &reply, &error) != 0) {
                world_fail("an answer to a runner makes no sense: %s", error.text);
                return;
        }
        if (!world_step(&runner->actor, reply.error == ERROR_NONE ? "has an answer" : "is refused",
                        runner->id, to))
                ;
        else if (to == CALL_SUBMIT)
                on_submitted(runner, &reply);
        else if (to == CALL_ATTACH)
                on_attached(runner, &reply);
        else if (to == CALL_ACCEPT && runner->phase == PHASE_ACCEPTING) {
                runner->phase = PHASE_WAITING;
                if (reply.error == ERROR_NONE)
                        start(runner);
        } else if (to == CALL_ENDED && runner->phase == PHASE_REPORTING) {
                finish(runner);
        }
        reply_done(&reply);
}

static void on_call(Runner *runner, const Call *call) {
        switch (call->type) {
        case CALL_OFFER:
                if (runner->phase != PHASE_WAITING || call->offer.id != runner->id)
                        return;
                check_offered(runner->deed, runner->id, 1);
                runner->phase = PHASE_ACCEPTING;
                say(runner,
                    &(Call){ .type = CALL_ACCEPT,
                             .accept = { .id = runner->id, .offer = call->offer.offer } },
                    0);
                return;
        case CALL_END:
                if (runner->phase == PHASE_RUNNING && call->end.id == runner->id)
                        command_kill(runner->start);
                return;
        case CALL_WITHDRAWN:
                if (runner->phase == PHASE_WAITING || runner->phase == PHASE_ACCEPTING)
                        finish(runner);
                return;
        default:
                return;
        }
}

static void on_retry(void *userdata, uint64_t arg) {
        connect_it(userdata);
}

static void lose(Runner *runner) {
        runner->link = NULL;
        runner->attached = false;
        runner->first_asked = runner->n_asked = 0;
        if (runner->phase == PHASE_ACCEPTING)
                runner->phase = PHASE_WAITING;
        world_alarm(runner->retry_us, &runner->actor, on_retry, runner, 0);
        runner->retry_us = MIN(runner->retry_us * 2, RETRY_MAX_US);
}

static void on_message(void *userdata, Link *link, const char *bytes, size_t n) {
        Runner *runner = userdata;
        Error error = { 0 };
        Call call;

        if (!actor_lives(&runner->actor) || runner->link != link)
                return;
        if (!bytes) {
                lose(runner);
                return;
        }
        if (!message_is_call(bytes, n)) {
                on_reply(runner, bytes, n);
                return;
        }
        if (call_decode(bytes, n, &call, &error) != 0) {
                world_fail("what a runner hears makes no sense: %s", error.text);
                return;
        }
        if (world_step(&runner->actor, "hears of something", runner->id, call.type))
                on_call(runner, &call);
        call_done(&call);
}

static void submit(Runner *runner) {
        Call call = { .type = CALL_SUBMIT };

        call.submit.task = row_submission(&runner->deed->row);
        call.submit.room_bytes = UINT64_MAX;
        say(runner, &call, 0);
        (void)task_free(call.submit.task);
}

static void connect_it(Runner *runner) {
        runner->link = link_connect(&runner->actor, runner->proc, runner->deed->row.uid, on_message,
                                    runner);
        if (!runner->link)
                lose(runner);
        else if (runner->phase == PHASE_SUBMITTING)
                submit(runner);
        else
                attach(runner);
}

void runner_start(Deed *deed) {
        Runner *runner = runners;

        while (runner->actor.up || runner->deed)
                if (++runner == runners + RUNNERS_MAX)
                        abort();
        *runner = (Runner){ .actor = runner->actor, .deed = deed, .retry_us = RETRY_FIRST_US };
        actor_rise(&runner->actor);
        runner->proc = proc_fork(0, deed->row.uid);
        if (world_step(&runner->actor, "begins", deed->number, 0))
                connect_it(runner);
}

void runners_kill_all(void) {
        for (size_t i = 0; i < RUNNERS_MAX; i++)
                if (runners[i].actor.up)
                        runners[i].actor.dead = true;
}

void runners_bury(void) {
        for (size_t i = 0; i < RUNNERS_MAX; i++)
                if (runners[i].actor.dead)
                        go(&runners[i]);
}

bool runners_rest(void) {
        for (size_t i = 0; i < RUNNERS_MAX; i++)
                if (runners[i].actor.up)
                        return false;
        return true;
}
