/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <stdlib.h>

#include "util/clock.h"

#include "agents.h"

#define LOOK_AGAIN_US (50 * US_PER_MSEC)
#define GARBAGE_US    (2 * US_PER_SEC)
#define UNTAKEN_US    (60 * US_PER_SEC)
#define TAKE_BACK_US  US_PER_SEC

bool run_is_live(const Run *run) {
        return run->phase == RUN_STARTING || run->phase == RUN_RUNNING;
}

Run *run_find(Agent *agent, uint64_t ref, unsigned attempt) {
        for (size_t i = 0; i < agent->n_runs; i++) {
                Run *run = &agent->runs[i];

                if (run->used && run->ref == ref && run->attempt == attempt)
                        return run;
        }
        return NULL;
}

Run *run_older(Agent *agent, uint64_t ref, unsigned attempt) {
        Run *best = NULL;

        for (size_t i = 0; i < agent->n_runs; i++) {
                Run *run = &agent->runs[i];

                if (run->used && run->ref == ref && (attempt == 0 || run->attempt < attempt) &&
                    (!best || run->attempt > best->attempt))
                        best = run;
        }
        return best;
}

Run *run_new(Agent *agent, uint64_t ref, unsigned attempt) {
        Run *run = agent->runs;

        while (run->used)
                if (++run == agent->runs + RUNS_MAX)
                        abort();
        agent->n_runs = MAX(agent->n_runs, (size_t)(run - agent->runs) + 1);
        *run = (Run){ .used = true, .ref = ref, .attempt = attempt };
        return run;
}

/* Its record, if it has one, stays. */
void run_forget(Run *run) {
        run_leave_row(run);
        *run = (Run){ 0 };
}

void run_drop(Agent *agent, Run *run) {
        if (world_step(&agent->actor, "drops a record", run->ref, run->attempt))
                file_remove(agent->number, run->ref, run->attempt);
        run_forget(run);
}

/* But for a claim that a keeper has yet to come to: that goes later. Return: whether it is gone. */
bool run_let_go(Agent *agent, Run *run) {
        if (world.mutant != MUTANT_ROW_UNGUARDED && run->phase == RUN_CLAIMED && run->row != 0 &&
            !run->row_over) {
                run->dropped = true;
                return false;
        }
        run_drop(agent, run);
        return true;
}

LifeRecord run_life(const Run *run) {
        switch (run->phase) {
        case RUN_STARTING:
                return LIFE_RECORD_STARTING;
        case RUN_RUNNING:
                return world.mutant == MUTANT_LIFE_IGNORED ? LIFE_RECORD_NONE : LIFE_RECORD_RUNNING;
        case RUN_DEAD:
                return LIFE_RECORD_DEAD;
        case RUN_ENDED:
        case RUN_OVER:
                return LIFE_RECORD_ENDED;
        case RUN_CLAIMED:
        case RUN_ACCEPTING:
        case RUN_IN_ROW:
                break;
        }
        return LIFE_RECORD_NONE;
}

bool runs_have_live(Agent *agent, uint64_t id) {
        for (size_t i = 0; i < agent->n_runs; i++) {
                const Run *run = &agent->runs[i];

                if (run->used && task_ref_id(run->ref) == id &&
                    (run_is_live(run) || run->phase == RUN_ACCEPTING || run->phase == RUN_IN_ROW))
                        return true;
        }
        return false;
}

void runs_drop_over(Agent *agent) {
        for (size_t i = 0; i < agent->n_runs; i++) {
                Run *run = &agent->runs[i], *older, *next;

                if (!run->used || run->phase != RUN_OVER)
                        continue;
                for (older = run_older(agent, run->ref, run->attempt); older; older = next) {
                        next = run_older(agent, run->ref, older->attempt);
                        (void)run_let_go(agent, older);
                }
                run_drop(agent, run);
        }
}

void runs_drop_claims(Agent *agent, uint64_t id) {
        for (size_t i = 0; i < agent->n_runs; i++) {
                Run *run = &agent->runs[i];

                if (run->used && run->phase == RUN_CLAIMED && task_ref_id(run->ref) == id)
                        (void)run_let_go(agent, run);
        }
}

/* Return: whether it is claimed, by us. */
bool run_claim(Agent *agent, uint64_t ref, unsigned attempt, bool *ret_exists) {
        Run *run = run_find(agent, ref, attempt);
        bool full = false;

        *ret_exists = false;
        if (run) {
                *ret_exists = run->phase != RUN_CLAIMED;
                return run->phase == RUN_CLAIMED;
        }
        if (!world_step(&agent->actor, "claims a start", ref, attempt))
                return false;
        if (!file_create(agent->number, ref, attempt, 0, &full)) {
                *ret_exists = !full;
                return false;
        }
        run_new(agent, ref, attempt)->phase = RUN_CLAIMED;
        return true;
}

/* It does not happen; the daemon is told so. Return: whether it was not too late. */
bool run_claim_back(Agent *agent, Run *run) {
        bool full;

        if (!world_step(&agent->actor, "claims a start back", run->ref, run->attempt))
                return false;
        if (world.mutant != MUTANT_ROW_UNCLAIMED &&
            !file_create(agent->number, run->ref, run->attempt, 0, &full))
                return false;
        run->phase = RUN_CLAIMED;
        talk_resume(agent, run->ref, run->attempt, false);
        return true;
}

/* -- ends -- */

void run_finish(Agent *agent, Run *run, RunPhase phase) {
        run->phase = phase;
        row_go_on(agent, run);
        run->watched = 0;
        tell_later(agent, run);
        agent_want_turn(agent);
}

static void finish_lost(Agent *agent, Run *run, const char *reason) {
        run->end = (End){ .state = TASK_STATE_LOST,
                          .exit_status = -1,
                          .reason = reason,
                          .at_us = clock_realtime_us() };
        run_finish(agent, run, RUN_DEAD);
}

static void watch_command(Agent *agent, Run *run) {
        if (proc_is_alive(run->command))
                run->watched = run->command;
        else
                finish_lost(agent, run,
                            run->command ? "its keeper was gone when it ended" :
                                           "it could not be started: its keeper was gone");
}

/* What is watched has ended: the keeper, whose record says more, or a command that had none. */
void run_on_watched_end(Agent *agent, Run *run) {
        const File *file = file_find(agent->number, run->ref, run->attempt);

        if (!world_step(&agent->actor, "sees a process end", run->ref, run->attempt))
                return;
        run->watched = 0;
        if (!run->keeper_gone)
                row_note_over(agent, run);
        if (run->phase == RUN_CLAIMED || !run->used)
                return;
        if (run->keeper_gone) {
                finish_lost(agent, run, "its keeper was gone when it ended");
                return;
        }
        run->keeper_gone = true;
        if (file && file->ended) {
                run->end = file->end;
                run_finish(agent, run, RUN_ENDED);
                return;
        }
        if (!file && run->sent) { /* the next of a row, to which it did not come */
                run->keeper_gone = run->sent = false;
                run->keeper = 0;
                run_start(agent, run);
                return;
        }
        if (file && file->command && !run->command) {
                run->command = file->command;
                run->phase = RUN_RUNNING;
        }
        watch_command(agent, run);
}

/* -- records -- */

/* From the record of an earlier agent's time. */
static void adopt(Agent *agent, Run *run, const File *file) {
        if (!file->garbage && file->keeper == 0) { /* a claim */
                run->phase = RUN_CLAIMED;
                return;
        }
        run->adopted = true;
        if (file->garbage && file->boot != world.boot) {
                run->keeper_gone = true;
                finish_lost(agent, run, "its record can't be read");
                return;
        }
        if (file->garbage) { /* a keeper that has just taken it is about to write it */
                run->phase = RUN_STARTING;
                run->since_us = world.now_us;
                return;
        }
        if (file->ended) {
                run->end = file->end;
                run->phase = RUN_ENDED;
                return;
        }
        if (file->boot != world.boot) {
                finish_lost(agent, run, "the machine went down");
                return;
        }
        if (proc_is_alive(file->keeper)) {
                run->keeper = run->watched = file->keeper;
                run->command = file->command;
                run->phase = file->command ? RUN_RUNNING : RUN_STARTING;
                if (run->cancelled)
                        run_cancel(agent, run);
                return;
        }
        run->keeper_gone = true;
        run->command = file->command;
        if (proc_is_alive(file->command))
                run->phase = RUN_RUNNING;
        watch_command(agent, run);
}

static void look_at_record(Agent *agent, Run *run) {
        const File *file = file_find(agent->number, run->ref, run->attempt);

        if (!file)
                return;
        if (file->garbage) {
                if (world.now_us - run->since_us > GARBAGE_US)
                        finish_lost(agent, run, "its record can't be read");
                return;
        }
        if (run->keeper == 0) {
                adopt(agent, run, file);
        } else if (file->command) {
                run->command = file->command;
                run->phase = RUN_RUNNING;
        }
        if (run->phase == RUN_RUNNING && agent->ready)
                talk_resume(agent, run->ref, run->attempt, true);
        else if (run->phase == RUN_ENDED)
                run_finish(agent, run, RUN_ENDED);
}

/* No keeper has said that it took the order. */
static void take_back_order(Agent *agent, Run *run) {
        const File *file;

        if (run->keeper != 0 || run->ordering != 0 ||
            (!run->refused && world.now_us - run->since_us < UNTAKEN_US))
                return;
        if (!world_step(&agent->actor, "begins an epoch", run->ref, run->attempt))
                return;
        agent->epoch += world.mutant != MUTANT_UNTAKEN_LEFT;
        world.n_rows[ROW_UNTAKEN]++;
        if (run_claim_back(agent, run))
                return;
        file = file_find(agent->number, run->ref, run->attempt);
        if (file)
                adopt(agent, run, file);
}

static void on_look_again(void *userdata, uint64_t at_us) {
        Agent *agent = userdata;

        if (agent->looks_again_us != at_us)
                return;
        agent->looks_again_us = UINT64_MAX;
        for (size_t i = 0; i < agent->n_runs; i++) {
                Run *run = &agent->runs[i];

                if (!run->used || run->phase != RUN_STARTING)
                        continue;
                if (run->adopted)
                        look_at_record(agent, run);
                else
                        take_back_order(agent, run);
        }
        runs_look_again(agent);
}

void runs_look_again(Agent *agent) {
        uint64_t in_us = UINT64_MAX;

        for (size_t i = 0; i < agent->n_runs; i++) {
                const Run *run = &agent->runs[i];

                if (run->used && run->phase == RUN_STARTING && (run->adopted || run->keeper == 0))
                        in_us = MIN(in_us, run->adopted ? LOOK_AGAIN_US :
                                           run->refused ? TAKE_BACK_US :
                                                          UNTAKEN_US);
        }
        if (in_us == UINT64_MAX || agent->looks_again_us <= world.now_us + in_us)
                return;
        agent->looks_again_us = world.now_us + in_us;
        world_alarm(in_us, &agent->actor, on_look_again, agent, agent->looks_again_us);
}

static Run *load(Agent *agent, const File *file) {
        Run *run = run_new(agent, file->ref, file->attempt);

        adopt(agent, run, file);
        runs_look_again(agent);
        return run;
}

Run *run_load(Agent *agent, uint64_t ref, unsigned attempt) {
        const File *file = file_find(agent->number, ref, attempt);

        return file ? load(agent, file) : NULL;
}

void runs_load(Agent *agent) {
        const File *file;
        size_t at = 0;

        while ((file = file_next(agent->number, &at)))
                (void)load(agent, file);
}

/* -- keepers -- */

void run_cancel(Agent *agent, Run *run) {
        Start *start;

        if (!run_is_live(run))
                return;
        run->cancelled = true;
        if (!run->watched)
                return; /* as soon as it has a keeper */
        if (!run->keeper_gone) {
                keeper_cancel(run->watched, run->ref, run->attempt);
                return;
        }
        start = start_of_proc(run->command);
        if (start && !start->over)
                command_kill(start);
}

static void on_claimed(Agent *agent, Run *run) {
        const File *file = file_find(agent->number, run->ref, run->attempt);

        if (run->phase != RUN_STARTING)
                return;
        run->watched = 0;
        if (file) {
                adopt(agent, run, file);
        } else {
                run->keeper = 0;
                run->refused = true;
        }
        if (run->phase == RUN_ENDED)
                run_finish(agent, run, RUN_ENDED);
        if (run->phase == RUN_STARTING)
                runs_look_again(agent);
}

static void on_news(Agent *agent, const News *news) {
        Run *run = run_find(agent, news->ref, news->attempt);

        if (!run || !world_step(&agent->actor, "has news of a keeper", news->ref, news->type))
                return;
        if (news->type == NEWS_CLAIMED || (news->type == NEWS_ENDED && !news->goes_on))
                row_note_over(agent, run);
        switch (news->type) {
        case NEWS_TAKEN:
                if (run->phase != RUN_STARTING)
                        return;
                run->keeper = run->watched = news->proc;
                if (run->cancelled)
                        run_cancel(agent, run);
                return;
        case NEWS_CLAIMED:
                on_claimed(agent, run);
                return;
        case NEWS_STARTED:
                if (run->phase != RUN_STARTING)
                        return;
                run->command = news->proc;
                run->phase = RUN_RUNNING;
                tell_later(agent, run);
                return;
        case NEWS_ENDED:
                if (!run_is_live(run))
                        return;
                run->end = news->end;
                run->goes_on = news->goes_on;
                run_finish(agent, run, RUN_ENDED);
                return;
        }
}

void agent_on_news(Agent *agent, const News *news, size_t n) {
        for (size_t i = 0; i < n; i++)
                on_news(agent, &news[i]);
        orders_send(agent);
        tell_due(agent);
        agent_want_turn(agent);
}
