#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The world
 *
 * A clock that jumps from one thing that happens to the next, processes that die, and one machine that loses its power. There is
 * one world at a time, made anew for each round; all that happens in it follows from its seed.
 *
 * Whoever can die is an Actor. A process may be killed at each of its steps: from there on what it does has no effect (those who
 * take effects ask whether it is dead), and when it comes back to the loop it is buried. So what is real code may go on to its end.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "sim/rng.h"
#include "util/macro.h"

enum {
        N_AGENTS = 2, /* users with detached tasks */
        UID_FIRST = 1000,
        TRACE_MAX = 200,
};

#define WORLD_RAM_BYTES (64 * GIB)
#define WORLD_CPUS      64

/* What is broken on purpose, to see that it is noticed. */
typedef enum Mutant {
        MUTANT_NONE,
        MUTANT_ANSWER_BEFORE_COMMIT,
        MUTANT_NO_SYNC,
        MUTANT_IDS_NOT_RESERVED,
        MUTANT_COMMIT_LIES, /* on a full disk */
        MUTANT_NO_RECORD,   /* a keeper starts without one */
        MUTANT_LATE_KEEPER, /* it outlives its agent, and minds neither the epoch nor a record that is there */
        MUTANT_RECORD_GONE_EARLY,   /* before the daemon has said that it knows the end */
        MUTANT_START_BEFORE_ANSWER, /* of Accept */
        MUTANT_BOOT_IGNORED,        /* the machine's end is not noticed */
        MUTANT_SPOOL_NOT_SYNCED,
        MUTANT_RUNNING_FORGOTTEN, /* by a daemon that starts */
        MUTANT_END_NOT_REPEATED,  /* said once, answered or not */
        MUTANT_OPENED_UNSYNCED, /* what an earlier daemon has not synced, neither does the next one */
        MUTANT_RAM_UNSEEN,      /* what is taken looks free */
        MUTANT_LIFE_IGNORED,    /* a record whose command lives counts as none */
        MUTANT_CANCEL_FORGOTTEN, /* with the daemon that heard it, while the task runs */
        MUTANT_ROW_AT_ONCE,      /* who stands behind another one is started beside it */
        MUTANT_ROW_UNCLAIMED,    /* it is given back, and its keeper may start it all the same */
        MUTANT_ROW_UNGUARDED,    /* the claim goes although a keeper has its order */
        MUTANT_EPOCH_GOES_ON,    /* when the next agent comes */
        MUTANT_UNTAKEN_LEFT,     /* an order that is taken back is claimed, and its epoch goes on */
        MUTANT_ROW_NEWEST,       /* the daemon puts the last one there that came, not the next */
} Mutant;

enum {
        N_MUTANTS = MUTANT_ROW_NEWEST + 1,
};

/* What is counted of rows, to know that they happen. */
typedef enum RowFate {
        ROW_LINED_UP,   /* granted behind another one */
        ROW_GONE_ON,    /* started by its keeper, without the agent */
        ROW_OVERDUE,    /* given back, since it had to wait for too long */
        ROW_GIVEN_BACK, /* for whatever reason */
        ROW_UNTAKEN,    /* and what stands in none: the agent takes an order back */
        ROW_TOO_LATE,   /* a keeper comes to one whose epoch is over */
} RowFate;

enum {
        N_ROW_FATES = ROW_TOO_LATE + 1,
};

typedef struct Actor {
        const char *name;
        bool up;
        bool dead;    /* killed, and not buried yet: nothing that it does has an effect */
        uint64_t gen; /* another one each time that it comes up or goes down */
} Actor;

typedef void (*ring_fn)(void *userdata, uint64_t arg);

typedef struct Alarm {
        uint64_t at_us;
        uint64_t order;
        const Actor *actor; /* NULL: nobody's; else of the actor as it is now, and gone with it */
        uint64_t gen;
        ring_fn ring;
        void *userdata;
        uint64_t arg;
} Alarm;

typedef struct Trace {
        uint64_t at_us;
        const char *who;
        const char *what;
        uint64_t a, b;
} Trace;

/* How wild a round is: chances in 100,000 at each step. */
typedef struct Weather {
        unsigned kill_self;   /* whoever does the step */
        unsigned kill_daemon; /* somebody else */
        unsigned kill_agent;
        unsigned kill_keeper;
        unsigned power; /* all of them */
        unsigned full;  /* the disk, for a while */
} Weather;

typedef struct World {
        Rng rng;
        Mutant mutant;
        uint64_t seed;
        uint64_t now_us;
        uint64_t booted_us;
        unsigned boot;
        bool rows;       /* many short tasks that are alike, for few cores */
        bool calm;       /* nothing dies any more, and the disk has room */
        bool power_lost; /* and not buried yet */
        bool disk_full;
        uint64_t disk_full_until_us;
        bool disk_tears; /* a sync fails */
        Weather weather;
        Actor daemon;

        Alarm *alarms; /* a heap */
        size_t n_alarms, n_alarms_max;
        uint64_t n_alarms_set;

        uint64_t n_events;
        uint64_t n_torn;      /* syncs that failed */
        uint64_t n_full;      /* times that the disk was full */
        uint64_t n_killed[4]; /* daemon, agents, keepers and runners, power */
        uint64_t n_rows[N_ROW_FATES];
        Trace trace[TRACE_MAX];
        char fault[256];
} World;

extern World world;

void world_begin(uint64_t seed, Mutant mutant);
void world_end(void);

/* Until @until_us, or a fault; or (@done not NULL) until that says so. */
void world_run(uint64_t until_us, bool (*done)(void));

/* An alarm that only rings if the actor is then what it is now. */
void world_alarm(uint64_t after_us, const Actor *actor, ring_fn ring, void *userdata, uint64_t arg);

/* Something happened. The trace keeps the last ones. */
void world_note(const char *who, const char *what, uint64_t a, uint64_t b);

/* The actor has got so far; here it, or somebody else, may die. Return: whether it lives. */
bool world_step(Actor *actor, const char *what, uint64_t a, uint64_t b);

/* It comes up, or is gone. */
void actor_rise(Actor *actor);
void actor_sink(Actor *actor);
void actor_kill(Actor *actor);

static inline bool actor_lives(const Actor *actor) {
        return actor->up && !actor->dead;
}

/* The first fault stops everything. */
void world_fail(const char *fmt, ...) _printf_(1, 2);
static inline bool world_failed(void) {
        return world.fault[0] != '\0';
}
void world_print_trace(void);

static inline uint64_t world_below(uint64_t n) {
        return rng_below(&world.rng, n);
}
static inline bool world_chance(unsigned percent) {
        return rng_chance(&world.rng, percent);
}

/* A short while, as between two lines of a program or two processes; now and then a long one. */
uint64_t world_moment_us(void);

/* The same, or for once very long: a process that can't be made, or is stopped, or waits for a disk. */
uint64_t world_held_up_us(void);

static inline uint64_t world_boot_us(void) {
        return world.now_us - world.booted_us + US_PER_SEC;
}
