#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The conversation inside: conversation.c connects and speaks, answers.c is what the daemon's words mean. Nobody else includes it.
 */

#include "agent/conversation.h"
#include "client/client.h"

enum {
        LATE_TRIES = 60,
        ASKED_MAX = 128,    /* questions that go out before an answer has come */
        EARLY_OFFERS = 128, /* a user has 64 open ones at most */
};

typedef enum QuestionType {
        QUESTION_IS_IT_OVER, /* of a task that was not started, as far as we know */
        QUESTION_RUNNING,
        QUESTION_NOT_STARTED,
        QUESTION_GIVE_AWAY, /* Withdraw */
} QuestionType;

/* What one of our calls was about. */
typedef struct Asked {
        CallType type;
        QuestionType question; /* RESUME */
        unsigned attempt;
        uint64_t ref;
        Submission *submission;
} Asked;

/* A Resume or Withdraw that is to be said when there is room for it. */
typedef struct Question {
        QuestionType type;
        unsigned attempt;
        uint64_t ref;
        const char *reason; /* GIVE_AWAY */
} Question;

struct Conversation {
        Agent *agent;
        Client *client; /* NULL: DOWN */
        ConversationState state;
        sd_event_source *io;
        sd_event_source *retry; /* on while a try is planned */
        uint64_t retry_us;
        unsigned n_tries;
        uint64_t ready_boot_us; /* since when it is READY */
        bool failed;
        bool again;  /* it is to be closed, and made again */
        Error error; /* why it failed */
        char path[256];

        Asked *asked;        /* ring */
        size_t n_asked_room; /* 0, or a power of two */
        size_t first_asked;
        size_t n_asked;

        Question *questions; /* that wait for room, from next_question on */
        size_t n_questions, n_questions_room, next_question;

        AgentTask *listed; /* LISTING: so far */
        size_t n_listed;

        Call *early; /* offers of tasks whose Submit is not answered yet */
        size_t n_early;
};

/* The connection is no more: what was not answered on it counts as not said. */
void talk_lose(Conversation *conversation);

static inline bool talk_is_ready(const Conversation *conversation) {
        return conversation->state == CONVERSATION_READY;
}

/* Something that came; what is in it may be taken. */
void talk_on_reply(Conversation *conversation, Reply *reply);
void talk_on_call(Conversation *conversation, Call *call);

/* Forgets offers that came too early. */
void talk_forget_early(Conversation *conversation);
