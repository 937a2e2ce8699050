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
#include "daemon/log.h"

struct Record {
        Daemon *daemon;
        uint64_t task_id;
        Account *account;     /* of the task's user */
        size_t n_bytes;       /* as the account has it */
        Peer *owner;          /* the runner's connection; NULL: away */
        Record *owner_next;   /* others of the same connection */
        Record **owner_pprev; /* what points at this one */

        uint64_t offer; /* number of the open offer; 0: none */
        bool reloaded;  /* from last time, and no runner has come for it yet */
        bool is_dirty;
        bool in_store;  /* it was written at least once: the next daemon will know it */
        bool fresh;     /* detached: queued in this turn, and not on the disk yet */
        bool granting;  /* its Submit is being answered: a start now is a grant in the reply */
        bool granted;   /* it was, and Started has not come yet */
        bool accepting; /* detached: its agent's Accept is answered when it is on the disk */
        bool silent;    /* an offer was not answered, and its runner has not spoken since */
        sd_event_source *timer; /* the offer's deadline, or how long a dead process is waited for */

        pid_t runner_pid; /* the parent of the command: `taskflow run`, or a keeper; 0: not known */
        int pid_fd;       /* of the command; -1: not known */
        sd_event_source *pid_source;
        bool process_ended; /* seen by the pidfd, while no runner was there to tell how */

        bool other_boot; /* while all are loaded: it is from before the machine went down */

        Record *dirty_next;
        UT_hash_handle hh;
};

/* Adds a record for a task that the core has. Return: 0 or -ENOMEM. */
int record_new(Record **ret, Daemon *daemon, uint64_t task_id);
Record *record_find(Daemon *daemon, uint64_t task_id);

/* What the log calls it. */
LogSubject record_subject(const Record *record);

/* The task is larger, or smaller, than it was. */
void record_count(Record *record);

/* Drops it; the core keeps its task. */
void record_free(Record *record);

/* Since its offer was not answered its runner has not spoken, or it has again. */
void record_set_silent(Record *record, bool silent);

/* Its runner is this connection from now on; the former one is told. NULL: it is gone. */
void record_set_owner(Record *record, Peer *owner);

/* record-writes.c */

/* It is about to be freed: nothing of it is to be written. */
void record_leave_dirty(Record *record);

/* To be written at the end of the turn. */
void record_set_dirty(Record *record);

/*
 * The same, but what is said to runners until then does not wait for it; see records_hold_answers().
 */
void record_set_dirty_behind(Record *record);

/* What is said from now on in this turn waits for what is to be written. */
void records_hold_answers(Daemon *daemon);

/* Tells the runner of a running task to end it. @signal: 0: SIGTERM */
void record_send_end(Record *record, int signal);

/* To be written within WRITE_SOON_US: a task that starts and ends at once then costs one commit. */
void record_set_dirty_soon(Record *record);

/* The connection of the runner ended: what becomes of its task (decisions.md 14, 17). */
void record_owner_gone(Record *record);

/**
 * record_set_process() - its command's process is known
 * @pid_fd:     taken; -1: find it by the task's pid and start time
 *
 * Return: 0; -ESRCH if that process is no more; or another negative errno: it can't be looked at.
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

/* The same, and its runner is told. */
int record_cancel(Record *record, const char *reason);

/* An element of the array becomes a task of its own. Return: 0 or negative errno. */
int record_split(Record *array, uint32_t index, Record **ret);

/* Sends an offer, or lets the grant be answered. Return: 0, or negative errno: nothing was offered. */
int record_offer(Record *record, const PlanOffer *offer);

/* The open offer is over, in whatever way. */
void record_close_offer(Record *record);

/* Task known from last time whose runner did not come back: judged by its process. */
void record_judge(Record *record);

/* A task that was started, and whose runner knows nothing of that: over when its process is. */
void record_judge_process(Record *record);

/*
 * Before a runner is told that it may start: a daemon that is killed now, and starts again, must know that this room is taken. A task
 * that asks for nothing takes none.
 */
void record_write_start(Record *record);

/*
 * Writes what is dirty, to the disk if that is wanted; forgets what has ended and is written. What was queued in this turn and
 * can't be written is dropped again.
 *
 * Return: whether all is written.
 */
bool records_write(Daemon *daemon);

/* Tells the runners of running tasks how often to look. */
void records_send_look(Daemon *daemon);
