/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "cli/queue-tasks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/agent.h"
#include "cli/command.h"
#include "cli/session.h"
#include "cli/view.h"
#include "runner/bundle.h"
#include "runner/where.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/macro.h"
#include "util/strv.h"

/* A daemon that has just started may wait 90 s for the first answer of the GPUs' driver (decisions.md 32). */
#define ANSWER_US (120 * US_PER_SEC)
#define PAUSE_US  (100 * US_PER_MSEC)

enum {
        TRIES_MAX = 5,
        FIXED_BYTES = 768, /* of a task in messages, without its texts */
        GPU_BYTES = 192,
        AFTER_BYTES = 48,
        OWN_OUTPUT_BYTES = 512, /* of the pattern that the agent fills in */
};

/* As JSON has it: a control character becomes six. */
static size_t text_bytes(const char *s) {
        size_t n = 4;

        for (; s && *s; s++)
                n += (unsigned char)*s < ' ' ? 6 : *s == '"' || *s == '\\' ? 2 : 1;
        return n;
}

static size_t words_bytes(char *const *words) {
        size_t n = 0;

        for (size_t i = 0; words && words[i]; i++)
                n += text_bytes(words[i]);
        return n;
}

size_t queue_tasks_bytes(const NewTask *task) {
        const Task *shown = task->task;
        size_t n = FIXED_BYTES + OWN_OUTPUT_BYTES;

        n += text_bytes(shown->command) + text_bytes(shown->name) + text_bytes(shown->cwd) +
             text_bytes(shown->output) + words_bytes(shown->argv);
        n += (size_t)shown->needs.n_gpus * GPU_BYTES + (size_t)shown->n_after * AFTER_BYTES;
        if (shown->array)
                n += shown->array->waiting.n * sizeof("16777214-16777214,");
        for (size_t i = 0; task->argv[i]; i++)
                n += strlen(task->argv[i]) + 1;
        return n;
}

static int make_bundle(const NewTask *tasks, size_t n, int *ret_fd, Error *error) {
        _cleanup_free_ BundleTask *parts = calloc(n, sizeof(*parts));

        if (!parts)
                return error_set(error, -ENOMEM, "out of memory");
        for (size_t i = 0; i < n; i++)
                parts[i] = (BundleTask){ .argv = tasks[i].argv,
                                         .plain_argv = tasks[i].plain_argv,
                                         .output = tasks[i].output };
        return bundle_capture(ret_fd, parts, n, error);
}

/*
 * Whether there is an agent, or else a daemon at all: if not it is said here and at once, as for a task in the foreground. A personal
 * daemon is started by us, because to its first start belongs a line for people, whom an agent cannot reach; one that is there has
 * its daemon. It wakes up while we collect what to send.
 */
static int look_around(TaskQueue *queue, Error *error) {
        _cleanup_(client_freep) Client *daemon = NULL;
        Error none;
        int r;

        if (queue->agent || queue->daemon_seen || agent_connect(&queue->agent, 0, &none) == 0)
                return 0;
        r = session_connect(&daemon, CLIENT_START | (queue->quiet ? CLIENT_QUIET : 0), error);
        if (r != 0)
                return r < 0 ? r : -ECONNREFUSED;
        queue->daemon_seen = true;
        return 0;
}

/* What reading an answer takes the first time (a seed, memory that nobody has touched yet) is done while the agent is at work. */
static void get_ready(void) {
        static const char like_it[] = "{\"parameters\":{\"ids\":[1]}}";
        Reply reply = { 0 };
        Error none;

        if (reply_decode(CALL_QUEUE, like_it, sizeof(like_it) - 1, &reply, &none) == 0)
                reply_done(&reply);
}

/* What one try came to; else a negative errno. */
enum {
        TRY_ANSWERED,
        TRY_LOST, /* the connection has ended */
};

static int try_once(TaskQueue *queue, const Call *call, int fd, Reply *reply, Error *error) {
        unsigned flags = CLIENT_START | (queue->quiet ? CLIENT_QUIET : 0);
        Error why = { .text = "the connection has ended" };
        int r;

        if (!queue->agent) {
                r = agent_connect(&queue->agent, flags, error);
                if (r != 0)
                        return r < 0 ? r : -ECONNREFUSED;
        }

        r = client_send(queue->agent, call, fd, &why);
        if (r == 0)
                get_ready();
        if (r == -E2BIG)
                return error_set(error, r, "what is to be queued does not fit in one message");
        if (r == 0)
                r = session_receive(queue->agent, clock_boottime_us() + ANSWER_US, reply, &why);
        else
                r = SESSION_E_CLOSED;
        if (r == 0)
                return TRY_ANSWERED;

        queue->agent = client_free(queue->agent);
        if (r == SESSION_E_TIMEOUT)
                return error_set(error, -EINPROGRESS,
                                 "your agent does not answer, and may have queued it or not; "
                                 "'taskflow ps -u' shows what is queued");
        (void)error_set(error, -EINPROGRESS, "lost your agent before it answered: %s", why.text);
        return r == SESSION_E_BAD ? -EINPROGRESS : TRY_LOST;
}

/* What a later try says of itself is not all there is to say. */
static int say_lost_before(Error *error) {
        const Error later = *error;

        return error_set(error, -EINPROGRESS,
                         "%s; your agent ended before it answered, and may have queued it or not; "
                         "'taskflow ps -u' shows what is queued",
                         later.text);
}

/* The same again on a new connection: by their keys the tasks are known. */
static int ask(TaskQueue *queue,
               const Call *call,
               int fd,
               Reply *reply,
               bool *ret_lost,
               Error *error) {
        struct timespec pause = { .tv_nsec = PAUSE_US * NS_PER_USEC };

        for (int n_tries = 0; n_tries < TRIES_MAX; n_tries++) {
                int r = try_once(queue, call, fd, reply, error);

                if (r != TRY_LOST)
                        return r;
                *ret_lost = true;
                (void)nanosleep(&pause, NULL);
                pause.tv_nsec = MIN(pause.tv_nsec * 2, 999999999L);
        }
        return -EINPROGRESS;
}

/* Thousands of lines may get the same one. */
static void say_notice(TaskQueue *queue, const char *notice) {
        for (size_t i = 0; i < queue->n_notices; i++)
                if (strcmp(queue->notices[i], notice) == 0)
                        return;

        (void)cli_fail(0, "%s", notice);
        if (queue->n_notices == QUEUE_NOTICES_MAX)
                return;
        queue->notices[queue->n_notices] = strdup(notice);
        if (queue->notices[queue->n_notices])
                queue->n_notices++;
}

/* With what is missing, as for a task in the foreground. */
static int refuse(const Reply *reply, Error *error) {
        const char *why = reply->message ? reply->message : error_name_to_string(reply->error);
        char sentence[VIEW_SENTENCE_MAX];

        if (!reply->explain || reply->explain->n_lacks == 0)
                return error_set(error, -ECANCELED, "%s", why);
        explain_sentence(reply->explain, reply->boot_us, cli_user_name, NULL, sentence,
                         sizeof(sentence));
        return error_set(error, -ECANCELED, "%s: %s", why, sentence);
}

static int take_reply(TaskQueue *queue, const Reply *reply, size_t n, uint64_t *ids, Error *error) {
        if (reply->error != ERROR_NONE)
                return refuse(reply, error);
        if (reply->submit_many.ids.n != n)
                return error_set(error, -EBADMSG, "your agent answered with %zu ids for %zu tasks",
                                 reply->submit_many.ids.n, n);

        (void)memcpy(ids, reply->submit_many.ids.ids, n * sizeof(*ids));
        for (size_t i = 0; !queue->quiet && i < reply->submit_many.n_notices; i++)
                say_notice(queue, reply->submit_many.notices[i]);
        return 0;
}

int queue_tasks(TaskQueue *queue, NewTask *tasks, size_t n, uint64_t *ret_ids, Error *error) {
        bool ends = queue->wait_given && queue->wait_us != TASK_TIME_INF;
        _cleanup_(reply_done) Reply reply = { 0 };
        _cleanup_free_ TaskItem *items = NULL;
        _cleanup_close_ int fd = -1;
        Call call = { .type = CALL_QUEUE };
        char here[WHERE_MAX];
        bool lost = false;
        int r;

        items = calloc(n, sizeof(*items));
        if (!items)
                return error_set(error, -ENOMEM, "out of memory");
        for (size_t i = 0; i < n; i++)
                items[i] = (TaskItem){ .task = tasks[i].task,
                                       .immediate = ends && queue->wait_us == 0,
                                       .wait_us = ends ? queue->wait_us : 0 };
        call.submit_many.items = items; /* lent: encoding frees nothing */
        call.submit_many.n = n;
        call.submit_many.pid = getpid();
        call.submit_many.here = where_write(here);

        r = look_around(queue, error);
        if (r == 0)
                r = make_bundle(tasks, n, &fd, error);
        if (r == 0)
                r = ask(queue, &call, fd, &reply, &lost, error);
        if (r == TRY_ANSWERED)
                r = take_reply(queue, &reply, n, ret_ids, error);
        return lost && r < 0 && r != -EINPROGRESS ? say_lost_before(error) : r;
}

void queue_tasks_done(TaskQueue *queue) {
        for (size_t i = 0; i < queue->n_notices; i++)
                free(queue->notices[i]);
        (void)client_free(queue->agent);
        *queue = (TaskQueue){ 0 };
}
