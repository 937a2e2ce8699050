/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "daemon/records.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>

#include "daemon/log.h"
#include "daemon/peers.h"
#include "daemon/rows.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/proc-id.h"

void record_count(Record *record) {
        const Task *task = core_find(record->daemon->core, record->task_id);
        size_t n = task ? account_task_size(task) : 0;

        record->account->n_task_bytes += n - record->n_bytes;
        record->n_bytes = n;
}

int record_new(Record **ret, Daemon *daemon, uint64_t task_id) {
        Record *record;

        record = calloc(1, sizeof(*record));
        if (!record)
                return -ENOMEM;
        record->account = accounts_get(&daemon->accounts, core_find(daemon->core, task_id)->uid);
        if (!record->account) {
                free(record);
                return -ENOMEM;
        }
        record->daemon = daemon;
        record->task_id = task_id;
        record->pid_fd = -1;
        record_count(record);
        HASH_ADD(hh, daemon->records, task_id, sizeof(record->task_id), record);
        if (ret)
                *ret = record;
        return 0;
}

Record *record_find(Daemon *daemon, uint64_t task_id) {
        Record *record = NULL;

        HASH_FIND(hh, daemon->records, &task_id, sizeof(task_id), record);
        return record;
}

static void add_to_owner(Record *record, Peer *owner) {
        record->owner = owner;
        record->owner_next = owner->records;
        record->owner_pprev = &owner->records;
        if (record->owner_next)
                record->owner_next->owner_pprev = &record->owner_next;
        owner->records = record;
        owner->n_silent += record->silent;
}

static void remove_from_owner(Record *record) {
        if (!record->owner)
                return;
        record->owner->n_silent -= record->silent;
        *record->owner_pprev = record->owner_next;
        if (record->owner_next)
                record->owner_next->owner_pprev = record->owner_pprev;
        record->owner = NULL;
        record->owner_next = NULL;
        record->owner_pprev = NULL;
}

void record_set_silent(Record *record, bool silent) {
        if (record->silent == silent)
                return;
        record->silent = silent;
        if (record->owner && silent)
                record->owner->n_silent++;
        else if (record->owner)
                record->owner->n_silent--;
}

/* Detached tasks are their agent's, which comes and goes; others end with the connection. */
static bool is_detached(const Record *record) {
        const Task *task = core_find(record->daemon->core, record->task_id);

        return task && task->detached;
}

static void drop_process(Record *record) {
        record->pid_source = sd_event_source_disable_unref(record->pid_source);
        record->pid_fd = fd_close(record->pid_fd);
}

LogSubject record_subject(const Record *record) {
        const Task *task = core_find(record->daemon->core, record->task_id);

        return (LogSubject){
                .task_id = record->task_id,
                .uid = task ? task->uid : LOG_NO_UID,
        };
}

void record_free(Record *record) {
        remove_from_owner(record);
        record_leave_dirty(record);
        record->timer = sd_event_source_disable_unref(record->timer);
        drop_process(record);
        record->account->n_task_bytes -= record->n_bytes;
        HASH_DEL(record->daemon->records, record);
        free(record);
}

static int on_timer_offer(sd_event_source *source, uint64_t usec, void *userdata);
static int on_timer_ended(sd_event_source *source, uint64_t usec, void *userdata);

static int set_timer(Record *record,
                     uint64_t after_us,
                     sd_event_time_handler_t handler,
                     const char *description) {
        int r;

        record->timer = sd_event_source_disable_unref(record->timer);
        r = sd_event_add_time_relative(record->daemon->event, &record->timer, CLOCK_MONOTONIC,
                                       after_us, 0, handler, record);
        if (r >= 0)
                (void)sd_event_source_set_description(record->timer, description);
        return r;
}

/* The process has ended and there is no runner to tell how: it gets a little while to come back. */
static int on_process(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Record *record = userdata;

        record->pid_source = sd_event_source_disable_unref(record->pid_source);
        record->process_ended = true;
        if (set_timer(record, is_detached(record) ? AGENT_GRACE_US : ENDED_GRACE_US, on_timer_ended,
                      "record-ended") < 0)
                (void)on_timer_ended(NULL, 0, record);
        return 0;
}

static const char *gone_reason(const Record *record) {
        return is_detached(record) ? "its agent was gone when it ended" :
                                     "its taskflow was gone when it ended";
}

static int on_timer_ended(sd_event_source *source, uint64_t usec, void *userdata) {
        Record *record = userdata;

        record->timer = sd_event_source_disable_unref(record->timer);
        (void)record_end(record, TASK_STATE_LOST, -1, 0, gone_reason(record), clock_realtime_us());
        return 0;
}

/* Sees the end of the command itself while it has no runner. */
static void watch_process(Record *record) {
        int r;

        if (record->pid_source || record->process_ended)
                return;
        r = record->pid_fd < 0 ? -ESRCH :
                                 sd_event_add_io(record->daemon->event, &record->pid_source,
                                                 record->pid_fd, EPOLLIN, on_process, record);
        if (r < 0) {
                (void)on_process(NULL, -1, 0, record);
                return;
        }
        (void)sd_event_source_set_description(record->pid_source, "record-process");
}

/* The room is for others meanwhile, and nobody is to blame. */
static void return_offer(Record *record) {
        Event event = daemon_event(EVENT_OFFER_RETURNED, record->task_id);

        if (!record->offer)
                return;
        (void)core_apply(record->daemon->core, &event);
        record_close_offer(record);
}

static void unwatch_process(Record *record) {
        record->pid_source = sd_event_source_disable_unref(record->pid_source);
        if (record->process_ended) {
                record->process_ended = false;
                record->timer = sd_event_source_disable_unref(record->timer);
        }
}

int record_set_process(Record *record, int pid_fd) {
        const Task *task = core_find(record->daemon->core, record->task_id);
        uint64_t ticks;
        int r;

        drop_process(record);
        if (pid_fd >= 0) {
                record->pid_fd = pid_fd;
                return 0;
        }
        if (task->pid <= 0 || strcmp(task->boot_id, record->daemon->boot_id) != 0)
                return -ESRCH;
        pid_fd = pidfd_open(task->pid, 0);
        if (pid_fd < 0)
                return -errno;
        r = proc_start_ticks(task->pid, &ticks, NULL);
        if (r < 0 || ticks != task->pid_start_ticks) {
                (void)fd_close(pid_fd);
                return r < 0 ? r : -ESRCH;
        }
        record->pid_fd = pid_fd;
        return 0;
}

void record_send_end(Record *record, int signal) {
        peer_send(record->owner, &(Call){ .type = CALL_END,
                                          .oneway = true,
                                          .end = { .id = record->task_id, .signal = signal } });
}

/* What was cancelled while nobody was there to be told, or by somebody who was killed before he told it. */
static void end_cancelled(Record *record) {
        const Task *task = core_find(record->daemon->core, record->task_id);

        if (task->state == TASK_STATE_RUNNING && task->cancelled)
                record_send_end(record, 0);
}

void record_set_owner(Record *record, Peer *owner) {
        if (record->owner == owner)
                return;
        if (record->owner && owner && !is_detached(record))
                peer_send(record->owner,
                          &(Call){ .type = CALL_WITHDRAWN,
                                   .oneway = true,
                                   .withdraw = {
                                           .id = record->task_id,
                                           .reason = (char[]){ "another taskflow has it now" } } });
        if (record->owner)
                return_offer(record); /* it was made to that one */
        remove_from_owner(record);
        if (!owner)
                return;
        add_to_owner(record, owner);
        record->reloaded = false;
        if (!is_detached(record))
                record->runner_pid = owner->pid;
        unwatch_process(record);
        end_cancelled(record);
}

/* Its agent is gone, which says nothing of the task: the next one takes it over (decisions.md, "Who is who"). */
static void on_agent_gone(Record *record) {
        const Task *task = core_find(record->daemon->core, record->task_id);
        Event event;

        if (task->state == TASK_STATE_RUNNING) {
                watch_process(record);
                return;
        }
        return_offer(record);
        event = daemon_event(EVENT_RUNNER_AWAY, record->task_id);
        (void)core_apply(record->daemon->core, &event);
        record_set_silent(record, false);
}

void record_owner_gone(Record *record) {
        const Task *task = core_find(record->daemon->core, record->task_id);

        remove_from_owner(record);
        if (!task || task_state_is_final(task->state))
                return;
        if (task->detached) {
                on_agent_gone(record);
                return;
        }
        record->runner_pid = 0;

        /* A grant whose Started never came: its runner died between the two. */
        if (task->state == TASK_STATE_RUNNING && record->granted && task->pid == 0) {
                (void)record_end(record, TASK_STATE_CANCELLED, -1, 0,
                                 "its taskflow ended before the start", clock_realtime_us());
                return;
        }
        if (task->state == TASK_STATE_RUNNING) {
                watch_process(record);
                return;
        }
        return_offer(record);
        (void)record_withdraw(record, "its taskflow has ended");
}

void record_close_offer(Record *record) {
        record->offer = 0;
        record->timer = sd_event_source_disable_unref(record->timer);
}

static int on_timer_offer(sd_event_source *source, uint64_t usec, void *userdata) {
        Record *record = userdata;
        Event event = daemon_event(EVENT_OFFER_EXPIRED, record->task_id);

        log_about(LOG_INFO, record_subject(record), "its offer was not answered");
        record_close_offer(record);
        (void)core_apply(record->daemon->core, &event);
        record_set_silent(record, true);
        record_set_dirty(record);
        return 0;
}

int record_split(Record *array, uint32_t index, Record **ret) {
        Daemon *daemon = array->daemon;
        Event event = daemon_event(EVENT_SPLIT, array->task_id);
        uint64_t id = task_ref(array->task_id, index);
        Record *record;
        int r;

        event.split.index = index;
        r = core_apply(daemon->core, &event);
        if (r != 0)
                return r < 0 ? r : -EINVAL;
        r = record_new(&record, daemon, id);
        if (r < 0)
                return r; /* it waits in the core, and nobody offers it anything: until the next start */
        if (array->owner) {
                record_set_owner(record, array->owner);
        } else {
                event = daemon_event(EVENT_RUNNER_AWAY, id);
                (void)core_apply(daemon->core, &event);
        }
        record->fresh = array->fresh; /* it goes with it if that can't be written */
        record_set_dirty(array);
        record_set_dirty(record);
        *ret = record;
        return 0;
}

/*
 * Offer and accept in one (decisions.md 14): the answer to its Submit, or to what its agent has just said of another task, so that it
 * is there. An agent that was not heard of in this turn may be stopped, and is asked.
 */
static bool may_be_granted(const Record *record) {
        return record->granting || record->owner->ended_in_turn == record->daemon->n_turns;
}

static int grant(Record *record) {
        Event event = daemon_event(EVENT_ACCEPTED, record->task_id);
        int r;

        r = core_apply(record->daemon->core, &event);
        if (r != 0)
                return r < 0 ? r : -EINVAL;
        record->granted = true;
        if (record->granting)
                record_set_dirty_soon(record);
        else
                record_write_start(record);
        return 0;
}

static int number_offer(Record *record) {
        record->offer = ++record->daemon->n_offers_made;
        return set_timer(record, OFFER_TIMEOUT_US, on_timer_offer, "record-offer");
}

int record_offer(Record *record, const PlanOffer *offer) {
        Daemon *daemon = record->daemon;
        Event event = daemon_event(EVENT_OFFERED, record->task_id);
        const Task *task = core_find(daemon->core, record->task_id);
        bool granted = may_be_granted(record);
        unsigned attempt = task->attempt + 1;
        int r;

        event.offered.gpus = offer->gpus;
        event.offered.behind = offer->behind;
        r = core_apply(daemon->core, &event);
        if (r != 0)
                return r < 0 ? r : -EINVAL;
        r = granted ? grant(record) : number_offer(record);
        if (r < 0) {
                event = daemon_event(EVENT_OFFER_RETURNED, record->task_id);
                (void)core_apply(daemon->core, &event);
                record_close_offer(record);
                return r;
        }
        if (record->granting)
                return 0;
        peer_send(record->owner, &(Call){ .type = CALL_OFFER,
                                          .oneway = true,
                                          .offer = { .id = record->task_id,
                                                     .offer = record->offer,
                                                     .n_gpus = offer->n_gpus,
                                                     .gpus = offer->gpus,
                                                     .pin = daemon_pins(daemon, task),
                                                     .time_limit_us = task->time_limit_us,
                                                     .attempt = attempt,
                                                     .name = task->name,
                                                     .granted = granted,
                                                     .behind = offer->behind } });
        if (granted && offer->behind == 0)
                rows_note_first(record->owner, record->task_id);
        return 0;
}

/*
 * Whether its end may be heard of before it is written, with the end of this turn: a task of a terminal that asked for nothing and
 * was over before it was written at all. If the daemon is killed between the two, the next one has never heard of it, and calls
 * nothing running, or lost, that is not.
 */
static bool may_be_written_after(const Record *record) {
        const Task *task = core_find(record->daemon->core, record->task_id);

        return !record->in_store && !task->detached && needs_is_empty(&task->needs);
}

/* Common to every end: nothing more is to come from or for it. */
static void close_ended(Record *record) {
        const Task *task = core_find(record->daemon->core, record->task_id);

        if (!task->array)
                record->daemon->n_ended[task->state]++;
        record_close_offer(record);
        drop_process(record);
        if (may_be_written_after(record)) {
                record_set_dirty_behind(record);
        } else {
                record_set_dirty(record);
        }
        peers_task_ended(record->daemon->peers, record->task_id);
}

/* The array that an element belongs to counts it; it may have been the last one. */
static void note_element(Record *record) {
        Daemon *daemon = record->daemon;
        uint64_t array_id = task_ref_id(record->task_id);
        Record *array = array_id != record->task_id ? record_find(daemon, array_id) : NULL;
        const Task *task = array ? core_find(daemon->core, array_id) : NULL;

        if (!task)
                return;
        record_set_dirty(array);
        if (!task_state_is_final(task->state))
                return;
        if (array->owner)
                peer_send(array->owner, &(Call){ .type = CALL_WITHDRAWN,
                                                 .oneway = true,
                                                 .withdraw = { .id = array_id } });
        close_ended(array);
}

/* It failed, and is to be tried again. */
static void close_try(Record *record) {
        record_close_offer(record);
        drop_process(record);
        record->process_ended = false;
        record->granted = false;
        record_set_dirty(record);
}

int record_end(Record *record,
               TaskState state,
               int exit_status,
               int signal,
               const char *reason,
               uint64_t at_us) {
        Event event = daemon_event(EVENT_ENDED, record->task_id);
        const Task *task;
        int r;

        event.at_us = at_us;
        event.ended.state = state;
        event.ended.exit_status = exit_status;
        event.ended.signal = signal;
        event.ended.reason = reason;
        r = core_apply(record->daemon->core, &event);
        if (r != 0)
                return r < 0 ? r : -EINVAL;
        task = core_find(record->daemon->core, record->task_id);
        record->daemon->sync_wanted |= task->requeue;
        if (task_state_is_final(task->state))
                close_ended(record);
        else
                close_try(record);
        note_element(record);
        return 0;
}

int record_withdraw(Record *record, const char *reason) {
        Event event = daemon_event(EVENT_WITHDRAWN, record->task_id);
        const Task *task;
        int r;

        return_offer(record);
        event.reason = reason;
        r = core_apply(record->daemon->core, &event);
        if (r != 0)
                return r < 0 ? r : -EINVAL;
        task = core_find(record->daemon->core, record->task_id);
        if (task_state_is_final(task->state))
                close_ended(record);
        else
                record_set_dirty(record); /* an array of which some still run */
        note_element(record);
        return 0;
}

int record_cancel(Record *record, const char *reason) {
        _cleanup_free_ char *copy = strdup(reason);
        Peer *owner = record->owner;
        int r;

        r = record_withdraw(record, reason);
        if (r == 0 && owner)
                peer_send(owner, &(Call){ .type = CALL_WITHDRAWN,
                                          .oneway = true,
                                          .withdraw = { .id = record->task_id, .reason = copy } });
        return r;
}

static int on_timer_judge(sd_event_source *source, uint64_t usec, void *userdata) {
        Record *record = userdata;
        const Task *task = core_find(record->daemon->core, record->task_id);

        record->timer = sd_event_source_disable_unref(record->timer);
        if (task->state == TASK_STATE_RUNNING && record->pid_fd < 0)
                record_judge_process(record);
        return 0;
}

/* One that can't be looked at, for want of descriptors or memory, is not gone. */
static void judge_process(Record *record, const char *gone) {
        int r = record_set_process(record, -1);

        if (r == 0)
                watch_process(record);
        else if (r == -ESRCH)
                (void)record_end(record, TASK_STATE_LOST, -1, 0, gone, clock_realtime_us());
        else if (set_timer(record, ENDED_GRACE_US, on_timer_judge, "record-judge") < 0)
                log_error("the process of task %" PRIu64 " cannot be looked at: %s",
                          record->task_id, strerror(-r));
}

void record_judge(Record *record) {
        const Task *task = core_find(record->daemon->core, record->task_id);

        if (!record->reloaded || record->owner || !task || task_state_is_final(task->state) ||
            (task->detached && task->state != TASK_STATE_RUNNING))
                return;
        if (task->state != TASK_STATE_RUNNING) {
                (void)record_withdraw(
                        record, "its taskflow did not come back after a restart of the daemon");
                return;
        }
        judge_process(record, strcmp(task->boot_id, record->daemon->boot_id) != 0 ?
                                      "the machine went down" :
                                      gone_reason(record));
}

void record_judge_process(Record *record) {
        judge_process(record, gone_reason(record));
}

void records_send_look(Daemon *daemon) {
        Call call = { .type = CALL_LOOK,
                      .oneway = true,
                      .look = { .interval_us = daemon->look_interval_us } };

        for (Peer *peer = peers_first(daemon->peers); peer; peer = peer->next) {
                const Task *task =
                        peer->records ? core_find(daemon->core, peer->records->task_id) : NULL;

                if (peer->is_agent || (task && task->state == TASK_STATE_RUNNING))
                        peer_send(peer, &call);
        }
}
