/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * As src/agent/rows.c and orders.c: what was granted in advance, and the orders of it.
 */

#include "util/clock.h"

#include "agents.h"

#define ROW_MAX_US (50 * US_PER_MSEC)

/* -- orders -- */

/* It is ordered with the next orders_send(). */
void run_start(Agent *agent, Run *run) {
        run->phase = RUN_STARTING;
        run->ordering = ++agent->n_ordered;
        agent_want_turn(agent);
}

static Run *next_ordering(Agent *agent) {
        Run *next = NULL;

        for (size_t i = 0; i < agent->n_runs; i++) {
                Run *run = &agent->runs[i];

                if (run->used && run->ordering != 0 && (!next || run->ordering < next->ordering))
                        next = run;
        }
        return next;
}

/* A run and those behind it, of which it knows what to run. */
static size_t compose(Agent *agent, const Run *first, Order orders[static ORDERS_MAX]) {
        size_t n = 0;

        for (const Run *run = first; run && n < ORDERS_MAX; run = run->behind) {
                Job *job = job_find(agent, run->ref);

                if (!job)
                        break;
                orders[n++] =
                        (Order){ .ref = run->ref, .attempt = run->attempt, .deed = job->deed };
        }
        return n;
}

static void fail(Agent *agent, Run *run) {
        run->end = (End){ .state = TASK_STATE_FAILED,
                          .exit_status = -1,
                          .reason = "it could not be started",
                          .at_us = clock_realtime_us() };
        run_finish(agent, run, RUN_ENDED);
}

static void note_row(Agent *agent, Run *first, size_t n) {
        first->row = first->behind ? ++agent->n_rows_ordered : 0;
        first->row_over = false;
        for (Run *run = first->behind; n > 1; n--, run = run->behind) {
                run->row = first->row;
                run->row_over = false;
                run->sent = true;
        }
}

void orders_send(Agent *agent) {
        Run *run;

        while ((run = next_ordering(agent))) {
                Order orders[ORDERS_MAX];
                size_t n = compose(agent, run, orders);

                run->ordering = 0;
                if (n == 0) {
                        fail(agent, run);
                        continue;
                }
                run->since_us = world.now_us;
                if (!world_step(&agent->actor, "orders a start", run->ref, n))
                        return;
                keeper_order(agent->number, orders, n);
                note_row(agent, run, n);
        }
        runs_look_again(agent);
}

/* -- rows -- */

void run_leave_row(Run *run) {
        if (run->ahead)
                run->ahead->behind = run->behind;
        if (run->behind)
                run->behind->ahead = run->ahead;
        run->ahead = run->behind = NULL;
}

/* The keeper of a run does nothing more of what it was ordered with it: claims that were to keep it from others may go. */
void row_note_over(Agent *agent, const Run *run) {
        uint64_t row = run->row;

        if (row == 0 || run->row_over)
                return;
        for (size_t i = 0; i < agent->n_runs; i++) {
                Run *each = &agent->runs[i];

                if (!each->used || each->row != row)
                        continue;
                each->row_over = true;
                if (each->dropped)
                        run_drop(agent, each);
        }
}

static void give_back(Agent *agent, Run *run) {
        if (!run_claim_back(agent, run))
                return;
        world.n_rows[ROW_GIVEN_BACK]++;
        run_leave_row(run);
}

/* With those behind it, so that none of them starts before it. */
static void give_back_from(Agent *agent, Run *run) {
        for (Run *behind; run; run = behind) {
                behind = run->behind;
                give_back(agent, run);
        }
}

static void on_time(void *userdata, uint64_t arg);

static void arm(Agent *agent, uint64_t in_us) {
        if (agent->rows_armed)
                return;
        agent->rows_armed = true;
        world_alarm(in_us, &agent->actor, on_time, agent, 0);
}

static void on_time(void *userdata, uint64_t arg) {
        Agent *agent = userdata;
        uint64_t in_us = UINT64_MAX;

        agent->rows_armed = false;
        for (size_t i = 0; i < agent->n_runs; i++) {
                Run *run = &agent->runs[i];

                if (!run->used || run->phase != RUN_IN_ROW)
                        continue;
                if (world.now_us - run->lined_up_us >= ROW_MAX_US) {
                        give_back_from(agent, run);
                        world.n_rows[ROW_OVERDUE] += run->phase == RUN_CLAIMED;
                }
                if (run->phase == RUN_IN_ROW)
                        in_us = MIN(in_us,
                                    MAX(run->lined_up_us + ROW_MAX_US, world.now_us + US_PER_MSEC) -
                                            world.now_us);
        }
        if (in_us != UINT64_MAX)
                arm(agent, in_us);
}

static Run *last_of_row(Agent *agent, uint64_t behind) {
        Run *last = run_older(agent, behind, 0);

        while (last && last->behind)
                last = last->behind;
        return last;
}

void row_take(Agent *agent, Run *run, uint64_t behind) {
        Run *last = behind != 0 ? last_of_row(agent, behind) : NULL;

        if (behind != 0 &&
            (!last || last->phase == RUN_CLAIMED)) { /* it was given back meanwhile */
                talk_resume(agent, run->ref, run->attempt, false);
                run_forget(run);
                return;
        }
        if (!last || (!run_is_live(last) && last->phase != RUN_IN_ROW)) {
                run_start(agent, run);
                return;
        }
        if (!world_step(&agent->actor, "lines up", run->ref, last->ref))
                return;
        run->phase = RUN_IN_ROW;
        run->lined_up_us = world.now_us;
        run->ahead = last;
        last->behind = run;
        arm(agent, ROW_MAX_US);
        if (world.mutant == MUTANT_ROW_AT_ONCE)
                run_start(agent, run);
}

/* The keeper of the one that has ended has this one now. */
static void hand_over(Agent *agent, const Run *run, Run *next) {
        next->phase = RUN_STARTING;
        next->keeper = run->keeper;
        next->watched = run->watched;
        if (next->cancelled)
                run_cancel(agent, next);
}

/* A keeper that dies before it has come to a claim in its row says nothing: its end is seen by that. */
static void leave_watch(Agent *agent, const Run *run) {
        if (run->row == 0 || run->row_over)
                return;
        for (size_t i = 0; i < agent->n_runs; i++) {
                Run *claim = &agent->runs[i];

                if (!claim->used || claim->row != run->row || claim->phase != RUN_CLAIMED)
                        continue;
                claim->watched = run->watched;
                return;
        }
}

void row_go_on(Agent *agent, Run *run) {
        Run *next = run->behind;

        if (next)
                run_leave_row(run);
        if (next &&
            !world_step(&agent->actor, run->goes_on ? "goes on in a row" : "has a row left over",
                        next->ref, next->attempt))
                return;
        if (next && next->sent && run->goes_on) {
                hand_over(agent, run, next);
                return;
        }
        if (run->goes_on)
                leave_watch(agent, run);
        if (next)
                run_start(agent, next);
}

void row_cancel(Agent *agent, Run *run) {
        run->cancelled = true;
        give_back(agent, run);
}

/* The connection is lost: the daemon will ask about those that could be claimed. */
void rows_forget(Agent *agent) {
        for (size_t i = 0; i < agent->n_runs; i++) {
                Run *run = &agent->runs[i];

                if (!run->used || run->phase != RUN_IN_ROW)
                        continue;
                give_back(agent, run);
                if (run->phase == RUN_IN_ROW && !run->sent)
                        run_forget(run);
        }
}
