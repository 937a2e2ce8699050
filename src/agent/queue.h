#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Tasks that commands queue
 *
 * The agent puts what is to be run into its spool, says Submit to the daemon, syncs the spool while the daemon syncs its database,
 * and answers when both are done. Nothing is queued that was not answered, or is answered with an error.
 */

#include "agent/agent.h"
#include "runner/bundle.h"

struct Submission {
        Submission *next;
        Peer *peer; /* who waits for the answer; NULL: gone */
        pid_t pid;  /* as it has it itself; 0: not said */
        char *here; /* where it is, of where_write(); NULL: not said */
        size_t n;
        TaskItem *items; /* owned */
        bool immediate;
        bool said;    /* on this connection */
        bool written; /* the spool's commit is on the disk */
        int refused; /* negative errno: it could not be written, what the daemon queued is to be withdrawn */
        uint64_t
                until_boot_us; /* said on an earlier connection: how long the next one is waited for */
        bool has_reply;        /* the daemon has answered, and the disk not yet: */
        Reply reply;
        Bundle *bundle; /* owned; whoever lets go of it last frees its pages: not to be the command */
        char *notice;   /* what the tasks can't get back; NULL: nothing */
};

/**
 * queue_take() - a Queue of a command
 * @call:       its tasks are taken
 * @fd:         the bundle; borrowed; -1: none came
 *
 * Answers the peer, now or later.
 */
void queue_take(Agent *agent, Peer *peer, Call *call, int fd);

/* The daemon's answer to a submission, which is taken. */
void queue_on_reply(Agent *agent, Submission *submission, Reply *reply);

/* After the commit of a turn. @r: 0, or the negative errno that it failed with */
void queue_on_commit(Agent *agent, int r);

/* Writes what was taken, so that it may be said. Return: false: it could not be, and some of it was refused. */
bool queue_write(Agent *agent);

/* It was said to the daemon. */
void queue_on_said(Submission *submission);

/* The daemon can't be reached: what was never said to it is refused, or was too long ago. */
void queue_on_unreachable(Agent *agent, const char *text);

/* Nobody waits for it any more. */
void queue_forget_peer(Agent *agent, const Peer *peer);

void queue_free_all(Agent *agent);
