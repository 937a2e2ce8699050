#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The agent
 *
 * One object owns the loop and everything that lives in it. What needs the disk, the daemon or room for more is done once a turn
 * of the loop, for all that happened in it.
 *
 *   main.c          options, folder, lock, signals
 *   agent.c         the object; the turn; the end when there is nothing to do
 *   jobs.c          tasks that are to be started some day, as the spool has them
 *   runs.c          starts, from the offer to the end
 *   orders.c        what keepers are told
 *   keepers.c       what they tell, and how they end
 *   rows.c          starts that were granted in advance
 *   tell.c          when the daemon hears of starts and ends
 *   adopt.c         starts of an earlier agent's time, by their records
 *   looks.c         what running tasks hold
 *   queue.c         from a command's Queue to the daemon's answer
 *   conversation.c  the connection with the daemon, and what is said on it
 *   answers.c       what the daemon says
 *   reconcile.c     after a connect: what the daemon lists against what is here, by the table of life.c
 *   server.c        the agent's own socket
 *   stop.c          the end on somebody's word
 *   logs.c          taskflow's own logs: how long they become, and how long they stay
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <systemd/sd-event.h>

#include "agent/nursery.h"
#include "util/error.h"
#include "util/macro.h"
#include "wire/message.h"

typedef struct Agent Agent;
typedef struct Conversation Conversation;
typedef struct Job Job;
typedef struct Logs Logs;
typedef struct Peer Peer;
typedef struct Run Run;
typedef struct Server Server;
typedef struct Spool Spool;
typedef struct Submission Submission;

enum {
        AGENT_IDLE_US = 10 * 1000000, /* with nothing to do, before it ends */
        AGENT_HURRY = 64,             /* a turn waits for so many events at most */
};

/* The last context and place that nothing was missing of. */
typedef struct Whole {
        char *bytes; /* NULL: none yet */
        size_t n;
        char *here;
} Whole;

struct Agent {
        sd_event *event;
        char *folder;
        char *lives;    /* "systemd", "session", "detached" */
        uint64_t epoch; /* of the orders that are given now: epoch.h */
        int run_fd;     /* of FOLDER/run */
        uint64_t idle_us;
        bool stopping;  /* nothing more is started */
        bool stop_late; /* what was under way then took too long */
        bool restart; /* the nursery is gone, or the spool must be opened again: main() begins anew */

        Nursery *nursery;
        sd_event_source *nursery_source;
        sd_event_source *nursery_gone_source;

        Spool *spool;
        uint64_t clock_offset_us; /* of give_up_at_us to CLOCK_BOOTTIME */
        bool sync_wanted;         /* by the commit of this turn */

        Job *jobs_by_key;        /* all */
        Job *jobs_by_id;         /* those whose id is known */
        Run *runs;               /* the newest of each ref; ->older has others */
        Run *ordering;           /* by ->next_ordering: those that wait for room in the nursery */
        Run *due, **due_end;     /* by ->next_due: those that the daemon is to hear of */
        size_t n_over;           /* runs that go after the next commit */
        size_t n_claimed;        /* runs that are claims */
        bool rows_over;          /* since the last turn: claims that waited for that may go */
        Submission *submissions; /* not answered yet, oldest first */
        Whole whole;

        uint64_t look_interval_us; /* as the daemon wants it */
        Conversation *conversation;
        Server *server;
        Logs *logs;

        unsigned n_wanted; /* turns, since the last one */
        sd_event_source *turn_source;
        sd_event_source *idle_source;
        sd_event_source *write_source; /* on while a commit has failed */
        sd_event_source *stop_source;
        sd_event_source *look_source;
        sd_event_source *row_source;   /* gives back what has stood in a row for long */
        sd_event_source *adopt_source; /* looks again at records whose keeper is about to start */
};

typedef struct AgentOptions {
        const char *folder; /* exists and is locked by us; borrowed, as the next */
        const char *lives;
        Nursery *nursery; /* taken in any case */
} AgentOptions;

/**
 * agent_new() - with all that was left of the last one; nothing is listened on yet
 *
 * Return: 0, or negative errno with @error.
 */
int agent_new(Agent **ret, const AgentOptions *options, Error *error);
Agent *agent_free(Agent *agent);
DEFINE_CLEANUP(Agent *, agent_free);

/* Something happened: a turn follows the events that are there. */
void agent_want_turn(Agent *agent);

/* Whether there is something to run, or to tell the daemon. */
bool agent_has_work(const Agent *agent);

/* It is empty, and the loop ends: without it everybody sees that there is nothing to start an agent for. */
void agent_remove_spool(Agent *agent);
