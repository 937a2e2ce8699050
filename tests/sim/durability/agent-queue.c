/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * As src/agent/queue.c: two disks must have written before people hear their ids.
 */

#include <stdlib.h>

#include "agents.h"
#include "people.h"

#define PATIENCE_US (10 * US_PER_SEC) /* for a daemon that heard of it, and may come back */

static Job *job_of(Agent *agent, const Submission *submission, unsigned i) {
        Job *job = job_find_deed(agent, submission->deeds[i]);

        return job && job->submission == submission ? job : NULL;
}

static void answer(Agent *agent, Submission *submission, const uint64_t *ids) {
        for (unsigned i = 0; i < submission->n; i++) {
                Job *job = job_of(agent, submission, i);

                if (job)
                        job->submission = NULL;
        }
        submission->used = false;
        if (submission->request && world_step(&agent->actor, ids ? "tells the ids" : "tells no ids",
                                              ids ? ids[0] : 0, submission->n))
                people_answer(submission->request, ids);
        agent_want_turn(agent);
}

/* None of it is queued. */
static void refuse(Agent *agent, Submission *submission) {
        for (unsigned i = 0; i < submission->n; i++) {
                Job *job = job_of(agent, submission, i);

                if (!job)
                        continue;
                if (submission->refused) /* it is not in the spool */
                        job->submission = NULL;
                job_drop(agent, job);
        }
        answer(agent, submission, NULL);
}

/* It is not on our disk: the daemon is not to keep it either. */
static void take_back(Agent *agent, Submission *submission) {
        for (unsigned i = 0; i < submission->n; i++)
                talk_withdraw(agent, submission->ids[i]);
        refuse(agent, submission);
}

void queue_on_reply(Agent *agent, Submission *submission, const Reply *reply) {
        if (reply->error != ERROR_NONE) {
                refuse(agent, submission);
                talk_retry_offers(agent);
                return;
        }
        for (unsigned i = 0; i < submission->n; i++)
                submission->ids[i] =
                        reply->to == CALL_SUBMIT ? reply->submit.id : reply->submit_many.ids.ids[i];
        submission->has_reply = true;
        if (submission->refused) {
                take_back(agent, submission);
                return;
        }
        for (unsigned i = 0; i < submission->n; i++) {
                Job *job = job_of(agent, submission, i);

                if (job)
                        job_note_id(agent, job, submission->ids[i]);
        }
        if (submission->written)
                answer(agent, submission, submission->ids);
        talk_retry_offers(agent);
}

void queue_on_commit(Agent *agent, bool good) {
        for (size_t i = 0; i < SUBMISSIONS_MAX; i++) {
                Submission *submission = &agent->submissions[i];

                if (!submission->used || submission->written || submission->refused)
                        continue;
                submission->written = good;
                submission->refused = !good;
                if (!good && submission->has_reply)
                        take_back(agent, submission);
                else if (!good && !submission->said)
                        refuse(agent, submission);
                else if (submission->has_reply)
                        answer(agent, submission, submission->ids);
        }
}

void queue_on_unreachable(Agent *agent) {
        for (size_t i = 0; i < SUBMISSIONS_MAX; i++)
                if (agent->submissions[i].used && world.now_us >= agent->submissions[i].until_us)
                        refuse(agent, &agent->submissions[i]);
}

/* A command that lost the answer asks again, with the same keys. Return: whether that was all. */
static bool answer_again(Agent *agent, Request *request, unsigned n, Deed *const *deeds) {
        uint64_t ids[BATCH_MAX] = { 0 };
        Submission *submission = NULL;
        unsigned n_known = 0;

        for (unsigned i = 0; i < n; i++) {
                const Job *job = job_find_deed(agent, deeds[i]);

                if (job && job->submission)
                        submission = job->submission;
                ids[i] = job ? job->id : 0;
                n_known += ids[i] != 0;
        }
        if (submission) {
                if (submission->request)
                        people_answer(request, NULL);
                else
                        submission->request = request;
                return true;
        }
        if (n_known == 0)
                return false;
        people_answer(request, n_known == n ? ids : NULL);
        return true;
}

void queue_take(Agent *agent, Request *request, unsigned n, Deed *const *deeds) {
        Submission *submission = agent->submissions;

        if (!world_step(&agent->actor, "is asked to queue", deeds[0]->number, n) ||
            answer_again(agent, request, n, deeds))
                return;
        while (submission->used)
                if (++submission == agent->submissions + SUBMISSIONS_MAX)
                        abort();
        *submission = (Submission){ .used = true, .request = request, .n = n };
        for (unsigned i = 0; i < n; i++) {
                Job *job = job_find_deed(agent, deeds[i]);
                const uint64_t none = 0;

                submission->deeds[i] = deeds[i];
                shelf_put(&agent->spool, deeds[i]->number, &none);
                if (job) /* an earlier agent may have said it */
                        submission->until_us = world.now_us + PATIENCE_US;
                if (!job)
                        job = job_new(agent, deeds[i]);
                job->submission = submission;
        }
        agent->sync_wanted = true;
        agent_want_turn(agent);
        talk_connect(agent);
        if (submission->used && agent->link && queue_write(agent))
                talk_submit(agent, submission);
}

bool queue_write(Agent *agent) {
        bool good = !agent->spool.dirty || !world.disk_full;

        if (!world_step(&agent->actor, "writes what is queued", 0, 0))
                return false;
        if (good)
                shelf_commit(&agent->spool);
        else
                shelf_rollback(&agent->spool);
        if (!good)
                queue_on_commit(agent, false);
        return good && world_step(&agent->actor, "has written it", 0, 0);
}

void queue_on_said(Submission *submission) {
        submission->said = true;
        if (submission->until_us == 0)
                submission->until_us = world.now_us + PATIENCE_US;
}
