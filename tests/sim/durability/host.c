/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "host.h"

#include <stdlib.h>

#include "daemon/daemon.h"
#include "daemon/peers.h"
#include "daemon/records.h"

#include "links.h"
#include "loop.h"
#include "world.h"

static struct {
        Daemon *daemon;
        bool serving;     /* in it */
        uint64_t wake_us; /* of the alarm that is set; UINT64_MAX: none */
} host;

void host_begin(void) {
        host.daemon = NULL;
        host.wake_us = UINT64_MAX;
        host_start_soon(0);
}

void host_end(void) {
        host.daemon = daemon_free(host.daemon);
}

static void on_wake(void *userdata, uint64_t at_us);

void host_wake_at(uint64_t at_us) {
        if (!actor_lives(&world.daemon) || host.wake_us <= at_us)
                return;
        host.wake_us = at_us;
        world_alarm(at_us - world.now_us, &world.daemon, on_wake, NULL, at_us);
}

static void plan_wake(void) {
        uint64_t next_us = loop_next_us();

        if (next_us != UINT64_MAX)
                host_wake_at(MAX(next_us, world.now_us + 10 + world_below(200)));
}

/* Its own end: all is written first. */
static void stop(void) {
        host.daemon = daemon_free(host.daemon);
        links_daemon_gone();
        actor_sink(&world.daemon);
        world_note("daemon", "has ended", 0, 0);
}

static void after_serving(void) {
        if (!actor_lives(&world.daemon))
                return;
        if (!loop_has_exited()) {
                plan_wake();
                return;
        }
        stop();
        host_start_soon(world_below(US_PER_SEC));
}

/* An alarm that an earlier one has made needless is let pass. */
static void on_wake(void *userdata, uint64_t at_us) {
        if (host.wake_us != at_us)
                return;
        host.wake_us = UINT64_MAX;
        (void)loop_dispatch();
        after_serving();
}

static void set_policy(void) {
        Policy policy = *core_policy(host.daemon->core);

        policy.n_cpus = WORLD_CPUS;
        policy.default_delay_us = 2 * US_PER_SEC;
        policy.max_offers_per_uid = 8;
        core_set_policy(host.daemon->core, &policy);
}

static void on_start(void *userdata, uint64_t arg) {
        DaemonOptions options = { .state_dir = "/state" };
        Error error = { 0 };

        if (world.daemon.up || world.power_lost)
                return;
        actor_rise(&world.daemon);
        loop_begin();
        host.wake_us = UINT64_MAX;
        if (!world_step(&world.daemon, "starts", 0, 0))
                return;
        if (daemon_new(&host.daemon, &options, &error) < 0) {
                if (actor_lives(&world.daemon))
                        world_fail("the daemon does not start: %s", error.text);
                return;
        }
        set_policy();
        after_serving();
}

void host_start_soon(uint64_t after_us) {
        world_alarm(after_us, NULL, on_start, NULL, 0);
}

void host_accept(int fd) {
        (void)peers_add(host.daemon->peers, fd);
        after_serving();
}

void host_bury(void) {
        host.daemon = daemon_free(host.daemon);
        links_daemon_gone();
        actor_sink(&world.daemon);
        host.wake_us = UINT64_MAX;
        if (!world.power_lost)
                host_start_soon(50 * US_PER_MSEC +
                                world_below(world_chance(80) ? US_PER_SEC : 40 * US_PER_SEC));
}

const Task *host_task(uint64_t id) {
        return host.daemon ? core_find(host.daemon->core, id) : NULL;
}

size_t host_n_tasks(void) {
        return host.daemon ? HASH_COUNT(host.daemon->records) : 0;
}

bool host_is_failing(void) {
        return host.daemon && host.daemon->store_error < 0;
}

void host_restart(void) {
        if (!actor_lives(&world.daemon) || !host.daemon)
                return;
        stop();
        host_start_soon(world_below(US_PER_SEC));
}
