/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <stdlib.h>
#include <string.h>

#include "agents.h"

#define RETRY_FIRST_US (100 * US_PER_MSEC)
#define RETRY_MAX_US   US_PER_SEC

static Asked *asked_at(Agent *agent, size_t i) {
        return &agent->asked[(agent->first_asked + i) % ASKED_MAX];
}

/* @asked: what its answer will be about; NULL: it has none */
static void tell(Agent *agent, const Call *call, Proc proc, const Asked *asked) {
        if (!agent->link || !world_step(&agent->actor, call_type_to_string(call->type),
                                        asked ? asked->ref : 0, asked ? asked->attempt : 0))
                return;
        if (asked) {
                if (agent->n_asked == ASKED_MAX)
                        abort();
                *asked_at(agent, agent->n_asked++) = *asked;
        }
        link_say(agent->link, call, proc);
        agent_want_turn(agent);
}

void talk_submit(Agent *agent, Submission *submission) {
        Call call = { .type = submission->n == 1 ? CALL_SUBMIT : CALL_SUBMIT_MANY };
        TaskItem items[BATCH_MAX] = { 0 };

        if (!agent->ready)
                return;
        for (unsigned i = 0; i < submission->n; i++)
                items[i].task = row_submission(&submission->deeds[i]->row);
        if (submission->n == 1) {
                call.submit.task = items[0].task;
                call.submit.room_bytes = UINT64_MAX;
        } else {
                call.submit_many.items = items;
                call.submit_many.n = submission->n;
        }
        queue_on_said(submission);
        tell(agent, &call, 0, &(Asked){ .type = call.type, .submission = submission });
        for (unsigned i = 0; i < submission->n; i++)
                (void)task_free(items[i].task);
}

void talk_accept(Agent *agent, const Run *run) {
        tell(agent,
             &(Call){ .type = CALL_ACCEPT, .accept = { .id = run->ref, .offer = run->offer } }, 0,
             &(Asked){ .type = CALL_ACCEPT, .ref = run->ref, .attempt = run->attempt });
}

void talk_decline(Agent *agent, uint64_t ref, uint64_t offer) {
        tell(agent,
             &(Call){ .type = CALL_DECLINE,
                      .oneway = true,
                      .accept = { .id = ref, .offer = offer } },
             0, NULL);
}

static void on_used(void *userdata, uint64_t proc) {
        Agent *agent = userdata;
        const Start *start = start_of_proc((Proc)proc);

        if (!agent->ready || !start || start->over)
                return;
        tell(agent,
             &(Call){ .type = CALL_USED,
                      .oneway = true,
                      .used = { .id = start->ref, .memory_bytes = start->deed->row.memory_bytes } },
             0, NULL);
}

static void talk_started(Agent *agent, const Run *run) {
        if (!agent->ready)
                return;
        tell(agent, &(Call){ .type = CALL_STARTED, .oneway = true, .started.id = run->ref },
             run->command, NULL);
        world_alarm(1500 * US_PER_MSEC, &agent->actor, on_used, agent, run->command);
}

void talk_ended(Agent *agent, Run *run) {
        Call call = { .type = CALL_ENDED,
                      .ended = { .id = run->ref,
                                 .attempt = run->attempt,
                                 .state = run->end.state,
                                 .exit_status = run->end.exit_status,
                                 .signal = run->end.signal,
                                 .ended_at_us = run->end.at_us,
                                 .reason = run->end.reason ? strdup(run->end.reason) : NULL } };

        if (agent->ready && !run->telling) {
                run->telling = true;
                tell(agent, &call, 0,
                     &(Asked){ .type = CALL_ENDED, .ref = run->ref, .attempt = run->attempt });
                if (world.mutant == MUTANT_RECORD_GONE_EARLY)
                        file_remove(agent->number, run->ref, run->attempt);
        }
        free(call.ended.reason);
}

/* As src/agent/tell.c: news goes out in the order in which it came up, with the next of these. */
void tell_later(Agent *agent, Run *run) {
        if (run->due == 0)
                run->due = ++agent->n_due;
}

static Run *next_due(Agent *agent) {
        Run *next = NULL;

        for (size_t i = 0; i < agent->n_runs; i++) {
                Run *run = &agent->runs[i];

                if (run->used && run->due != 0 && (!next || run->due < next->due))
                        next = run;
        }
        return next;
}

void tell_due(Agent *agent) {
        Run *run;

        while ((run = next_due(agent))) {
                run->due = 0;
                if (run->phase == RUN_RUNNING)
                        talk_started(agent, run);
                else if (run->phase == RUN_ENDED || run->phase == RUN_DEAD)
                        talk_ended(agent, run);
        }
}

void talk_withdraw(Agent *agent, uint64_t ref) {
        tell(agent, &(Call){ .type = CALL_WITHDRAW, .withdraw = { .id = ref } }, 0,
             &(Asked){ .type = CALL_WITHDRAW, .ref = ref });
}

static void ask_later(Agent *agent, QuestionType type, uint64_t ref, unsigned attempt) {
        if (!agent->link)
                return;
        if (agent->n_questions == QUESTIONS_MAX)
                abort();
        agent->questions[agent->n_questions++] =
                (Question){ .type = type, .ref = ref, .attempt = attempt };
        agent_want_turn(agent);
}

void talk_resume(Agent *agent, uint64_t ref, unsigned attempt, bool running) {
        ask_later(agent, running ? QUESTION_RUNNING : QUESTION_NOT_STARTED, ref, attempt);
}

void talk_ask(Agent *agent, uint64_t id, unsigned attempt) {
        ask_later(agent, QUESTION_IS_IT_OVER, id, attempt);
}

void talk_give_away(Agent *agent, uint64_t ref) {
        ask_later(agent, QUESTION_GIVE_AWAY, ref, 0);
}

/* Whether it is still as it was when the question came up. */
static bool is_asked_for(const Question *question, const Run *run) {
        if (question->type == QUESTION_RUNNING)
                return run && run->phase == RUN_RUNNING;
        if (question->type == QUESTION_NOT_STARTED)
                return !run || run->phase == RUN_CLAIMED;
        return true;
}

static void ask_now(Agent *agent, const Question *question) {
        const Run *run = run_find(agent, question->ref, question->attempt);
        bool running = question->type == QUESTION_RUNNING;

        if (!is_asked_for(question, run))
                return;
        if (question->type == QUESTION_GIVE_AWAY) {
                talk_withdraw(agent, question->ref);
                return;
        }
        tell(agent,
             &(Call){ .type = CALL_RESUME,
                      .resume = { .id = question->ref,
                                  .attempt = question->attempt,
                                  .running = running } },
             running && proc_is_alive(run->command) ? run->command : 0,
             &(Asked){ .type = CALL_RESUME,
                       .question = question->type,
                       .ref = question->ref,
                       .attempt = question->attempt });
}

void talk_pump(Agent *agent) {
        size_t n = 0;

        while (agent->ready && n < agent->n_questions && agent->n_asked < QUESTIONS_OUT_MAX) {
                Question question = agent->questions[n++];

                ask_now(agent, &question);
        }
        memmove(agent->questions, agent->questions + n,
                (agent->n_questions - n) * sizeof(Question));
        agent->n_questions -= n;
}

/* -- what came -- */

static bool has_submissions(const Agent *agent) {
        for (size_t i = 0; i < SUBMISSIONS_MAX; i++)
                if (agent->submissions[i].used)
                        return true;
        return false;
}

static void lose(Agent *agent);
static void plan_retry(Agent *agent);

static void on_listed(Agent *agent, const Reply *reply) {
        if (reply->error != ERROR_NONE) {
                link_close(agent->link);
                lose(agent);
                plan_retry(agent);
                queue_on_unreachable(agent);
                return;
        }
        if (agent->n_listed + reply->agent.n > LISTED_MAX)
                abort();
        for (size_t i = 0; i < reply->agent.n; i++)
                agent->listed[agent->n_listed++] = reply->agent.tasks[i];
        if (reply->continues)
                return;
        agent->ready = true;
        agent->retry_us = RETRY_FIRST_US;
        reconcile_all(agent);
        talk_pump(agent);
        if (!has_submissions(agent) || !queue_write(agent))
                return;
        for (size_t i = 0; i < SUBMISSIONS_MAX; i++)
                if (agent->submissions[i].used)
                        talk_submit(agent, &agent->submissions[i]);
}

static void on_accepted(Agent *agent, const Asked *asked, const Reply *reply) {
        Run *run = run_find(agent, asked->ref, asked->attempt);

        if (!run || run->phase != RUN_ACCEPTING)
                return;
        if (reply->error != ERROR_NONE) { /* taken back: there will be another one */
                run_forget(run);
                return;
        }
        if (!job_find(agent, asked->ref)) /* withdrawn meanwhile */
                run_forget(run);
        reconcile_task(agent, &(Said){ .said = LIFE_SAID_GRANTED,
                                       .ref = asked->ref,
                                       .attempt = asked->attempt });
        run = run_find(agent, asked->ref, asked->attempt);
        if (run && run->phase == RUN_ACCEPTING)
                run_forget(run);
}

/* The daemon has it, or does not want it: the record has done its duty. */
static void on_ended(Agent *agent, const Asked *asked, const Reply *reply) {
        Run *run = run_find(agent, asked->ref, asked->attempt);
        Job *job = job_find(agent, asked->ref);

        if (!run || !run->telling)
                return;
        if (job && task_ref_index(asked->ref) < 0) {
                bool may_be_tried_again =
                        run->end.state == TASK_STATE_FAILED || run->end.state == TASK_STATE_TIMEOUT;

                if (reply->error != ERROR_WRONG_STATE &&
                    (run->last || reply->error == ERROR_NO_SUCH_TASK || !may_be_tried_again))
                        job_drop(agent, job);
                else
                        talk_ask(agent, asked->ref, asked->attempt);
        }
        run->phase = RUN_OVER;
        agent_want_turn(agent);
}

static bool is_over(const Reply *reply) {
        return reply->error == ERROR_NO_SUCH_TASK || reply->error == ERROR_NOT_PERMITTED;
}

static void on_resumed(Agent *agent, const Asked *asked, const Reply *reply) {
        Job *job = job_find(agent, asked->ref);

        if (asked->question == QUESTION_IS_IT_OVER) {
                if (job && is_over(reply) && !job->submission)
                        job_drop(agent, job);
                return;
        }
        if (!job && (is_over(reply) ||
                     (reply->error == ERROR_NONE && task_state_is_final(reply->resume.state))))
                runs_drop_claims(agent, task_ref_id(asked->ref));
        if (reply->error != ERROR_NONE)
                return;
        if (job && task_ref_index(asked->ref) < 0 && task_state_is_final(reply->resume.state))
                job_drop(agent, job);
        else if (!job && reply->resume.state == TASK_STATE_PENDING)
                talk_withdraw(agent, asked->ref);
}

static void on_withdraw_answered(Agent *agent, const Asked *asked, const Reply *reply) {
        Job *job = task_ref_index(asked->ref) < 0 ? job_find(agent, asked->ref) : NULL;

        if (reply->error != ERROR_NONE && !is_over(reply))
                return;
        if (!job)
                runs_drop_claims(agent, task_ref_id(asked->ref));
        else if (job->has_elements && reply->error == ERROR_NONE)
                talk_ask(agent, asked->ref, 0);
        else if (!runs_have_live(agent, asked->ref))
                job_drop(agent, job);
}

static void on_reply(Agent *agent, const char *bytes, size_t n) {
        Asked asked = *asked_at(agent, 0);
        Error error = { 0 };
        Reply reply;

        if (agent->n_asked == 0 || reply_decode(asked.type, bytes, n, &reply, &error) != 0) {
                world_fail("an answer makes no sense: %s", error.text);
                return;
        }
        if (!reply.continues) {
                agent->first_asked++;
                agent->n_asked--;
        }
        if (!world_step(&agent->actor, reply.error == ERROR_NONE ? "has an answer" : "is refused",
                        asked.ref, asked.type))
                ;
        else if (asked.type == CALL_AGENT)
                on_listed(agent, &reply);
        else if (asked.type == CALL_SUBMIT || asked.type == CALL_SUBMIT_MANY)
                queue_on_reply(agent, asked.submission, &reply);
        else if (asked.type == CALL_ACCEPT)
                on_accepted(agent, &asked, &reply);
        else if (asked.type == CALL_ENDED)
                on_ended(agent, &asked, &reply);
        else if (asked.type == CALL_RESUME)
                on_resumed(agent, &asked, &reply);
        else if (asked.type == CALL_WITHDRAW)
                on_withdraw_answered(agent, &asked, &reply);
        reply_done(&reply);
        agent_want_turn(agent);
}

static void on_offer(Agent *agent, const Early *offer) {
        Job *job = job_find(agent, offer->ref);

        if (!job && has_submissions(agent) && agent->n_early < EARLY_MAX) {
                agent->early[agent->n_early++] = *offer;
                return;
        }
        if (job)
                check_offered(job->deed, offer->ref, offer->attempt);
        reconcile_task(agent, &(Said){ .said = offer->offer ? LIFE_SAID_OFFERED : LIFE_SAID_GRANTED,
                                       .ref = offer->ref,
                                       .attempt = offer->attempt,
                                       .offer = offer->offer,
                                       .behind = offer->behind,
                                       .by_offer = true });
}

void talk_retry_offers(Agent *agent) {
        Early early[EARLY_MAX];
        size_t n = agent->n_early;

        memcpy(early, agent->early, n * sizeof(Early));
        agent->n_early = 0;
        for (size_t i = 0; i < n && agent->ready; i++)
                on_offer(agent, &early[i]);
}

static void on_call(Agent *agent, const Call *call) {
        Job *job;
        Run *run;

        switch (call->type) {
        case CALL_OFFER:
                if (call->offer.granted != (call->offer.offer == 0))
                        world_fail("an offer is granted and has a number, or neither");
                if (call->offer.behind != 0 && !call->offer.granted)
                        world_fail("an offer is behind another one, and is not granted");
                world.n_rows[ROW_LINED_UP] += call->offer.behind != 0;
                on_offer(agent, &(Early){ .ref = call->offer.id,
                                          .attempt = call->offer.attempt,
                                          .offer = call->offer.offer,
                                          .behind = call->offer.behind });
                return;
        case CALL_END:
                for (run = run_older(agent, call->end.id, 0); run;
                     run = run_older(agent, call->end.id, run->attempt))
                        if (run->phase == RUN_IN_ROW)
                                row_cancel(agent, run);
                        else
                                run_cancel(agent, run);
                return;
        case CALL_WITHDRAWN:
                job = task_ref_index(call->withdraw.id) < 0 ? job_find(agent, call->withdraw.id) :
                                                              NULL;
                if (job)
                        job_drop(agent, job);
                return;
        default:
                return;
        }
}

/* What was not answered on the connection counts as not said. */
static void lose(Agent *agent) {
        agent->link = NULL;
        agent->ready = false;
        agent->n_asked = agent->n_questions = agent->n_listed = agent->n_early = 0;
        for (size_t i = 0; i < agent->n_runs; i++) {
                Run *run = &agent->runs[i];

                if (world.mutant != MUTANT_END_NOT_REPEATED)
                        run->telling = false;
                run->due = 0;
                if (run->phase == RUN_ACCEPTING)
                        run_forget(run);
        }
        rows_forget(agent);
        for (size_t i = 0; i < SUBMISSIONS_MAX; i++)
                agent->submissions[i].said = false;
        agent_want_turn(agent);
}

static void on_retry(void *userdata, uint64_t arg) {
        talk_connect(userdata);
}

static void plan_retry(Agent *agent) {
        agent->retry_us = MIN(MAX(agent->retry_us * 2, RETRY_FIRST_US), RETRY_MAX_US);
        world_alarm(agent->retry_us, &agent->actor, on_retry, agent, 0);
}

static void on_message(void *userdata, Link *link, const char *bytes, size_t n) {
        Agent *agent = userdata;
        Error error = { 0 };
        Call call;

        if (agent->link != link)
                return;
        if (!bytes) {
                (void)world_step(&agent->actor, "is cut off", 0, 0);
                lose(agent);
                plan_retry(agent);
                return;
        }
        if (!message_is_call(bytes, n)) {
                on_reply(agent, bytes, n);
                return;
        }
        if (call_decode(bytes, n, &call, &error) != 0) {
                world_fail("what the daemon says makes no sense: %s", error.text);
                return;
        }
        if (world_step(&agent->actor,
                       call.type == CALL_OFFER ? "hears of an offer" : "hears of something",
                       call.type == CALL_OFFER ? call.offer.id : 0, call.type))
                on_call(agent, &call);
        call_done(&call);
}

void talk_connect(Agent *agent) {
        if (agent->link)
                return;
        agent->link = link_connect(&agent->actor, agent->proc, agent->uid, on_message, agent);
        if (!agent->link) {
                queue_on_unreachable(agent);
                plan_retry(agent);
                return;
        }
        agent->first_asked = agent->n_asked = 0;
        tell(agent, &(Call){ .type = CALL_AGENT, .more = true }, 0, &(Asked){ .type = CALL_AGENT });
}
