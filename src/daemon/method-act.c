/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Cancel, Hold, Release, Update: what a user does to tasks.
 */

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/ref.h"
#include "daemon/audit.h"
#include "daemon/methods.h"
#include "daemon/records.h"
#include "daemon/submit.h"
#include "util/cleanup.h"
#include "util/clock.h"

/* Acts on one task that the peer may act on. */
typedef IdOutcome (*act_fn)(Peer *peer, Record *record, const Task *task, int signal);

/* So that its owner can end what its runner does not (decisions.md 22). */
static void fill_process(const Record *record, const Task *task, IdResult *result) {
        result->pid = task->pid;
        result->pid_start_ticks = task->pid_start_ticks;
        (void)snprintf(result->boot_id, sizeof(result->boot_id), "%s", task->boot_id);
        result->runner_pid = record->runner_pid;
}

/* The array that an element waits in, as no task of its own. NULL: it is none of these. */
static const Task *array_of_waiting(const Daemon *daemon, uint64_t id) {
        const Task *array = core_find(daemon->core, task_ref_id(id));
        int64_t index = task_ref_index(id);

        return array && array->array && index >= 0 &&
                               index_set_contains(&array->array->waiting, (uint32_t)index) ?
                       array :
                       NULL;
}

/*
 * An element that waits in its array becomes a task of its own when something happens to it alone. One that is cancelled is
 * over at once; of others a user may have no more than if he had submitted them.
 *
 * Return: the outcome, if it is not to become one; else ID_OUTCOME_DONE.
 */
static IdOutcome split_off(Daemon *daemon, CallType type, uint64_t id, Peer *peer) {
        const Task *array = array_of_waiting(daemon, id);
        Record *record;

        if (!array)
                return ID_OUTCOME_DONE;
        if (!methods_may_act(peer, array->uid)) {
                audit_refused(peer, type, id, array->uid);
                return ID_OUTCOME_NOT_YOURS;
        }
        if ((type != CALL_CANCEL && !submit_is_room_for(daemon, array->uid, 1)) ||
            record_split(record_find(daemon, array->id), (uint32_t)task_ref_index(id), &record) < 0)
                return ID_OUTCOME_LIMIT;
        return ID_OUTCOME_DONE;
}

/* An id that is not in the core may be one that has ended. */
static IdOutcome outcome_of_stranger(Daemon *daemon, uint64_t id, TaskState *ret_state) {
        _cleanup_(task_freep) Task *stored = NULL;

        if (store_load_task(daemon->store, id, &stored) < 0)
                return ID_OUTCOME_NO_SUCH_TASK;
        *ret_state = stored->state;
        return ID_OUTCOME_WRONG_STATE;
}

static void act_on_one(Peer *peer,
                       CallType type,
                       uint64_t id,
                       int signal,
                       act_fn act,
                       IdResult *result) {
        Daemon *daemon = peer_daemon(peer);
        const Task *task;
        Record *record;
        uid_t owner;

        result->id = id;
        result->outcome = split_off(daemon, type, id, peer);
        if (result->outcome != ID_OUTCOME_DONE)
                return;
        task = core_find(daemon->core, id);
        record = record_find(daemon, id);
        if (!task || !record) {
                result->outcome = outcome_of_stranger(daemon, id, &result->state);
                return;
        }
        result->state = task->state;
        if (!methods_may_act(peer, task->uid)) {
                audit_refused(peer, type, id, task->uid);
                result->outcome = ID_OUTCOME_NOT_YOURS;
                return;
        }
        if (task_state_is_final(task->state)) {
                result->outcome = ID_OUTCOME_WRONG_STATE;
                return;
        }
        if (task->state == TASK_STATE_RUNNING)
                fill_process(record, task, result);
        owner = task->uid;
        result->outcome = act(peer, record, task, signal);
        if (result->outcome != ID_OUTCOME_WRONG_STATE)
                audit_act(peer, type, id, owner);
        task = core_find(daemon->core, id);
        result->state = task->state;
}

ssize_t array_own_elements(Daemon *daemon, const Task *array, uint64_t **ret) {
        uint64_t *ids;
        size_t n = 0;

        *ret = NULL;
        if (!array || !array->array || array->array->n_apart == 0)
                return 0;
        ids = calloc(array->array->n_apart, sizeof(*ids));
        if (!ids)
                return -ENOMEM;
        for (const Record *record = daemon->records; record && n < array->array->n_apart;
             record = record->hh.next) {
                const Task *task;

                if (task_ref_id(record->task_id) != array->id || record->task_id == array->id)
                        continue;
                task = core_find(daemon->core, record->task_id);
                if (task && !task_state_is_final(task->state))
                        ids[n++] = task->id;
        }
        *ret = ids;
        return (ssize_t)n;
}

/* What is done to an array is done to its elements, too; each of those has a result of its own behind the array's. */
static int with_elements(Daemon *daemon, const IdList *ids, IdList *ret) {
        IdList all = {};
        size_t n_allocated = 0;

        for (size_t i = 0; i < ids->n; i++) {
                _cleanup_free_ uint64_t *elements = NULL;
                ssize_t n =
                        array_own_elements(daemon, core_find(daemon->core, ids->ids[i]), &elements);
                uint64_t *grown;

                if (n >= 0 && all.n + (size_t)n + 1 > n_allocated) {
                        n_allocated = 2 * n_allocated + (size_t)n + 16;
                        grown = reallocarray(all.ids, n_allocated, sizeof(*grown));
                        if (grown)
                                all.ids = grown;
                        n = grown ? n : -ENOMEM;
                }
                if (n < 0) {
                        free(all.ids);
                        return -ENOMEM;
                }
                all.ids[all.n++] = ids->ids[i];
                for (ssize_t k = 0; k < n && all.n < WIRE_IDS_MAX; k++)
                        all.ids[all.n++] = elements[k];
        }
        *ret = all;
        return 0;
}

static void act_on_all(Peer *peer, const Call *call, act_fn act) {
        _cleanup_free_ IdResult *results = NULL;
        IdList all = {};
        size_t n;

        if (with_elements(peer_daemon(peer), &call->ids.ids, &all) >= 0)
                results = calloc(all.n + 1, sizeof(*results));
        if (!results) {
                free(all.ids);
                peer_refuse(peer, call->type, ERROR_FAILED, "the daemon is out of memory");
                return;
        }
        n = all.n;
        for (size_t i = 0; i < n; i++)
                act_on_one(peer, call->type, all.ids[i], call->ids.signal, act, &results[i]);
        free(all.ids);
        records_hold_answers(peer_daemon(peer));
        peer_reply(peer, &(Reply){ .to = call->type, .ids = { .n = n, .results = results } });
        daemon_want_turn(peer_daemon(peer));
}

/*
 * It is answered when it is on the disk that the task is not to be tried again. Its runner is told at once: on a full disk too, where
 * agents are cut off from a daemon that can't write.
 */
static IdOutcome cancel_running(Record *record, const Task *task, int signal) {
        Event event = daemon_event(EVENT_CANCELLED, record->task_id);

        (void)core_apply(record->daemon->core, &event);
        record->daemon->sync_wanted |= task->detached;
        record_set_dirty_behind(record);
        if (!record->owner)
                return ID_OUTCOME_NO_RUNNER;
        record_send_end(record, signal);
        return ID_OUTCOME_ENDING;
}

static IdOutcome cancel_one(Peer *peer, Record *record, const Task *task, int signal) {
        char reason[64];

        if (task->state == TASK_STATE_RUNNING)
                return cancel_running(record, task, signal);
        if (peer->uid == task->uid)
                (void)snprintf(reason, sizeof(reason), "cancelled");
        else
                (void)snprintf(reason, sizeof(reason), "cancelled by uid %u", peer->uid);
        return record_cancel(record, reason) < 0 ? ID_OUTCOME_WRONG_STATE : ID_OUTCOME_DONE;
}

void method_cancel(Peer *peer, Call *call, bool resumed) {
        act_on_all(peer, call, cancel_one);
}

static IdOutcome apply_one(Record *record, EventType type) {
        Event event = daemon_event(type, record->task_id);

        if (core_apply(record->daemon->core, &event) != 0)
                return ID_OUTCOME_WRONG_STATE;
        record_set_dirty(record);
        return ID_OUTCOME_DONE;
}

static IdOutcome hold_one(Peer *peer, Record *record, const Task *task, int signal) {
        if (task->state == TASK_STATE_PENDING && record->offer) {
                Event event = daemon_event(EVENT_OFFER_RETURNED, record->task_id);

                record_close_offer(record);
                (void)core_apply(record->daemon->core, &event);
        }
        return apply_one(record, EVENT_HELD);
}

static IdOutcome release_one(Peer *peer, Record *record, const Task *task, int signal) {
        return apply_one(record, EVENT_RELEASED);
}

void method_hold(Peer *peer, Call *call, bool resumed) {
        act_on_all(peer, call, hold_one);
}

void method_release(Peer *peer, Call *call, bool resumed) {
        act_on_all(peer, call, release_one);
}

static void refuse_update_of(Peer *peer, const char *ref, TaskState state) {
        peer_refuse(peer, CALL_UPDATE, ERROR_WRONG_STATE,
                    "cannot update task %s: it is %s, and only a waiting one can be changed", ref,
                    task_state_to_string(state));
}

void method_update_refuse(Peer *peer, uint64_t id) {
        Daemon *daemon = peer_daemon(peer);
        _cleanup_(task_freep) Task *stored = NULL;
        const Task *array = array_of_waiting(daemon, id);
        const Task *task = array ? array : core_find(daemon->core, id);
        char ref[TASK_REF_FORMAT_MAX];

        (void)task_ref_format(ref, sizeof(ref), id);
        if (!task && store_load_task(daemon->store, id, &stored) == 0)
                task = stored;
        if (!task) {
                peer_refuse(peer, CALL_UPDATE, ERROR_NO_SUCH_TASK,
                            "there is no task %s; 'taskflow ps -a' shows all", ref);
        } else if (!methods_may_act(peer, task->uid)) {
                audit_refused(peer, CALL_UPDATE, id, task->uid);
                peer_refuse(peer, CALL_UPDATE, ERROR_NOT_PERMITTED,
                            "cannot update task %s: it is not yours", ref);
        } else if (array) {
                peer_refuse(peer, CALL_UPDATE, ERROR_NO_SUCH_TASK,
                            "cannot update task %s: it waits in an array, which is updated as a "
                            "whole; name task %" PRIu64 ", or hold %s first",
                            ref, array->id, ref);
        } else {
                refuse_update_of(peer, ref, task->state);
        }
}

/* What it asks for after the change. Return: 0 or -ENOMEM. */
static int changed_needs(Needs *ret, const Needs *old, const Call *call) {
        const Needs *said = &call->update.needs;
        Needs changed = *old; /* borrowed */

        if (call->update.set_needs_memory)
                changed.memory_bytes = said->memory_bytes;
        if (call->update.set_needs_cpus)
                changed.cpus = said->cpus;
        if (call->update.set_needs_gpus) {
                changed.gpus = said->gpus;
                changed.n_gpus = said->n_gpus;
        }
        if (call->update.set_needs_tokens) {
                changed.tokens = said->tokens;
                changed.n_tokens = said->n_tokens;
        }
        return needs_copy(ret, &changed);
}

/* Those of the task's user, whoever changes it. */
static int check_limits(const Daemon *daemon,
                        uint64_t id,
                        const Needs *needs,
                        const Call *call,
                        Error *error) {
        const Task *task = core_find(daemon->core, id);
        UserRules rules = core_user_rules(daemon->core, task->uid);

        return core_check_limits(daemon->core, &rules, needs,
                                 call->update.set_time_limit ? call->update.time_limit_us :
                                                               task->time_limit_us,
                                 error);
}

static bool sets_needs(const Call *call) {
        return call->update.set_needs_memory || call->update.set_needs_cpus ||
               call->update.set_needs_gpus || call->update.set_needs_tokens;
}

/* Return: whether it was done; refuses otherwise. */
static bool update_task(Peer *peer, Record *record, const Call *call, Needs *needs) {
        Daemon *daemon = peer_daemon(peer);
        Event event = daemon_event(EVENT_UPDATED, record->task_id);
        Error error = {};
        bool set_needs = sets_needs(call);

        if ((set_needs || call->update.set_time_limit) &&
            check_limits(daemon, record->task_id, needs, call, &error) != 0) {
                peer_refuse(peer, CALL_UPDATE, ERROR_IMPOSSIBLE, "%s", error.text);
                return false;
        }
        event.updated = (TaskUpdate){
                .needs = set_needs ? needs : NULL,
                .priority = call->update.set_priority ? (int)call->update.priority : -1,
                .set_time_limit = call->update.set_time_limit,
                .time_limit_us = call->update.time_limit_us,
                .name = call->update.set_name ? call->update.name : NULL,
        };
        if (core_apply(daemon->core, &event) == 0)
                return true;
        peer_refuse(peer, CALL_UPDATE, ERROR_FAILED, "the daemon is out of memory");
        return false;
}

void method_update(Peer *peer, Call *call, bool resumed) {
        Daemon *daemon = peer_daemon(peer);
        Record *record = record_find(daemon, call->update.id);
        const Task *task = core_find(daemon->core, call->update.id);
        uid_t owner = task->uid;
        char ref[TASK_REF_FORMAT_MAX];
        Needs needs = {};

        if (task->state != TASK_STATE_PENDING && task->state != TASK_STATE_HELD) {
                refuse_update_of(peer, task_ref_format(ref, sizeof(ref), task->id), task->state);
                return;
        }
        if (changed_needs(&needs, &task->needs, call) < 0) {
                peer_refuse(peer, CALL_UPDATE, ERROR_FAILED, "the daemon is out of memory");
                return;
        }
        if (sets_needs(call) && !submit_look_up(peer, call, &needs, resumed)) {
                needs_done(&needs);
                return;
        }
        if (record->offer) {
                Event event = daemon_event(EVENT_OFFER_RETURNED, record->task_id);

                record_close_offer(record);
                (void)core_apply(daemon->core, &event);
        }
        if (update_task(peer, record, call, &needs)) {
                audit_act(peer, CALL_UPDATE, record->task_id, owner);
                record_count(record);
                record_set_dirty(record);
                peer_reply(peer, &(Reply){ .to = CALL_UPDATE });
        }
        needs_done(&needs);
        daemon_want_turn(daemon);
}
