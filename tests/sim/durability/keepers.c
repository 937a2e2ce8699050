/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "keepers.h"

#include <stdlib.h>
#include <string.h>

#include "util/clock.h"

#include "agents.h"
#include "host.h"
#include "runners.h"
#include "world.h"

enum {
        KEEPERS_MAX = 256,
};

#define SAY_SOON_US (5 * US_PER_MSEC) /* that a command has started, unless it has ended by then */

struct Keeper {
        Actor actor;
        unsigned owner;
        uint64_t agent_gen; /* of the agent that hears its news */
        uint64_t epoch;     /* of its orders */
        Order orders[ORDERS_MAX];
        size_t n_orders, at;
        uint64_t ref; /* of the one that it is at */
        unsigned attempt;
        Deed *deed;
        Proc proc;
        File *file;
        Start *start;
        bool claimed;   /* or tried to */
        bool cancelled; /* before it had a command */
        bool end_due;   /* its command has ended, so: */
        End end;
        bool over;    /* it has seen that */
        bool failed;  /* there was no command: it goes no further in its row */
        bool between; /* it has said the end, and is about to take the next order; meanwhile came: */
        Order cancel;          /* ref 0: no cancel */
        News ends[ORDERS_MAX]; /* not said yet */
        size_t n_ends;
        uint64_t last_news_us; /* nothing overtakes */
};

typedef struct Letter {
        bool used;
        News news[ORDERS_MAX];
        size_t n;
        unsigned owner;
        uint64_t agent_gen;
} Letter;

static struct {
        Keeper keepers[KEEPERS_MAX];
        Letter letters[4 * KEEPERS_MAX];
} all;

void keepers_begin(void) {
        for (size_t i = 0; i < KEEPERS_MAX; i++)
                all.keepers[i] = (Keeper){ .actor = { .name = "keeper" } };
        for (size_t i = 0; i < ELEMENTSOF(all.letters); i++)
                all.letters[i].used = false;
}

static void on_letter(void *userdata, uint64_t arg) {
        Letter *letter = userdata;
        Agent *agent = &agents[letter->owner];

        if (actor_lives(&agent->actor) && agent->actor.gen == letter->agent_gen)
                agent_on_news(agent, letter->news, letter->n);
        letter->used = false;
}

static void send(Keeper *keeper, const News *news, size_t n) {
        Letter *letter = all.letters;

        if (!actor_lives(&keeper->actor) || n == 0)
                return;
        while (letter->used)
                if (++letter == all.letters + ELEMENTSOF(all.letters))
                        abort();
        letter->used = true;
        letter->n = n;
        letter->owner = keeper->owner;
        letter->agent_gen = keeper->agent_gen;
        memcpy(letter->news, news, n * sizeof(*news));
        keeper->last_news_us = MAX(keeper->last_news_us, world.now_us + world_moment_us());
        world_alarm(keeper->last_news_us - world.now_us, NULL, on_letter, letter, 0);
}

static void say_ends(Keeper *keeper) {
        send(keeper, keeper->ends, keeper->n_ends);
        keeper->n_ends = 0;
}

static void say(Keeper *keeper, const News *news) {
        News full = *news;

        full.ref = keeper->ref;
        full.attempt = keeper->attempt;
        say_ends(keeper);
        send(keeper, &full, 1);
}

/* Half of a row together. */
static void say_end(Keeper *keeper, bool goes_on) {
        keeper->ends[keeper->n_ends++] = (News){ .type = NEWS_ENDED,
                                                 .ref = keeper->ref,
                                                 .attempt = keeper->attempt,
                                                 .end = keeper->end,
                                                 .goes_on = goes_on };
        if (!goes_on || keeper->n_ends >= (keeper->n_orders + 1) / 2)
                say_ends(keeper);
}

static void later(Keeper *keeper, ring_fn fn) {
        world_alarm(world_moment_us(), &keeper->actor, fn, keeper, 0);
}

/* Whoever watches it sees its end, after the last that it said. */
static void go(Keeper *keeper) {
        Proc proc = keeper->proc;

        proc_exit(proc);
        actor_sink(&keeper->actor);
        agents_proc_ended(proc, keeper->last_news_us);
}

/* If ours has gone and no other one has come, somebody must tell the daemon. */
static void see_to_an_agent(const Keeper *keeper) {
        const Agent *agent = &agents[keeper->owner];

        if (agent->actor.gen != keeper->agent_gen && !agent->actor.up)
                agent_start_soon(&agents[keeper->owner], world_moment_us());
}

static bool agent_is_there(const Keeper *keeper) {
        const Agent *agent = &agents[keeper->owner];

        return actor_lives(&agent->actor) && agent->actor.gen == keeper->agent_gen;
}

static void take_order(Keeper *keeper, size_t at) {
        const Order *order = &keeper->orders[at];

        keeper->at = at;
        keeper->ref = order->ref;
        keeper->attempt = order->attempt;
        keeper->deed = order->deed;
        keeper->file = NULL;
        keeper->start = NULL;
        keeper->claimed = keeper->end_due = keeper->over = keeper->between = false;
        keeper->cancelled =
                keeper->cancel.ref == order->ref && keeper->cancel.attempt == order->attempt;
        keeper->cancel = (Order){ 0 };
}

static void on_claim(void *userdata, uint64_t arg);

/* With its agent gone it leaves its row, as soon as it sees that. */
static void on_next(void *userdata, uint64_t arg) {
        Keeper *keeper = userdata;

        if (!agent_is_there(keeper) && !world_chance(10)) {
                world_note("keeper", "leaves its row", keeper->ref, keeper->attempt);
                go(keeper);
                return;
        }
        take_order(keeper, keeper->at + 1);
        if (world_step(&keeper->actor, "takes the next order", keeper->ref, keeper->attempt))
                world_alarm(world_held_up_us(), &keeper->actor, on_claim, keeper, 0);
}

static void on_noted(void *userdata, uint64_t arg) {
        Keeper *keeper = userdata;
        /* now and then something of the command is left, which would become mixed with the next one's */
        bool goes_on = !keeper->failed && keeper->at + 1 < keeper->n_orders && !world_chance(5);

        say_end(keeper, goes_on);
        if (!world_step(&keeper->actor, "has told the end", keeper->ref, keeper->attempt))
                return;
        see_to_an_agent(keeper);
        if (!goes_on) {
                go(keeper);
                return;
        }
        keeper->between = true;
        later(keeper, on_next);
}

/* The end is written into room that the record has already. */
static void on_child(void *userdata, uint64_t arg) {
        Keeper *keeper = userdata;

        if (!world_step(&keeper->actor, "sees the end", keeper->ref, keeper->attempt))
                return;
        keeper->over = true;
        keeper->end.at_us = clock_realtime_us();
        if (keeper->file) {
                keeper->file->ended = true;
                keeper->file->end = keeper->end;
        }
        if (world_step(&keeper->actor, "notes the end", keeper->ref, keeper->attempt))
                later(keeper, on_noted);
}

static void finish(Keeper *keeper, const End *end) {
        keeper->end = *end;
        keeper->failed = true;
        on_child(keeper, 0);
}

static void on_soon(void *userdata, uint64_t at) {
        Keeper *keeper = userdata;

        if (keeper->at != at || keeper->over)
                return;
        say(keeper, &(News){ .type = NEWS_STARTED, .proc = keeper->start->proc });
        (void)world_step(&keeper->actor, "has told the start", keeper->ref, keeper->attempt);
}

static void on_spawned(void *userdata, uint64_t arg) {
        Keeper *keeper = userdata;

        keeper->start->hidden = false;
        if (keeper->file)
                keeper->file->command = keeper->start->proc;
        if (!world_step(&keeper->actor, "notes the command", keeper->ref, keeper->attempt))
                return;
        world_alarm(SAY_SOON_US, &keeper->actor, on_soon, keeper, keeper->at);
        if (keeper->end_due)
                later(keeper, on_child);
}

static End some_end(const Deed *deed) {
        if (!world_chance(deed->fail_percent))
                return (End){ .state = TASK_STATE_DONE };
        if (world_chance(30))
                return (End){ .state = TASK_STATE_FAILED, .exit_status = -1, .signal = 11 };
        return (End){ .state = TASK_STATE_FAILED, .exit_status = (int)(1 + world_below(120)) };
}

static void on_claimed(void *userdata, uint64_t arg) {
        Keeper *keeper = userdata;
        Deed *deed = keeper->deed;
        End end;

        if (!world_step(&keeper->actor, "starts the command", keeper->ref, keeper->attempt))
                return;
        if (world_chance(2)) {
                finish(keeper, &(End){ .state = TASK_STATE_FAILED,
                                       .exit_status = 127,
                                       .reason = "could not be started" });
                return;
        }
        end = some_end(deed);
        keeper->start = check_start(deed, keeper->ref, keeper->attempt,
                                    proc_fork(keeper->proc, deed->row.uid));
        keeper->start->hidden = true;
        world.n_rows[ROW_GONE_ON] += keeper->at > 0;
        if (deed->row.time_limit_us < deed->duration_us)
                end = (End){ .state = TASK_STATE_TIMEOUT, .exit_status = -1, .signal = 15 };
        command_run(keeper->start, MIN(deed->duration_us, deed->row.time_limit_us), &end);
        if (keeper->cancelled)
                command_kill(keeper->start);
        if (world_step(&keeper->actor, "has a child", keeper->ref, keeper->attempt))
                later(keeper, on_spawned);
}

static void on_claim(void *userdata, uint64_t arg) {
        Keeper *keeper = userdata;
        bool full = false;

        if (!world_step(&keeper->actor, "claims the start", keeper->ref, keeper->attempt))
                return;
        keeper->claimed = true;
        if (agents[keeper->owner].epoch != keeper->epoch && world.mutant != MUTANT_LATE_KEEPER) {
                world.n_rows[ROW_TOO_LATE]++;
                say(keeper, &(News){ .type = NEWS_CLAIMED });
                go(keeper);
                return;
        }
        if (world.mutant != MUTANT_NO_RECORD) {
                keeper->file = file_create(keeper->owner, keeper->ref, keeper->attempt,
                                           keeper->proc, &full);
                if (!keeper->file && world.mutant == MUTANT_LATE_KEEPER)
                        keeper->file = file_find(keeper->owner, keeper->ref, keeper->attempt);
                if (full) {
                        finish(keeper, &(End){ .state = TASK_STATE_FAILED,
                                               .exit_status = 125,
                                               .reason = "could not be started: no room" });
                        return;
                }
                if (!keeper->file) {
                        say(keeper, &(News){ .type = NEWS_CLAIMED });
                        go(keeper);
                        return;
                }
        }
        if (world_step(&keeper->actor, "has its record", keeper->ref, keeper->attempt))
                later(keeper, on_claimed);
}

/* The nursery hands the order to a new process; also if the agent has died meanwhile. */
static void on_order(void *userdata, uint64_t gen) {
        Keeper *keeper = userdata;

        if (keeper->actor.gen != gen)
                return;
        actor_rise(&keeper->actor);
        keeper->proc = proc_fork(0, keeper->deed->row.uid);
        say(keeper, &(News){ .type = NEWS_TAKEN, .proc = keeper->proc });
        if (world_step(&keeper->actor, "takes the order", keeper->ref, keeper->attempt))
                world_alarm(world_held_up_us(), &keeper->actor, on_claim, keeper, 0);
}

static bool is_free(const Keeper *keeper) {
        return !keeper->actor.up && !keeper->deed;
}

void keeper_order(unsigned owner, const Order *orders, size_t n) {
        Keeper *keeper = all.keepers;

        while (!is_free(keeper))
                if (++keeper == all.keepers + KEEPERS_MAX)
                        abort();
        *keeper = (Keeper){ .actor = keeper->actor,
                            .owner = owner,
                            .agent_gen = agents[owner].actor.gen,
                            .epoch = agents[owner].epoch,
                            .n_orders = n };
        memcpy(keeper->orders, orders, n * sizeof(*orders));
        take_order(keeper, 0);
        world_alarm(world_held_up_us(), NULL, on_order, keeper, keeper->actor.gen);
}

/* -- commands -- */

static Keeper *keeper_of(const Start *start) {
        for (size_t i = 0; i < KEEPERS_MAX; i++)
                if (all.keepers[i].actor.up && all.keepers[i].start == start)
                        return &all.keepers[i];
        return NULL;
}

static void end_command(Start *start, const End *end) {
        Keeper *keeper = keeper_of(start);

        world_note("command", "ends", start->ref, (uint64_t)end->state);
        check_over(start, end);
        proc_exit(start->proc);
        agents_proc_ended(start->proc, 0);
        host_wake_at(world.now_us);
        if (keeper) {
                keeper->end = *end;
                keeper->end_due = true;
                if (!start->hidden)
                        later(keeper, on_child);
                return;
        }
        runners_command_ended(start);
}

static void on_command_end(void *userdata, uint64_t arg) {
        Start *start = userdata;

        if (!start->over && start_of_proc((Proc)arg) == start)
                end_command(start, &start->end);
}

void command_run(Start *start, uint64_t duration_us, const End *end) {
        start->end = *end;
        world_alarm(duration_us, NULL, on_command_end, start, start->proc);
}

static void on_kill(void *userdata, uint64_t arg) {
        Start *start = userdata;

        if (start->over || start_of_proc((Proc)arg) != start)
                return;
        end_command(start,
                    &(End){ .state = TASK_STATE_CANCELLED, .exit_status = -1, .signal = 15 });
}

void command_kill(Start *start) {
        start->cancelled = true;
        world_alarm(world_moment_us(), NULL, on_kill, start, start->proc);
}

/* What is not of the order that it is at is forgotten; but between two it has to wait. */
static void cancel(Keeper *keeper, uint64_t ref, unsigned attempt) {
        if (keeper->between) {
                keeper->cancel = (Order){ .ref = ref, .attempt = attempt };
        } else if (keeper->ref == ref && keeper->attempt == attempt) {
                keeper->cancelled = true;
                if (keeper->start)
                        command_kill(keeper->start);
        }
}

void keeper_cancel(Proc proc, uint64_t ref, unsigned attempt) {
        for (size_t i = 0; i < KEEPERS_MAX; i++)
                if (actor_lives(&all.keepers[i].actor) && all.keepers[i].proc == proc)
                        cancel(&all.keepers[i], ref, attempt);
}

/* -- death -- */

static void on_agent_gone(void *userdata, uint64_t gen) {
        Keeper *keeper = userdata;

        if (keeper->claimed || keeper->agent_gen != gen || !keeper->deed)
                return;
        if (keeper->actor.up)
                keeper->actor.dead = true;
        else
                keeper->actor.gen++; /* a spare that has not read its order yet */
        keeper->proc = keeper->actor.up ? keeper->proc : UINT32_MAX;
}

void keepers_agent_gone(unsigned owner) {
        for (size_t i = 0; i < KEEPERS_MAX && world.mutant != MUTANT_LATE_KEEPER; i++)
                if (all.keepers[i].deed && all.keepers[i].owner == owner)
                        world_alarm(world_chance(10) ? world_held_up_us() : world_below(300), NULL,
                                    on_agent_gone, &all.keepers[i], all.keepers[i].agent_gen);
}

void keepers_kill_one(void) {
        for (unsigned tries = 0; tries < 8; tries++) {
                Keeper *keeper = &all.keepers[world_below(32)];

                if (actor_lives(&keeper->actor)) {
                        actor_kill(&keeper->actor);
                        return;
                }
        }
}

void keepers_kill_all(void) {
        for (size_t i = 0; i < KEEPERS_MAX; i++) {
                Keeper *keeper = &all.keepers[i];

                if (keeper->actor.up)
                        keeper->actor.dead = true;
                else
                        keeper->actor.gen++; /* orders that nobody has taken */
        }
}

void keepers_bury(void) {
        for (size_t i = 0; i < KEEPERS_MAX; i++) {
                Keeper *keeper = &all.keepers[i];

                if (keeper->actor.dead)
                        go(keeper);
                if (!keeper->actor.up && (keeper->proc != 0 || world.power_lost))
                        *keeper = (Keeper){ .actor = keeper->actor };
        }
}

bool keepers_rest(void) {
        for (size_t i = 0; i < KEEPERS_MAX; i++)
                if (!is_free(&all.keepers[i]))
                        return false;
        return true;
}
