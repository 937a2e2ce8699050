/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Attach: how a task comes back, when its runner has lost the daemon, or the daemon its memory. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "daemon/audit.h"
#include "daemon/submit.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/fd.h"

static bool is_of_our_database(const Daemon *daemon, const Call *call) {
        return strcmp(call->attach.database, store_database_id(daemon->store)) == 0;
}

/* Whether a crash may just have come to this task before its first commit, and its runner now comes back (decisions.md 17). */
static bool may_be_lost(const Daemon *daemon, uint64_t id) {
        return clock_boottime_us() < daemon->attach_until_us &&
               store_may_have_lost(daemon->store, id);
}

static bool is_same_task(const Task *task, const Peer *peer, const Call *call) {
        return task->uid == peer->uid &&
               memcmp(task->key, call->attach.task->key, TASK_KEY_BYTES) == 0;
}

/*
 * Whether a task that comes back may have its id. With that goes a place in line, and a row of the history: it is of a task of the
 * same user and key, or of none.
 */
static bool may_have_id(const Daemon *daemon, const Peer *peer, const Call *call) {
        uint64_t id = call->attach.task->id;
        _cleanup_(task_freep) Task *stored = NULL;
        int r;

        if (!is_of_our_database(daemon, call) || core_find(daemon->core, id))
                return false;
        r = store_load_task(daemon->store, id, &stored);
        if (r < 0)
                return r == -ENOENT && may_be_lost(daemon, id);
        return is_same_task(stored, peer, call);
}

/* What a runner says of a task that nobody here knows brings it no more than submitting it now would. */
static void distrust(const Daemon *daemon, const Peer *peer, Task *task) {
        bool this_boot = strcmp(task->boot_id, daemon->boot_id) == 0;
        uint64_t submitted_at_us = task->submitted_at_us;
        _cleanup_(notices_done) Notices notices = {};

        submit_stamp(daemon, peer, task);
        if (this_boot)
                task->submitted_at_us = MIN(submitted_at_us, task->submitted_at_us);
        task->started_boot_us = MIN(task->started_boot_us, task->queued_boot_us);
        if (!started_is_of(task->pid, task->pid_start_ticks, peer->pid, peer->uid))
                task->pid = 0;
        submit_apply_delay(daemon, peer, task, &notices);
}

/* A task that this daemon does not know as active: one that it forgot with a crash, judged too early, or another's. */
static Record *enter_attached(Peer *peer, Call *call) {
        Daemon *daemon = peer_daemon(peer);
        Task *task = call->attach.task;
        Error error = {};

        if (!may_have_id(daemon, peer, call) && store_take_id(daemon->store, &task->id) < 0)
                return NULL;
        distrust(daemon, peer, task);
        task->state = call->attach.started ? TASK_STATE_RUNNING : TASK_STATE_PENDING;
        /* What could never have been granted was not: it must not be in everybody's way. */
        if (core_resolve(daemon->core, &task->needs, &error) == CORE_E_IMPOSSIBLE &&
            call->attach.started) {
                task->needs.memory_bytes = 0;
                task->needs.cpus = 0;
                needs_drop_tokens(&task->needs);
        }
        return submit_enter(peer, TAKE_PTR(call->attach.task));
}

/* It runs, whatever we thought: the crash came between its accept and our writing it down. False: it makes no sense. */
static bool make_running(Record *record, const Task *attached) {
        Daemon *daemon = record->daemon;
        const Task *task = core_find(daemon->core, record->task_id);
        Event event;

        if (task->state == TASK_STATE_RUNNING)
                return true;
        if (attached->needs.n_gpus != task->needs.n_gpus)
                return false; /* the core copies as many GPUs as the task that it knows asked for */
        if (task->state == TASK_STATE_HELD) {
                event = daemon_event(EVENT_RELEASED, record->task_id);
                (void)core_apply(daemon->core, &event);
        }
        if (!record->offer) {
                event = daemon_event(EVENT_OFFERED, record->task_id);
                event.offered.gpus = attached->gpus;
                (void)core_apply(daemon->core, &event);
        }
        record_close_offer(record);
        event = daemon_event(EVENT_ACCEPTED, record->task_id);
        return core_apply(daemon->core, &event) == 0;
}

/* What is over here: its end stays, unless it was judged lost and runs after all. Return: whether it was answered. */
static bool answer_over(Peer *peer, const Call *call) {
        Daemon *daemon = peer_daemon(peer);
        Reply reply = { .to = CALL_ATTACH };
        const Task *in_core = core_find(daemon->core, call->attach.task->id);
        Task *stored = NULL;
        const Task *task = in_core;
        bool ours, over;

        if (!is_of_our_database(daemon, call))
                return false;
        if (!task && store_load_task(daemon->store, call->attach.task->id, &stored) == 0)
                task = stored;
        ours = task && task_state_is_final(task->state) && is_same_task(task, peer, call);
        over = ours && !(task->state == TASK_STATE_LOST && call->attach.started);
        if (over) {
                reply.attach.id = task->id;
                reply.attach.state = task->state;
                peer_reply(peer, &reply);
        }
        if (ours && !over && in_core) {
                /* lost a moment ago, not written yet: it comes in again as new */
                record_free(record_find(daemon, in_core->id));
                core_forget(daemon->core, call->attach.task->id);
        }
        (void)task_free(stored);
        return over;
}

/* The task as this daemon has it, if the peer may have it; refuses otherwise. */
static Record *find_attached(Peer *peer, Call *call) {
        Daemon *daemon = peer_daemon(peer);
        const Task *task = core_find_key(daemon->core, peer->uid, call->attach.task->key);
        const Task *other = core_find(daemon->core, call->attach.task->id);

        if (task && task->detached) {
                peer_refuse(peer, CALL_ATTACH, ERROR_NOT_PERMITTED,
                            "task %" PRIu64 " is your agent's", task->id);
                return NULL;
        }
        if (task)
                return record_find(daemon, task->id);
        /* Of an id that was lost, nobody knows who had it. */
        if (other && is_of_our_database(daemon, call) && !may_be_lost(daemon, other->id)) {
                audit_refused(peer, CALL_ATTACH, other->id, other->uid);
                peer_refuse(peer, CALL_ATTACH, ERROR_NOT_PERMITTED, "task %" PRIu64 " is not yours",
                            other->id);
                return NULL;
        }
        if (!peer->is_allowed) {
                peer_refuse(peer, CALL_ATTACH, ERROR_NOT_PERMITTED,
                            "the settings keep you out, and the task is not known");
                return NULL;
        }
        if (!submit_is_room_for(daemon, peer->uid, 1) ||
            core_n_running_of(daemon->core, peer->uid) >=
                    core_policy(daemon->core)->max_active_per_uid) {
                peer_refuse(peer, CALL_ATTACH, ERROR_LIMIT,
                            "you have as many tasks as max_pending_per_user, or the daemon's "
                            "memory, allows");
                return NULL;
        }
        return enter_attached(peer, call);
}

void method_attach(Peer *peer, Call *call, bool resumed) {
        Daemon *daemon = peer_daemon(peer);
        Reply reply = { .to = CALL_ATTACH };
        bool started = call->attach.started;
        _cleanup_(task_freep) Task *attached = NULL;
        _cleanup_close_ int pid_fd = peer_take_fd(peer);
        Record *record;
        Event event;

        if (!submit_may_be_foreground(peer, CALL_ATTACH, call->attach.task) ||
            answer_over(peer, call))
                return;
        record = find_attached(peer, call);
        if (!record) {
                if (call->attach.task == NULL)
                        peer_refuse(peer, CALL_ATTACH, ERROR_FAILED,
                                    "the daemon could not take the task back");
                return;
        }
        attached = TAKE_PTR(call->attach.task);
        record_set_owner(record, peer);
        event = daemon_event(EVENT_RUNNER_BACK, record->task_id);
        (void)core_apply(daemon->core, &event);
        if (!started && core_find(daemon->core, record->task_id)->state == TASK_STATE_RUNNING) {
                /* accepted, but that word did not reach it: nothing runs */
                event = daemon_event(EVENT_OFFER_RETURNED, record->task_id);
                (void)core_apply(daemon->core, &event);
                record->granted = false;
        }
        if (started && attached && !make_running(record, attached)) {
                peer_refuse(peer, CALL_ATTACH, ERROR_WRONG_STATE,
                            "task %" PRIu64 " is not what was started", record->task_id);
                return;
        }
        if (started)
                started_process(record, TAKE_FD(pid_fd));
        record_set_dirty(record);
        submit_check_all_attached(daemon);
        reply.attach.id = record->task_id;
        reply.attach.state = core_find(daemon->core, record->task_id)->state;
        reply.attach.look_interval_us = daemon->look_interval_us;
        peer_reply(peer, &reply);
}
