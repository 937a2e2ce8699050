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
#include "util/clock.h"
#include "util/fd.h"
#include "util/proc-id.h"

int record_new(Record **ret, Daemon *daemon, uint64_t task_id) {
        Record *record;

        record = calloc(1, sizeof(*record));
        if (!record)
                return -ENOMEM;
        record->daemon = daemon;
        record->task_id = task_id;
        record->pid_fd = -1;
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

static void remove_from_owner(Record *record) {
        Record **p;

        if (!record->owner)
                return;
        for (p = &record->owner->records; *p != record; p = &(*p)->owner_next)
                ;
        *p = record->owner_next;
        record->owner = NULL;
        record->owner_next = NULL;
}

static void remove_from_dirty(Record *record) {
        Record **p;

        if (!record->is_dirty)
                return;
        for (p = &record->daemon->dirty; *p != record; p = &(*p)->dirty_next)
                ;
        *p = record->dirty_next;
        record->is_dirty = false;
}

static void drop_process(Record *record) {
        record->pid_source = sd_event_source_disable_unref(record->pid_source);
        record->pid_fd = fd_close(record->pid_fd);
}

void record_free(Record *record) {
        remove_from_owner(record);
        remove_from_dirty(record);
        record->timer = sd_event_source_disable_unref(record->timer);
        drop_process(record);
        HASH_DEL(record->daemon->records, record);
        free(record);
}

static void add_to_dirty(Record *record) {
        if (record->is_dirty)
                return;
        record->is_dirty = true;
        record->dirty_next = record->daemon->dirty;
        record->daemon->dirty = record;
}

void record_set_dirty(Record *record) {
        add_to_dirty(record);
        record->daemon->write_wanted = true;
        daemon_want_turn(record->daemon);
}

static void arm_write(Daemon *daemon, uint64_t after_us) {
        (void)sd_event_source_set_time_relative(daemon->write_source, after_us);
        (void)sd_event_source_set_enabled(daemon->write_source, SD_EVENT_ONESHOT);
}

void record_set_dirty_soon(Record *record) {
        Daemon *daemon = record->daemon;
        int enabled = SD_EVENT_OFF;

        add_to_dirty(record);
        (void)sd_event_source_get_enabled(daemon->write_source, &enabled);
        if (enabled == SD_EVENT_OFF && !daemon->write_wanted)
                arm_write(daemon, WRITE_SOON_US);
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
        if (set_timer(record, ENDED_GRACE_US, on_timer_ended, "record-ended") < 0)
                (void)on_timer_ended(NULL, 0, record);
        return 0;
}

static int on_timer_ended(sd_event_source *source, uint64_t usec, void *userdata) {
        Record *record = userdata;

        record->timer = sd_event_source_disable_unref(record->timer);
        (void)record_end(record, record->cancelled ? TASK_STATE_CANCELLED : TASK_STATE_LOST, -1, 0,
                         record->cancelled ? "cancelled" : "its taskflow was gone when it ended",
                         clock_realtime_us());
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

        drop_process(record);
        if (pid_fd >= 0) {
                record->pid_fd = pid_fd;
                return 0;
        }
        if (task->pid <= 0 || strcmp(task->boot_id, record->daemon->boot_id) != 0)
                return -ESRCH;
        pid_fd = pidfd_open(task->pid, 0);
        if (pid_fd < 0)
                return -ESRCH;
        if (proc_start_ticks(task->pid, &ticks, NULL) < 0 || ticks != task->pid_start_ticks) {
                (void)fd_close(pid_fd);
                return -ESRCH;
        }
        record->pid_fd = pid_fd;
        return 0;
}

void record_set_owner(Record *record, Peer *owner) {
        if (record->owner == owner)
                return;
        if (record->owner && owner)
                peer_send(record->owner,
                          &(Call){ .type = CALL_WITHDRAWN,
                                   .oneway = true,
                                   .withdraw = {
                                           .id = record->task_id,
                                           .reason = (char[]){ "another taskflow has it now" } } });
        remove_from_owner(record);
        if (!owner)
                return;
        record->owner = owner;
        record->owner_next = owner->records;
        owner->records = record;
        record->runner_pid = owner->pid;
        unwatch_process(record);
}

void record_owner_gone(Record *record) {
        Daemon *daemon = record->daemon;
        const Task *task = core_find(daemon->core, record->task_id);
        Event event;

        remove_from_owner(record);
        record->runner_pid = 0;
        if (!task || task_state_is_final(task->state))
                return;

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
        if (record->offer) {
                event = daemon_event(EVENT_OFFER_RETURNED, record->task_id);
                (void)core_apply(daemon->core, &event);
                record_close_offer(record);
        }
        (void)record_withdraw(record, "its taskflow has ended");
}

void record_close_offer(Record *record) {
        record->offer = 0;
        record->timer = sd_event_source_disable_unref(record->timer);
}

static int on_timer_offer(sd_event_source *source, uint64_t usec, void *userdata) {
        Record *record = userdata;
        Event event = daemon_event(EVENT_OFFER_EXPIRED, record->task_id);

        log_info("task %" PRIu64 ": its offer was not answered", record->task_id);
        record_close_offer(record);
        (void)core_apply(record->daemon->core, &event);
        record->silent = true;
        record_set_dirty(record);
        return 0;
}

int record_offer(Record *record, const PlanOffer *offer) {
        Daemon *daemon = record->daemon;
        Event event = daemon_event(EVENT_OFFERED, record->task_id);
        const Task *task = core_find(daemon->core, record->task_id);
        int r;

        event.offered.gpus = offer->gpus;
        r = core_apply(daemon->core, &event);
        if (r != 0)
                return r < 0 ? r : -EINVAL;

        /* Its Submit is still to be answered: offer and accept in one (decisions.md 14). */
        if (record->granting) {
                event = daemon_event(EVENT_ACCEPTED, record->task_id);
                r = core_apply(daemon->core, &event);
                record->granted = true;
                record_set_dirty_soon(record);
                return r < 0 ? r : 0;
        }

        record->offer = ++daemon->n_offers_made;
        r = set_timer(record, OFFER_TIMEOUT_US, on_timer_offer, "record-offer");
        if (r < 0) {
                event = daemon_event(EVENT_OFFER_RETURNED, record->task_id);
                (void)core_apply(daemon->core, &event);
                record->offer = 0;
                return r;
        }
        peer_send(record->owner, &(Call){ .type = CALL_OFFER,
                                          .oneway = true,
                                          .offer = { .id = record->task_id,
                                                     .offer = record->offer,
                                                     .n_gpus = offer->n_gpus,
                                                     .gpus = offer->gpus,
                                                     .pin = daemon_pins(daemon, task),
                                                     .time_limit_us = task->time_limit_us } });
        return 0;
}

/* Common to every end: nothing more is to come from or for it. */
static void close_ended(Record *record) {
        record_close_offer(record);
        drop_process(record);
        record_set_dirty(record);
        peers_task_ended(record->daemon->peers, record->task_id);
}

int record_end(Record *record,
               TaskState state,
               int exit_status,
               int signal,
               const char *reason,
               uint64_t at_us) {
        Event event = daemon_event(EVENT_ENDED, record->task_id);
        int r;

        event.at_us = at_us;
        event.ended.state = state;
        event.ended.exit_status = exit_status;
        event.ended.signal = signal;
        event.ended.reason = reason;
        r = core_apply(record->daemon->core, &event);
        if (r != 0)
                return r < 0 ? r : -EINVAL;
        close_ended(record);
        return 0;
}

int record_withdraw(Record *record, const char *reason) {
        Event event = daemon_event(EVENT_WITHDRAWN, record->task_id);
        int r;

        if (record->offer) {
                Event returned = daemon_event(EVENT_OFFER_RETURNED, record->task_id);

                (void)core_apply(record->daemon->core, &returned);
        }
        event.reason = reason;
        r = core_apply(record->daemon->core, &event);
        if (r != 0)
                return r < 0 ? r : -EINVAL;
        close_ended(record);
        return 0;
}

void record_judge(Record *record) {
        const Task *task = core_find(record->daemon->core, record->task_id);

        if (record->owner || !task || task_state_is_final(task->state))
                return;
        if (task->state != TASK_STATE_RUNNING) {
                (void)record_withdraw(
                        record, "its taskflow did not come back after a restart of the daemon");
                return;
        }
        if (record_set_process(record, -1) < 0) {
                (void)record_end(record, TASK_STATE_LOST, -1, 0,
                                 strcmp(task->boot_id, record->daemon->boot_id) != 0 ?
                                         "the machine went down" :
                                         "its taskflow was gone when it ended",
                                 clock_realtime_us());
                return;
        }
        watch_process(record);
}

/* What was committed and is over is the store's alone. */
static void forget_written(Daemon *daemon, Record *written) {
        for (Record *record = written, *next; record; record = next) {
                const Task *task = core_find(daemon->core, record->task_id);

                next = record->dirty_next;
                record->dirty_next = NULL;
                record->is_dirty = false;
                if (task && !task_state_is_final(task->state))
                        continue;
                core_forget(daemon->core, record->task_id);
                record_free(record);
        }
}

static int put_all(Daemon *daemon) {
        int r = 0;

        for (Record *record = daemon->dirty; record && r >= 0; record = record->dirty_next) {
                const Task *task = core_find(daemon->core, record->task_id);

                if (task)
                        r = store_put_task(daemon->store, task);
        }
        return r < 0 ? r : store_commit(daemon->store, false);
}

void records_write(Daemon *daemon) {
        Record *written = daemon->dirty;
        int r;

        daemon->write_wanted = false;
        if (!written && !store_is_dirty(daemon->store))
                return;
        r = put_all(daemon);
        if (r < 0) {
                if (!daemon->store_failing)
                        log_error(
                                "cannot write to '%s': %s; running tasks are kept in memory, new ones refused",
                                daemon->state_dir, strerror(-r));
                daemon->store_failing = true;
                arm_write(daemon, STORE_RETRY_US);
                return;
        }
        (void)sd_event_source_set_enabled(daemon->write_source, SD_EVENT_OFF);
        if (daemon->store_failing)
                log_info("'%s' can be written again", daemon->state_dir);
        daemon->store_failing = false;
        daemon->dirty = NULL;
        forget_written(daemon, written);
}

void record_write_start(Record *record) {
        const Task *task = core_find(record->daemon->core, record->task_id);

        if (needs_is_empty(&task->needs)) {
                record_set_dirty_soon(record);
                return;
        }
        record_set_dirty(record);
        records_write(record->daemon);
}

void records_send_look(Daemon *daemon) {
        Call call = { .type = CALL_LOOK,
                      .oneway = true,
                      .look = { .interval_us = daemon->look_interval_us } };

        for (Peer *peer = peers_first(daemon->peers); peer; peer = peer->next) {
                const Task *task =
                        peer->records ? core_find(daemon->core, peer->records->task_id) : NULL;

                if (task && task->state == TASK_STATE_RUNNING)
                        peer_send(peer, &call);
        }
}
