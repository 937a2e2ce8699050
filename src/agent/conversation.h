#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The conversation with the daemon
 *
 * One connection, made when there is something to say. On it the agent says first that it is the agent, and is told what the daemon
 * has of its user; from then on it is READY. What was said and not answered when the connection is lost counts as not said.
 */

#include "agent/agent.h"

typedef enum ConversationState {
        CONVERSATION_DOWN,    /* not connected */
        CONVERSATION_LISTING, /* the daemon lists what it has */
        CONVERSATION_READY,
} ConversationState;

int conversation_new(Conversation **ret, Agent *agent);
Conversation *conversation_free(Conversation *conversation);

ConversationState conversation_state(const Conversation *conversation);

/* Connects now if it is down, also if a try was planned for later. Return: whether there is a connection. */
bool conversation_connect(Conversation *conversation);

/* Connects soon if it is down and nothing is planned. */
void conversation_want(Conversation *conversation);

/* What the daemon was told at the connect could not be done: connects once more, a little later. */
void conversation_begin_again(Conversation *conversation);

/* Why there is no connection, for people; empty: not known. */
const char *conversation_text(const Conversation *conversation);

/* Path of the daemon's socket, "" if there was no connection yet. */
const char *conversation_path(const Conversation *conversation);

/* Whether the last try to connect failed. */
bool conversation_has_failed(const Conversation *conversation);

/* Whether all that it was asked is answered. */
bool conversation_is_settled(const Conversation *conversation);

/* Whether an answer may still come that is a start, or gives one back; or something of a start waits to be sent. */
bool conversation_may_bring_starts(const Conversation *conversation);

/* Once a turn: says what waits for room, and sends what waits to be sent. */
void conversation_pump(Conversation *conversation);

/*
 * Each is said if it is READY, and forgotten if not: after the next connect all is looked at again. Resume, and what follows it, is said as
 * soon as there is room, if it is still so then: after a connect there may be thousands.
 */
void conversation_hold(
        Conversation *conversation); /* what is said until let go goes out together */
void conversation_let_go(Conversation *conversation);
void conversation_submit(Conversation *conversation, Submission *submission);
void conversation_accept(Conversation *conversation, const Run *run);
void conversation_decline(Conversation *conversation, uint64_t ref, uint64_t offer);
void conversation_tell_started(Conversation *conversation, const Run *run, int pidfd);
void conversation_tell_used(Conversation *conversation, const Run *run, uint64_t memory_bytes);
void conversation_tell_ended(Conversation *conversation, Run *run);
void conversation_resume(Conversation *conversation, uint64_t ref, unsigned attempt, bool running);
void conversation_withdraw(Conversation *conversation, uint64_t ref, const char *reason);

/* Whether a job is over: Resume of a start that was none. */
void conversation_ask(Conversation *conversation, uint64_t id, unsigned attempt);

/* Withdraw of one that can't be started; @reason: borrowed for ever. */
void conversation_give_away(Conversation *conversation, uint64_t ref, const char *reason);

/* A Submit was answered: offers that came too early are looked at now. */
void conversation_retry_offers(Conversation *conversation);
