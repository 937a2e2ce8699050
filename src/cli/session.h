#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Talking with the daemon, for commands that ask and print
 *
 * Functions here say on stderr what went wrong and return an exit status (cli/command.h), so that
 * a command only passes it on.
 */

#include <stdint.h>

#include "client/client.h"
#include "util/error.h"

typedef enum SessionMode {
        SESSION_LOOK,   /* a personal daemon is not started only to look at an empty queue */
        SESSION_ACT,    /* it is, if it has run before: its records may know the task */
        SESSION_CHANGE, /* that too; for session_change() */
} SessionMode;

/* Takes descriptors 0 to 2 where they are closed: a socket in the place of stdout would be sent what is meant for people. */
void session_occupy_descriptors(void);

/* client_connect(), with descriptors 0 to 2 taken: what is printed must never go to the socket. */
int session_connect(Client **ret, unsigned flags, Error *error);

/**
 * session_open() - connect, once all ends have got to the daemon, but for SESSION_CHANGE
 * @ret:        set to the connection, or to NULL if there can be no task: the queue is personal and
 *              nobody serves it
 *
 * Return: 0, or CLI_STATUS_UNREACHABLE after saying so.
 */
int session_open(Client **ret, SessionMode mode);

/**
 * session_call() - ask, and wait for the (first) answer
 * @reply:      set if 0 is returned, and then never an error; release with reply_done()
 *
 * Return: 0, CLI_STATUS_REFUSED or CLI_STATUS_UNREACHABLE after saying so.
 */
int session_call(Client *client, const Call *call, Reply *reply);

/*
 * session_call() of what changes tasks: ends get to the daemon behind it. The agent that brings them would else first start what was
 * to be held, or cancelled.
 */
int session_change(Client *client, const Call *call, Reply *reply);

/* Waits for the next answer to a call with `more`; otherwise as session_call(). */
int session_read(Client *client, Reply *reply);

/* Says that there is no such task. Returns CLI_STATUS_REFUSED. */
int session_no_task(uint64_t id);

/* session_receive() */
enum {
        SESSION_E_TIMEOUT = 1,
        SESSION_E_CLOSED, /* the daemon has gone, and may come back */
        SESSION_E_BAD,    /* what came makes no sense */
};

/**
 * session_receive() - wait for an answer, silently
 * @until_boot_us:      CLOCK_BOOTTIME at which waiting ends; UINT64_MAX: never
 * @reply:      set if 0 is returned; may be an error of the daemon's
 * @error:      why it is closed, or what is wrong with what came
 *
 * Return: 0, or an outcome.
 */
int session_receive(Client *client, uint64_t until_boot_us, Reply *reply, Error *error);
