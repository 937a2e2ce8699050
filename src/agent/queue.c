/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Two disks must have written before a command hears its ids, and they do at the same time: ours at the end of the turn, the
 * daemon's before its answer. If ours fails while the daemon has queued, what it queued is withdrawn. Written, though not to the
 * disk, it is before the daemon hears of it: if we die the next agent has what the daemon has.
 */

#include "agent/queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/conversation.h"
#include "agent/jobs.h"
#include "agent/logs.h"
#include "agent/runs.h"
#include "agent/say.h"
#include "agent/server.h"
#include "runner/bundle.h"
#include "runner/context.h"
#include "store/spool.h"
#include "util/cleanup.h"
#include "util/clock.h"

#define PATIENCE_US (10 * US_PER_SEC) /* for a daemon that heard of it, and may come back */

static void submission_free(Submission *submission) {
        Call call = {
                .type = CALL_QUEUE,
                .submit_many = { .n = submission->n, .items = submission->items },
        };

        call_done(&call);
        if (submission->has_reply)
                reply_done(&submission->reply);
        (void)bundle_free(submission->bundle);
        free(submission->notice);
        free(submission->here);
        free(submission);
}

static void unlink_submission(Agent *agent, Submission *submission) {
        Submission **at = &agent->submissions;

        while (*at != submission)
                at = &(*at)->next;
        *at = submission->next;
}

void queue_free_all(Agent *agent) {
        while (agent->submissions) {
                Submission *submission = agent->submissions;

                agent->submissions = submission->next;
                submission_free(submission);
        }
}

static Job *job_of(Agent *agent, const Submission *submission, size_t i) {
        Job *job = job_find_key(agent, submission->items[i].task->key);

        return job && job->submission == submission ? job : NULL;
}

/* Answers it, if somebody waits, and is done with it. */
static void answer(Agent *agent, Submission *submission, const Reply *reply) {
        for (size_t i = 0; i < submission->n; i++) {
                Job *job = job_of(agent, submission, i);

                if (job)
                        job->submission = NULL;
        }
        unlink_submission(agent, submission);
        if (submission->peer)
                peer_answer(submission->peer, reply);
        submission_free(submission);
        agent_want_turn(agent);
}

/* None of it is queued. */
static void refuse(Agent *agent, Submission *submission, const Reply *reply) {
        for (size_t i = 0; i < submission->n; i++) {
                Job *job = job_of(agent, submission, i);

                if (job)
                        job_drop(job);
        }
        answer(agent, submission, reply);
}

static void refuse_with(Agent *agent, Submission *submission, ErrorName name, const char *text) {
        _cleanup_free_ char *message = strdup(text);

        refuse(agent, submission, &(Reply){ .to = CALL_QUEUE, .error = name, .message = message });
}

static void refuse_unwritten(Agent *agent, Submission *submission) {
        Error error;

        (void)error_set(&error, 0,
                        "the agent cannot write to its folder '%s': %s; nothing was queued",
                        agent->folder, strerror(-submission->refused));
        refuse_with(agent, submission, ERROR_FAILED, error.text);
}

/* The ids of the daemon's answer; borrowed, or in @buf. */
static const uint64_t *ids_of(const Reply *reply, size_t *ret_n) {
        *ret_n = reply->to == CALL_SUBMIT ? 1 : reply->submit_many.ids.n;
        return reply->to == CALL_SUBMIT ? &reply->submit.id : reply->submit_many.ids.ids;
}

static void note_ids(Agent *agent, Submission *submission) {
        size_t n;
        const uint64_t *ids = ids_of(&submission->reply, &n);

        for (size_t i = 0; i < n && i < submission->n; i++) {
                Job *job = job_of(agent, submission, i);

                if (!job || job->id == ids[i])
                        continue;
                job_note_id(job, ids[i]);
                job_watch_time(job);
        }
}

/* Queued at both: the command may know. */
static void complete(Agent *agent, Submission *submission) {
        Reply *reply = &submission->reply;
        Reply out = { .to = CALL_QUEUE };
        char **notices =
                reply->to == CALL_SUBMIT ? reply->submit.notices : reply->submit_many.notices;
        size_t n_notices =
                reply->to == CALL_SUBMIT ? reply->submit.n_notices : reply->submit_many.n_notices;
        _cleanup_free_ uint64_t *copy = NULL;
        const uint64_t *ids;
        size_t n;

        ids = ids_of(reply, &n);
        copy = calloc(n + 1, sizeof(*copy));
        for (size_t i = 0; i < n && copy; i++)
                copy[i] = ids[i];
        out.submit_many.ids = (IdList){ .n = copy ? n : 0, .ids = copy };
        for (size_t i = 0; i < n_notices; i++)
                out.submit_many.notices[out.submit_many.n_notices++] = notices[i];
        if (submission->notice && out.submit_many.n_notices < WIRE_NOTICES_MAX)
                out.submit_many.notices[out.submit_many.n_notices++] = submission->notice;
        if (submission->peer)
                peer_answer(submission->peer, &out);
        submission->peer = NULL;
        note_ids(agent, submission); /* nobody waits for that: by its key each is found again */
        answer(agent, submission, &out);
}

/* It is not on our disk: the daemon is not to keep it either. */
static void take_back(Agent *agent, Submission *submission) {
        size_t n;
        const uint64_t *ids = ids_of(&submission->reply, &n);

        for (size_t i = 0; i < n; i++)
                conversation_withdraw(agent->conversation, ids[i],
                                      "its agent could not write down how to run it");
        refuse_unwritten(agent, submission);
}

void queue_on_reply(Agent *agent, Submission *submission, Reply *reply) {
        if (reply->error != ERROR_NONE) {
                reply->to = CALL_QUEUE;
                refuse(agent, submission, reply);
                conversation_retry_offers(agent->conversation);
                return;
        }
        submission->reply = *reply;
        submission->has_reply = true;
        *reply = (Reply){ .to = reply->to };
        if (submission->refused < 0) {
                take_back(agent, submission);
                return;
        }
        if (submission->written)
                complete(agent, submission);
        else
                note_ids(agent, submission);
        conversation_retry_offers(agent->conversation);
}

/* Most tasks come from one shell, and what we have ourselves does not change. */
static bool is_whole(const Agent *agent, const Submission *submission, BundlePart part) {
        const Whole *whole = &agent->whole;

        return whole->bytes && whole->n == part.n && submission->here &&
               strcmp(whole->here, submission->here) == 0 &&
               memcmp(whole->bytes, part.bytes, part.n) == 0 &&
               peer_is_near(submission->peer, submission->pid);
}

static void remember_whole(Agent *agent, Submission *submission, BundlePart part) {
        char *bytes = submission->here ? malloc(part.n + 1) : NULL;

        if (!bytes)
                return;
        free(agent->whole.bytes);
        free(agent->whole.here);
        agent->whole = (Whole){ .bytes = memcpy(bytes, part.bytes, part.n),
                                .n = part.n,
                                .here = TAKE_PTR(submission->here) };
}

/* What the commands will not have back. Without memory nothing is said of it. */
static void note_missing(Agent *agent, Submission *submission) {
        BundlePart part = bundle_context(submission->bundle);
        _cleanup_(context_freep) Context *context = NULL;

        if (submission->peer && !is_whole(agent, submission, part) &&
            context_parse(&context, part.bytes, part.n) == 0) {
                context_look_at(context, peer_pid(submission->peer));
                if (context_missing(context, &submission->notice) == 0 && !submission->notice)
                        remember_whole(agent, submission, part);
        }
}

void queue_on_commit(Agent *agent, int r) {
        for (Submission *submission = agent->submissions, *next; submission; submission = next) {
                next = submission->next;
                if (submission->written || submission->refused < 0)
                        continue;
                if (r == 0) {
                        submission->written = true;
                        note_missing(agent, submission); /* the daemon is still at work, mostly */
                } else {
                        submission->refused = r;
                }
                if (r < 0 && submission->has_reply)
                        take_back(agent, submission);
                else if (r < 0 && !submission->said)
                        refuse_unwritten(agent, submission);
                else if (submission->has_reply)
                        complete(agent, submission);
        }
        if (r < 0)
                say_error("cannot write to '%s/agent.db': %s", agent->folder, strerror(-r));
}

bool queue_write(Agent *agent) {
        int r = spool_commit(agent->spool, false);

        if (r < 0)
                queue_on_commit(agent, r);
        return r == 0;
}

void queue_on_unreachable(Agent *agent, const char *text) {
        for (Submission *submission = agent->submissions, *next; submission; submission = next) {
                next = submission->next;
                if (clock_boottime_us() >= submission->until_boot_us)
                        refuse_with(agent, submission, ERROR_FAILED, text);
        }
}

void queue_on_said(Submission *submission) {
        submission->said = true;
        if (submission->until_boot_us == 0)
                submission->until_boot_us = clock_boottime_us() + PATIENCE_US;
}

void queue_forget_peer(Agent *agent, const Peer *peer) {
        for (Submission *submission = agent->submissions; submission; submission = submission->next)
                if (submission->peer == peer)
                        submission->peer = NULL;
}

/* Whether the tasks may be queued as they are; refuses them otherwise. */
static bool is_sound(Peer *peer, const Call *call, const Bundle *bundle) {
        size_t n = call->submit_many.n;

        if (bundle_n_tasks(bundle) != n) {
                peer_refuse(peer, CALL_QUEUE, ERROR_BAD_REQUEST,
                            "the bundle is of %zu tasks, the request of %zu",
                            bundle_n_tasks(bundle), n);
                return false;
        }
        for (size_t i = 0; i < n; i++) {
                if (!call->submit_many.items[i].task->detached) {
                        peer_refuse(peer, CALL_QUEUE, ERROR_BAD_REQUEST,
                                    "an agent queues detached tasks alone");
                        return false;
                }
                if (call->submit_many.items[i].immediate && n > 1) {
                        peer_refuse(peer, CALL_QUEUE, ERROR_BAD_REQUEST,
                                    "now or not at all goes for one task at a time");
                        return false;
                }
        }
        return true;
}

/* A command that lost the answer asks again, with the same keys. Return: whether that was all. */
static bool answer_again(Agent *agent, Peer *peer, const Call *call) {
        size_t n = call->submit_many.n, n_known = 0;
        _cleanup_free_ uint64_t *ids = calloc(n + 1, sizeof(*ids));
        Submission *submission = NULL;
        Reply reply = { .to = CALL_QUEUE };

        for (size_t i = 0; i < n && ids; i++) {
                const Job *job = job_find_key(agent, call->submit_many.items[i].task->key);

                if (job && job->submission)
                        submission = job->submission;
                ids[i] = job ? job->id : 0;
                n_known += ids[i] != 0;
        }
        if (submission) {
                if (submission->peer)
                        peer_refuse(peer, CALL_QUEUE, ERROR_WRONG_STATE,
                                    "it is being queued already");
                else
                        submission->peer = peer;
                return true;
        }
        if (n_known == 0)
                return false;
        if (n_known < n) {
                peer_refuse(peer, CALL_QUEUE, ERROR_WRONG_STATE,
                            "some of these are queued already");
                return true;
        }
        reply.submit_many.ids = (IdList){ .n = n, .ids = ids };
        peer_answer(peer, &reply);
        return true;
}

/* Into the open transaction, and into memory. Return: 0 or negative errno. */
static int keep_one(Agent *agent,
                    Submission *submission,
                    size_t i,
                    const Bundle *bundle,
                    uint64_t context_id) {
        const TaskItem *item = &submission->items[i];
        BundlePart part = bundle_task(bundle, i);
        _cleanup_free_ char *bytes = malloc(part.n + 1);
        SpoolTask kept = {
                .context_id = context_id,
                .argv = bytes,
                .n_argv = part.n,
                .give_up_at_us = item->wait_us ? jobs_now_us(agent) + item->wait_us : 0,
        };
        Job *job = job_find_key(agent, item->task->key);
        int64_t row = 0;
        int r;

        if (!bytes)
                return -ENOMEM;
        if (job && job->submission == submission)
                return -EEXIST;
        (void)memcpy(bytes, part.bytes, part.n);
        (void)memcpy(kept.key, item->task->key, sizeof(kept.key));
        r = spool_put_task(agent->spool, &kept, &row);
        if (r >= 0 && !job) {
                job = job_new(agent, kept.key);
                r = job ? 0 : -ENOMEM;
        }
        if (r < 0)
                return r;
        job->row = row;
        job->give_up_at_us = kept.give_up_at_us;
        job->wait_us = item->wait_us;
        job->submission = submission;
        return 0;
}

/* The daemon is told where the output goes; what that is without -o the agent decides. */
static int name_logs(Agent *agent, Submission *submission) {
        for (size_t i = 0; i < submission->n; i++) {
                Task *task = submission->items[i].task;

                if (task->output)
                        continue;
                task->output = logs_pattern(agent->logs, task->array != NULL);
                if (!task->output)
                        return -ENOMEM;
        }
        return 0;
}

/*
 * An earlier agent kept it, may have said it, and its command got no answer. Before anything is put into the spool: what is
 * removed takes its context along if nothing else has that.
 */
static int remove_former(Agent *agent, Submission *submission) {
        int r = 0;

        for (size_t i = 0; r == 0 && i < submission->n; i++) {
                const Job *job = job_find_key(agent, submission->items[i].task->key);

                if (!job)
                        continue;
                submission->until_boot_us = clock_boottime_us() + PATIENCE_US;
                r = spool_remove_task(agent->spool, job->row, job->key);
        }
        return r;
}

static int keep_all(Agent *agent, Submission *submission, const Bundle *bundle) {
        BundlePart part = bundle_context(bundle);
        uint64_t context_id;
        int r;

        r = name_logs(agent, submission);
        if (r == 0)
                r = remove_former(agent, submission);
        if (r == 0)
                r = spool_put_context(agent->spool, part.bytes, part.n, &context_id);
        for (size_t i = 0; r == 0 && i < submission->n; i++)
                r = keep_one(agent, submission, i, bundle, context_id);
        return r;
}

static void append(Agent *agent, Submission *submission) {
        Submission **at = &agent->submissions;

        while (*at)
                at = &(*at)->next;
        *at = submission;
}

void queue_take(Agent *agent, Peer *peer, Call *call, int fd) {
        _cleanup_(bundle_freep) Bundle *bundle = NULL;
        Submission *submission;
        Error error = {};
        int r;

        if (fd < 0) {
                peer_refuse(peer, CALL_QUEUE, ERROR_BAD_REQUEST,
                            "what is to be run did not come along");
                return;
        }
        r = bundle_open(&bundle, fd, &error);
        if (r < 0) {
                peer_refuse(peer, CALL_QUEUE, ERROR_BAD_REQUEST, "%s", error.text);
                return;
        }
        if (!is_sound(peer, call, bundle) || answer_again(agent, peer, call))
                return;
        submission = calloc(1, sizeof(*submission));
        if (!submission) {
                peer_refuse(peer, CALL_QUEUE, ERROR_FAILED, "the agent is out of memory");
                return;
        }
        submission->peer = peer;
        submission->n = call->submit_many.n;
        submission->items = TAKE_PTR(call->submit_many.items);
        call->submit_many.n = 0;
        submission->pid = call->submit_many.pid;
        submission->here = TAKE_PTR(call->submit_many.here);
        submission->immediate = submission->items[0].immediate;
        append(agent, submission);

        r = keep_all(agent, submission, bundle);
        if (r < 0 && spool_is_dirty(agent->spool)) {
                refuse_with(agent, submission, ERROR_FAILED, strerror(-r));
                return;
        }
        if (r < 0) { /* the transaction was undone, and with it what others have put into it */
                queue_on_commit(agent, r);
                return;
        }
        agent->sync_wanted = true;
        agent_want_turn(agent);
        submission->bundle = TAKE_PTR(bundle);
        if (conversation_connect(agent->conversation) && queue_write(agent))
                conversation_submit(agent->conversation, submission);
}
