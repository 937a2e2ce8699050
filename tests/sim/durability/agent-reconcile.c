/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * As src/agent/reconcile.c: what the daemon says against what is here, by the real table.
 */

#include "agents.h"

enum {
        DEPTH_MAX = 4, /* of what a task is looked at again for */
};

/* The start that an offer is about; NULL: there can't be one. */
static Run *take_offer(Agent *agent, const Said *said) {
        Run *run;

        if (run_find(agent, said->ref, said->attempt))
                return NULL;
        run = run_new(agent, said->ref, said->attempt);
        run->phase = RUN_ACCEPTING;
        run->offer = said->offer;
        return run;
}

static void accept(Agent *agent, const Said *said) {
        Run *run = take_offer(agent, said);

        if (!run) {
                talk_decline(agent, said->ref, said->offer);
                return;
        }
        if (world.mutant == MUTANT_START_BEFORE_ANSWER && job_find(agent, said->ref))
                run_start(agent, run);
        talk_accept(agent, run);
}

/* It was accepted, and there is no record: nobody will start it on this attempt. */
static void resume_not_started(Agent *agent, const Said *said) {
        bool exists = false;
        Run *run;

        if (!run_claim(agent, said->ref, said->attempt, &exists) && exists) {
                run = run_find(agent, said->ref, said->attempt);
                if (run && run->phase == RUN_IN_ROW)
                        return; /* its keeper is about to start it */
                if (!run)
                        run = run_load(agent, said->ref, said->attempt);
                if (run && run->phase != RUN_ACCEPTING && run->phase != RUN_CLAIMED)
                        reconcile_task(agent, said);
                return;
        }
        talk_resume(agent, said->ref, said->attempt, false);
}

static void start_granted(Agent *agent, const Said *said) {
        Run *run = said->by_offer ? take_offer(agent, said) :
                                    run_find(agent, said->ref, said->attempt);

        if (run && run->phase == RUN_ACCEPTING)
                row_take(agent, run, said->behind);
        else if (said->by_offer)
                resume_not_started(agent, said);
}

/* @run: whose record it is about; NULL: none */
static void act(Agent *agent, LifeAction action, const Said *said, Run *run) {
        switch (action) {
        case LIFE_RESUME_RUNNING:
                talk_resume(agent, run->ref, run->attempt, true);
                return;
        case LIFE_RESUME_NOT_STARTED:
                resume_not_started(agent, said);
                return;
        case LIFE_SAY_ENDED:
        case LIFE_SAY_LOST:
                run->last = said->said == LIFE_SAID_NOTHING;
                if (run->phase != RUN_OVER)
                        talk_ended(agent, run);
                return;
        case LIFE_DROP_RECORD:
                run_drop(agent, run);
                return;
        case LIFE_ASK:
                if (task_ref_index(said->ref) < 0)
                        talk_ask(agent, said->ref, said->attempt);
                return;
        case LIFE_WITHDRAW:
                talk_give_away(agent, said->ref);
                if (run)
                        run_drop(agent, run);
                return;
        case LIFE_ACCEPT:
                accept(agent, said);
                return;
        case LIFE_DECLINE:
                talk_decline(agent, said->ref, said->offer);
                return;
        case LIFE_START:
                start_granted(agent, said);
                return;
        case LIFE_NOTHING:
        case LIFE_WATCH:
                return;
        }
}

static LifeView view_of(const Said *said, const Run *run, bool has_bundle) {
        return (LifeView){
                .said = said->said,
                .said_attempt = said->attempt,
                .record = run ? run_life(run) : LIFE_RECORD_NONE,
                .record_attempt = run ? run->attempt : 0,
                .has_bundle = has_bundle,
        };
}

void reconcile_task(Agent *agent, const Said *said) {
        Job *job = job_find(agent, said->ref);
        bool has_bundle = job != NULL, stands = false;
        Run *run = run_older(agent, said->ref, 0), *older;
        static unsigned depth;
        LifeView view;

        if (depth == DEPTH_MAX) {
                world_fail("an agent goes round in circles");
                return;
        }
        depth++;
        if (job && task_ref_index(said->ref) >= 0)
                job->has_elements = true;
        for (; run; run = older) {
                older = run_older(agent, said->ref, run->attempt);
                view = view_of(said, run, has_bundle);
                if (view.record == LIFE_RECORD_NONE)
                        continue;
                stands |= life_record_stands(&view);
                act(agent, life_decide(&view), said, run);
        }
        view = view_of(said, NULL, has_bundle);
        if (!stands)
                act(agent, life_decide(&view), said, NULL);
        depth--;
}

static void mark_listed(Agent *agent) {
        for (size_t i = 0; i < agent->n_jobs; i++)
                agent->jobs[i].listed = false;
        for (size_t i = 0; i < agent->n_runs; i++)
                agent->runs[i].seen = false;
        for (size_t i = 0; i < agent->n_listed; i++) {
                const AgentTask *task = &agent->listed[i];
                Deed *deed = task_ref_index(task->id) < 0 ? deed_of_key(task->key) : NULL;
                Job *job = deed ? job_find_deed(agent, deed) : NULL;

                if (!job)
                        continue;
                job->listed = true;
                if (job->id != task->id)
                        job_note_id(agent, job, task->id);
        }
}

/* Without an id it was never promised to anybody; with one it is over, as far as the daemon knows. */
static void settle_unlisted(Agent *agent) {
        for (size_t i = 0; i < agent->n_jobs; i++) {
                Job *job = &agent->jobs[i];

                if (!job->used || job->listed || job->submission)
                        continue;
                if (job->id == 0)
                        job_drop(agent, job);
                else if (!run_older(agent, job->id, 0))
                        reconcile_task(agent, &(Said){ .said = LIFE_SAID_NOTHING,
                                                       .ref = job->id,
                                                       .attempt = 1 });
        }
}

static void settle_unseen(Agent *agent, Run *newest) {
        bool gone = task_ref_index(newest->ref) >= 0 || !job_find(agent, newest->ref);
        const Said said = {
                .said = LIFE_SAID_NOTHING,
                .ref = newest->ref,
                .attempt = newest->attempt,
        };

        while (gone && newest && newest->phase == RUN_CLAIMED) {
                if (!run_let_go(agent, newest))
                        return;
                newest = run_older(agent, said.ref, 0);
        }
        if (newest)
                reconcile_task(agent, &said);
}

void reconcile_all(Agent *agent) {
        mark_listed(agent);
        for (size_t i = 0; i < agent->n_listed; i++) {
                const AgentTask *task = &agent->listed[i];
                Run *run;

                reconcile_task(agent, &(Said){ .said = task->state == TASK_STATE_RUNNING ?
                                                               LIFE_SAID_RUNNING :
                                                               LIFE_SAID_WAITING,
                                               .ref = task->id,
                                               .attempt = task->attempt });
                run = run_older(agent, task->id, 0); /* perhaps a claim that was just made */
                if (run)
                        run->seen = true;
        }
        for (size_t i = 0; i < agent->n_runs; i++) {
                Run *run = &agent->runs[i];

                if (run->used && run == run_older(agent, run->ref, 0) && !run->seen)
                        settle_unseen(agent, run);
        }
        agent->n_listed = 0;
        settle_unlisted(agent);
        agent_want_turn(agent);
}
