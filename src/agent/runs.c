/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "agent/runs.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/conversation.h"
#include "agent/logs.h"
#include "agent/orders.h"
#include "agent/say.h"
#include "util/clock.h"
#include "util/fd.h"

Run *run_newest(const Agent *agent, uint64_t ref) {
        Run *run = NULL;

        HASH_FIND(hh, agent->runs, &ref, sizeof(ref), run);
        return run;
}

Run *run_find(const Agent *agent, uint64_t ref, unsigned attempt) {
        Run *run = run_newest(agent, ref);

        while (run && run->attempt != attempt)
                run = run->older;
        return run;
}

Run *run_new(Agent *agent, uint64_t ref, unsigned attempt) {
        Run *newest = run_newest(agent, ref), **at;
        Run *run;

        run = calloc(1, sizeof(*run));
        if (!run)
                return NULL;
        *run = (Run){
                .agent = agent,
                .ref = ref,
                .attempt = attempt,
                .watch_fd = -1,
                .started_fd = -1,
                .time_limit_us = TASK_TIME_INF,
                .look = look_make(),
                .end.exit_status = -1,
        };
        if (newest && newest->attempt > attempt) {
                for (at = &newest->older; *at && (*at)->attempt > attempt; at = &(*at)->older)
                        ;
                run->older = *at;
                *at = run;
                return run;
        }
        if (newest)
                HASH_DEL(agent->runs, newest);
        run->older = newest;
        HASH_ADD(hh, agent->runs, ref, sizeof(run->ref), run);
        return run;
}

static void unlink_run(Run *run) {
        Agent *agent = run->agent;
        Run *newest = run_newest(agent, run->ref), **at;

        if (newest != run) {
                for (at = &newest->older; *at != run; at = &(*at)->older)
                        ;
                *at = run->older;
                return;
        }
        HASH_DEL(agent->runs, run);
        if (run->older) {
                Run *older = run->older;

                HASH_ADD(hh, agent->runs, ref, sizeof(older->ref), older);
        }
}

void run_free(Run *run) {
        run->agent->n_over -= run->phase == RUN_PHASE_OVER;
        run->agent->n_claimed -= run->phase == RUN_PHASE_CLAIMED;
        unlink_run(run);
        row_leave(run);
        tell_forget(run);
        orders_forget(run);
        run_stop_watching(run);
        (void)sd_event_source_disable_unref(run->kill_source);
        look_done(&run->look);
        free(run->gpus);
        free(run->name);
        free(run);
}

void runs_free_all(Agent *agent) {
        while (agent->runs)
                run_free(agent->runs);
}

void run_drop(Run *run) {
        char name[RECORD_NAME_MAX];

        record_file_name(run->ref, run->attempt, name);
        if (run->noted || run->keeper_gone)
                (void)record_file_recycle(run->agent->run_fd, name);
        else
                (void)unlinkat(run->agent->run_fd, name, 0);
        run_free(run);
}

bool run_let_go(Run *run) {
        if (run->phase == RUN_PHASE_CLAIMED && run->row && !run->row->over) {
                run->dropped = true;
                return false;
        }
        run_drop(run);
        return true;
}

void runs_drop_older(Agent *agent, uint64_t ref, unsigned attempt) {
        Run *run = run_newest(agent, ref), *older;

        for (; run; run = older) {
                older = run->older;
                if (run->attempt < attempt)
                        (void)run_let_go(run);
        }
}

void run_set_over(Run *run) {
        run->agent->n_over += run->phase != RUN_PHASE_OVER;
        run->phase = RUN_PHASE_OVER;
        agent_want_turn(run->agent);
}

void runs_drop_over(Agent *agent) {
        Run *head, *next_head;

        if (agent->n_over == 0)
                return;
        HASH_ITER(hh, agent->runs, head, next_head) {
                uint64_t ref = head->ref;
                Run *run = head, *older;

                for (; run; run = older) {
                        older = run->older;
                        if (run->phase != RUN_PHASE_OVER)
                                continue;
                        runs_drop_older(agent, ref, run->attempt);
                        run_drop(run);
                        break;
                }
        }
}

void runs_drop_claims(Agent *agent, uint64_t id) {
        Run *head, *next_head;

        if (agent->n_claimed == 0)
                return;
        HASH_ITER(hh, agent->runs, head, next_head) {
                Run *run = head, *older;

                if (task_ref_id(head->ref) != id)
                        continue;
                for (; run; run = older) {
                        older = run->older;
                        if (run->phase == RUN_PHASE_CLAIMED)
                                (void)run_let_go(run);
                }
        }
}

LifeRecord run_life(const Run *run) {
        switch (run->phase) {
        case RUN_PHASE_STARTING:
                return LIFE_RECORD_STARTING;
        case RUN_PHASE_RUNNING:
                return LIFE_RECORD_RUNNING;
        case RUN_PHASE_DEAD:
                return LIFE_RECORD_DEAD;
        case RUN_PHASE_ENDED:
        case RUN_PHASE_OVER:
                return LIFE_RECORD_ENDED;
        default:
                return LIFE_RECORD_NONE;
        }
}

bool runs_has_live(const Agent *agent, uint64_t id) {
        for (const Run *head = agent->runs; head; head = head->hh.next) {
                if (task_ref_id(head->ref) != id)
                        continue;
                for (const Run *run = head; run; run = run->older)
                        if (run_is_live(run) || run->phase == RUN_PHASE_ACCEPTING ||
                            run->phase == RUN_PHASE_IN_ROW)
                                return true;
        }
        return false;
}

void runs_count(const Agent *agent, unsigned *ret_running, uint64_t *ret_undelivered) {
        *ret_running = 0;
        *ret_undelivered = 0;
        for (const Run *head = agent->runs; head; head = head->hh.next)
                for (const Run *run = head; run; run = run->older) {
                        *ret_running += run_is_live(run);
                        *ret_undelivered +=
                                run->phase == RUN_PHASE_ENDED || run->phase == RUN_PHASE_DEAD;
                }
}

/* It is over: the daemon is to know. */
void run_finish(Run *run, RunPhase phase) {
        run->phase = phase;
        row_go_on(run);
        run_stop_watching(run);
        run->kill_source = sd_event_source_disable_unref(run->kill_source);
        looks_arrange(run->agent);
        tell_later(run);
        agent_want_turn(run->agent);
}

void run_finish_lost(Run *run, const char *reason) {
        run->end = (RecordEnd){
                .state = TASK_STATE_LOST,
                .exit_status = -1,
                .ended_at_us = clock_realtime_us(),
        };
        (void)snprintf(run->end.reason, sizeof(run->end.reason), "%s", reason);
        run_finish(run, RUN_PHASE_DEAD);
}

void run_note_running(Run *run, pid_t pid, uint64_t start_ticks) {
        run->phase = RUN_PHASE_RUNNING;
        run->pid = pid;
        run->pid_start_ticks = start_ticks;
        run->own_log = logs_exists(run->agent->logs, run->ref);
        look_start(&run->look, clock_boottime_us());
        look_set_interval(&run->look, looks_interval_us(run->agent));
        looks_arrange(run->agent);
}
