/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 *     Agent ──► what the daemon has, in parts          reconcile.c compares
 *     Submit, SubmitMany ──► ids                       queue.c
 *     ◄── Offer   Accept ──► ok                        only now may it start
 *     Started · Used …   Ended ──► ok                  only now does its record go
 *
 * Replies come in the order of the calls, so that a ring of what was asked tells what each answers. Questions by the thousand (after the
 * daemon was away) go out as the answers come in.
 */

#include "agent/conversation.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "agent/orders.h"
#include "agent/queue.h"
#include "agent/runs.h"
#include "agent/say.h"
#include "agent/talk.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/fd.h"

#define RETRY_FIRST_US (100 * US_PER_MSEC)
#define RETRY_MAX_US   US_PER_SEC
#define RETRY_LATE_US  (5 * US_PER_SEC) /* when it has been away for long */

static void plan_retry(Conversation *conversation) {
        (void)sd_event_source_set_time_relative(conversation->retry, conversation->retry_us);
        (void)sd_event_source_set_enabled(conversation->retry, SD_EVENT_ONESHOT);
        conversation->n_tries++;
        conversation->retry_us = conversation->n_tries > LATE_TRIES ?
                                         RETRY_LATE_US :
                                         MIN(conversation->retry_us * 2, RETRY_MAX_US);
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        Conversation *conversation = userdata;

        (void)conversation_connect(conversation);
        agent_want_turn(conversation->agent);
        return 0;
}

int conversation_new(Conversation **ret, Agent *agent) {
        Conversation *conversation;
        int r;

        conversation = calloc(1, sizeof(*conversation));
        if (!conversation)
                return -ENOMEM;
        conversation->agent = agent;
        conversation->retry_us = RETRY_FIRST_US;
        r = sd_event_add_time_relative(agent->event, &conversation->retry, CLOCK_BOOTTIME,
                                       RETRY_FIRST_US, 0, on_retry, conversation);
        if (r < 0) {
                free(conversation);
                return r;
        }
        (void)sd_event_source_set_enabled(conversation->retry, SD_EVENT_OFF);
        *ret = conversation;
        return 0;
}

static void close_client(Conversation *conversation) {
        conversation->io = sd_event_source_disable_unref(conversation->io);
        conversation->client = client_free(conversation->client);
        conversation->state = CONVERSATION_DOWN;
        conversation->n_asked = 0;
        conversation->n_questions = conversation->next_question = 0;
        free(conversation->listed);
        conversation->listed = NULL;
        conversation->n_listed = 0;
        talk_forget_early(conversation);
}

Conversation *conversation_free(Conversation *conversation) {
        if (!conversation)
                return NULL;
        close_client(conversation);
        (void)sd_event_source_disable_unref(conversation->retry);
        free(conversation->asked);
        free(conversation->questions);
        free(conversation);
        return NULL;
}

void talk_lose(Conversation *conversation) {
        Agent *agent = conversation->agent;
        Run *run, *next;

        close_client(conversation);
        HASH_ITER(hh, agent->runs, run, next) {
                for (Run *each = run; each; each = each->older) {
                        each->telling = false;
                        tell_forget(each);
                }
                if (run->phase == RUN_PHASE_ACCEPTING)
                        run_free(run);
        }
        rows_forget(agent);
        for (Submission *submission = agent->submissions; submission; submission = submission->next)
                submission->said = false;
        plan_retry(conversation);
        agent_want_turn(agent);
}

/* Room for one more in the ring. */
static int grow_asked(Conversation *conversation) {
        size_t n = conversation->n_asked_room ? conversation->n_asked_room * 2 : 64;
        Asked *asked;

        if (conversation->n_asked < conversation->n_asked_room)
                return 0;
        asked = calloc(n, sizeof(*asked));
        if (!asked)
                return -ENOMEM;
        for (size_t i = 0; i < conversation->n_asked; i++)
                asked[i] = conversation->asked[(conversation->first_asked + i) &
                                               (conversation->n_asked_room - 1)];
        free(conversation->asked);
        conversation->asked = asked;
        conversation->n_asked_room = n;
        conversation->first_asked = 0;
        return 0;
}

/* Says it; a connection that does not take it is lost. @asked: what its answer will be about; NULL: it has none */
static bool tell(Conversation *conversation, const Call *call, int fd, const Asked *asked) {
        Error error = {};
        int r;

        if (!conversation->client)
                return false;
        r = asked ? grow_asked(conversation) : 0;
        if (r == 0)
                r = client_send(conversation->client, call, fd, &error);
        if (r != 0) {
                say_warning("cannot say %s to the daemon: %s", call_type_to_string(call->type),
                            error.text[0] ? error.text : "out of memory");
                talk_lose(conversation);
                return false;
        }
        if (asked)
                conversation->asked[(conversation->first_asked + conversation->n_asked++) &
                                    (conversation->n_asked_room - 1)] = *asked;
        agent_want_turn(conversation->agent);
        return true;
}

void conversation_hold(Conversation *conversation) {
        if (conversation->client)
                client_hold(conversation->client);
}

void conversation_let_go(Conversation *conversation) {
        Error error = {};

        if (!conversation->client || client_let_go(conversation->client, &error) == 0)
                return;
        say_warning("%s", error.text);
        talk_lose(conversation);
}

void conversation_submit(Conversation *conversation, Submission *submission) {
        Call call = { .type = submission->n == 1 ? CALL_SUBMIT : CALL_SUBMIT_MANY };

        if (!talk_is_ready(conversation))
                return;
        if (submission->n == 1) {
                call.submit.task = submission->items[0].task;
                call.submit.immediate = submission->immediate;
                call.submit.room_bytes = UINT64_MAX;
        } else {
                call.submit_many.items = submission->items;
                call.submit_many.n = submission->n;
        }
        if (tell(conversation, &call, -1, &(Asked){ .type = call.type, .submission = submission }))
                queue_on_said(submission);
}

void conversation_accept(Conversation *conversation, const Run *run) {
        const Call call = {
                .type = CALL_ACCEPT,
                .accept = { .id = run->ref, .offer = run->offer },
        };

        (void)tell(conversation, &call, -1,
                   &(Asked){ .type = CALL_ACCEPT, .ref = run->ref, .attempt = run->attempt });
}

void conversation_decline(Conversation *conversation, uint64_t ref, uint64_t offer) {
        const Call call = {
                .type = CALL_DECLINE,
                .oneway = true,
                .accept = { .id = ref, .offer = offer },
        };

        (void)tell(conversation, &call, -1, NULL);
}

void conversation_tell_started(Conversation *conversation, const Run *run, int pidfd) {
        const Call call = { .type = CALL_STARTED, .oneway = true, .started.id = run->ref };

        if (talk_is_ready(conversation))
                (void)tell(conversation, &call, pidfd, NULL);
}

void conversation_tell_used(Conversation *conversation, const Run *run, uint64_t memory_bytes) {
        const Call call = {
                .type = CALL_USED,
                .oneway = true,
                .used = { .id = run->ref, .memory_bytes = memory_bytes },
        };

        if (talk_is_ready(conversation))
                (void)tell(conversation, &call, -1, NULL);
}

void conversation_tell_ended(Conversation *conversation, Run *run) {
        const Call call = {
                .type = CALL_ENDED,
                .ended = {
                        .id = run->ref,
                        .attempt = run->attempt,
                        .state = run->end.state,
                        .exit_status = run->end.exit_status,
                        .signal = run->end.signal,
                        .ended_at_us = run->end.ended_at_us,
                        .reason = run->end.reason[0] ? run->end.reason : NULL,
                },
        };

        if (!talk_is_ready(conversation) || run->telling)
                return;
        run->telling =
                tell(conversation, &call, -1,
                     &(Asked){ .type = CALL_ENDED, .ref = run->ref, .attempt = run->attempt });
}

void conversation_withdraw(Conversation *conversation, uint64_t ref, const char *reason) {
        _cleanup_free_ char *copy = strdup(reason);
        const Call call = {
                .type = CALL_WITHDRAW,
                .withdraw = { .id = ref, .reason = copy },
        };

        if (conversation->client)
                (void)tell(conversation, &call, -1, &(Asked){ .type = CALL_WITHDRAW, .ref = ref });
}

/* Without memory it is left to the next connect. */
static void ask_later(Conversation *conversation, const Question *question) {
        size_t n = conversation->n_questions_room;
        Question *questions;

        if (conversation->n_questions == n) {
                n = MAX(n * 2, (size_t)64);
                questions = reallocarray(conversation->questions, n, sizeof(*questions));
                if (!questions)
                        return;
                conversation->questions = questions;
                conversation->n_questions_room = n;
        }
        conversation->questions[conversation->n_questions++] = *question;
        agent_want_turn(conversation->agent);
}

void conversation_resume(Conversation *conversation, uint64_t ref, unsigned attempt, bool running) {
        if (conversation->client)
                ask_later(conversation,
                          &(Question){ .type = running ? QUESTION_RUNNING : QUESTION_NOT_STARTED,
                                       .ref = ref,
                                       .attempt = attempt });
}

void conversation_ask(Conversation *conversation, uint64_t id, unsigned attempt) {
        if (conversation->client)
                ask_later(conversation, &(Question){ .type = QUESTION_IS_IT_OVER,
                                                     .ref = id,
                                                     .attempt = attempt });
}

void conversation_give_away(Conversation *conversation, uint64_t ref, const char *reason) {
        if (conversation->client)
                ask_later(conversation,
                          &(Question){ .type = QUESTION_GIVE_AWAY, .ref = ref, .reason = reason });
}

/* Whether it is still as it was when the question came up. */
static bool is_asked_for(const Question *question, const Run *run) {
        switch (question->type) {
        case QUESTION_RUNNING:
                return run && run->phase == RUN_PHASE_RUNNING;
        case QUESTION_NOT_STARTED:
                return !run || run->phase == RUN_PHASE_CLAIMED;
        default:
                return true;
        }
}

static void ask_now(Conversation *conversation, const Question *question) {
        const Run *run = run_find(conversation->agent, question->ref, question->attempt);
        const Call call = {
                .type = CALL_RESUME,
                .resume = { .id = question->ref,
                            .attempt = question->attempt,
                            .running = question->type == QUESTION_RUNNING },
        };
        _cleanup_close_ int fd = -1;

        if (!is_asked_for(question, run))
                return;
        if (question->type == QUESTION_GIVE_AWAY) {
                conversation_withdraw(conversation, question->ref, question->reason);
                return;
        }
        if (question->type == QUESTION_RUNNING)
                fd = run_open_pidfd(run);
        (void)tell(conversation, &call, fd,
                   &(Asked){ .type = CALL_RESUME,
                             .question = question->type,
                             .ref = question->ref,
                             .attempt = question->attempt });
}

static void ask_on(Conversation *conversation) {
        while (talk_is_ready(conversation) && conversation->n_asked < ASKED_MAX &&
               conversation->next_question < conversation->n_questions) {
                Question question = conversation->questions[conversation->next_question++];

                ask_now(conversation, &question);
        }
        if (conversation->next_question == conversation->n_questions)
                conversation->next_question = conversation->n_questions = 0;
}

static void receive(Conversation *conversation) {
        for (;;) {
                Incoming incoming = {};
                Error error = {};
                int r;

                if (!conversation->client)
                        return;
                r = client_next(conversation->client, &incoming, &error);
                if (r == CLIENT_E_AGAIN)
                        return;
                if (r != 0) {
                        if (r != CLIENT_E_CLOSED)
                                say_warning("%s", error.text);
                        talk_lose(conversation);
                        return;
                }
                if (incoming.is_call)
                        talk_on_call(conversation, &incoming.call);
                else
                        talk_on_reply(conversation, &incoming.reply);
                incoming_done(&incoming);
        }
}

static void set_events(Conversation *conversation) {
        uint32_t events = EPOLLIN;

        if (!conversation->client)
                return;
        if (client_poll_events(conversation->client) & EPOLLOUT)
                events |= EPOLLOUT;
        (void)sd_event_source_set_io_events(conversation->io, events);
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Conversation *conversation = userdata;

        receive(conversation);
        orders_send(conversation->agent);
        set_events(conversation);
        agent_want_turn(conversation->agent);
        return 0;
}

ConversationState conversation_state(const Conversation *conversation) {
        return conversation->state;
}

bool conversation_connect(Conversation *conversation) {
        Agent *agent = conversation->agent;
        Error error = {};
        int r;

        if (conversation->client)
                return true;
        (void)sd_event_source_set_enabled(conversation->retry, SD_EVENT_OFF);
        r = client_connect(&conversation->client, CLIENT_START | CLIENT_QUIET, &error);
        if (r == 0)
                r = sd_event_add_io(agent->event, &conversation->io,
                                    client_fd(conversation->client), EPOLLIN, on_io, conversation);
        if (r != 0) {
                if (!conversation->failed)
                        say_warning("%s", error.text);
                conversation->failed = true;
                conversation->error = error;
                close_client(conversation);
                plan_retry(conversation);
                queue_on_unreachable(agent, error.text);
                return false;
        }
        (void)snprintf(conversation->path, sizeof(conversation->path), "%s",
                       client_path(conversation->client));
        conversation->state = CONVERSATION_LISTING;
        return tell(conversation, &(Call){ .type = CALL_AGENT, .more = true }, -1,
                    &(Asked){ .type = CALL_AGENT });
}

void conversation_want(Conversation *conversation) {
        int enabled = SD_EVENT_OFF;

        (void)sd_event_source_get_enabled(conversation->retry, &enabled);
        if (!conversation->client && enabled == SD_EVENT_OFF)
                (void)conversation_connect(conversation);
}

const char *conversation_text(const Conversation *conversation) {
        return conversation->error.text;
}

const char *conversation_path(const Conversation *conversation) {
        return conversation->path;
}

bool conversation_has_failed(const Conversation *conversation) {
        return conversation->state == CONVERSATION_DOWN && conversation->failed;
}

bool conversation_is_settled(const Conversation *conversation) {
        return talk_is_ready(conversation) && conversation->n_asked == 0 &&
               conversation->next_question == conversation->n_questions;
}

bool conversation_may_bring_starts(const Conversation *conversation) {
        if (!conversation->client)
                return false;
        for (size_t i = 0; i < conversation->n_asked; i++) {
                const Asked *asked = &conversation->asked[(conversation->first_asked + i) &
                                                          (conversation->n_asked_room - 1)];

                if (asked->type != CALL_SUBMIT && asked->type != CALL_SUBMIT_MANY)
                        return true;
        }
        return conversation->next_question != conversation->n_questions ||
               conversation->n_early > 0 ||
               (client_poll_events(conversation->client) & EPOLLOUT) != 0;
}

void conversation_begin_again(Conversation *conversation) {
        conversation->again = true;
        agent_want_turn(conversation->agent);
}

void conversation_pump(Conversation *conversation) {
        if (conversation->again) {
                conversation->again = false;
                talk_lose(conversation);
                return;
        }
        ask_on(conversation);
        /* Another agent of this user, with another folder, takes the connection from us, and we from it: not in a hurry. */
        if (talk_is_ready(conversation) &&
            clock_boottime_us() - conversation->ready_boot_us > RETRY_LATE_US) {
                conversation->retry_us = RETRY_FIRST_US;
                conversation->n_tries = 0;
        }
        set_events(conversation);
}
