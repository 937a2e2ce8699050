#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * A run
 *
 * What the files of the foreground runner share: conversation.c talks with the daemon, command.c minds the command,
 * foreground.c has the loop that calls both. Nobody else includes it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/client.h"
#include "core/task.h"
#include "runner/foreground.h"
#include "runner/look.h"
#include "runner/records.h"
#include "runner/signals.h"
#include "runner/spawn.h"
#include "runner/waiting-line.h"

typedef enum RunPhase {
        RUN_PHASE_SUBMITTING, /* no id yet */
        RUN_PHASE_WAITING,
        RUN_PHASE_ACCEPTING, /* an offer was accepted, the daemon's word is still to come */
        RUN_PHASE_RUNNING,
        RUN_PHASE_REPORTING, /* the command has ended, and the daemon is to know */
        RUN_PHASE_LEAVING,   /* withdrawn, and the daemon is to know */
        RUN_PHASE_OVER,      /* `status` and `die_signal` are what to end with */
} RunPhase;

typedef enum RunTimer {
        RUN_TIMER_RECONNECT,
        RUN_TIMER_LOST,    /* say that the daemon does not come back */
        RUN_TIMER_WHY,     /* ask why it waits, and show it */
        RUN_TIMER_GIVE_UP, /* -w */
        RUN_TIMER_LIMIT,   /* -t */
        RUN_TIMER_KILL,    /* what did not end when it was told */
        RUN_TIMER_LOOK,
        RUN_TIMER_PATIENCE, /* for the daemon's answer, of REPORTING and LEAVING */
} RunTimer;

enum {
        N_RUN_TIMERS = RUN_TIMER_PATIENCE + 1,
};

#define RUN_NEVER UINT64_MAX

typedef struct Run {
        const RunRequest *request;
        Task *task;
        RunPhase phase;
        uint64_t timers[N_RUN_TIMERS]; /* CLOCK_BOOTTIME, or RUN_NEVER */

        /* the daemon */
        Client *client;    /* NULL: not connected */
        bool attached;     /* it knows on this connection that the task is ours */
        char database[33]; /* that gave the id; empty: none yet */
        char place[RECORDS_PLACE_MAX];
        bool has_records;  /* of ends that are still to be said */
        uint64_t retry_us; /* until the next try to connect */
        unsigned n_tries;  /* to be heard, since it last answered */
        bool said_lost;

        /* the wait */
        uint64_t begun_boot_us;
        WaitingLine line;
        Explain *explain; /* why it waits, as last heard; NULL: not heard */
        uint64_t explain_boot_us;
        uint64_t offer; /* ACCEPTING: which */
        bool pin;

        /* the command */
        Signals signals;
        Spawned child; /* pid 0: not started, or waited for */
        Look look;
        bool ended; /* its status is known: */
        int wait_status;
        bool ending; /* it and all its descendants are to end, and this is why: */
        TaskState end_state;
        int end_signal; /* sent first */
        uint64_t n_kills;

        int status;
        int die_signal; /* 0: none */
} Run;

/* foreground.c */

void run_set_timer(Run *run, RunTimer timer, uint64_t boot_us);

/* One line on stderr, "taskflow: …", unless -q. */
void run_say(Run *run, const char *fmt, ...) _printf_(2, 3);
/* The same, whatever -q says: it is what we end with. */
void run_complain(Run *run, const char *fmt, ...) _printf_(2, 3);

void run_finish(Run *run, int status);
void run_finish_by_signal(Run *run, int signal);

/* conversation.c */

/* The first time. Return: false if there is nobody, which was said; the run is over then. */
bool run_connect(Run *run);
void run_submit(Run *run);
void run_on_readable(Run *run);
void run_reconnect(Run *run);

/* The daemon has been away for a while: says so, once. */
void run_say_lost(Run *run);
void run_ask_why(Run *run);

/* Says it with a descriptor (-1: none), if the daemon knows that the task is ours; a connection that does not take it is lost. */
void run_tell(Run *run, const Call *call, int fd);

/* The sentence of what is missing, harmless to a terminal; empty if nothing is known. To be freed. */
char *run_reason(const Run *run, const Explain *explain, uint64_t boot_us);

/* report.c */

/* Withdraws the task and finishes with @status, or by @signal unless that is 0. @reason: for the record; borrowed. */
void run_leave(Run *run, int status, int signal, const char *reason);
void run_give_up(Run *run);

/* How the command does; nothing if there is no daemon. */
void run_tell_started(Run *run);
void run_tell_used(Run *run, uint64_t memory_bytes);
void run_tell_away(Run *run, bool away);

/* The command has ended, as the task says: the daemon is to know, and then it is over. */
void run_report(Run *run);

/* The daemon has had its time. */
void run_lose_patience(Run *run);

/* command.c */

/* The grant is there: starts the command. */
void run_start(Run *run);
void run_on_signal(Run *run, const SignalNews *news);
void run_on_look(Run *run);
void run_on_limit(Run *run);
void run_on_kill(Run *run);

/* The daemon wants it ended. @signal: 0: the usual */
void run_end_command(Run *run, TaskState state, int signal);
