/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * A turn: what the messages changed is looked at once, after all of them. Sample (I/O in), plan (pure), carry out (I/O out),
 * then one commit. While something waits a timer looks regularly; while tasks only run, GPUs are looked at every
 * QUIET_LOOK_US for their peaks; otherwise nothing is armed and the daemon sleeps.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/after.h"
#include "daemon/daemon.h"
#include "daemon/log.h"
#include "daemon/peers.h"
#include "daemon/records.h"
#include "daemon/rows.h"
#include "probe/pressure.h"
#include "util/clock.h"

enum {
        /* After the messages: many of them make one turn. But no crowd of them puts it off for ever. */
        PRIORITY_AFTER_MESSAGES = SD_EVENT_PRIORITY_NORMAL + 10,
        PRIORITY_NOW = SD_EVENT_PRIORITY_NORMAL - 10,
        SERVED_PER_TURN = 128,
};

void daemon_want_turn(Daemon *daemon) {
        if (daemon->turn_wanted)
                return;
        daemon->turn_wanted = true;
        daemon->n_served = 0;
        (void)sd_event_source_set_enabled(daemon->turn_source, SD_EVENT_ONESHOT);
}

void daemon_hurry_turn(Daemon *daemon) {
        if (daemon->turn_wanted && ++daemon->n_served == SERVED_PER_TURN)
                (void)sd_event_source_set_priority(daemon->turn_source, PRIORITY_NOW);
}

void daemon_look_at_ram(Daemon *daemon) {
        Event event = daemon_event(EVENT_RAM, 0);
        RamFigures figures;
        int r;

        event.ram.n_offers_before = core_n_offers(daemon->core);
        r = ram_read(&daemon->ram_source, &figures);
        if (r < 0) {
                log_error("cannot read how much RAM is free: %s", strerror(-r));
                return; /* the old figures grow too old to start anything by */
        }
        event.ram.total_bytes = figures.total_bytes;
        event.ram.available_bytes = figures.available_bytes;
        event.ram.pressure_known =
                pressure_read(daemon->ram_source.proc_fd, &event.ram.pressure_permyriad) == 0;
        (void)core_apply(daemon->core, &event);
}

static void ask_for_gpus(Daemon *daemon) {
        int r;

        r = gpu_watch_ask(daemon->gpu_watch, core_n_offers(daemon->core));
        if (r < 0)
                log_error("cannot start the GPU probe: %s", strerror(-r));
}

bool daemon_gpus_are_fresh(const Daemon *daemon, uint64_t now_boot_us) {
        return daemon->gpus_known && daemon->gpus_ticket >= core_n_offers(daemon->core) &&
               now_boot_us - MIN(now_boot_us, daemon->gpus_boot_us) <=
                       core_policy(daemon->core)->sample_max_age_us;
}

static bool make_offer(Daemon *daemon, const PlanOffer *offer) {
        Record *record = record_find(daemon, offer->task_id);
        int r = 0;

        if (!record || !record->owner)
                return false;
        if (offer->index >= 0)
                r = record_split(record, (uint32_t)offer->index, &record);
        if (r == 0)
                r = record_offer(record, offer);
        if (r < 0)
                log_about(LOG_ERR, record_subject(record), "cannot offer it its start: %s",
                          strerror(-r));
        return r == 0;
}

static bool keep_room(Daemon *daemon, const Plan *plan) {
        Event event = daemon_event(EVENT_KEPT, plan->keep_id);
        int r;

        event.kept.gpus = plan->keep_gpus;
        r = core_apply(daemon->core, &event);
        if (r == -ENOMEM)
                log_error("out of memory: no room is kept for task %" PRIu64,
                          task_ref_id(plan->keep_id));
        return r == 0;
}

/* Makes the offers of a plan, and keeps room as it says. Return: how much of it was done. */
static size_t carry_out(Daemon *daemon, const Plan *plan) {
        size_t n_made = 0;

        for (size_t i = 0; i <= plan->n_offers; i++) {
                if (plan->keeps && i == plan->keep_at)
                        n_made += keep_room(daemon, plan);
                if (i < plan->n_offers)
                        n_made += make_offer(daemon, &plan->offers[i]);
        }
        return n_made;
}

static void arm_wake(Daemon *daemon, uint64_t wake_boot_us) {
        if (wake_boot_us == TASK_TIME_INF) {
                (void)sd_event_source_set_enabled(daemon->wake_source, SD_EVENT_OFF);
                return;
        }
        (void)sd_event_source_set_time(daemon->wake_source, wake_boot_us);
        (void)sd_event_source_set_enabled(daemon->wake_source, SD_EVENT_ONESHOT);
}

void daemon_plan(Daemon *daemon, uint64_t now_boot_us) {
        uint64_t wake_boot_us = TASK_TIME_INF;
        bool again = true, looked = false;

        if (daemon->starting)
                return;
        while (again && core_is_waiting(daemon->core)) {
                Plan plan;

                if (core_plan(daemon->core, now_boot_us, &plan) < 0) {
                        log_error("out of memory while planning");
                        return;
                }
                again = carry_out(daemon, &plan) > 0;
                if (plan.want_gpus)
                        ask_for_gpus(daemon);

                /* Each start has a look of its own: at RAM it costs microseconds, and brings the next plan. */
                looked = plan.want_ram && (again || !looked);
                if (looked)
                        daemon_look_at_ram(daemon);
                again |= looked;
                wake_boot_us = plan.wake_boot_us;
                plan_done(&plan);
                now_boot_us = clock_boottime_us();
        }
        rows_fill(daemon);
        arm_wake(daemon, wake_boot_us);
}

uint64_t daemon_look_interval_us(const Daemon *daemon) {
        return core_is_waiting(daemon->core) ? daemon->settings.sample_interval_us : QUIET_LOOK_US;
}

/* The regular look: as often as somebody needs it, and not at all if nobody does. */
static void arm_sampling(Daemon *daemon) {
        bool waiting = core_is_waiting(daemon->core), gpus = core_uses_gpus(daemon->core);
        int enabled = SD_EVENT_OFF;

        if (waiting || gpus) {
                (void)sd_event_source_get_enabled(daemon->sample_source, &enabled);
                if (enabled != SD_EVENT_OFF &&
                    daemon->look_interval_us == daemon_look_interval_us(daemon))
                        return; /* goes on as it is */
                (void)sd_event_source_set_time_relative(daemon->sample_source,
                                                        daemon_look_interval_us(daemon));
                (void)sd_event_source_set_enabled(daemon->sample_source, SD_EVENT_ONESHOT);
                return;
        }
        (void)sd_event_source_set_enabled(daemon->sample_source, SD_EVENT_OFF);
}

static int on_turn(sd_event_source *source, void *userdata) {
        Daemon *daemon = userdata;
        uint64_t interval_us;
        bool written;

        if (daemon->n_served >= SERVED_PER_TURN)
                (void)sd_event_source_set_priority(source, PRIORITY_AFTER_MESSAGES);
        after_cancel_doomed(daemon);
        daemon_plan(daemon, clock_boottime_us());
        daemon->turn_wanted = false; /* what these two want is done by this one */
        if (daemon->write_wanted || daemon->write_due)
                (void)records_write(daemon);
        written = !daemon->write_failed;
        daemon->write_failed = false;
        peers_release(daemon->peers, written);
        daemon->n_turns++;
        arm_sampling(daemon);
        if (!core_uses_gpus(daemon->core))
                gpu_watch_idle(daemon->gpu_watch);
        interval_us = daemon_look_interval_us(daemon);
        if (interval_us != daemon->look_interval_us) {
                daemon->look_interval_us = interval_us;
                records_send_look(daemon);
        }
        daemon_check_idle(daemon);
        return 0;
}

static int on_sample(sd_event_source *source, uint64_t usec, void *userdata) {
        Daemon *daemon = userdata;

        if (core_uses_gpus(daemon->core))
                ask_for_gpus(daemon);
        daemon_want_turn(daemon);
        return 0;
}

static int on_wake(sd_event_source *source, uint64_t usec, void *userdata) {
        daemon_want_turn(userdata);
        return 0;
}

/* The disk was full, or what could wait a little has waited. */
static int on_write(sd_event_source *source, uint64_t usec, void *userdata) {
        Daemon *daemon = userdata;

        daemon->write_wanted = true;
        daemon_want_turn(daemon);
        return 0;
}

static int add_timer(Daemon *daemon,
                     sd_event_source **ret,
                     clockid_t clock,
                     sd_event_time_handler_t handler,
                     const char *description) {
        int r;

        /* The accuracy is 1 ms: a start must not be late for the sake of fewer wake-ups. */
        r = sd_event_add_time(daemon->event, ret, clock, 0, US_PER_MSEC, handler, daemon);
        if (r < 0)
                return r;
        (void)sd_event_source_set_description(*ret, description);
        return sd_event_source_set_enabled(*ret, SD_EVENT_OFF);
}

int daemon_turn_init(Daemon *daemon) {
        int r;

        r = sd_event_add_defer(daemon->event, &daemon->turn_source, on_turn, daemon);
        if (r < 0)
                return r;
        (void)sd_event_source_set_description(daemon->turn_source, "turn");
        (void)sd_event_source_set_exit_on_failure(daemon->turn_source, true);
        (void)sd_event_source_set_enabled(daemon->turn_source, SD_EVENT_OFF);

        r = sd_event_source_set_priority(daemon->turn_source, PRIORITY_AFTER_MESSAGES);
        if (r < 0)
                return r;
        r = add_timer(daemon, &daemon->sample_source, CLOCK_MONOTONIC, on_sample, "sample");
        if (r < 0)
                return r;
        r = add_timer(daemon, &daemon->wake_source, CLOCK_BOOTTIME, on_wake, "wake");
        if (r < 0)
                return r;
        return add_timer(daemon, &daemon->write_source, CLOCK_MONOTONIC, on_write, "write");
}
