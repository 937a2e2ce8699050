/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Accept, Decline, Started, Used, Ended, Away, Withdraw: what the runner of a task says of it.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/excess.h"
#include "core/slack.h"
#include "daemon/log.h"
#include "daemon/methods.h"
#include "daemon/records.h"
#include "daemon/rows.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/proc-id.h"

enum {
        FDINFO_MAX = 4096, /* of a pidfd it has some 100 bytes */
        NOTICE_MAX = 1024, /* some eight GPUs */
};

/* An offer that is still open for this call's number; refuses otherwise. */
static Record *open_offer(Peer *peer, const Call *call) {
        Record *record = record_find(peer_daemon(peer), call->accept.id);

        if (record->offer != 0 && record->offer == call->accept.offer)
                return record;
        if (!call->oneway)
                peer_refuse(peer, call->type, ERROR_WRONG_STATE,
                            "offer %" PRIu64 " of task %" PRIu64 " is over", call->accept.offer,
                            call->accept.id);
        return NULL;
}

void method_accept(Peer *peer, Call *call, bool resumed) {
        Daemon *daemon = peer_daemon(peer);
        Record *record = open_offer(peer, call);
        Event event;

        if (!record)
                return;
        event = daemon_event(EVENT_ACCEPTED, record->task_id);
        record_close_offer(record);
        if (core_apply(daemon->core, &event) != 0) {
                peer_refuse(peer, CALL_ACCEPT, ERROR_WRONG_STATE,
                            "task %" PRIu64 " can't start any more", record->task_id);
                return;
        }
        record->granted = true;
        record_write_start(record);
        peer_reply(peer, &(Reply){ .to = CALL_ACCEPT });
}

void method_decline(Peer *peer, Call *call, bool resumed) {
        Daemon *daemon = peer_daemon(peer);
        Record *record = open_offer(peer, call);
        Event event;

        if (!record)
                return;
        record_close_offer(record);
        event = daemon_event(EVENT_OFFER_EXPIRED, record->task_id);
        (void)core_apply(daemon->core, &event);
        record_set_silent(record, true);
        daemon_want_turn(daemon);
}

/* The pid behind a pidfd, from "Pid:" of its fdinfo; 0 if it has ended, or this is no pidfd. */
static pid_t pid_of_pidfd(int fd) {
        _cleanup_free_ char *text = NULL;
        char path[64];
        const char *line;
        size_t n;
        long pid;

        (void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
        if (fd_read_file(-1, path, &text, &n, FDINFO_MAX) < 0)
                return 0;
        line = strstr(text, "\nPid:");
        if (!line)
                return 0;
        pid = strtol(line + strlen("\nPid:"), NULL, 10);
        return pid > 0 && pid <= INT32_MAX ? (pid_t)pid : 0;
}

/* A child of the runner, or a process of its user: anything else was sent to mislead us. */
static bool process_is_of(pid_t pid, pid_t ppid, pid_t parent, uid_t uid) {
        char path[32];
        struct stat st;

        (void)snprintf(path, sizeof(path), "/proc/%d", pid);
        return ppid == parent || (stat(path, &st) == 0 && st.st_uid == uid);
}

bool started_is_of(pid_t pid, uint64_t start_ticks, pid_t runner, uid_t uid) {
        uint64_t ticks;
        pid_t ppid;

        return pid > 0 && proc_start_ticks(pid, &ticks, &ppid) == 0 && ticks == start_ticks &&
               process_is_of(pid, ppid, runner, uid);
}

void started_process(Record *record, int pid_fd) {
        _cleanup_close_ int fd = pid_fd;
        Daemon *daemon = record->daemon;
        const Task *task = core_find(daemon->core, record->task_id);
        Event event = daemon_event(EVENT_STARTED, record->task_id);
        pid_t ppid;

        if (fd < 0)
                return;
        event.started.pid = pid_of_pidfd(fd);
        if (event.started.pid == 0 ||
            proc_start_ticks(event.started.pid, &event.started.start_ticks, &ppid) < 0)
                return; /* over already: its status is on the way */
        if (!process_is_of(event.started.pid, ppid, record->runner_pid, task->uid)) {
                log_about(LOG_WARNING, record_subject(record),
                          "process %d is not uid %u's: left out", event.started.pid, task->uid);
                return;
        }
        if (task->detached) /* its keeper: what the command leaves behind becomes a child of that one */
                record->runner_pid = ppid;
        if (core_apply(daemon->core, &event) == 0)
                (void)record_set_process(record, TAKE_FD(fd));
        record_set_dirty_soon(record);
}

void method_started(Peer *peer, Call *call, bool resumed) {
        Record *record = record_find(peer_daemon(peer), call->started.id);

        record->granted = false;
        started_process(record, peer_take_fd(peer));
}

void method_used(Peer *peer, Call *call, bool resumed) {
        Daemon *daemon = peer_daemon(peer);
        Event event = daemon_event(EVENT_USED, call->used.id);

        event.used.known = true;
        event.used.memory_bytes = call->used.memory_bytes;
        (void)core_apply(daemon->core, &event);

        /* It counts from the next look on (decisions.md 2); what waits may need less now. */
        daemon_look_at_ram(daemon);
        daemon_want_turn(daemon);
}

/* A power cut may bring back the record of a start whose end was taken long since. */
static bool is_of_another_try(const Task *task, const Call *call) {
        return call->ended.attempt != 0 && call->ended.attempt != task->attempt;
}

/*
 * Over, and not written yet: its agent was cut off when that failed, and says it again. Return: whether it is so; the answer waits
 * for the commit like the first one.
 */
static bool end_again(Peer *peer, const Call *call) {
        Daemon *daemon = peer_daemon(peer);
        const Task *task = core_find(daemon->core, call->ended.id);
        Record *record = record_find(daemon, call->ended.id);

        if (!task || !record || task->uid != peer->uid || !task_state_is_final(task->state))
                return false;
        if (task->state == TASK_STATE_LOST && !is_of_another_try(task, call))
                (void)record_end(record, call->ended.state, call->ended.exit_status,
                                 call->ended.signal, call->ended.reason, call->ended.ended_at_us);
        record_set_dirty(record);
        return true;
}

/*
 * The agent of a task that was called lost brings its status after all (decisions.md 17). The array that it is an element of
 * counted it as lost, and keeps that.
 *
 * Return: 0 if it is on record, -ENOENT, or another negative errno: it can't be written.
 */
static int correct_lost(Peer *peer, const Call *call) {
        Daemon *daemon = peer_daemon(peer);
        _cleanup_(task_freep) Task *task = NULL;
        char *reason = NULL;

        if (store_load_task(daemon->store, call->ended.id, &task) < 0 || task->uid != peer->uid)
                return -ENOENT;
        if (task->state != TASK_STATE_LOST || is_of_another_try(task, call))
                return 0;
        if (call->ended.reason) {
                reason = strdup(call->ended.reason);
                if (!reason)
                        return -ENOMEM;
        }
        free(task->reason);
        task->reason = reason;
        task->state = call->ended.state;
        task->exit_status = call->ended.exit_status;
        task->signal = call->ended.signal;
        task->ended_at_us = call->ended.ended_at_us;
        daemon->write_wanted = true;
        daemon_want_turn(daemon);
        return store_put_task(daemon->store, task);
}

/* Of a task that is over, or is not this connection's. Without an answer its agent says it again. */
static void end_late(Peer *peer, const Call *call) {
        int r = end_again(peer, call) ? 0 : correct_lost(peer, call);

        if (r == 0)
                peer_reply(peer, &(Reply){ .to = CALL_ENDED });
        else if (r == -ENOENT)
                peer_refuse(peer, CALL_ENDED, ERROR_NO_SUCH_TASK, "it is over");
        else
                peer_end(peer);
}

/* What its user at the terminal should know of it, now that it is over: one line, in @reply until free_notices(). */
static void add_notices(const Task *task, Reply *reply) {
        char words[EXCESS_SENTENCE_MAX];
        char line[NOTICE_MAX];
        unsigned at = 0;
        Excess excess;
        size_t n;

        if (task->detached || !excess_next(task, &at, &excess))
                return;
        n = (size_t)snprintf(line, sizeof(line), "task %" PRIu64 " took up to ",
                             task_ref_id(task->id));
        do {
                (void)excess_sentence(&excess, true, words, sizeof(words));
                n += (size_t)snprintf(line + n, sizeof(line) - n, "%s; ", words);
        } while (n + sizeof(words) + 2 < sizeof(line) && excess_next(task, &at, &excess));
        line[n - 2] = '\0';
        reply->ended.notices[0] = strdup(line);
        reply->ended.n_notices = reply->ended.notices[0] != NULL;
}

/* How far off its request was, likewise. */
static void add_hint(const Task *task, const Call *call, Reply *reply) {
        char words[SLACK_SENTENCE_MAX];

        if (task->detached || call->ended.state != TASK_STATE_DONE ||
            !slack_sentence(task, call->ended.ended_at_us, words, sizeof(words)))
                return;
        if (asprintf(&reply->ended.hint, "task %" PRIu64 " %s", task_ref_id(task->id), words) < 0)
                reply->ended.hint = NULL;
}

static void free_notices(Reply *reply) {
        for (size_t i = 0; i < reply->ended.n_notices; i++)
                free(reply->ended.notices[i]);
        free(reply->ended.hint);
}

void method_ended(Peer *peer, Call *call, bool resumed) {
        Record *record = record_find(peer_daemon(peer), call->ended.id);
        Reply reply = { .to = CALL_ENDED };
        int r;

        if (!record || record->owner != peer) {
                end_late(peer, call);
                return;
        }
        if (is_of_another_try(core_find(record->daemon->core, record->task_id), call)) {
                peer_reply(peer, &(Reply){ .to = CALL_ENDED });
                return;
        }
        if (peer->is_agent)
                rows_note_end(peer, core_find(record->daemon->core, record->task_id),
                              call->ended.ended_at_us);
        add_notices(core_find(record->daemon->core, record->task_id), &reply);
        add_hint(core_find(record->daemon->core, record->task_id), call, &reply);
        r = record_end(record, call->ended.state, call->ended.exit_status, call->ended.signal,
                       call->ended.reason, call->ended.ended_at_us);
        if (r < 0)
                peer_refuse(peer, CALL_ENDED, ERROR_WRONG_STATE, "task %" PRIu64 " is not running",
                            call->ended.id);
        else
                peer_reply(peer, &reply);
        free_notices(&reply);
}

void method_away(Peer *peer, Call *call, bool resumed) {
        Daemon *daemon = peer_daemon(peer);
        Record *record = record_find(daemon, call->away.id);
        Event event = daemon_event(call->away.away ? EVENT_RUNNER_AWAY : EVENT_RUNNER_BACK,
                                   call->away.id);

        /* It stopped with an offer open: the room is for others meanwhile. */
        if (call->away.away && record->offer) {
                Event returned = daemon_event(EVENT_OFFER_RETURNED, record->task_id);

                record_close_offer(record);
                (void)core_apply(daemon->core, &returned);
        }
        (void)core_apply(daemon->core, &event);
        daemon_want_turn(daemon);
}

/*
 * Of an array what waits in it, and those on their own that were never started, held ones for example. What has started goes on, with its
 * tries; if there is nothing else nothing is given up. Return: 0, or negative errno.
 */
static int give_up_array(Record *record, const char *reason) {
        Daemon *daemon = record->daemon;
        const Task *task = core_find(daemon->core, record->task_id);
        _cleanup_free_ uint64_t *elements = NULL;
        ssize_t n_own = array_own_elements(daemon, task, &elements);
        size_t n = 0;
        int r;

        for (ssize_t i = 0; i < n_own; i++)
                if (task_never_started(core_find(daemon->core, elements[i])))
                        elements[n++] = elements[i];
        if (n_own < 0 || (task->array->waiting.n == 0 && n == 0))
                return n_own < 0 ? -ENOMEM : 0;

        r = record_withdraw(record, reason);
        for (size_t i = 0; i < n && r == 0; i++)
                r = record_withdraw(record_find(daemon, elements[i]), reason);
        return r;
}

static int give_up(Record *record, const char *reason) {
        const Task *task = core_find(record->daemon->core, record->task_id);

        return task->array ? give_up_array(record, reason) : record_withdraw(record, reason);
}

void method_withdraw(Peer *peer, Call *call, bool resumed) {
        Record *record = record_find(peer_daemon(peer), call->withdraw.id);

        if (give_up(record, call->withdraw.reason) < 0) {
                peer_refuse(peer, CALL_WITHDRAW, ERROR_WRONG_STATE,
                            "task %" PRIu64 " is not waiting", call->withdraw.id);
                return;
        }
        peer_reply(peer, &(Reply){ .to = CALL_WITHDRAW });
}
