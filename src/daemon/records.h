#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Records
 *
 * What the daemon knows of a task beside what the core reckons with: the connection of its runner, its open offer, its
 * process, and whether it is on the disk. One for each task in the core.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <uthash.h>

#include "daemon/daemon.h"

struct Record {
        Daemon *daemon;
        uint64_t task_id;
        Peer *owner;        /* the runner's connection; NULL: away */
        Record *owner_next; /* others of the same connection */

        uint64_t offer; /* number of the open offer; 0: none */
        bool granting;  /* its Submit is being answered: a start now is a grant in the reply */
        bool granted;   /* it was, and Started has not come yet */
        bool silent;    /* an offer was not answered, and its runner has not spoken since */
        sd_event_source *timer; /* the offer's deadline, or how long a dead process is waited for */

        pid_t runner_pid;
        int pid_fd; /* of the command; -1: not known */
        sd_event_source *pid_source;
        bool process_ended; /* seen by the pidfd, while no runner was there to tell how */
        bool cancelled;     /* while it had no runner: its end is that, whoever brings it about */

        bool is_dirty;
        Record *dirty_next;
        UT_hash_handle hh;
};

/* Adds a record for a task that the core has. Return: 0 or -ENOMEM. */
int record_new(Record **ret, Daemon *daemon, uint64_t task_id);
Record *record_find(Daemon *daemon, uint64_t task_id);

/* Drops it; the core keeps its task. */
void record_free(Record *record);

/* Its runner is this connection from now on; the former one is told. NULL: it is gone. */
void record_set_owner(Record *record, Peer *owner);

/* To be written at the end of the turn. */
void record_set_dirty(Record *record);

/* To be written within WRITE_SOON_US: a task that starts and ends at once then costs one commit. */
void record_set_dirty_soon(Record *record);

/* The connection of the runner ended: what becomes of its task (decisions.md 14, 17). */
void record_owner_gone(Record *record);

/**
 * record_set_process() - its command's process is known
 * @pid_fd:     taken; -1: find it by the task's pid and start time
 *
 * Return: 0, or -ESRCH if that process is no more.
 */
int record_set_process(Record *record, int pid_fd);

/* The task is over: applies it to the core, drops offer and process, tells whoever waits for it. */
int record_end(Record *record,
               TaskState state,
               int exit_status,
               int signal,
               const char *reason,
               uint64_t at_us);

/* A waiting task is no longer wanted: cancelled. */
int record_withdraw(Record *record, const char *reason);

/* Sends an offer, or lets the grant be answered. Return: 0, or negative errno: nothing was offered. */
int record_offer(Record *record, const PlanOffer *offer);

/* The open offer is over, in whatever way. */
void record_close_offer(Record *record);

/* Task known from last time whose runner did not come back: judged by its process. */
void record_judge(Record *record);

/*
 * Before a runner is told that it may start: a daemon that is killed now, and starts again, must know that this room is taken. A task
 * that asks for nothing takes none.
 */
void record_write_start(Record *record);

/* Writes what is dirty; forgets what has ended and is on the disk. */
void records_write(Daemon *daemon);

/* Tells the runners of running tasks how often to look. */
void records_send_look(Daemon *daemon);
