/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "agent/reconcile.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/conversation.h"
#include "agent/jobs.h"
#include "agent/queue.h"
#include "agent/runs.h"
#include "agent/say.h"
#include "runner/environment.h"
#include "store/spool.h"
#include "util/cleanup.h"

static LifeView view_of(const Said *said, const Run *run, bool has_bundle) {
        return (LifeView){
                .said = said->said,
                .said_attempt = said->attempt,
                .record = run ? run_life(run) : LIFE_RECORD_NONE,
                .record_attempt = run ? run->attempt : 0,
                .has_bundle = has_bundle,
        };
}

/* Whether the GPUs of an offer are any that an environment may name (decisions.md 31). */
static bool is_sound(const Call *offer) {
        for (unsigned i = 0; i < offer->offer.n_gpus; i++)
                if (!environment_grant_is_sound(&offer->offer.gpus[i]))
                        return false;
        return offer->offer.attempt > 0;
}

/* The start that an offer is about; NULL: there can't be one. */
static Run *take_offer(Agent *agent, const Said *said) {
        Call *offer = said->offer;
        Run *run = NULL;

        if (is_sound(offer) && !run_find(agent, said->ref, said->attempt))
                run = run_new(agent, said->ref, said->attempt);
        if (!run)
                return NULL;
        run->phase = RUN_PHASE_ACCEPTING;
        run->offer = offer->offer.offer;
        run->n_gpus = offer->offer.n_gpus;
        run->gpus = TAKE_PTR(offer->offer.gpus);
        run->pin = offer->offer.pin;
        run->time_limit_us = offer->offer.time_limit_us;
        run->name = TAKE_PTR(offer->offer.name);
        return run;
}

static void accept(Agent *agent, const Said *said) {
        Run *run;

        assert(said->offer); /* the table says it of an offer only */
        run = take_offer(agent, said);
        if (run)
                conversation_accept(agent->conversation, run);
        else
                conversation_decline(agent->conversation, said->ref, said->offer->offer.offer);
}

/* It was accepted, and there is no record: nobody will start it on this attempt. */
static void resume_not_started(Agent *agent, const Said *said) {
        Run *run;
        int r;

        r = run_claim(agent, said->ref, said->attempt);
        if (r == RECORD_FILE_E_EXISTS) { /* a keeper of the last agent's was about to */
                run = run_find(agent, said->ref, said->attempt);
                if (run && run->phase == RUN_PHASE_IN_ROW)
                        return; /* its keeper is about to start it */
                if (!run)
                        run = run_load(agent, said->ref, said->attempt);
                if (run && run->phase != RUN_PHASE_ACCEPTING && run->phase != RUN_PHASE_CLAIMED)
                        reconcile_task(agent, said);
                return;
        }
        if (r == -EMFILE || r == -ENFILE || r == -ENOMEM) { /* a keeper may have what we lack */
                conversation_begin_again(agent->conversation);
                return;
        }
        if (r < 0) /* no keeper can make a record either */
                say_warning("cannot claim task %" PRIu64 ": %s", task_ref_id(said->ref),
                            strerror(-r));
        conversation_resume(agent->conversation, said->ref, said->attempt, false);
}

/* The daemon has written it down: in answer to our Accept, or with an offer that needs none. */
static void start(Agent *agent, const Said *said) {
        Run *run;

        if (said->offer && agent->stopping) {
                resume_not_started(agent, said);
                return;
        }
        run = said->offer ? take_offer(agent, said) : run_find(agent, said->ref, said->attempt);
        if (run && run->phase == RUN_PHASE_ACCEPTING)
                row_take(run, said->offer ? said->offer->offer.behind : 0);
        else if (said->offer)
                resume_not_started(agent, said);
}

static void withdraw(Agent *agent, const Said *said, Run *run) {
        conversation_give_away(agent->conversation, said->ref,
                               run ? "it was started already, as its agent's records say" :
                                     "its command was lost with the agent's folder");
        if (run)
                run_drop(run);
}

/* @run: whose record it is about; NULL: none, and the table has no action then that needs one */
static void act(Agent *agent, LifeAction action, const Said *said, Run *run) {
        switch (action) {
        case LIFE_RESUME_RUNNING:
                assert(run);
                conversation_resume(agent->conversation, run->ref, run->attempt, true);
                return;
        case LIFE_RESUME_NOT_STARTED:
                resume_not_started(agent, said);
                return;
        case LIFE_SAY_ENDED:
        case LIFE_SAY_LOST:
                assert(run);
                run->last = said->said == LIFE_SAID_NOTHING;
                if (run->phase != RUN_PHASE_OVER)
                        conversation_tell_ended(agent->conversation, run);
                return;
        case LIFE_DROP_RECORD:
                assert(run);
                run_drop(run);
                return;
        case LIFE_ASK: /* what there is of an element goes with its array */
                if (task_ref_index(said->ref) < 0)
                        conversation_ask(agent->conversation, said->ref, said->attempt);
                return;
        case LIFE_WITHDRAW:
                withdraw(agent, said, run);
                return;
        case LIFE_ACCEPT:
                accept(agent, said);
                return;
        case LIFE_DECLINE:
                assert(said->offer);
                conversation_decline(agent->conversation, said->ref, said->offer->offer.offer);
                return;
        case LIFE_START:
                start(agent, said);
                return;
        case LIFE_NOTHING:
        case LIFE_WATCH:
                return;
        }
}

void reconcile_task(Agent *agent, const Said *said) {
        Job *job = job_find(agent, said->ref);
        bool has_bundle = job != NULL, stands = false;
        Run *run = run_newest(agent, said->ref), *older;
        LifeView view;

        if (job && task_ref_index(said->ref) >= 0)
                job->has_elements = true;
        for (; run; run = older) {
                older = run->older;
                view = view_of(said, run, has_bundle);
                if (view.record == LIFE_RECORD_NONE)
                        continue;
                stands |= life_record_stands(&view);
                act(agent, life_decide(&view), said, run);
        }
        view = view_of(said, NULL, has_bundle);
        if (!stands)
                act(agent, life_decide(&view), said, NULL);
}

/* Its tasks are others, whatever their numbers: what has been started is of no concern to it. */
static void change_database(Agent *agent, const char *database) {
        Job *job, *next;

        say_warning(
                "the daemon has another database now (%s): what was queued in the old one waits "
                "for that, as long as this agent lives",
                database);
        while (agent->runs)
                run_drop(agent->runs);
        HASH_ITER(hh_key, agent->jobs_by_key, job, next) {
                job_set_foreign(job);
        }
}

static void note_database(Agent *agent, const char *database) {
        _cleanup_free_ char *known = NULL;
        int r;

        r = spool_get_meta(agent->spool, "database", &known);
        if (r == 0 && strcmp(known, database) == 0)
                return;
        if (r == 0)
                change_database(agent, database);
        r = spool_put_meta(agent->spool, "database", database);
        if (r < 0)
                queue_on_commit(agent, r);
        agent_want_turn(agent);
}

/* Which of our jobs are listed; their numbers are known afterwards. */
static void mark_listed(Agent *agent, const AgentTask *tasks, size_t n) {
        for (Job *job = agent->jobs_by_key; job; job = job->hh_key.next)
                job->listed = false;
        for (Run *run = agent->runs; run; run = run->hh.next)
                run->seen = false;
        for (size_t i = 0; i < n; i++) {
                Job *job =
                        task_ref_index(tasks[i].id) < 0 ? job_find_key(agent, tasks[i].key) : NULL;

                if (!job)
                        continue;
                job->listed = true;
                if (job->id != tasks[i].id || job->foreign)
                        job_note_id(job, tasks[i].id);
                if (tasks[i].attempt == 0)
                        job_watch_time(job);
                else
                        job_keep(job);
        }
}

/* What is left of one that is over, or was never ours: claims go, and what was started is the daemon's to hear of. */
static void settle_unseen(Agent *agent, Run *newest) {
        bool gone = task_ref_index(newest->ref) >= 0 || !job_find(agent, newest->ref);
        const Said said = {
                .said = LIFE_SAID_NOTHING,
                .ref = newest->ref,
                .attempt = newest->attempt,
        };

        while (gone && newest && newest->phase == RUN_PHASE_CLAIMED) {
                if (!run_let_go(newest))
                        return;
                newest = run_newest(agent, said.ref);
        }
        if (newest)
                reconcile_task(agent, &said);
}

/* Without an id it was never promised to anybody; with one it is over, as far as the daemon knows. */
static void settle_unlisted(Agent *agent) {
        Job *job, *next;

        HASH_ITER(hh_key, agent->jobs_by_key, job, next) {
                if (job->listed || job->submission || job->foreign)
                        continue;
                if (job->id == 0)
                        job_drop(job);
                else if (!run_newest(agent, job->id))
                        reconcile_task(agent, &(Said){ .said = LIFE_SAID_NOTHING,
                                                       .ref = job->id,
                                                       .attempt = 1 });
        }
}

void reconcile_all(Agent *agent, const AgentTask *tasks, size_t n, const char *database) {
        Run *run, *next;

        note_database(agent, database);
        mark_listed(agent, tasks, n);
        for (size_t i = 0; i < n; i++) {
                reconcile_task(agent, &(Said){ .said = tasks[i].state == TASK_STATE_RUNNING ?
                                                               LIFE_SAID_RUNNING :
                                                               LIFE_SAID_WAITING,
                                               .ref = tasks[i].id,
                                               .attempt = tasks[i].attempt });
                run = run_newest(agent, tasks[i].id); /* perhaps a claim that was just made */
                if (run)
                        run->seen = true;
        }
        HASH_ITER(hh, agent->runs, run, next) {
                if (!run->seen)
                        settle_unseen(agent, run);
        }
        settle_unlisted(agent);
        agent_want_turn(agent);
}
