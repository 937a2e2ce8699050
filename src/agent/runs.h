#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Runs
 *
 * A start of a task, from the offer until the daemon knows how it ended. What is known of it stands in its record too, from where
 * the next agent takes it.
 */

#include <uthash.h>

#include "agent/agent.h"
#include "agent/life.h"
#include "agent/record-file.h"
#include "runner/look.h"

typedef enum RunPhase {
        RUN_PHASE_CLAIMED,   /* not started, and a late keeper of the last agent's can't any more */
        RUN_PHASE_ACCEPTING, /* an offer was taken, the daemon's word is still to come */
        RUN_PHASE_IN_ROW,    /* granted: to be started when the one in front of it has ended */
        RUN_PHASE_STARTING,  /* ordered; or its keeper has no command yet */
        RUN_PHASE_RUNNING,
        RUN_PHASE_DEAD,  /* it is gone, and how it ended will not be known */
        RUN_PHASE_ENDED, /* how is known */
        RUN_PHASE_OVER,  /* and the daemon knows: the record goes with the next commit */
} RunPhase;

/* What one keeper was ordered to do. While it is at it the claims of what was given back must stay, since it will come to them. */
typedef struct RowOrder {
        unsigned n_runs; /* that point at it */
        bool over;
} RowOrder;

struct Run {
        Agent *agent;
        uint64_t ref;
        unsigned attempt;
        RunPhase phase;

        /* from the offer to the order */
        uint64_t offer;
        unsigned n_gpus;
        GpuGrant *gpus; /* owned */
        bool pin;
        uint64_t time_limit_us;
        char *name;                /* owned; NULL: none */
        Run *ahead, *behind;       /* in a row; NULL: nobody. Who is first in one has started */
        uint64_t lined_up_boot_us; /* IN_ROW: since when */
        bool sent;                 /* IN_ROW: its order went out with that of the first */
        RowOrder *row;             /* with which it went out; NULL: alone, or not yet */
        bool dropped;              /* CLAIMED: its record goes when that is over */
        bool goes_on;  /* ENDED: its keeper has the next order of the row, if that was sent */
        bool ordering; /* waits for room in the nursery, by: */
        Run *next_ordering;

        /* the keeper; when it is gone before its command, that one is watched by the same descriptor */
        pid_t keeper; /* 0: none yet */
        bool adopted; /* from an earlier agent, which its news went to */
        bool keeper_gone;
        int watch_fd;   /* pidfd; -1: none */
        bool unwatched; /* descriptors are short: it is looked at every now and then */
        sd_event_source *watch_source;
        sd_event_source *kill_source; /* SIGKILL to a command without a keeper */
        uint64_t
                ordered_boot_us; /* when its order was sent, or its record was no record yet; 0: not so */
        bool cancelled;          /* before it had a keeper that could be told, with: */
        int cancel_signal;

        /* the command */
        pid_t pid; /* 0: none yet */
        uint64_t pid_start_ticks;
        bool own_log;
        Look look;

        /* news of it that the daemon is to hear soon, in a list: what it was says `phase` */
        bool is_due;
        Run *next_due;
        int started_fd; /* pidfd of the command, to go along; -1: none */

        /* the end */
        RecordEnd end;
        bool noted;   /* the keeper is done with the record */
        bool telling; /* Ended was said on this connection */
        bool last;    /* the daemon does not list its task: that is over with this */
        bool seen;    /* its task was listed */

        Run *older; /* of the same ref */
        UT_hash_handle hh;
};

/* All records there are. Return: 0, or negative errno. */
int runs_load(Agent *agent);
void runs_free_all(Agent *agent);

/* News of keepers from here on. Return: 0, or negative errno. */
int runs_watch_nursery(Agent *agent);

Run *run_find(const Agent *agent, uint64_t ref, unsigned attempt);

/* The newest of this ref; NULL: none. */
Run *run_newest(const Agent *agent, uint64_t ref);

/* NULL when out of memory. */
Run *run_new(Agent *agent, uint64_t ref, unsigned attempt);

/* Forgets it; its record, if it has one, stays. */
void run_free(Run *run);

/* As the table of life.c has it. */
LifeRecord run_life(const Run *run);

/* The daemon has granted it: it is ordered from a keeper with the next orders_send(). */
void run_start(Run *run);

/* Claims a start that did not happen, so that it can't. Return: 0; RECORD_FILE_E_EXISTS: it did; or negative errno. */
int run_claim(Agent *agent, uint64_t ref, unsigned attempt);

/* The daemon wants it ended. @signal: first; 0: the usual */
void run_cancel(Run *run, int signal);

/* A new pidfd of its command; -ESRCH: it has ended; or another negative errno: that can't be told. */
int run_open_pidfd(const Run *run);

/* Removes its record, and forgets it. */
void run_drop(Run *run);

/* The same, but for a claim that a keeper has yet to come to: that goes later. Return: whether it is gone. */
bool run_let_go(Run *run);

/* Of this ref, all of older attempts; they are over. */
void runs_drop_older(Agent *agent, uint64_t ref, unsigned attempt);

/* The daemon knows how it ended: it goes after the next commit. */
void run_set_over(Run *run);
void runs_drop_over(Agent *agent);

/* Of a job that is over: starts that were claimed, so that they can't happen. */
void runs_drop_claims(Agent *agent, uint64_t id);

/* There is a record that was not there before: knows of its start. NULL: there is none, or no memory. */
Run *run_load(Agent *agent, uint64_t ref, unsigned attempt);

/* How many are in a phase, for people; those that end are to be told the daemon. */
void runs_count(const Agent *agent, unsigned *ret_running, uint64_t *ret_undelivered);

/* Whether anything of this id, as a whole, is started or about to be. */
bool runs_has_live(const Agent *agent, uint64_t id);

/* Whether its command lives, or may do so soon. */
static inline bool run_is_live(const Run *run) {
        return run->phase == RUN_PHASE_STARTING || run->phase == RUN_PHASE_RUNNING;
}

/* Among the files of runs: runs.c */

/* It is over, as run->end says or, DEAD, nobody will know: the daemon is to hear it. */
void run_finish(Run *run, RunPhase phase);
void run_finish_lost(Run *run, const char *reason);

/* Its command runs. */
void run_note_running(Run *run, pid_t pid, uint64_t start_ticks);

/*
 * rows.c: what may run in a row was granted in advance (daemon/rows.h). What stands in one for longer than ROW_MAX_US is given back, so
 * that nobody waits behind tasks that turned out long.
 *
 * It was granted, and has been taken out of the offer: starts it, at once, or when @behind has ended.
 */
void row_take(Run *run, uint64_t behind);

/* It has ended: who stands behind it is started, if its keeper does not do that. */
void row_go_on(Run *run);

/* The daemon wants it ended before it was started: if it is not too late it is given back, which ends it there. */
void row_cancel(Run *run, int signal);

/* It is about to be forgotten: who stands behind it moves up. */
void row_leave(Run *run);

/* A run and those behind it, @n altogether, were ordered from one keeper; without memory for that none may be but the first. */
bool row_prepare_order(Run *first);
void row_note_order(Run *first, size_t n);

/* The keeper of a run does nothing more of what it was ordered with it. */
void row_note_over(const Run *run);

/* Claims that no keeper comes to any more, of what is over. */
void rows_drop_claims(Agent *agent);

/* Whatever stands in one is given back, but for what a keeper is about to start. */
void rows_give_back(Agent *agent);

/* The connection is lost: the daemon asks how far they are when it is there again. */
void rows_forget(Agent *agent);

int rows_on_time(sd_event_source *source, uint64_t usec, void *userdata);

/* tell.c: the daemon is to hear of its start or its end, with the next tell_due(): in this turn at the latest. */
void tell_later(Run *run);
void tell_due(Agent *agent);

/* What was due is told by reconcile.c, or is not to be told. */
void tell_forget(Run *run);

/* keepers.c: watches its keeper or, if that is gone, its command. @fd: pidfd, or negative errno: it can't be had; taken */
void run_watch(Run *run, int fd);
void run_stop_watching(Run *run);

/* Its keeper has ended. */
void run_on_keeper_gone(Run *run);

/* The keeper of a run that has ended has the next one now; or only who watches it changes. */
void run_hand_over(Run *run, Run *next);
void run_move_watch(Run *run, Run *next);

/* adopt.c: what its record says now. Return: 0 or negative errno. */
int run_read_record(const Run *run, Record *ret);

/* Claims it, so that nobody starts it any more, and tells the daemon so. Return: as run_claim(). */
int run_claim_back(Run *run);

/* Its order, of an epoch that is over, was taken and not carried out: it is taken back soon. */
void run_note_untaken(Run *run);

/* As far as it came, by its record, which may be read again. */
void run_adopt(Run *run, Record *record);

/* Looks again later at starts whose keeper has not spoken. */
void adopt_arrange(Agent *agent);

/* looks.c: when the next look is due; to be called when a run begins, ends, or the interval changes. */
void looks_arrange(Agent *agent);
void looks_set_interval(Agent *agent, uint64_t interval_us);
uint64_t looks_interval_us(const Agent *agent);
