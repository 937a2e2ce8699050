/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The conversation with the daemon
 *
 *     Submit ──► id, and the grant itself or why it waits
 *     ◄── Offer   Accept ──► ok                 only now may the command start
 *     Started · Used …   Ended ──► ok
 *
 * A connection may be lost at any point. What is said first on the next one depends on how far we got: the same Submit with the
 * same key while there is no id, Attach with the whole task from then on. What was not answered on the old connection counts as
 * not said, except that a daemon may have heard it: so an Accept without an answer is no start, and an Attach says so.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runner/environment.h"
#include "runner/own-room.h"
#include "runner/run.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/macro.h"
#include "util/proc-id.h"
#include "util/text.h"

/* A daemon that starts again offers nothing until its runners are back, at most 2 s: we are back well before that. */
#define RETRY_FIRST_US (100 * US_PER_MSEC)
#define RETRY_MAX_US   US_PER_SEC

/* One that is started again, for a new version say, is back before that, and nobody needs to know. */
#define LOST_US (3 * US_PER_SEC)

/* How often somebody wants to see why; a terminal shows the time waited, which counts seconds. */
#define WHY_TERMINAL_US US_PER_SEC
#define WHY_US          (5 * US_PER_SEC)

enum {
        TRIES_MAX = 15, /* about ten seconds without an id: it never takes what we say */
};

char *run_reason(const Run *run, const Explain *explain, uint64_t boot_us) {
        char sentence[4096];

        if (!explain || explain->n_lacks == 0)
                return strdup("");
        explain_sentence(explain, boot_us, run->request->user_name, NULL, sentence,
                         sizeof(sentence));
        return text_visible(sentence);
}

static char *visible(const char *s) {
        return text_visible(s ? s : "");
}

static bool is_waiting(const Run *run) {
        return run->phase == RUN_PHASE_WAITING || run->phase == RUN_PHASE_ACCEPTING;
}

/* The connection is no more: what was said on it and not answered is as if not said. */
static void lose(Run *run) {
        run->client = client_free(run->client);
        run->attached = false;

        switch (run->phase) {
        case RUN_PHASE_LEAVING:
                run->phase = RUN_PHASE_OVER; /* it has withdrawn us by itself */
                return;
        case RUN_PHASE_OVER:
                return;
        case RUN_PHASE_ACCEPTING:
                run->phase = RUN_PHASE_WAITING;
                break;
        default:
                break;
        }
        if (is_waiting(run) && !run->said_lost && run->timers[RUN_TIMER_LOST] == RUN_NEVER)
                run_set_timer(run, RUN_TIMER_LOST, clock_boottime_us() + LOST_US);
        run_set_timer(run, RUN_TIMER_WHY, RUN_NEVER);
        run_set_timer(run, RUN_TIMER_LOOK, RUN_NEVER);
        run_set_timer(run, RUN_TIMER_RECONNECT, clock_boottime_us() + run->retry_us);
        run->retry_us = MIN(run->retry_us * 2, RETRY_MAX_US);
}

void run_say_lost(Run *run) {
        run_set_timer(run, RUN_TIMER_LOST, RUN_NEVER);
        if (!is_waiting(run) || run->attached || run->said_lost)
                return;
        run->said_lost = true;
        run_say(run,
                "the daemon is gone; task %" PRIu64
                " keeps trying to reach it, and its place in the queue",
                run->task->id);
}

/* Says it; a connection that does not take it is lost. */
static void say(Run *run, const Call *call, int fd) {
        Error error = { 0 };

        if (run->client && client_send(run->client, call, fd, &error) != 0)
                lose(run);
}

void run_tell(Run *run, const Call *call, int fd) {
        if (run->attached)
                say(run, call, fd);
}

bool run_connect(Run *run) {
        unsigned flags = CLIENT_START | (run->request->quiet ? CLIENT_QUIET : 0);
        Error error = { 0 };

        run->retry_us = RETRY_FIRST_US;
        if (client_connect(&run->client, flags, &error) == 0) {
                records_place(run->client, run->place);
                return true;
        }
        run_complain(run, "%s", error.text);
        run_finish(run, RUN_STATUS_FAILED);
        return false;
}

void run_submit(Run *run) {
        Call call = {
                .type = CALL_SUBMIT,
                .submit = {
                        .task = run->task,
                        .immediate = run->request->wait_us == 0,
                        .room_bytes = own_room_bytes(run->task),
                },
        };

        say(run, &call, -1);
}

/* Who the command is, for a daemon that has to find it again. */
static void identify_command(Run *run) {
        Task *task = run->task;
        ProcId id;

        if (run->child.pid == 0 || task->pid_start_ticks != 0 ||
            proc_id_read(run->child.pid, &id) < 0)
                return;
        task->pid = id.pid;
        task->pid_start_ticks = id.start_ticks;
        (void)memcpy(task->boot_id, id.boot_id, sizeof(task->boot_id));
}

static void attach(Run *run) {
        bool started = run->phase == RUN_PHASE_RUNNING || run->phase == RUN_PHASE_REPORTING;
        Call call = {
                .type = CALL_ATTACH,
                .attach = { .task = run->task, .started = started, .room_bytes = UINT64_MAX },
        };

        if (started)
                identify_command(run);
        else
                call.attach.room_bytes = own_room_bytes(run->task);
        (void)memcpy(call.attach.database, run->database, sizeof(call.attach.database));
        say(run, &call, run->child.pid != 0 ? run->child.pidfd : -1);
}

void run_reconnect(Run *run) {
        unsigned flags = CLIENT_QUIET;
        Error error = { 0 };

        run_set_timer(run, RUN_TIMER_RECONNECT, RUN_NEVER);
        if (run->phase == RUN_PHASE_SUBMITTING && ++run->n_tries > TRIES_MAX) {
                run_complain(run, "the daemon ends every connection without an answer");
                run_finish(run, RUN_STATUS_FAILED);
                return;
        }
        /* A command that runs is left alone: the next one that waits starts a daemon, and we are back with it. */
        if (run->phase == RUN_PHASE_SUBMITTING || run->phase == RUN_PHASE_WAITING)
                flags |= CLIENT_START;

        if (client_connect(&run->client, flags, &error) != 0) {
                run->client = NULL;
                lose(run);
                return;
        }
        if (run->phase == RUN_PHASE_SUBMITTING)
                run_submit(run);
        else
                attach(run);
}

/* An Update may have changed how many GPUs were asked for. What can't be followed makes no sense, as is_sound() sees. */
static void follow_update(Needs *needs, unsigned n_gpus, const GpuGrant *gpus) {
        Needs now = { .memory_bytes = needs->memory_bytes, .cpus = needs->cpus };

        if (n_gpus == needs->n_gpus)
                return;
        for (unsigned i = 0; i < n_gpus; i++)
                if (needs_add_gpu(&now, "any", gpus[i].bytes) < 0) {
                        needs_done(&now);
                        return;
                }
        needs_done(needs);
        *needs = now;
}

static bool is_sound(const Run *run, unsigned n_gpus, const GpuGrant *gpus) {
        if (n_gpus != run->task->needs.n_gpus)
                return false;
        for (unsigned i = 0; i < n_gpus; i++)
                if (!environment_grant_is_sound(&gpus[i]))
                        return false;
        return true;
}

/* Takes the GPUs out of a message. Return: false if they make no sense; the run is over then. */
static bool take_grant(Run *run, unsigned n_gpus, GpuGrant **gpus, bool pin) {
        if (!is_sound(run, n_gpus, *gpus)) {
                run_complain(run, "the daemon grants GPUs that make no sense");
                run_finish(run, RUN_STATUS_FAILED);
                return false;
        }
        free(run->task->gpus);
        run->task->gpus = TAKE_PTR(*gpus);
        run->pin = pin;
        return true;
}

static void show_why(Run *run) {
        uint64_t now = clock_boottime_us();
        const WaitingNews news = {
                .task_id = run->task->id,
                .explain = run->explain,
                .now_boot_us = run->explain_boot_us,
                .waited_us = now - run->begun_boot_us,
                .user_name = run->request->user_name,
        };

        /* Nothing is missing but a look at the machine: it starts this instant. */
        if (run->explain && run->explain->n_lacks > 0)
                waiting_line_show(&run->line, &news);
        run_set_timer(run, RUN_TIMER_WHY, now + (run->line.terminal ? WHY_TERMINAL_US : WHY_US));
}

void run_ask_why(Run *run) {
        const Call call = { .type = CALL_WHY, .show.id = run->task->id };

        run_set_timer(run, RUN_TIMER_WHY,
                      clock_boottime_us() + (run->line.terminal ? WHY_TERMINAL_US : WHY_US));
        if (run->phase == RUN_PHASE_WAITING && run->attached &&
            waiting_line_is_wanted(&run->line) && client_n_outstanding(run->client) == 0)
                say(run, &call, -1);
}

/* Takes the explanation out of a reply. */
static void take_explain(Run *run, Reply *reply) {
        if (!reply->explain)
                return;
        free(run->explain);
        run->explain = TAKE_PTR(reply->explain);
        run->explain_boot_us = reply->boot_us;
}

static void refuse(Run *run, const Reply *reply) {
        _cleanup_free_ char *message = visible(reply->message);
        _cleanup_free_ char *reason = run_reason(run, reply->explain, reply->boot_us);

        run_complain(run, "%s%s%s", message ? message : "refused", reason && reason[0] ? ": " : "",
                     reason ? reason : "");
        run_finish(run, RUN_STATUS_FAILED);
}

/* What the daemon has to say to the user. */
static void say_notices(Run *run, size_t n, char *const *notices) {
        for (size_t i = 0; i < n; i++) {
                _cleanup_free_ char *notice = visible(notices[i]);

                run_say(run, "%s", notice ? notice : "");
        }
}

/* It is queued, and told so if it must wait. */
static void on_submitted(Run *run, Reply *reply) {
        if (run->phase != RUN_PHASE_SUBMITTING)
                return;
        if (reply->error != ERROR_NONE) {
                refuse(run, reply);
                return;
        }
        run->attached = true;
        run->n_tries = 0;
        run->retry_us = RETRY_FIRST_US;
        run->task->id = reply->submit.id;
        run->task->delay_us = reply->submit.delay_us;
        (void)memcpy(run->database, reply->submit.database, sizeof(run->database));
        look_set_interval(&run->look, reply->submit.look_interval_us);
        say_notices(run, reply->submit.n_notices, reply->submit.notices);

        if (reply->submit.granted) {
                if (take_grant(run, reply->submit.n_gpus, &reply->submit.gpus, reply->submit.pin))
                        run_start(run);
                return;
        }
        run->phase = RUN_PHASE_WAITING;
        take_explain(run, reply);
        show_why(run);
}

static void on_attached(Run *run, const Reply *reply) {
        if (reply->error != ERROR_NONE && is_waiting(run)) {
                refuse(run, reply);
                return;
        }
        if (reply->error != ERROR_NONE) {
                /* The command runs all the same; perhaps the next daemon wants to know of it. */
                run->retry_us = RETRY_MAX_US;
                lose(run);
                return;
        }
        run->attached = true;
        run_set_timer(run, RUN_TIMER_LOST, RUN_NEVER);
        run->retry_us = RETRY_FIRST_US;
        run->task->id = reply->attach.id;
        look_set_interval(&run->look, reply->attach.look_interval_us);

        switch (run->phase) {
        case RUN_PHASE_WAITING:
                if (task_state_is_final(reply->attach.state)) {
                        run_complain(run,
                                     "task %" PRIu64
                                     " was withdrawn while the daemon could not be reached",
                                     run->task->id);
                        run_finish(run, RUN_STATUS_FAILED);
                        return;
                }
                run_ask_why(run);
                return;
        case RUN_PHASE_RUNNING:
                run_set_timer(run, RUN_TIMER_LOOK, look_due_boot_us(&run->look));
                return;
        case RUN_PHASE_REPORTING:
                run_report(run);
                return;
        default:
                return;
        }
}

static void on_accepted(Run *run, const Reply *reply) {
        if (run->phase != RUN_PHASE_ACCEPTING)
                return;
        if (reply->error != ERROR_NONE) {
                run->phase = RUN_PHASE_WAITING; /* taken back: there will be another one */
                return;
        }
        run_start(run);
}

static void on_why(Run *run, Reply *reply) {
        if (run->phase != RUN_PHASE_WAITING || reply->error != ERROR_NONE)
                return;
        take_explain(run, reply);
        show_why(run);
}

static void on_reply(Run *run, Reply *reply) {
        switch (reply->to) {
        case CALL_SUBMIT:
                on_submitted(run, reply);
                return;
        case CALL_ATTACH:
                on_attached(run, reply);
                return;
        case CALL_ACCEPT:
                on_accepted(run, reply);
                return;
        case CALL_WHY:
                on_why(run, reply);
                return;
        case CALL_ENDED:
                say_notices(run, reply->ended.n_notices, reply->ended.notices);
                if (reply->ended.hint && isatty(STDERR_FILENO))
                        say_notices(run, 1, &reply->ended.hint);
                if (run->phase == RUN_PHASE_REPORTING)
                        run->phase = RUN_PHASE_OVER;
                return;
        case CALL_WITHDRAW:
                if (run->phase == RUN_PHASE_REPORTING || run->phase == RUN_PHASE_LEAVING)
                        run->phase = RUN_PHASE_OVER;
                return;
        default:
                return;
        }
}

static void on_offer(Run *run, Call *offer) {
        Call answer = {
                .type = CALL_ACCEPT,
                .accept = { .id = offer->offer.id, .offer = offer->offer.offer },
        };

        if (run->phase != RUN_PHASE_WAITING || offer->offer.id != run->task->id)
                return;
        if (own_room_bytes(run->task) < run->task->needs.memory_bytes) {
                answer.type = CALL_DECLINE;
                answer.oneway = true;
                say(run, &answer, -1);
                return;
        }
        follow_update(&run->task->needs, offer->offer.n_gpus, offer->offer.gpus);
        if (!take_grant(run, offer->offer.n_gpus, &offer->offer.gpus, offer->offer.pin))
                return;
        run->task->time_limit_us = offer->offer.time_limit_us;
        run->phase = RUN_PHASE_ACCEPTING;
        run->offer = offer->offer.offer;
        say(run, &answer, -1);
}

static void on_withdrawn(Run *run, const Call *call) {
        _cleanup_free_ char *reason = visible(call->withdraw.reason);

        if (!is_waiting(run) || call->withdraw.id != run->task->id)
                return;
        run_complain(run, "task %" PRIu64 " was withdrawn%s%s", run->task->id,
                     reason && reason[0] ? ": " : "", reason ? reason : "");
        run_finish(run, RUN_STATUS_FAILED);
}

static void on_call(Run *run, Call *call) {
        switch (call->type) {
        case CALL_OFFER:
                on_offer(run, call);
                return;
        case CALL_END:
                if (call->end.id == run->task->id)
                        run_end_command(run, TASK_STATE_CANCELLED, call->end.signal);
                return;
        case CALL_WITHDRAWN:
                on_withdrawn(run, call);
                return;
        case CALL_LOOK:
                look_set_interval(&run->look, call->look.interval_us);
                if (run->timers[RUN_TIMER_LOOK] != RUN_NEVER)
                        run_set_timer(run, RUN_TIMER_LOOK, look_due_boot_us(&run->look));
                return;
        default:
                return;
        }
}

void run_on_readable(Run *run) {
        while (run->client && run->phase != RUN_PHASE_OVER) {
                Incoming incoming = { 0 };
                Error error = { 0 };
                int r;

                r = client_next(run->client, &incoming, &error);
                if (r == CLIENT_E_AGAIN)
                        return;
                if (r == CLIENT_E_BAD && run->phase == RUN_PHASE_SUBMITTING) {
                        run_complain(run, "%s", error.text);
                        run_finish(run, RUN_STATUS_FAILED);
                        return;
                }
                if (r != 0) {
                        lose(run);
                        return;
                }
                if (incoming.is_call)
                        on_call(run, &incoming.call);
                else
                        on_reply(run, &incoming.reply);
                incoming_done(&incoming);
        }
}
