#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The truth, and the invariants
 *
 * What was submitted, what was told to people, and which commands really ran, how often and how they ended: seen from outside, and
 * compared with what the daemon and the agents believe. What is wrong is a fault at once where it can be seen at once; the rest is
 * looked at when everything has come to rest.
 */

#include <stdbool.h>
#include <stdint.h>

#include "files.h"
#include "row.h"
#include "system.h"

enum {
        DEEDS_MAX = 512,
        STARTS_MAX = 4096,
};

/* Something that was submitted. */
typedef struct Deed {
        unsigned number; /* from 1; also in its key */
        Row row;         /* as said: key, uid, needs, … */
        bool foreground;
        bool told; /* its submitter heard: */
        uint64_t id;
        uint64_t floor; /* the largest number that anybody knew when it was submitted */
        bool cancelled; /* somebody asked for that */
        bool withdrawn; /* somebody heard that it is, and will not be tried after this one: */
        unsigned last_attempt;
        bool offered;         /* its first start */
        bool touched;         /* held, cancelled or to wait for others: starts when it may */
        uint64_t n_kills;     /* until it was submitted */
        uint64_t duration_us; /* of its command */
        unsigned fail_percent;
} Deed;

/* A command that was really started. */
typedef struct Start {
        uint64_t ref;
        unsigned attempt;
        Deed *deed;
        Proc proc;
        uint64_t at_us;
        bool over;
        bool cut;       /* by the end of the machine */
        bool unsettled; /* a power cut came before the disk had its end for sure */
        bool hidden;    /* whoever started it died before it could say so */
        bool cancelled; /* it was told to end */
        bool given_up;  /* the daemon has called it lost */
        End end;
} Start;

void check_begin(void);

Deed *deed_new(void);
Deed *deed_of_key(const uint8_t key[static TASK_KEY_BYTES]); /* NULL: none */
Deed *deed_of_id(uint64_t ref);                              /* that was told; NULL: none */
Deed *deed_at(unsigned i);                                   /* from 0; NULL: no more */

/* The submitter hears its number. */
void check_told(Deed *deed, uint64_t id);

/* An offer reached its runner. */
void check_offered(Deed *deed, uint64_t ref, unsigned attempt);

/* The last that waits of those like it. */
uint64_t check_newest_equal(uint64_t id);

/* A command starts now. */
Start *check_start(Deed *deed, uint64_t ref, unsigned attempt, Proc proc);
Start *start_of_proc(Proc proc);
Start *start_at(unsigned i); /* NULL: no more */

/* The daemon calls it lost. */
void check_given_up(uint64_t ref);

/* It has ended so. */
void check_over(Start *start, const End *end);

void check_power_lost(void);
void check_disk(void);         /* after it */
void check_store_opened(void); /* by a daemon */

/* Everything has come to rest. */
void check_rest(void);

uint64_t check_ram_used_bytes(void);

/* How many were killed until now. */
uint64_t check_n_kills(void);
