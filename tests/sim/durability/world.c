/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "world.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agents.h"
#include "host.h"
#include "keepers.h"
#include "power.h"

enum {
        KILLED_DAEMON,
        KILLED_AGENT,
        KILLED_KEEPER,
        KILLED_POWER,
};

World world;

/* -- the clock -- */

static bool is_before(const Alarm *a, const Alarm *b) {
        return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

void world_alarm(uint64_t after_us,
                 const Actor *actor,
                 ring_fn ring,
                 void *userdata,
                 uint64_t arg) {
        Alarm alarm = { .at_us = world.now_us + after_us,
                        .order = world.n_alarms_set++,
                        .actor = actor,
                        .gen = actor ? actor->gen : 0,
                        .ring = ring,
                        .userdata = userdata,
                        .arg = arg };
        size_t at = world.n_alarms++;

        if (world.n_alarms > world.n_alarms_max) {
                world.n_alarms_max = 2 * world.n_alarms;
                world.alarms = realloc(world.alarms, world.n_alarms_max * sizeof(Alarm));
                if (!world.alarms)
                        abort();
        }
        for (; at > 0 && is_before(&alarm, &world.alarms[(at - 1) / 2]); at = (at - 1) / 2)
                world.alarms[at] = world.alarms[(at - 1) / 2];
        world.alarms[at] = alarm;
}

static Alarm next_alarm(void) {
        Alarm first = world.alarms[0], last = world.alarms[--world.n_alarms];
        size_t at = 0;

        for (;;) {
                size_t child = 2 * at + 1;

                if (child >= world.n_alarms)
                        break;
                if (child + 1 < world.n_alarms &&
                    is_before(&world.alarms[child + 1], &world.alarms[child]))
                        child++;
                if (!is_before(&world.alarms[child], &last))
                        break;
                world.alarms[at] = world.alarms[child];
                at = child;
        }
        world.alarms[at] = last;
        return first;
}

uint64_t world_moment_us(void) {
        uint64_t kind = world_below(100);

        if (kind < 80)
                return 20 + world_below(400);
        if (kind < 98)
                return 200 + world_below(5 * US_PER_MSEC);
        return world_below(200 * US_PER_MSEC);
}

uint64_t world_held_up_us(void) {
        return world_below(500) == 0 ? world_below(100 * US_PER_SEC) : world_moment_us();
}

/* -- what happens -- */

void world_note(const char *who, const char *what, uint64_t a, uint64_t b) {
        world.trace[world.n_events++ % TRACE_MAX] =
                (Trace){ .at_us = world.now_us, .who = who, .what = what, .a = a, .b = b };
}

static void print_ref(uint64_t ref) {
        uint64_t id = ref & ((UINT64_C(1) << 39) - 1);

        if (ref == id)
                (void)fprintf(stderr, " %" PRIu64, id);
        else
                (void)fprintf(stderr, " %" PRIu64 "_%" PRIu64, id, (ref >> 39) - 1);
}

void world_print_trace(void) {
        uint64_t n = MIN(world.n_events, (uint64_t)TRACE_MAX);

        for (uint64_t i = world.n_events - n; i < world.n_events; i++) {
                const Trace *trace = &world.trace[i % TRACE_MAX];

                (void)fprintf(stderr, "%10.4f s  %-9s %-28s", (double)trace->at_us / 1e6,
                              trace->who, trace->what);
                print_ref(trace->a);
                print_ref(trace->b);
                (void)fputc('\n', stderr);
        }
}

void world_fail(const char *fmt, ...) {
        va_list args;

        if (world_failed())
                return;
        va_start(args, fmt);
        (void)vsnprintf(world.fault, sizeof(world.fault), fmt, args);
        va_end(args);
        world_note("FAULT", world.fault, 0, 0);
}

/* -- life and death -- */

void actor_rise(Actor *actor) {
        actor->up = true;
        actor->dead = false;
        actor->gen++;
}

void actor_sink(Actor *actor) {
        actor->up = false;
        actor->dead = false;
        actor->gen++;
}

void actor_kill(Actor *actor) {
        if (!actor_lives(actor))
                return;
        actor->dead = true;
        world_note(actor->name, "is killed", 0, 0);
        if (actor == &world.daemon)
                world.n_killed[KILLED_DAEMON]++;
        else if (agents_find(actor))
                world.n_killed[KILLED_AGENT]++;
        else
                world.n_killed[KILLED_KEEPER]++;
}

static void lose_power(void) {
        world_note("machine", "loses its power", 0, 0);
        world.n_killed[KILLED_POWER]++;
        world.power_lost = true;
        power_kill_all();
}

static void fill_disk(void) {
        world.disk_full = true;
        world.n_full++;
        world.disk_full_until_us = world.now_us + world_below(20 * US_PER_SEC);
        world_note("disk", "is full", 0, 0);
}

static bool rolls(unsigned chance) {
        return chance > 0 && rng_below(&world.rng, 100000) < chance;
}

bool world_step(Actor *actor, const char *what, uint64_t a, uint64_t b) {
        const Weather *weather = &world.weather;

        if (!actor_lives(actor))
                return false;
        world_note(actor->name, what, a, b);
        if (world.calm)
                return true;
        if (rolls(weather->power))
                lose_power();
        if (rolls(weather->kill_self))
                actor_kill(actor);
        if (rolls(weather->kill_daemon))
                actor_kill(&world.daemon);
        if (rolls(weather->kill_agent))
                actor_kill(&agents[world_below(N_AGENTS)].actor);
        if (rolls(weather->kill_keeper))
                keepers_kill_one();
        if (!world.disk_full && rolls(weather->full))
                fill_disk();
        return actor_lives(actor);
}

static void look_at_disk(void) {
        if (!world.disk_full || (!world.calm && world.now_us < world.disk_full_until_us))
                return;
        world.disk_full = false;
        world_note("disk", "has room again", 0, 0);
}

void world_run(uint64_t until_us, bool (*done)(void)) {
        while (world.n_alarms > 0 && !world_failed()) {
                Alarm alarm;

                if (world.alarms[0].at_us > until_us || (done && done()))
                        break;
                alarm = next_alarm();
                world.now_us = MAX(world.now_us, alarm.at_us);
                look_at_disk();
                if (!alarm.actor || (alarm.actor->gen == alarm.gen && actor_lives(alarm.actor)))
                        alarm.ring(alarm.userdata, alarm.arg);
                power_bury();
        }
        if (world.now_us < until_us && !(done && done()))
                world.now_us = until_us;
}

static unsigned some_chance(unsigned most) {
        return world_chance(40) ? 0 : (unsigned)world_below(most + 1);
}

void world_begin(uint64_t seed, Mutant mutant) {
        world = (World){
                .rng = { seed },
                .seed = seed,
                .mutant = mutant,
                .now_us = 1000 * US_PER_SEC,
                .booted_us = 900 * US_PER_SEC,
                .boot = 1,
                .rows = seed % 5 == 0,
                .daemon.name = "daemon",
        };
        /* one by one: in which order a compiler evaluates a list is its own affair */
        world.weather.kill_self = some_chance(400);
        world.weather.kill_daemon = some_chance(100);
        world.weather.kill_agent = some_chance(100);
        world.weather.kill_keeper = some_chance(200);
        world.weather.power = some_chance(40);
        world.weather.full = some_chance(30);
        world.disk_tears = world_chance(5);
}

void world_end(void) {
        free(world.alarms);
        world.alarms = NULL;
}
