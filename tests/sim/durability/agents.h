#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Agents
 *
 * One a user. A model of src/agent: jobs, runs, what is said on the connection and what its answers mean, the spool with what is
 * synced and what is not, the records of starts. What it makes of a task and of a record is decided by the real shelf, life.h.
 *
 *   agents.c       life and death; the turn
 *   agent-runs.c   starts: orders to keepers, their news, their records
 *   agent-rows.c   starts one after the other, and orders
 *   agent-talk.c   the connection with the daemon, and the comparison after a connect
 *   agent-queue.c  from a command's request to the daemon's answer
 */

#include <stdbool.h>
#include <stdint.h>

#include "agent/life.h"

#include "check.h"
#include "keepers.h"
#include "links.h"
#include "shelf.h"
#include "world.h"

enum {
        JOBS_MAX = 512,
        RUNS_MAX = 1024,
        SUBMISSIONS_MAX = 64,
        BATCH_MAX = 6,
        ASKED_MAX = 4096,
        QUESTIONS_MAX = 4096,
        QUESTIONS_OUT_MAX =
                8, /* with the real one 256: as long as so many are not answered, no more are asked */
        EARLY_MAX = 64,
        LISTED_MAX = 2048,
};

typedef struct Request Request; /* of people.h */

typedef struct Submission {
        bool used;
        Request *request; /* who waits for the answer; NULL: gone */
        unsigned n;
        Deed *deeds[BATCH_MAX];
        bool said, written, refused, has_reply;
        uint64_t until_us; /* it is kept although the daemon is away */
        uint64_t ids[BATCH_MAX];
} Submission;

typedef struct Job {
        bool used;
        Deed *deed;
        uint64_t id; /* 0: not known */
        bool listed;
        bool has_elements;
        Submission *submission;
} Job;

typedef enum RunPhase {
        RUN_CLAIMED,
        RUN_ACCEPTING,
        RUN_IN_ROW,
        RUN_STARTING,
        RUN_RUNNING,
        RUN_DEAD,
        RUN_ENDED,
        RUN_OVER,
} RunPhase;

typedef struct Run Run;
struct Run {
        bool used;
        uint64_t ref;
        unsigned attempt;
        RunPhase phase;
        uint64_t offer;
        bool adopted, keeper_gone, cancelled;
        Proc keeper;       /* 0: none has said that it took the order */
        bool refused;      /* the order: its epoch was over */
        uint64_t since_us; /* that it is STARTING */
        Proc watched;      /* keeper, or command without one; 0: none */
        Proc command;
        End end;
        bool telling, last, seen;
        uint64_t ordering; /* its order is to go out, in this order; 0: not so */
        uint64_t due;      /* likewise its news to the daemon */

        Run *ahead, *behind; /* in a row */
        uint64_t lined_up_us;
        bool sent;              /* IN_ROW: its order went out with that of the first */
        bool goes_on;           /* ENDED: its keeper has the next order of the row */
        uint64_t row;           /* the order that it went out with; 0: alone, or not yet */
        bool row_over, dropped; /* CLAIMED: its record goes when that is over */
};

/* What is said as answers come in. */
typedef enum QuestionType {
        QUESTION_RUNNING,
        QUESTION_NOT_STARTED,
        QUESTION_IS_IT_OVER,
        QUESTION_GIVE_AWAY,
} QuestionType;

typedef struct Question {
        QuestionType type;
        unsigned attempt;
        uint64_t ref;
} Question;

typedef struct Asked {
        CallType type;
        QuestionType question;
        unsigned attempt;
        uint64_t ref;
        Submission *submission;
} Asked;

typedef struct Early {
        uint64_t ref, offer, behind;
        unsigned attempt;
} Early;

/* What the daemon says of a task. */
typedef struct Said {
        LifeSaid said;
        uint64_t ref;
        unsigned attempt;
        uint64_t offer;  /* OFFERED: its number */
        bool by_offer;   /* OFFERED, GRANTED: it comes with an offer, not with an answer */
        uint64_t behind; /* GRANTED by an offer: starts when that has ended; 0: now */
} Said;

typedef struct Agent {
        Actor actor;
        unsigned number;
        uid_t uid;
        Proc proc;
        Shelf spool;    /* on the disk: by the number of the deed, its id */
        uint64_t epoch; /* likewise: epoch.h */

        Job jobs[JOBS_MAX];
        Run runs[RUNS_MAX];
        size_t n_jobs, n_runs; /* places that may be used */
        Submission submissions[SUBMISSIONS_MAX];

        Link *link;
        bool ready; /* the daemon's list was compared */
        uint64_t retry_us;
        Asked asked[ASKED_MAX]; /* a ring */
        size_t first_asked, n_asked;
        Question questions[QUESTIONS_MAX];
        size_t n_questions;
        AgentTask listed[LISTED_MAX];
        size_t n_listed;
        Early early[EARLY_MAX];
        size_t n_early;

        uint64_t n_ordered, n_due, n_rows_ordered; /* of which Run counts */
        bool rows_armed;

        bool turn_planned, sync_wanted;
        uint64_t looks_again_us; /* when it looks at records; UINT64_MAX: not */
        uint64_t idle_since_us;
} Agent;

extern Agent agents[N_AGENTS];

void agents_begin(void);
void agents_end(void);
Agent *agents_find(const Actor *actor); /* whose it is; NULL: no agent's */
void agents_bury(void);
void agents_lose_power(void);
void agents_proc_ended(Proc proc, uint64_t not_before_us);
void agent_start_soon(Agent *agent, uint64_t after_us);
void agent_want_turn(Agent *agent);
bool agent_has_rest(const Agent *agent); /* nothing is in it any more */

/* agents.c: jobs */
Job *job_find(Agent *agent, uint64_t ref);
Job *job_find_deed(Agent *agent, const Deed *deed);
Job *job_new(Agent *agent, Deed *deed);
void job_note_id(Agent *agent, Job *job, uint64_t id);
void job_drop(Agent *agent, Job *job);

/* agent-runs.c */
Run *run_find(Agent *agent, uint64_t ref, unsigned attempt);
Run *run_older(Agent *agent,
               uint64_t ref,
               unsigned attempt); /* the newest that is older; attempt 0: the newest */
Run *run_new(Agent *agent, uint64_t ref, unsigned attempt);
void run_drop(Agent *agent, Run *run);
bool run_let_go(Agent *agent, Run *run);
void run_forget(Run *run);
bool run_is_live(const Run *run);
LifeRecord run_life(const Run *run);
bool run_claim(Agent *agent, uint64_t ref, unsigned attempt, bool *ret_exists);
bool run_claim_back(Agent *agent, Run *run);
void run_finish(Agent *agent, Run *run, RunPhase phase);
Run *run_load(Agent *agent, uint64_t ref, unsigned attempt);
void run_cancel(Agent *agent, Run *run);
bool runs_have_live(Agent *agent, uint64_t id);
void runs_drop_over(Agent *agent);
void runs_drop_claims(Agent *agent, uint64_t id);
void runs_load(Agent *agent);
void runs_look_again(Agent *agent);
void run_on_watched_end(Agent *agent, Run *run);
void agent_on_news(Agent *agent, const News *news, size_t n);

/* agent-rows.c */
void run_start(Agent *agent, Run *run);
void orders_send(Agent *agent);
void row_take(Agent *agent, Run *run, uint64_t behind);
void row_go_on(Agent *agent, Run *run);
void run_leave_row(Run *run);
void row_cancel(Agent *agent, Run *run);
void rows_forget(Agent *agent);
void row_note_over(Agent *agent, const Run *run);

/* agent-talk.c */
void talk_connect(Agent *agent);
void talk_submit(Agent *agent, Submission *submission);
void talk_ended(Agent *agent, Run *run);
void tell_later(Agent *agent, Run *run);
void tell_due(Agent *agent);
void talk_resume(Agent *agent, uint64_t ref, unsigned attempt, bool running);
void talk_give_away(Agent *agent, uint64_t ref);
void talk_withdraw(Agent *agent, uint64_t ref);
void talk_accept(Agent *agent, const Run *run);
void talk_decline(Agent *agent, uint64_t ref, uint64_t offer);
void talk_ask(Agent *agent, uint64_t id, unsigned attempt);
void talk_pump(Agent *agent);
void talk_retry_offers(Agent *agent);

/* agent-reconcile.c */
void reconcile_task(Agent *agent, const Said *said);
void reconcile_all(Agent *agent);

/* agent-queue.c */
void queue_take(Agent *agent, Request *request, unsigned n, Deed *const *deeds);
void queue_on_reply(Agent *agent, Submission *submission, const Reply *reply);
void queue_on_commit(Agent *agent, bool good);
void queue_on_unreachable(Agent *agent);
void queue_on_said(Submission *submission);
bool queue_write(Agent *agent);
