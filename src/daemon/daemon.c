/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "daemon/daemon.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/after.h"
#include "daemon/experiences.h"
#include "daemon/log.h"
#include "daemon/pasts.h"
#include "daemon/peers.h"
#include "daemon/records.h"
#include "daemon/server.h"
#include "util/clock.h"

enum {
        PURGE_EVERY_S = 3600,
        PURGE_MAX = 1000, /* rows a call: some milliseconds of the loop */
};

Event daemon_event(EventType type, uint64_t task_id) {
        return (Event){
                .type = type,
                .task_id = task_id,
                .boot_us = clock_boottime_us(),
                .at_us = clock_realtime_us(),
        };
}

bool daemon_pins(const Daemon *daemon, const Task *task) {
        PinMode mode = task->pin != PIN_MODE_DEFAULT ? task->pin : daemon->settings.pin_gpus;

        if (mode != PIN_MODE_DEFAULT)
                return mode == PIN_MODE_ON && task->needs.n_gpus > 0;
        for (unsigned i = 0; i < task->needs.n_gpus; i++)
                if (gpu_need_is_any(&task->needs.gpus[i]))
                        return true;
        return false;
}

/* Borrowed from the settings. */
static GpuSources gpu_sources(const Settings *settings) {
        return (GpuSources){ .nvml_library = settings->nvml_library };
}

void daemon_reload(Daemon *daemon) {
        Settings settings;
        GpuSources sources;
        Error error = {};
        int r;

        r = settings_load(&settings, daemon->settings_path, daemon->settings_required,
                          daemon->personal, &error);
        free(daemon->settings_text);
        daemon->settings_text = r < 0 ? strdup(error.text) : NULL;
        daemon->settings_at_us = clock_realtime_us();
        if (r < 0) {
                log_error("%s; the settings stay as they were", error.text);
                return;
        }
        settings_done(&daemon->settings);
        daemon->settings = settings;
        core_set_policy(daemon->core, &daemon->settings.policy);
        peers_judge(daemon->peers);
        sources = gpu_sources(&daemon->settings);
        r = gpu_watch_set_sources(daemon->gpu_watch, &sources);
        if (r < 0)
                log_error("cannot use the new settings of GPU drivers: %s", strerror(-r));
        log_info("settings read again");
        daemon_want_turn(daemon);
}

static int on_idle(sd_event_source *source, uint64_t usec, void *userdata) {
        Daemon *daemon = userdata;

        if (!HASH_COUNT(daemon->records) && server_close_if_unused(daemon->server)) {
                log_info("nothing to do for a while: ending");
                return sd_event_exit(daemon->event, 0);
        }
        return 0;
}

void daemon_check_idle(Daemon *daemon) {
        bool idle = HASH_COUNT(daemon->records) == 0 && peers_n(daemon->peers) == 0;
        int enabled = SD_EVENT_OFF;

        (void)sd_event_source_get_enabled(daemon->idle_source, &enabled);
        if (!idle || daemon->settings.idle_exit_us == TASK_TIME_INF) {
                (void)sd_event_source_set_enabled(daemon->idle_source, SD_EVENT_OFF);
                return;
        }
        if (enabled != SD_EVENT_OFF)
                return;
        (void)sd_event_source_set_time_relative(daemon->idle_source, daemon->settings.idle_exit_us);
        (void)sd_event_source_set_enabled(daemon->idle_source, SD_EVENT_ONESHOT);
}

/* A clock that is far ahead of the last end on record may be wrong, as after a boot without a battery: what ends next will tell. */
static uint64_t purge_now_us(Daemon *daemon) {
        uint64_t now_us, last_us = 0;

        now_us = steady_clock_us(&daemon->purge_clock, clock_realtime_us(), clock_boottime_us());
        if (store_last_end(daemon->store, &last_us) < 0)
                return 0;
        return MIN(now_us, last_us + PURGE_EVERY_S * US_PER_SEC);
}

static int on_purge(sd_event_source *source, uint64_t usec, void *userdata) {
        Daemon *daemon = userdata;
        uint64_t now_us = purge_now_us(daemon);
        int n = 0;

        if (now_us > daemon->settings.history_us)
                n = (int)store_purge(daemon->store, now_us - daemon->settings.history_us,
                                     PURGE_MAX);
        if (n < 0)
                log_error("cannot forget old tasks: %s", strerror(-n));
        daemon->write_wanted |= n > 0;
        (void)sd_event_source_set_time_relative(source, n == PURGE_MAX ?
                                                                US_PER_SEC :
                                                                PURGE_EVERY_S * US_PER_SEC);
        (void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        daemon_want_turn(daemon);
        return 0;
}

/* The first offers may be made now: every runner that was known came back, or has had its time. */
static int on_started(sd_event_source *source, uint64_t usec, void *userdata) {
        Daemon *daemon = userdata;

        daemon->starting = false;
        peers_resume_parked(daemon->peers, false);
        daemon_want_turn(daemon);
        return 0;
}

static int on_judge(sd_event_source *source, uint64_t usec, void *userdata) {
        Daemon *daemon = userdata;
        Record *record, *next;

        HASH_ITER(hh, daemon->records, record, next)
        record_judge(record);
        return 0;
}

/* A detached task of another boot that can still run: what it reckons with is of this boot from here on. */
static bool adopt_boot(const Daemon *daemon, Task *task) {
        uint64_t now_us = clock_boottime_us();

        if (!task->detached ||
            (task->state == TASK_STATE_RUNNING && (!task->requeue || task->cancelled)))
                return false;
        (void)snprintf(task->boot_id, sizeof(task->boot_id), "%s", daemon->boot_id);
        task->queued_boot_us = now_us;
        task->started_boot_us = task->state == TASK_STATE_RUNNING ? now_us : 0;
        task->pid = 0;
        return true;
}

/* One that waits for what can't come any more. */
typedef struct Doomed {
        struct Doomed *next;
        uint64_t id;
        char reason[AFTER_REASON_MAX];
} Doomed;

/* What is over is ended when all are there: an array would end with the first element, if that was the only one it had yet. */
typedef struct Loading {
        Daemon *daemon;
        Doomed *doomed; /* owned */
} Loading;

static void loading_done(Loading *loading) {
        while (loading->doomed) {
                Doomed *doomed = loading->doomed;

                loading->doomed = doomed->next;
                free(doomed);
        }
}

static int note_doomed(Loading *loading, uint64_t id, const char *reason) {
        Doomed *doomed = malloc(sizeof(*doomed));

        if (!doomed)
                return -ENOMEM;
        *doomed = (Doomed){ .next = loading->doomed, .id = id };
        (void)snprintf(doomed->reason, sizeof(doomed->reason), "%s", reason);
        loading->doomed = doomed;
        return 0;
}

/* What the machine's end made of a task. Its record is written with the first turn. */
static void settle_other_boot(Record *record) {
        const Task *task = core_find(record->daemon->core, record->task_id);
        Event event = daemon_event(EVENT_REQUEUED, record->task_id);

        if (strcmp(task->boot_id, record->daemon->boot_id) != 0) { /* not adopted */
                record_judge(record);
                return;
        }
        if (task->state == TASK_STATE_RUNNING)
                (void)core_apply(record->daemon->core, &event);
        record->daemon->sync_wanted = true;
        record_set_dirty(record);
}

static void settle_loaded(const Loading *loading) {
        Daemon *daemon = loading->daemon;
        unsigned n_told = 0;
        Record *record, *next;

        for (const Doomed *doomed = loading->doomed; doomed; doomed = doomed->next) {
                record = record_find(daemon, doomed->id);
                if (record)
                        (void)record_withdraw(record, doomed->reason);
        }
        HASH_ITER(hh, daemon->records, record, next) {
                const Task *task = core_find(daemon->core, record->task_id);

                if (record->other_boot && !task_state_is_final(task->state))
                        settle_other_boot(record);
                record->other_boot = false;
                if (n_told < CORE_EXPERIENCES_MAX) /* more would push out what was told first */
                        n_told += experiences_tell(daemon, record->task_id);
                task = core_find(daemon->core, record->task_id);
                if (task_state_is_final(task->state))
                        continue;
                if (task->state != TASK_STATE_RUNNING) {
                        Event event = daemon_event(EVENT_RUNNER_AWAY, record->task_id);

                        (void)core_apply(daemon->core, &event);
                }
                daemon->starting = true;
        }
}

static int take_stored_task(Task *task, void *userdata) {
        _cleanup_(task_freep) Task *owned = task;
        Loading *loading = userdata;
        Daemon *daemon = loading->daemon;
        uint64_t id = task->id;
        LogSubject subject = { .task_id = id, .uid = task->uid };
        bool other_boot = strcmp(task->boot_id, daemon->boot_id) != 0;
        char reason[AFTER_REASON_MAX];
        bool possible = after_reload(daemon, owned, reason);
        Event event = daemon_event(EVENT_SUBMITTED, 0);
        Record *record;
        int r;

        if (other_boot)
                (void)adopt_boot(daemon, task);
        event.submitted = owned;
        r = core_apply(daemon->core, &event);
        if (r < 0)
                return r;
        if (r > 0) {
                log_about(LOG_ERR, subject, "what the database has of it makes no sense: left out");
                return 0;
        }
        TAKE_PTR(owned);
        r = record_new(&record, daemon, id);
        if (r < 0)
                return r;
        record->reloaded = true;
        record->in_store = true;
        record->other_boot = other_boot;
        return possible ? 0 : note_doomed(loading, id, reason);
}

static int load_drain(Daemon *daemon) {
        Event event = daemon_event(EVENT_DRAINED, 0);
        Drain drain;
        int r;

        r = store_get_drain(daemon->store, &drain);
        if (r < 0)
                return r;
        event.drain = &drain;
        (void)core_apply(daemon->core, &event);
        if (drain.on)
                log_info(
                        "the machine is drained, by uid %u: nothing starts before 'taskflow undrain'",
                        drain.by_uid);
        return 0;
}

static int load_tasks(Daemon *daemon, Error *error) {
        _cleanup_(loading_done) Loading loading = { .daemon = daemon };
        GpuSample gpus[GPU_MAX];
        const char *damage = NULL;
        unsigned n_damaged;
        int n, r;

        n = store_get_gpus(daemon->store, gpus);
        if (n > 0) {
                Event event = daemon_event(EVENT_GPUS, 0);

                event.gpus = (GpusSample){ .known = true, .n_gpus = (unsigned)n, .gpus = gpus };
                (void)core_apply(daemon->core, &event);
        }
        daemon_look_at_ram(daemon); /* what a task has of the machine is a part of this */
        r = load_drain(daemon);
        if (r >= 0)
                r = pasts_load(daemon);
        if (r >= 0)
                r = store_load_active(daemon->store, take_stored_task, &loading);
        if (r < 0)
                return error_set(error, r, "cannot read the tasks in '%s': %s", daemon->state_dir,
                                 strerror(-r));
        settle_loaded(&loading);
        n_damaged = store_n_damaged(daemon->store, &damage);
        if (n_damaged > 0)
                log_warning("%u tasks in '%s' make no sense and are left out; the last: %s",
                            n_damaged, daemon->state_dir, damage);
        return 0;
}

static int one_timer(Daemon *daemon,
                     sd_event_source **ret,
                     uint64_t after_us,
                     bool on,
                     sd_event_time_handler_t handler,
                     const char *description) {
        int r;

        r = sd_event_add_time_relative(daemon->event, ret, CLOCK_MONOTONIC, after_us, 0, handler,
                                       daemon);
        if (r < 0)
                return r;
        (void)sd_event_source_set_description(*ret, description);
        return sd_event_source_set_enabled(*ret, on ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
}

static int add_timers(Daemon *daemon) {
        int r;

        r = daemon_turn_init(daemon);
        if (r < 0)
                return r;
        r = one_timer(daemon, &daemon->idle_source, 0, false, on_idle, "idle");
        if (r < 0)
                return r;
        return one_timer(daemon, &daemon->purge_source, US_PER_SEC, true, on_purge, "purge");
}

static int open_parts(Daemon *daemon, bool recover, Error *error) {
        const GpuSources sources = gpu_sources(&daemon->settings);
        int r;

        r = core_new(&daemon->core, &daemon->settings.policy);
        if (r < 0)
                return error_set(error, r, "out of memory");
        r = ram_source_open(&daemon->ram_source);
        if (r < 0)
                return error_set(error, r, "cannot open /proc: %s", strerror(-r));
        r = store_open(&daemon->store, daemon->state_dir, recover, error);
        if (r != 0)
                return r < 0 ? r : -EUCLEAN;
        if (error->text[0] != '\0')
                log_warning("%s", error->text);
        r = gpu_watch_new(&daemon->gpu_watch, daemon->event, &sources, daemon_on_gpus, daemon);
        if (r < 0)
                return error_set(error, r, "cannot prepare the GPU probe: %s", strerror(-r));
        r = peers_new(&daemon->peers, daemon);
        if (r < 0)
                return error_set(error, r, "out of memory");
        r = server_new(&daemon->server, daemon);
        if (r < 0)
                return error_set(error, r, "cannot prepare the server: %s", strerror(-r));
        return 0;
}

static int start_loop(Daemon *daemon, Error *error) {
        int r;

        r = sd_event_new(&daemon->event);
        if (r >= 0)
                r = add_timers(daemon);
        if (r < 0)
                return error_set(error, r, "cannot make the event loop: %s", strerror(-r));
        return 0;
}

/* Tasks of last time have runners that may come back. */
static int wait_for_runners(Daemon *daemon) {
        int r;

        r = one_timer(daemon, &daemon->starting_source, START_PATIENCE_US, true, on_started,
                      "starting");
        if (r < 0)
                return r;
        return one_timer(daemon, &daemon->judge_source, ATTACH_DEADLINE_US, true, on_judge,
                         "judge");
}

int daemon_new(Daemon **ret, const DaemonOptions *options, Error *error) {
        _cleanup_(daemon_freep) Daemon *daemon = NULL;
        int r;

        daemon = calloc(1, sizeof(*daemon));
        if (!daemon)
                return error_set(error, -ENOMEM, "out of memory");
        daemon->ram_source = (RamSource){ .proc_fd = -1, .cgroup_fd = -1 };
        daemon->personal = options->personal;
        daemon->settings_required = options->settings_required;
        daemon->settings_path = options->settings_path ? strdup(options->settings_path) : NULL;
        daemon->state_dir = strdup(options->state_dir);
        daemon->look_interval_us = QUIET_LOOK_US;
        daemon->started_at_us = daemon->settings_at_us = clock_realtime_us();
        daemon->attach_until_us = clock_boottime_us() + ATTACH_DEADLINE_US;
        daemon->n_turns = 1;
        if (!daemon->state_dir || (options->settings_path && !daemon->settings_path))
                return error_set(error, -ENOMEM, "out of memory");
        r = boot_id_read(daemon->boot_id);
        if (r < 0)
                return error_set(error, r, "cannot read the boot id: %s", strerror(-r));
        r = settings_load(&daemon->settings, options->settings_path, options->settings_required,
                          options->personal, error);
        if (r < 0)
                return r;
        r = start_loop(daemon, error);
        if (r < 0)
                return r;
        r = open_parts(daemon, options->recover, error);
        if (r < 0)
                return r;
        r = load_tasks(daemon, error);
        if (r < 0)
                return r;
        r = daemon->starting ? wait_for_runners(daemon) : 0;
        if (r < 0)
                return error_set(error, r, "cannot make a timer: %s", strerror(-r));
        daemon_want_turn(daemon);
        *ret = TAKE_PTR(daemon);
        return 0;
}

Daemon *daemon_free(Daemon *daemon) {
        Record *record, *next;
        bool written = true;

        if (!daemon)
                return NULL;

        /* What is known is written before the connections end: their end must not look like the runners'. */
        daemon->ending = true;
        if (daemon->store && daemon->core)
                written = records_write(daemon) && !daemon->write_failed;
        if (daemon->peers)
                peers_release(daemon->peers, written);
        HASH_ITER(hh, daemon->records, record, next)
        record_free(record);
        daemon->peers = peers_free(daemon->peers);
        accounts_done(&daemon->accounts);
        (void)server_free(daemon->server);
        (void)gpu_watch_free(daemon->gpu_watch);
        (void)core_free(daemon->core);
        (void)store_free(daemon->store);
        ram_source_close(&daemon->ram_source);
        settings_done(&daemon->settings);
        (void)sd_event_source_disable_unref(daemon->turn_source);
        (void)sd_event_source_disable_unref(daemon->sample_source);
        (void)sd_event_source_disable_unref(daemon->wake_source);
        (void)sd_event_source_disable_unref(daemon->starting_source);
        (void)sd_event_source_disable_unref(daemon->judge_source);
        (void)sd_event_source_disable_unref(daemon->write_source);
        (void)sd_event_source_disable_unref(daemon->idle_source);
        (void)sd_event_source_disable_unref(daemon->purge_source);
        (void)sd_event_unref(daemon->event);
        free(daemon->settings_path);
        free(daemon->settings_text);
        free(daemon->state_dir);
        free(daemon);
        return NULL;
}
