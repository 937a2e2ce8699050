/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Submit and SubmitMany of detached tasks, Agent, Resume
 *
 * What is queued here is in the core at once, and answered when the turn's commit is on the disk: a reply that waits for it
 * is kept by the peer (peers_release()), and if it fails the connection is cut instead.
 */

#include "daemon/agents.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/after.h"
#include "daemon/log.h"
#include "daemon/submit.h"
#include "util/cleanup.h"
#include "util/clock.h"

/* The id of a task that was submitted before, with the same key. 0: none. */
static uint64_t find_known(Peer *peer, const Task *task) {
        Daemon *daemon = peer_daemon(peer);
        const Task *known = core_find_key(daemon->core, peer->uid, task->key);
        _cleanup_(task_freep) Task *stored = NULL;

        if (known)
                return known->id;
        if (store_load_key(daemon->store, peer->uid, task->key, &stored) == 0)
                return stored->id;
        return 0;
}

/* A command that lost its agent may ask again for what is over by now: the agent is to forget it. */
static void tell_if_over(Peer *peer, uint64_t id) {
        const Task *task = core_find(peer_daemon(peer)->core, id);

        if (!task || task_state_is_final(task->state))
                peer_send(peer,
                          &(Call){ .type = CALL_WITHDRAWN,
                                   .oneway = true,
                                   .withdraw = { .id = id, .reason = (char[]){ "it is over" } } });
}

/* Whether it could be queued; else the call was answered, or parked. */
static bool is_sound(Peer *peer, Call *call, Task *task, bool resumed) {
        Error error = {};
        int r;

        if (!submit_resolve(peer, call, task, resumed))
                return false;
        r = after_resolve(peer_daemon(peer), task, &error);
        if (r != 0)
                submit_refuse_after(peer, call->type, r, &error);
        return r == 0;
}

/* Queues it. Return: its id, or 0: refused. @task: taken unless 0. */
static uint64_t queue_one(Peer *peer, CallType type, Task **task, Notices *notices) {
        Daemon *daemon = peer_daemon(peer);
        Record *record;
        uint64_t id;
        int r;

        r = store_take_id(daemon->store, &(*task)->id);
        if (r < 0) {
                submit_refuse_ids(peer, type, r);
                return 0;
        }
        id = (*task)->id;
        submit_prepare(peer, *task, notices);
        record = submit_enter(peer, TAKE_PTR(*task));
        if (!record) {
                peer_refuse(peer, type, ERROR_FAILED, "the daemon is out of memory");
                return 0;
        }
        record->fresh = true;
        daemon->sync_wanted = true;
        record_set_dirty(record);
        return id;
}

/* Now or not at all: whether it could start now; else the call was answered, or parked. */
static bool could_start(Peer *peer, Call *call, bool resumed) {
        Daemon *daemon = peer_daemon(peer);
        const Task *task = call->submit.task;
        _cleanup_free_ Explain *explain = NULL;
        Reply reply = {
                .to = CALL_SUBMIT,
                .error = ERROR_CANNOT_START_NOW,
                .message = (char[]){ "it cannot start now" },
        };

        if (daemon->starting) {
                peer_park(peer, call, START_PATIENCE_US);
                return false;
        }
        if (submit_parks_for_gpus(peer, call, resumed, clock_boottime_us()))
                return false;
        explain = malloc(sizeof(*explain));
        daemon_look_at_ram(daemon);
        reply.boot_us = clock_boottime_us();
        if (task->n_after == 0 && explain &&
            core_explain_new(daemon->core, task, peer->uid, reply.boot_us, explain) == 0) {
                if (explain->n_lacks == 0)
                        return true;
                reply.explain = explain;
        }
        peer_reply(peer, &reply);
        return false;
}

static bool must_be_agent(Peer *peer, const Call *call) {
        if (!peer->is_agent)
                peer_refuse(peer, call->type, ERROR_NOT_PERMITTED,
                            "detached tasks are submitted by an agent, which says so first");
        return peer->is_agent;
}

void agents_submit(Peer *peer, Call *call, bool resumed) {
        Daemon *daemon = peer_daemon(peer);
        _cleanup_(notices_done) Notices notices = {};
        Task *task = call->submit.task;
        Reply reply = { .to = CALL_SUBMIT };

        if (!must_be_agent(peer, call))
                return;
        reply.submit.delay_us = task->delay_us;
        reply.submit.id = find_known(peer, task);
        if (reply.submit.id == 0) {
                if (!submit_is_within_limits(peer, CALL_SUBMIT, 1) ||
                    !is_sound(peer, call, task, resumed) ||
                    (call->submit.immediate && !could_start(peer, call, resumed)))
                        return;
                reply.submit.id = queue_one(peer, CALL_SUBMIT, &call->submit.task, &notices);
                if (reply.submit.id == 0)
                        return;
                reply.submit.delay_us = core_find(daemon->core, reply.submit.id)->delay_us;
        }
        (void)snprintf(reply.submit.database, sizeof(reply.submit.database), "%s",
                       store_database_id(daemon->store));
        reply.submit.look_interval_us = daemon->look_interval_us;
        reply.submit.n_notices = notices.n;
        (void)memcpy(reply.submit.notices, notices.texts, sizeof(notices.texts));
        peer_reply(peer, &reply);
        tell_if_over(peer, reply.submit.id);
}

/* Those that are new must all be sound before the first is queued. */
static bool are_sound(Peer *peer, Call *call, uint64_t *ids, bool resumed) {
        size_t n_new = 0;

        for (size_t i = 0; i < call->submit_many.n; i++) {
                Task *task = call->submit_many.items[i].task;

                ids[i] = find_known(peer, task);
                n_new += ids[i] == 0;
                if (!task->detached) {
                        peer_refuse(peer, call->type, ERROR_BAD_REQUEST,
                                    "only detached tasks are submitted many at a time");
                        return false;
                }
        }
        if (n_new > 0 && !submit_is_within_limits(peer, call->type, n_new))
                return false;
        for (size_t i = 0; i < call->submit_many.n; i++)
                if (ids[i] == 0 && !is_sound(peer, call, call->submit_many.items[i].task, resumed))
                        return false;
        return true;
}

/* All or nothing: what was queued of a call that is refused. */
static void take_back(Daemon *daemon, const uint64_t *ids, size_t n) {
        for (size_t i = 0; i < n; i++) {
                Record *record = record_find(daemon, ids[i]);
                Event event = daemon_event(EVENT_WITHDRAWN, ids[i]);

                if (!record || !record->fresh)
                        continue;
                (void)core_apply(daemon->core, &event);
                record_free(record);
                core_forget(daemon->core, ids[i]);
        }
}

void method_submit_many(Peer *peer, Call *call, bool resumed) {
        size_t n = call->submit_many.n;
        _cleanup_free_ uint64_t *ids = calloc(n + 1, sizeof(*ids));
        _cleanup_(notices_done) Notices notices = {};
        Reply reply = { .to = CALL_SUBMIT_MANY };

        if (!must_be_agent(peer, call))
                return;
        if (!ids) {
                peer_refuse(peer, call->type, ERROR_FAILED, "the daemon is out of memory");
                return;
        }
        if (!are_sound(peer, call, ids, resumed))
                return;
        for (size_t i = 0; i < n; i++) {
                if (ids[i] == 0)
                        ids[i] = queue_one(peer, call->type, &call->submit_many.items[i].task,
                                           &notices);
                if (ids[i] == 0) {
                        take_back(peer_daemon(peer), ids, i);
                        return;
                }
        }
        reply.submit_many.ids = (IdList){ .n = n, .ids = ids };
        reply.submit_many.n_notices = notices.n;
        (void)memcpy(reply.submit_many.notices, notices.texts, sizeof(notices.texts));
        peer_reply(peer, &reply);
        for (size_t i = 0; i < n; i++)
                tell_if_over(peer, ids[i]);
}

/*
 * There is one for each user, and another one may know nothing of what this one has: it does not get its tasks while that is
 * there. One that was killed may not be noticed yet.
 *
 * Return: whether there is none.
 */
static bool is_only_agent(Peer *peer) {
        for (Peer *other = peers_first(peer->peers); other; other = other->next) {
                if (other == peer || !other->is_agent || other->uid != peer->uid)
                        continue;
                if (!peer_has_hung_up(other)) {
                        peer_refuse(peer, CALL_AGENT, ERROR_WRONG_STATE,
                                    "another agent of yours, process %d, has your tasks: it works "
                                    "in another folder (HOME, XDG_STATE_HOME)",
                                    other->pid);
                        return false;
                }
                other->is_agent = false;
                peer_end(other);
        }
        return true;
}

/* An agent does away with what is listed as further than it knows: it is to hear of nothing that is not on the disk. */
static bool is_written(Peer *peer, const Call *call) {
        Daemon *daemon = peer_daemon(peer);

        if (daemon->store_error == 0 || records_write(daemon))
                return true;
        peer_refuse(peer, call->type, ERROR_FAILED,
                    "the daemon cannot write to its folder '%s': is the disk full?",
                    daemon->state_dir);
        return false;
}

void method_agent(Peer *peer, Call *call, bool resumed) {
        Daemon *daemon = peer_daemon(peer);
        Lister *lister;

        if (!is_written(peer, call) || !is_only_agent(peer))
                return;
        lister = calloc(1, sizeof(*lister));
        if (lister)
                lister->ids = calloc(HASH_COUNT(daemon->records) + 1, sizeof(*lister->ids));
        if (!lister || !lister->ids) {
                free(lister);
                peer_refuse(peer, call->type, ERROR_FAILED, "the daemon is out of memory");
                return;
        }
        peer->is_agent = true;
        lister->type = CALL_AGENT;
        for (const Record *record = daemon->records; record; record = record->hh.next) {
                const Task *task = core_find(daemon->core, record->task_id);

                if (task && task->detached && task->uid == peer->uid &&
                    !task_state_is_final(task->state))
                        lister->ids[lister->n_ids++] = task->id;
        }
        peer->lister = lister;
        lister_continue(peer);
}

/* From here on it is offered what can start. */
static void own_all(Peer *peer) {
        Daemon *daemon = peer_daemon(peer);

        for (size_t i = 0; i < peer->lister->n_ids; i++) {
                Record *record = record_find(daemon, peer->lister->ids[i]);
                Event event = daemon_event(EVENT_RUNNER_BACK, peer->lister->ids[i]);

                if (!record)
                        continue;
                record_set_owner(record, peer);
                (void)core_apply(daemon->core, &event);
        }
        submit_check_all_attached(daemon);
        daemon_want_turn(daemon);
}

bool agents_list(Peer *peer) {
        Daemon *daemon = peer_daemon(peer);
        Lister *lister = peer->lister;
        AgentTask tasks[WIRE_AGENT_PART];
        Reply reply = { .to = CALL_AGENT, .agent.tasks = tasks };

        while (lister->next < lister->n_ids && reply.agent.n < WIRE_AGENT_PART) {
                const Task *task = core_find(daemon->core, lister->ids[lister->next++]);
                const Task *array;
                AgentTask *item = &tasks[reply.agent.n];

                if (!task || task_state_is_final(task->state))
                        continue;
                array = core_find(daemon->core, task_ref_id(task->id));
                *item = (AgentTask){ .id = task->id,
                                     .state = task->state,
                                     .attempt = task->attempt };
                (void)memcpy(item->key, array ? array->key : task->key, sizeof(item->key));
                reply.agent.n++;
        }
        reply.continues = lister->next < lister->n_ids;
        (void)snprintf(reply.agent.database, sizeof(reply.agent.database), "%s",
                       store_database_id(daemon->store));
        reply.agent.look_interval_us = daemon->look_interval_us;
        reply.agent.log_limit_bytes = daemon->settings.log_limit_bytes;
        reply.agent.log_keep_us = daemon->settings.log_keep_us;
        peer_reply(peer, &reply);
        if (!reply.continues)
                own_all(peer);
        return reply.continues;
}

/* Whether a task that was called lost is as its agent has it. */
static bool is_lost_and_found(const Peer *peer, const Call *call, const Task *task) {
        const Daemon *daemon = peer_daemon(peer);

        if (task->uid != peer->uid || task->state != TASK_STATE_LOST || !task->detached ||
            task->attempt != call->resume.attempt)
                return false;
        /* That it was not started says the lack of a record, which a power cut may have taken. */
        return call->resume.running ||
               (task->pid == 0 && strcmp(task->boot_id, daemon->boot_id) == 0);
}

/* A task that was called lost, and of which its agent knows better. Return: 0, -ENOENT, or another negative errno. */
static int bring_back(Peer *peer, const Call *call, Record **ret) {
        Daemon *daemon = peer_daemon(peer);
        _cleanup_(task_freep) Task *task = NULL;
        uint64_t id = call->resume.id;
        const Task *in_core = core_find(daemon->core, id);
        int r = 0;

        if (in_core)
                task = task_copy(in_core);
        else
                r = store_load_task(daemon->store, id, &task);
        if (r < 0 || !task)
                return r < 0 ? r : -ENOMEM;
        if (!is_lost_and_found(peer, call, task))
                return -ENOENT;
        if (in_core) { /* lost in this very turn: what is written of it is enough */
                record_free(record_find(daemon, id));
                core_forget(daemon->core, id);
        }
        task->state = call->resume.running ? TASK_STATE_RUNNING : TASK_STATE_PENDING;
        task->ended_at_us = 0;
        task->queued_boot_us = clock_boottime_us();
        free(task->reason);
        task->reason = NULL;
        (void)snprintf(task->boot_id, sizeof(task->boot_id), "%s", daemon->boot_id);
        *ret = submit_enter(peer, TAKE_PTR(task));
        return *ret ? 0 : -ENOMEM;
}

/* It was accepted, but nothing was started: it waits again. */
static void return_to_queue(Record *record) {
        Event event = daemon_event(EVENT_OFFER_RETURNED, record->task_id);

        (void)core_apply(record->daemon->core, &event);
        record->granted = false;
        record_close_offer(record);
        if (core_find(record->daemon->core, record->task_id)->cancelled)
                (void)record_cancel(record, "cancelled");
}

void method_resume(Peer *peer, Call *call, bool resumed) {
        Daemon *daemon = peer_daemon(peer);
        _cleanup_close_ int pid_fd = peer_take_fd(peer);
        const Task *task = core_find(daemon->core, call->resume.id);
        Record *record = record_find(daemon, call->resume.id);
        Reply reply = { .to = CALL_RESUME };

        if (!task || task_state_is_final(task->state)) {
                if (bring_back(peer, call, &record) < 0) {
                        peer_refuse(peer, call->type, ERROR_NO_SUCH_TASK, "it is over");
                        return;
                }
                task = core_find(daemon->core, record->task_id);
        }
        if (record->owner != peer || task->attempt != call->resume.attempt ||
            (call->resume.running && task->state != TASK_STATE_RUNNING)) {
                peer_refuse(peer, call->type, ERROR_WRONG_STATE, "that is not how far it is");
                return;
        }
        if (call->resume.running) {
                record->granted = false;
                started_process(record, TAKE_FD(pid_fd));
        } else if (task->state == TASK_STATE_RUNNING && task->pid == 0) {
                return_to_queue(record);
        } else if (task->state == TASK_STATE_RUNNING) {
                record_judge_process(record);
        }
        record_set_dirty(record);
        daemon_want_turn(daemon);
        reply.resume.state = core_find(daemon->core, record->task_id)->state;
        peer_reply(peer, &reply);
}
