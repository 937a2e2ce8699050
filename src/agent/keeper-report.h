#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * What a keeper tells its agent
 *
 * Nothing here waits for the agent: what its socket has no room for is kept, and sent again later, in the order in which it came up. A start
 * is told only of a command that lives for a moment; the ends of a row are told some together. All is lost, and no harm done, if the agent
 * is gone: the records say the same.
 */

#include <stdbool.h>
#include <stdint.h>

#include "agent/keeper-order.h"

enum {
        REPORT_N_NEWS = KEEPER_NEWS_STARTED + 1, /* that are said of a start, beside its end */
};

#define REPORT_NEVER UINT64_MAX

typedef struct Report {
        int fd;           /* SOCK_SEQPACKET, borrowed */
        int keeper_pidfd; /* borrowed; goes with TAKEN */

        KeeperNews ends[KEEPER_ROW_MAX]; /* of this row, not told yet */
        unsigned n_ends;
        bool ends_due; /* now */

        /* of the start that it is at */
        uint64_t ref;
        unsigned attempt;
        unsigned n_together; /* ends that are told together */
        int command_pidfd;   /* borrowed; goes with STARTED */
        unsigned due;        /* to be told before its end; a bit of each type, in that order */
        KeeperNews news[REPORT_N_NEWS];
        uint64_t started_boot_us; /* when STARTED becomes due; or REPORT_NEVER */
} Report;

/* All that follows is of this start. What was not told of the ones before it is kept. */
void report_begin(Report *report, uint64_t ref, unsigned attempt, unsigned n_together);

/* To be told at once. @news: of whatever start; never STARTED or ENDED */
void report_say(Report *report, const KeeperNews *news);

/* The command runs. To be told in a moment, unless it has ended by then. */
void report_say_started(Report *report, const KeeperNews *news, int command_pidfd);

/* It has ended; the last of what is said of a start. */
void report_say_ended(Report *report, const KeeperNews *news);

/* When there is something to be told, or to be told again, that can't be now. Return: CLOCK_BOOTTIME, or REPORT_NEVER. */
uint64_t report_due_boot_us(const Report *report);

/* Tells what is due, as far as there is room for it. */
void report_send(Report *report);

/* Tells all that is due; waits for an agent that is slow. */
void report_send_all(Report *report);
