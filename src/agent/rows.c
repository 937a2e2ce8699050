/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <stdlib.h>

#include "agent/conversation.h"
#include "agent/jobs.h"
#include "agent/runs.h"
#include "agent/say.h"
#include "util/clock.h"

#define ROW_MAX_US (50 * US_PER_MSEC)

static void unlink_run(Run *run) {
        if (run->ahead)
                run->ahead->behind = run->behind;
        if (run->behind)
                run->behind->ahead = run->ahead;
        run->ahead = run->behind = NULL;
}

static void start(Run *run) {
        Job *job = task_ref_index(run->ref) < 0 ? job_find(run->agent, run->ref) : NULL;

        if (job)
                job_keep(job);
        run_start(run);
}

static void arm(Agent *agent, uint64_t in_us) {
        int enabled = SD_EVENT_OFF;

        (void)sd_event_source_get_enabled(agent->row_source, &enabled);
        if (enabled != SD_EVENT_OFF)
                return;
        (void)sd_event_source_set_time_relative(agent->row_source, in_us);
        (void)sd_event_source_set_enabled(agent->row_source, SD_EVENT_ONESHOT);
}

/* The run that it is to stand behind; NULL: there is none. */
static Run *last_of_row(const Agent *agent, uint64_t behind) {
        Run *last = run_newest(agent, behind);

        while (last && last->behind)
                last = last->behind;
        return last;
}

void row_take(Run *run, uint64_t behind) {
        Agent *agent = run->agent;
        Run *last = behind != 0 ? last_of_row(agent, behind) : NULL;

        /* That one was given back while the daemon put this one behind it, and comes first. */
        if (behind != 0 && (!last || last->phase == RUN_PHASE_CLAIMED)) {
                uint64_t ref = run->ref;
                unsigned attempt = run->attempt;

                run_free(run);
                conversation_resume(agent->conversation, ref, attempt, false);
                return;
        }
        if (!last || (!run_is_live(last) && last->phase != RUN_PHASE_IN_ROW)) {
                start(run);
                return;
        }
        run->phase = RUN_PHASE_IN_ROW;
        run->lined_up_boot_us = clock_boottime_us();
        run->ahead = last;
        last->behind = run;
        arm(agent, ROW_MAX_US);
}

/* One that was given back, whose claim its keeper is about to come to; NULL: none. */
static Run *find_claim(const Run *run) {
        for (Run *head = run->agent->runs; head; head = head->hh.next)
                for (Run *each = head; each; each = each->older)
                        if (each->row == run->row && each->phase == RUN_PHASE_CLAIMED)
                                return each;
        return NULL;
}

/* A keeper that dies before it has come to such a claim says nothing: its end is seen by that. */
static void leave_watch(Run *run) {
        Run *claim = run->row && !run->row->over ? find_claim(run) : NULL;

        if (!claim)
                return;
        claim->keeper = run->keeper;
        claim->unwatched = run->unwatched;
        run_move_watch(run, claim);
        if (claim->unwatched)
                adopt_arrange(run->agent);
}

void row_go_on(Run *run) {
        Run *next = run->behind;

        if (next)
                unlink_run(run);
        if (next && next->sent && run->goes_on) {
                run_hand_over(run, next);
                return;
        }
        if (run->goes_on)
                leave_watch(run);
        if (next)
                start(next);
}

static void leave_order(Run *run) {
        if (run->row && --run->row->n_runs == 0)
                free(run->row);
        run->row = NULL;
}

void row_leave(Run *run) {
        unlink_run(run);
        leave_order(run);
}

bool row_prepare_order(Run *first) {
        leave_order(first);
        if (first->behind)
                first->row = calloc(1, sizeof(*first->row));
        if (first->row)
                first->row->n_runs = 1;
        return first->row;
}

void row_note_order(Run *first, size_t n) {
        if (!first->row)
                return;
        for (Run *run = first->behind; n > 1; n--, run = run->behind) {
                leave_order(run);
                run->row = first->row;
                run->row->n_runs++;
                run->sent = true;
        }
}

/* Whoever says so may be at any of them, and go on with it: none is forgotten before the turn. */
void row_note_over(const Run *run) {
        if (!run->row || run->row->over)
                return;
        run->row->over = true;
        run->agent->rows_over = true;
        agent_want_turn(run->agent);
}

void rows_drop_claims(Agent *agent) {
        Run *head, *next;

        if (!agent->rows_over)
                return;
        agent->rows_over = false;
        HASH_ITER(hh, agent->runs, head, next) {
                Run *each = head, *older;

                for (; each; each = older) {
                        older = each->older;
                        if (each->dropped && each->row->over)
                                run_drop(each);
                }
        }
}

static void give_back(Run *run) {
        if (run_claim_back(run) == 0)
                unlink_run(run);
}

/* With those behind it, so that none of them starts before it. A keeper that comes to one that is claimed goes no further. */
static void give_back_from(Run *run) {
        for (Run *behind; run; run = behind) {
                behind = run->behind;
                give_back(run);
        }
}

void row_cancel(Run *run, int signal) {
        run->cancelled = true;
        run->cancel_signal = signal;
        give_back(run);
}

void rows_give_back(Agent *agent) {
        Run *run, *next;

        HASH_ITER(hh, agent->runs, run, next) {
                if (run->phase == RUN_PHASE_IN_ROW)
                        give_back_from(run);
        }
}

/* The daemon will ask about those that could be claimed. */
void rows_forget(Agent *agent) {
        Run *run, *next;

        HASH_ITER(hh, agent->runs, run, next) {
                if (run->phase != RUN_PHASE_IN_ROW)
                        continue;
                give_back(run);
                if (run->phase == RUN_PHASE_IN_ROW && !run->sent)
                        run_free(run);
        }
}

int rows_on_time(sd_event_source *source, uint64_t usec, void *userdata) {
        Agent *agent = userdata;
        uint64_t now_us = clock_boottime_us(), in_us = UINT64_MAX;
        Run *run, *next;

        HASH_ITER(hh, agent->runs, run, next) {
                if (run->phase != RUN_PHASE_IN_ROW)
                        continue;
                if (now_us - run->lined_up_boot_us >= ROW_MAX_US)
                        give_back_from(run);
                if (run->phase ==
                    RUN_PHASE_IN_ROW) /* it is not that old, or is being started, or the disk is full */
                        in_us = MIN(in_us,
                                    MAX(run->lined_up_boot_us + ROW_MAX_US, now_us + US_PER_MSEC) -
                                            now_us);
        }
        if (in_us != UINT64_MAX)
                arm(agent, in_us);
        return 0;
}
