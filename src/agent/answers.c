/* SPDX-License-Identifier: GPL-3.0-or-later */

/* What the daemon says, and what of it changes here. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/jobs.h"
#include "agent/logs.h"
#include "agent/queue.h"
#include "agent/reconcile.h"
#include "agent/runs.h"
#include "agent/say.h"
#include "agent/talk.h"
#include "util/cleanup.h"
#include "util/clock.h"

void talk_forget_early(Conversation *conversation) {
        for (size_t i = 0; i < conversation->n_early; i++)
                call_done(&conversation->early[i]);
        free(conversation->early);
        conversation->early = NULL;
        conversation->n_early = 0;
}

static void on_listed(Conversation *conversation, const Reply *reply) {
        Agent *agent = conversation->agent;
        size_t n = conversation->n_listed + reply->agent.n;
        AgentTask *tasks;

        if (reply->error != ERROR_NONE) {
                (void)error_set(&conversation->error, 0, "%s",
                                reply->message ? reply->message : "refused");
                conversation->failed = true;
                talk_lose(conversation);
                queue_on_unreachable(agent, conversation->error.text);
                return;
        }
        tasks = reallocarray(conversation->listed, n + 1, sizeof(*tasks));
        if (!tasks) {
                talk_lose(conversation);
                return;
        }
        for (size_t i = 0; i < reply->agent.n; i++)
                tasks[conversation->n_listed + i] = reply->agent.tasks[i];
        conversation->listed = tasks;
        conversation->n_listed = n;
        if (reply->continues)
                return;

        conversation->listed = NULL;
        conversation->n_listed = 0;
        conversation->state = CONVERSATION_READY;
        conversation->ready_boot_us = clock_boottime_us();
        conversation->failed = false;
        conversation->error.text[0] = '\0';
        looks_set_interval(agent, reply->agent.look_interval_us);
        logs_set(agent->logs, reply->agent.log_limit_bytes, reply->agent.log_keep_us);
        reconcile_all(agent, tasks, n, reply->agent.database);
        free(tasks);
        conversation_pump(conversation);
        logs_purge(agent->logs);
        if (!agent->submissions || !queue_write(agent))
                return;
        for (Submission *submission = agent->submissions; submission; submission = submission->next)
                conversation_submit(conversation, submission);
}

static void on_accepted(Conversation *conversation, const Asked *asked, const Reply *reply) {
        Agent *agent = conversation->agent;
        Run *run = run_find(agent, asked->ref, asked->attempt);

        if (!run || run->phase != RUN_PHASE_ACCEPTING)
                return;
        if (reply->error != ERROR_NONE) { /* taken back: there will be another one */
                run_free(run);
                return;
        }
        if (!job_find(agent, asked->ref)) /* withdrawn meanwhile */
                run_free(run);
        reconcile_task(agent, &(Said){ .said = LIFE_SAID_GRANTED,
                                       .ref = asked->ref,
                                       .attempt = asked->attempt });
        run = run_find(agent, asked->ref, asked->attempt);
        if (run && run->phase == RUN_PHASE_ACCEPTING)
                run_free(run);
}

/* The daemon has it, or does not want it: the record has done its duty. */
static void on_ended(Conversation *conversation, const Asked *asked, const Reply *reply) {
        Agent *agent = conversation->agent;
        Run *run = run_find(agent, asked->ref, asked->attempt);
        Job *job = job_find(agent, asked->ref);

        if (!run || !run->telling)
                return;
        if (reply->error != ERROR_NONE)
                say_warning("the daemon does not take the end of task %" PRIu64 ": %s",
                            task_ref_id(asked->ref), reply->message ? reply->message : "");
        if (job && task_ref_index(asked->ref) < 0) {
                bool may_be_tried_again =
                        run->end.state == TASK_STATE_FAILED || run->end.state == TASK_STATE_TIMEOUT;

                /* in a wrong state: it waits, and what ended was a start from before a power cut */
                if (reply->error != ERROR_WRONG_STATE &&
                    (run->last || reply->error == ERROR_NO_SUCH_TASK || !may_be_tried_again))
                        job_drop(job);
                else
                        conversation_ask(conversation, asked->ref, asked->attempt);
        }
        run_set_over(run);
}

static bool is_over(const Reply *reply) {
        return reply->error == ERROR_NO_SUCH_TASK || reply->error == ERROR_NOT_PERMITTED;
}

/* Its claims would go with its job. */
static bool is_over_without_job(const Job *job, const Reply *reply) {
        return !job && (is_over(reply) ||
                        (reply->error == ERROR_NONE && task_state_is_final(reply->resume.state)));
}

static void on_resumed(Conversation *conversation, const Asked *asked, const Reply *reply) {
        Agent *agent = conversation->agent;
        Job *job = job_find(agent, asked->ref);

        if (asked->question == QUESTION_IS_IT_OVER) {
                if (job && is_over(reply) && !job->submission)
                        job_drop(job);
                return;
        }
        if (is_over_without_job(job, reply))
                runs_drop_claims(agent, task_ref_id(asked->ref));
        if (reply->error != ERROR_NONE)
                say_warning("the daemon does not take task %" PRIu64 " back: %s",
                            task_ref_id(asked->ref), reply->message ? reply->message : "");
        else if (job && task_ref_index(asked->ref) < 0 && task_state_is_final(reply->resume.state))
                job_drop(job); /* it was started, and how it ended will not be known */
        else if (!job && reply->resume.state == TASK_STATE_PENDING)
                conversation_withdraw(conversation, asked->ref,
                                      "its command was lost with the agent's folder");
}

/* Of an array, what was never started; if nothing else is left it is over. */
static void give_up_rest(Conversation *conversation, Job *job) {
        job_keep(job);
        conversation_ask(conversation, job->id, 0);
}

static void on_withdraw_answered(Conversation *conversation,
                                 const Asked *asked,
                                 const Reply *reply) {
        Agent *agent = conversation->agent;
        Job *job = task_ref_index(asked->ref) < 0 ? job_find(agent, asked->ref) : NULL;
        bool over = reply->error == ERROR_NONE || is_over(reply);

        if (!job && over)
                runs_drop_claims(agent, task_ref_id(asked->ref));
        if (!job)
                return;
        if (!over)
                job_keep(job); /* it has started */
        else if (job->has_elements && reply->error == ERROR_NONE)
                give_up_rest(conversation, job);
        else if (!runs_has_live(agent, asked->ref))
                job_drop(job);
}

static Asked take_asked(Conversation *conversation) {
        Asked asked = conversation->asked[conversation->first_asked];

        conversation->first_asked =
                (conversation->first_asked + 1) & (conversation->n_asked_room - 1);
        conversation->n_asked--;
        return asked;
}

void talk_on_reply(Conversation *conversation, Reply *reply) {
        Asked asked;

        if (conversation->n_asked == 0)
                return;
        asked = reply->continues ? conversation->asked[conversation->first_asked] :
                                   take_asked(conversation);
        switch (asked.type) {
        case CALL_AGENT:
                on_listed(conversation, reply);
                return;
        case CALL_SUBMIT:
        case CALL_SUBMIT_MANY:
                queue_on_reply(conversation->agent, asked.submission, reply);
                return;
        case CALL_ACCEPT:
                on_accepted(conversation, &asked, reply);
                return;
        case CALL_ENDED:
                on_ended(conversation, &asked, reply);
                return;
        case CALL_RESUME:
                on_resumed(conversation, &asked, reply);
                return;
        case CALL_WITHDRAW:
                on_withdraw_answered(conversation, &asked, reply);
                return;
        default:
                return;
        }
}

/* Return: whether it is kept for later. */
static bool keep_early(Conversation *conversation, Call *offer) {
        Call *early;

        if (job_find(conversation->agent, offer->offer.id) || !conversation->agent->submissions ||
            conversation->n_early == EARLY_OFFERS)
                return false;
        early = reallocarray(conversation->early, conversation->n_early + 1, sizeof(*early));
        if (!early)
                return false;
        early[conversation->n_early++] = *offer;
        conversation->early = early;
        *offer = (Call){ .type = CALL_OFFER };
        return true;
}

static void on_offer(Conversation *conversation, Call *offer) {
        if (conversation->agent->stopping && !offer->offer.granted)
                return; /* it goes back with the connection */
        if (!keep_early(conversation, offer))
                reconcile_task(conversation->agent,
                               &(Said){ .said = offer->offer.granted ? LIFE_SAID_GRANTED :
                                                                       LIFE_SAID_OFFERED,
                                        .ref = offer->offer.id,
                                        .attempt = offer->offer.attempt,
                                        .offer = offer });
}

void conversation_retry_offers(Conversation *conversation) {
        Call *early = TAKE_PTR(conversation->early);
        size_t n = conversation->n_early;

        conversation->n_early = 0;
        for (size_t i = 0; i < n; i++) {
                if (talk_is_ready(conversation))
                        on_offer(conversation, &early[i]);
                call_done(&early[i]);
        }
        free(early);
}

static void on_withdrawn(Conversation *conversation, const Call *call) {
        Job *job = task_ref_index(call->withdraw.id) < 0 ?
                           job_find(conversation->agent, call->withdraw.id) :
                           NULL;

        if (job)
                job_drop(job);
}

static void end(Agent *agent, const Call *call) {
        Run *run = run_newest(agent, call->end.id), *older;

        for (; run; run = older) {
                older = run->older;
                if (run->phase == RUN_PHASE_IN_ROW)
                        row_cancel(run, call->end.signal);
                else
                        run_cancel(run, call->end.signal);
        }
}

void talk_on_call(Conversation *conversation, Call *call) {
        Agent *agent = conversation->agent;

        switch (call->type) {
        case CALL_OFFER:
                on_offer(conversation, call);
                return;
        case CALL_END:
                end(agent, call);
                return;
        case CALL_WITHDRAWN:
                on_withdrawn(conversation, call);
                return;
        case CALL_LOOK:
                looks_set_interval(agent, call->look.interval_us);
                return;
        default:
                return;
        }
}
