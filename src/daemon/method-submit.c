/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Submit, DryRun: how a task comes in.
 *
 * A Submit's answer may be the grant itself (decisions.md 14): the task is applied, then a plan is made at once with the
 * record marked as being answered; if the plan starts it, that is the reply. What asks for GPUs waits for the probe's first
 * answer if none were ever seen, and for a fresh one if it wants an answer now (-w 0, --dry-run): parked, then served again.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/after.h"
#include "daemon/agents.h"
#include "daemon/experiences.h"
#include "daemon/log.h"
#include "daemon/submit.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/strv.h"
#include "util/units.h"

enum {
        LOOK_MAX_US = 6 * 1000000, /* a little more than the probe may take for a look */
};

/* What the GPUs that were seen last can't meet may be met by one that has come since. */
static bool looks_again(Daemon *daemon, const Needs *needs) {
        return needs->n_gpus > 0 && !daemon_gpus_are_fresh(daemon, clock_boottime_us()) &&
               gpu_watch_ask(daemon->gpu_watch, core_n_offers(daemon->core)) == 0;
}

bool submit_look_up(Peer *peer, Call *call, Needs *needs, bool resumed) {
        Daemon *daemon = peer_daemon(peer);
        Error error = {};
        int r;

        r = core_resolve(daemon->core, needs, &error);
        if (r == CORE_E_NO_FIGURES && needs->n_gpus == 0) {
                daemon_look_at_ram(daemon);
                r = core_resolve(daemon->core, needs, &error);
        }
        if (r == CORE_E_NO_FIGURES && needs->n_gpus > 0 && !resumed) {
                daemon_look_at_ram(daemon);
                if (gpu_watch_ask(daemon->gpu_watch, core_n_offers(daemon->core)) == 0) {
                        peer_park(peer, call, TASK_TIME_INF);
                        return false;
                }
        }
        if (r == CORE_E_IMPOSSIBLE && !resumed && looks_again(daemon, needs)) {
                peer_park(peer, call, LOOK_MAX_US);
                return false;
        }
        if (r == CORE_E_NO_FIGURES && needs->n_gpus == 0) {
                peer_refuse(peer, call->type, ERROR_FAILED,
                            "the daemon could not read how much RAM there is; its log says why");
                return false;
        }
        if (r == CORE_E_NO_FIGURES) {
                peer_refuse(peer, call->type, ERROR_IMPOSSIBLE,
                            "no GPU is known on this machine: %s",
                            daemon->gpu_text[0] ? daemon->gpu_text : "the driver does not answer");
                return false;
        }
        if (r == CORE_E_IMPOSSIBLE)
                peer_refuse(peer, call->type, ERROR_IMPOSSIBLE, "%s", error.text);
        else if (r != 0)
                peer_refuse(peer, call->type, ERROR_FAILED, "%s",
                            r < 0 ? strerror(-r) : "the request makes no sense");
        return r == 0;
}

bool submit_resolve(Peer *peer, Call *call, Task *task, bool resumed) {
        Error error = {};

        if (!submit_look_up(peer, call, &task->needs, resumed))
                return false;
        if (core_check_limits(peer_daemon(peer)->core, &peer->account->rules, &task->needs,
                              task->time_limit_us, &error) == 0)
                return true;
        peer_refuse(peer, call->type, ERROR_IMPOSSIBLE, "%s", error.text);
        return false;
}

/* Whether the answer needs figures of the GPUs newer than those there are; parks the call then. */
bool submit_parks_for_gpus(Peer *peer, Call *call, bool resumed, uint64_t now_boot_us) {
        Daemon *daemon = peer_daemon(peer);

        if (call->submit.task->needs.n_gpus == 0 || daemon_gpus_are_fresh(daemon, now_boot_us))
                return false;

        /* A look that was under way already may have been asked for too early: the next one counts. */
        if (resumed && (!daemon->gpus_known || peer_park_is_over(peer)))
                return false;
        if (gpu_watch_ask(daemon->gpu_watch, core_n_offers(daemon->core)) < 0)
                return false;
        peer_park(peer, call, LOOK_MAX_US);
        return true;
}

static void add_notice(Notices *notices, const char *fmt, ...) _printf_(2, 3);

/* Tasks of one call mostly have the same to say. */
static void add_notice(Notices *notices, const char *fmt, ...) {
        va_list args;
        char *text = NULL;

        if (notices->n == WIRE_NOTICES_MAX)
                return;
        va_start(args, fmt);
        if (vasprintf(&text, fmt, args) < 0)
                text = NULL;
        va_end(args);
        if (!text || (notices->n > 0 && strcmp(notices->texts[notices->n - 1], text) == 0))
                free(text);
        else
                notices->texts[notices->n++] = text;
}

void notices_done(Notices *notices) {
        for (size_t i = 0; i < notices->n; i++)
                free(notices->texts[i]);
        *notices = (Notices){};
}

/* What counts of the delay that was asked for. */
void submit_apply_delay(const Daemon *daemon, const Peer *peer, Task *task, Notices *notices) {
        const Policy *policy = core_policy(daemon->core);
        char asked[32], given[32];

        if (!task->delay_given) {
                task->delay_us = policy->default_delay_us;
                return;
        }
        if (peer->is_admin || task->delay_us <= policy->max_delay_us)
                return;
        add_notice(notices,
                   "the delay of %s counts as %s, the most this machine allows (max_delay)",
                   units_format_duration(asked, sizeof(asked), task->delay_us),
                   units_format_duration(given, sizeof(given), policy->max_delay_us));
        task->delay_us = policy->max_delay_us;
}

/* People say 24G of a 24,564 MiB card (decisions.md 7). */
static void note_whole_gpus(const Daemon *daemon, const Task *task, Notices *notices) {
        GpuView *views = NULL;
        ssize_t n_views;

        if (task->needs.n_gpus == 0)
                return;
        n_views = core_view_gpus(daemon->core, clock_boottime_us(), &views);
        for (unsigned i = 0; i < task->needs.n_gpus; i++) {
                const GpuNeed *need = &task->needs.gpus[i];
                bool fits = false, nearly = false;
                char asked[32], total[32];
                uint64_t nearly_bytes = 0;

                if (need->bytes == GPU_WHOLE)
                        continue;
                for (ssize_t k = 0; k < n_views; k++) {
                        uint64_t total_bytes = views[k].sample.total_bytes;
                        uint64_t reserve = core_policy(daemon->core)->reserved_gpu_memory_bytes;

                        if (!gpu_need_is_any(need) && strcmp(need->uuid, views[k].sample.uuid) != 0)
                                continue;
                        fits |= total_bytes >= reserve && need->bytes <= total_bytes - reserve;
                        if (total_bytes >= reserve && need->bytes > total_bytes - reserve) {
                                nearly = true;
                                nearly_bytes = MAX(nearly_bytes, total_bytes);
                        }
                }
                if (nearly && !fits)
                        add_notice(notices, "%s is all of a GPU that has %s: it gets the whole GPU",
                                   units_format_bytes(asked, sizeof(asked), need->bytes),
                                   units_format_bytes(total, sizeof(total), nearly_bytes));
        }
        core_gpu_views_free(views, n_views > 0 ? (size_t)n_views : 0);
}

/* Whether its tasks take as much of our memory as one user's may. */
static bool is_full(const Account *account) {
        return account->n_task_bytes >= ACCOUNT_TASK_BYTES_MAX;
}

bool submit_is_room_for(Daemon *daemon, uid_t uid, size_t n) {
        const Account *account = accounts_get(&daemon->accounts, uid);
        size_t n_waiting = core_n_waiting_of(daemon->core, uid);
        uint64_t most = daemon->settings.max_pending_per_user;

        return account && !is_full(account) && n_waiting <= most && n <= most - n_waiting;
}

bool submit_is_within_limits(Peer *peer, CallType type, size_t n) {
        Daemon *daemon = peer_daemon(peer);
        size_t n_waiting = core_n_waiting_of(daemon->core, peer->uid);
        uint64_t most = daemon->settings.max_pending_per_user;

        if (n_waiting >= most) {
                peer_refuse(
                        peer, type, ERROR_LIMIT,
                        "you have %zu tasks waiting already, as many as max_pending_per_user allows",
                        n_waiting);
                return false;
        }
        if (n > most - n_waiting) {
                peer_refuse(peer, type, ERROR_LIMIT,
                            "you have %zu tasks waiting; with %zu more there would be over %" PRIu64
                            ", which is max_pending_per_user",
                            n_waiting, n, most);
                return false;
        }
        if (is_full(peer->account)) {
                peer_refuse(peer, type, ERROR_LIMIT,
                            "your tasks take %d MiB of the daemon's memory, as much as one user's "
                            "may: their commands, folders and names are long",
                            ACCOUNT_TASK_BYTES_MAX >> 20);
                return false;
        }
        if (daemon->store_error < 0) {
                peer_refuse(peer, type, ERROR_FAILED,
                            "the daemon cannot write to its folder '%s': is the disk full?",
                            daemon->state_dir);
                return false;
        }
        return true;
}

/* Fills in what the daemon alone knows. */
void submit_stamp(const Daemon *daemon, const Peer *peer, Task *task) {
        task->uid = peer->uid;
        task->runner_pid = peer->pid;
        task->submitted_at_us = clock_realtime_us();
        task->queued_boot_us = clock_boottime_us();
        (void)snprintf(task->boot_id, sizeof(task->boot_id), "%s", daemon->boot_id);
}

static Explain *explain_task(const Daemon *daemon, uint64_t id) {
        Explain *explain = malloc(sizeof(*explain));

        if (explain && core_explain(daemon->core, id, clock_boottime_us(), explain) == 0)
                return explain;
        free(explain);
        return NULL;
}

/* Most tasks are shell lines, and there may be very many. */
static void drop_needless_words(Task *task) {
        if (task->argv && task->argv[0] && !task->argv[1] && task->command &&
            strcmp(task->argv[0], task->command) == 0)
                task->argv = strv_free(task->argv);
}

void submit_prepare(Peer *peer, Task *task, Notices *notices) {
        const Daemon *daemon = peer_daemon(peer);

        drop_needless_words(task);
        submit_stamp(daemon, peer, task);
        submit_apply_delay(daemon, peer, task, notices);
        note_whole_gpus(daemon, task, notices);
}

void submit_refuse_ids(Peer *peer, CallType type, int r) {
        peer_refuse(peer, type, ERROR_FAILED, "the daemon cannot write to '%s': %s",
                    peer_daemon(peer)->state_dir, strerror(-r));
}

void submit_refuse_after(Peer *peer, CallType type, int r, const Error *error) {
        peer_refuse(peer, type, r == AFTER_E_NO_TASK ? ERROR_NO_SUCH_TASK : ERROR_IMPOSSIBLE, "%s",
                    error->text);
}

Record *submit_enter(Peer *peer, Task *task) {
        Daemon *daemon = peer_daemon(peer);
        Event event = daemon_event(EVENT_SUBMITTED, 0);
        uint64_t id = task->id;
        Record *record;

        peer_tell_rules(peer);
        event.submitted = task;
        if (core_apply(daemon->core, &event) != 0) {
                (void)task_free(task);
                return NULL;
        }
        if (record_new(&record, daemon, id) < 0) {
                event = daemon_event(EVENT_WITHDRAWN, id);
                (void)core_apply(daemon->core, &event);
                core_forget(daemon->core, id);
                return NULL;
        }
        (void)experiences_tell(daemon, id);
        record_set_owner(record, peer);
        record_set_dirty_soon(record);
        daemon_want_turn(daemon);
        daemon->n_submitted++;
        return record;
}

static void fill_submit_reply(const Daemon *daemon, const Task *task, Reply *reply) {
        reply->submit.id = task->id;
        (void)snprintf(reply->submit.database, sizeof(reply->submit.database), "%s",
                       store_database_id(daemon->store));
        reply->submit.granted = task->state == TASK_STATE_RUNNING;
        if (reply->submit.granted) {
                reply->submit.n_gpus = task->needs.n_gpus;
                reply->submit.gpus = task->gpus;
                reply->submit.pin = daemon_pins(daemon, task);
        }
        reply->submit.delay_us = task->delay_us;
        reply->submit.look_interval_us = daemon->look_interval_us;
        reply->boot_us = clock_boottime_us();
        if (!reply->submit.granted)
                reply->explain = explain_task(daemon, task->id);
}

/* Now or not at all, and it was not now: it never was. */
static void refuse_now(Peer *peer, Record *record) {
        Daemon *daemon = record->daemon;
        Reply reply = {
                .to = CALL_SUBMIT,
                .error = ERROR_CANNOT_START_NOW,
                .message = (char[]){ "it cannot start now" },
                .explain = explain_task(daemon, record->task_id),
                .boot_us = clock_boottime_us(),
        };
        Event event = daemon_event(EVENT_WITHDRAWN, record->task_id);
        uint64_t id = record->task_id;

        peer_reply(peer, &reply);
        free(reply.explain);
        event.reason = "it could not start at once";
        (void)core_apply(daemon->core, &event);
        record_free(record);
        core_forget(daemon->core, id);
}

/* The same key again: the first answer was lost on the way (decisions.md 12). */
static bool answer_known_key(Peer *peer, Call *call) {
        Daemon *daemon = peer_daemon(peer);
        const Task *known = core_find_key(daemon->core, peer->uid, call->submit.task->key);
        Reply reply = { .to = CALL_SUBMIT };
        Record *record;

        /* One that is over never started: its runner would not ask again. It gets another chance. */
        if (!known || task_state_is_final(known->state))
                return false;
        record = record_find(daemon, known->id);
        record_set_owner(record, peer);
        fill_submit_reply(daemon, known, &reply);
        peer_reply(peer, &reply);
        free(reply.explain);
        return true;
}

/* What needs somebody who is still there later. */
bool submit_may_be_foreground(Peer *peer, CallType type, const Task *task) {
        if (!task->detached && !task->array && task->retry_max == 0 && !task->requeue &&
            !task->output)
                return true;
        peer_refuse(peer, type, ERROR_BAD_REQUEST,
                    task->detached ? "a detached task is its agent's" :
                                     "arrays, retries, requeue and output are of detached tasks");
        return false;
}

void method_submit(Peer *peer, Call *call, bool resumed) {
        Daemon *daemon = peer_daemon(peer);
        Task *task = call->submit.task;
        Reply reply = { .to = CALL_SUBMIT };
        _cleanup_(notices_done) Notices notices = {};
        Error error = {};
        uint64_t now_boot_us;
        Record *record;
        int r;

        if (task->detached) {
                agents_submit(peer, call, resumed);
                return;
        }
        if (!submit_may_be_foreground(peer, CALL_SUBMIT, task))
                return;
        r = after_resolve(daemon, task, &error);
        if (r != 0) {
                submit_refuse_after(peer, CALL_SUBMIT, r, &error);
                return;
        }
        if (answer_known_key(peer, call) || !submit_is_within_limits(peer, CALL_SUBMIT, 1) ||
            !submit_resolve(peer, call, task, resumed))
                return;
        if (call->submit.immediate && daemon->starting) {
                peer_park(peer, call,
                          START_PATIENCE_US + LOOK_MAX_US); /* nothing is offered yet, to nobody */
                return;
        }
        r = task->id == 0 ? store_take_id(daemon->store, &task->id) : 0;
        if (r < 0) {
                submit_refuse_ids(peer, CALL_SUBMIT, r);
                return;
        }
        /* After the id, which may have been written for: from here on no time passes for the figures. */
        now_boot_us = clock_boottime_us();
        if (call->submit.immediate && submit_parks_for_gpus(peer, call, resumed, now_boot_us))
                return;
        submit_prepare(peer, task, &notices);
        record = submit_enter(peer, TAKE_PTR(call->submit.task));
        if (!record) {
                peer_refuse(peer, CALL_SUBMIT, ERROR_FAILED, "the daemon is out of memory");
                return;
        }
        record->granting = true;
        daemon_plan(daemon, now_boot_us);
        record->granting = false;
        if (call->submit.immediate && !record->granted) {
                refuse_now(peer, record);
        } else {
                if (record->granted)
                        record_write_start(record);
                fill_submit_reply(daemon, core_find(daemon->core, record->task_id), &reply);
                reply.submit.n_notices = notices.n;
                (void)memcpy(reply.submit.notices, notices.texts, sizeof(notices.texts));
                peer_reply(peer, &reply);
        }
        free(reply.explain);
}

void method_dry_run(Peer *peer, Call *call, bool resumed) {
        Daemon *daemon = peer_daemon(peer);
        Task *task = call->submit.task;
        _cleanup_free_ Explain *explain = malloc(sizeof(*explain));
        Reply reply = { .to = CALL_DRY_RUN };

        if (!explain) {
                peer_refuse(peer, CALL_DRY_RUN, ERROR_FAILED, "the daemon is out of memory");
                return;
        }
        if (!submit_resolve(peer, call, task, resumed) ||
            submit_parks_for_gpus(peer, call, resumed, clock_boottime_us()))
                return;
        daemon_look_at_ram(daemon);
        reply.boot_us = clock_boottime_us();
        if (core_explain_new(daemon->core, task, peer->uid, reply.boot_us, explain) != 0) {
                peer_refuse(peer, CALL_DRY_RUN, ERROR_FAILED, "the request could not be judged");
                return;
        }
        reply.explain = explain;
        reply.dry_run.could_start = explain->n_lacks == 0;
        if (reply.dry_run.could_start) {
                reply.dry_run.n_gpus = task->needs.n_gpus;
                reply.dry_run.gpus = explain->grants;
        }
        peer_reply(peer, &reply);
}

void submit_check_all_attached(Daemon *daemon) {
        if (!daemon->starting)
                return;
        for (const Record *record = daemon->records; record; record = record->hh.next)
                if (!record->owner)
                        return;
        (void)sd_event_source_set_time_relative(daemon->starting_source, 0);
}
