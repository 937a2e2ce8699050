#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The agent's own socket
 *
 * FOLDER/sock, for processes of its user alone. Each connection is served one message at a time.
 */

#include "agent/agent.h"

enum {
        SERVER_PEERS_MAX = 1024,
};

int server_new(Server **ret, Agent *agent, Error *error);
Server *server_free(Server *server);

size_t server_n_peers(const Server *server);

/* The answer to what it waits for; serves its next message. */
void peer_answer(Peer *peer, const Reply *reply);

/* The process that connected; 0: not known here. */
pid_t peer_pid(const Peer *peer);

/* Whether the peer, which calls itself @pid, is in our network and among our process numbers. */
bool peer_is_near(const Peer *peer, pid_t pid);
void peer_refuse(Peer *peer, CallType to, ErrorName name, const char *fmt, ...) _printf_(4, 5);

/* Answers those who want to know how the agent is, if it has said to the daemon all that it knows, or can't. */
void server_answer_status(Server *server);

/* Stops listening for good, unless somebody came in at the last moment. Return: whether it stopped. */
bool server_close_if_unused(Server *server);
