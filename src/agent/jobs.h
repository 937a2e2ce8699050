#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Jobs
 *
 * What was submitted and may still have to be started: a task, or an array as a whole. What is to be executed lies in the spool;
 * here is what tells one from another, so that a hundred thousand cost little.
 */

#include <uthash.h>

#include "agent/agent.h"

struct Job {
        Agent *agent;
        uint8_t key[TASK_KEY_BYTES];
        int64_t row;            /* of the spool */
        uint64_t id;            /* 0: not known */
        uint64_t give_up_at_us; /* see jobs_now_us(); 0: never */
        uint64_t wait_us;       /* so long after it was queued; 0: an earlier agent knew */
        Submission *submission; /* that is not answered yet; NULL: none */
        bool listed;            /* by the daemon, when it was asked last */
        bool has_elements;      /* that are tasks of their own, or were */
        bool foreign; /* of another database than the daemon's: left alone until that one is back */
        sd_event_source *give_up_source;
        UT_hash_handle hh_key;
        UT_hash_handle hh_id;
};

/* All of the spool. Return: 0, or negative errno. */
int jobs_load(Agent *agent);

/* CLOCK_REALTIME as it would be if nobody had set it since the first agent after the boot looked at it. */
uint64_t jobs_now_us(const Agent *agent);
void jobs_free_all(Agent *agent);

/* A new one, which the spool has in the open transaction. NULL when out of memory. */
Job *job_new(Agent *agent, const uint8_t key[static TASK_KEY_BYTES]);
Job *job_find_key(const Agent *agent, const uint8_t key[static TASK_KEY_BYTES]);

/* The job that a task or element belongs to. */
Job *job_find(const Agent *agent, uint64_t ref);

/* The daemon has given it its number; job_note_id(): which the spool does not have yet. */
void job_set_id(Job *job, uint64_t id);
void job_note_id(Job *job, uint64_t id);

/* The daemon has another database than the one that gave it its number. */
void job_set_foreign(Job *job);

/* Gives it up when its time comes, if there is one. */
void job_watch_time(Job *job);

/* It has started: it is not given up any more. */
void job_keep(Job *job);

/* It is over, or was refused: out of the spool and out of memory. */
void job_drop(Job *job);
