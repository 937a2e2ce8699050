/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * What is to be written of the records, and when
 *
 * All that a turn has changed is one commit. What people are told waits for it; if it fails, what nobody was told is taken back.
 */

#include <errno.h>
#include <string.h>

#include "daemon/log.h"
#include "daemon/pasts.h"
#include "daemon/peers.h"
#include "daemon/records.h"
#include "util/clock.h"

void record_leave_dirty(Record *record) {
        Record **p;

        if (!record->is_dirty)
                return;
        for (p = &record->daemon->dirty; *p != record; p = &(*p)->dirty_next)
                ;
        *p = record->dirty_next;
        record->is_dirty = false;
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

void record_set_dirty_behind(Record *record) {
        add_to_dirty(record);
        record->daemon->write_due = true;
        daemon_want_turn(record->daemon);
}

void records_hold_answers(Daemon *daemon) {
        daemon->write_wanted |= daemon->write_due;
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

/* What was committed and is over is the store's alone. */
static void forget_written(Daemon *daemon, Record *written) {
        for (Record *record = written, *next; record; record = next) {
                const Task *task = core_find(daemon->core, record->task_id);

                next = record->dirty_next;
                record->dirty_next = NULL;
                record->is_dirty = false;
                record->fresh = false;
                record->accepting = false;
                record->in_store = true;
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
        if (daemon->drain_dirty && r >= 0)
                r = store_put_drain(daemon->store, core_drain(daemon->core));
        if (r >= 0)
                r = pasts_put(daemon, daemon->ending);
        return r < 0 ? r : store_commit(daemon->store, daemon->sync_wanted);
}

/*
 * Nobody was told of them yet: the connection that queued them is cut, and told why when it asks again. None runs any more, as far as
 * the core knows, which would keep it. Elements became dirty after their array, and so come before it here.
 */
static void drop_fresh(Daemon *daemon) {
        Record *next;

        for (Record *record = daemon->dirty; record; record = next) {
                Event event = daemon_event(EVENT_WITHDRAWN, record->task_id);

                next = record->dirty_next;
                if (!record->fresh)
                        continue;
                record_close_offer(record);
                (void)core_apply(daemon->core, &event);
                core_forget(daemon->core, record->task_id);
                record_free(record);
        }
}

/* Their agents were not told that they may start them: they wait again, as a daemon that starts now would have it. */
static void return_accepted(Daemon *daemon) {
        for (Record *record = daemon->dirty; record; record = record->dirty_next) {
                Event event = daemon_event(EVENT_OFFER_RETURNED, record->task_id);

                if (!record->accepting)
                        continue;
                record->accepting = record->granted = false;
                (void)core_apply(daemon->core, &event);
                if (core_find(daemon->core, record->task_id)->cancelled)
                        (void)record_cancel(record, "cancelled");
        }
}

/* On a full disk it waits for room; where a sync has failed only the next daemon can tell what there is. */
static void say_failed(Daemon *daemon, int r) {
        if (store_is_broken(daemon->store))
                (void)sd_event_exit(daemon->event, r);
        else if (daemon->store_error == 0)
                log_error(
                        "cannot write to '%s': %s; running tasks are kept in memory, new ones refused",
                        daemon->state_dir, strerror(-r));
}

/* What was refused is not asked for again before it would fit: else whoever tries it anew would go on doing so for ever. */
static void look_for_room(Daemon *daemon) {
        int r = store_look_for_room(daemon->store);

        if (r < 0)
                arm_write(daemon, STORE_RETRY_US);
        else
                log_info("'%s' can be written again", daemon->state_dir);
        daemon->store_error = r;
}

bool records_write(Daemon *daemon) {
        Record *written = daemon->dirty;
        int r;

        daemon->write_wanted = false;
        daemon->write_due = false;
        if (!written && !daemon->drain_dirty && !daemon->ending && daemon->store_error == 0 &&
            !store_is_dirty(daemon->store))
                return true;
        r = put_all(daemon);
        if (r < 0) {
                say_failed(daemon, r);
                daemon->store_error = r;
                daemon->write_failed = true;
                daemon_want_turn(daemon);
                return_accepted(daemon);
                drop_fresh(daemon);
                arm_write(daemon, STORE_RETRY_US);
                return false;
        }
        (void)sd_event_source_set_enabled(daemon->write_source, SD_EVENT_OFF);
        if (daemon->store_error < 0)
                look_for_room(daemon);
        daemon->sync_wanted = false;
        daemon->drain_dirty = false;
        daemon->dirty = NULL;
        forget_written(daemon, written);
        return true;
}

void record_write_start(Record *record) {
        const Task *task = core_find(record->daemon->core, record->task_id);

        record->daemon->n_started++;
        if (task->detached) {
                record->daemon->sync_wanted = true; /* its agent is told after the commit */
                record->accepting = true;
                record_set_dirty(record);
                return;
        }
        if (needs_is_empty(&task->needs)) {
                record_set_dirty_soon(record);
                return;
        }
        record_set_dirty(record);
        (void)records_write(record->daemon);
}
