#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * What a keeper is told, and what it tells
 *
 * Both ends are forks of one program, so that news is a struct. Orders are composed, since most of one is of any length.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/record-file.h"
#include "core/task.h"
#include "util/nul-text.h"

enum {
        KEEPER_ROW_MAX = 32, /* orders in one row; ends in one message */
};

#define KEEPER_ORDER_MAX (16 * MIB) /* of bytes of one: a context, a task's part, and some paths */

/* All is borrowed. */
typedef struct KeeperOrder {
        uint64_t ref;
        unsigned attempt;
        unsigned n_gpus;
        const GpuGrant *gpus;
        bool pin;
        uint64_t time_limit_us; /* or TASK_TIME_INF */
        const char *context;    /* for context_parse() */
        size_t n_context;
        const char *task; /* for bundle_task_parse(); its output is not looked at */
        size_t n_task;
        const char *log;    /* absolute: where the output goes, places filled in */
        bool log_is_own;    /* taskflow's: 0600; else -o, whose mode is the submitter's umask */
        const char *folder; /* absolute: the agent's */
        uint64_t epoch;     /* in which alone it may be carried out */
} KeeperOrder;

/* @ret: to be freed. Return: 0, or -ENOMEM. */
int keeper_order_compose(const KeeperOrder *order, char **ret, size_t *ret_n);

/**
 * keeper_order_parse() - read one
 * @ret:        set on success; borrows from @bytes, but for the GPUs
 * @ret_gpus:   set to what @ret->gpus points to, to be freed
 *
 * Return: 0, -EBADMSG, or -ENOMEM.
 */
int keeper_order_parse(KeeperOrder *ret, GpuGrant **ret_gpus, const char *bytes, size_t n);

/* Orders that one keeper carries out one after the other, composed: KEEPER_ROW_MAX at most. @ret: to be freed. Return: 0, or -ENOMEM. */
int keeper_row_compose(const KeeperOrder *orders, size_t n, char **ret, size_t *ret_n);

/* Reads them. All is borrowed from the bytes of the row. */
typedef struct KeeperRow {
        NulReader reader;
        uint64_t n_left;
        unsigned n_together; /* ends that are said together */
        const char *context; /* of the last one */
        size_t n_context;
} KeeperRow;

/* Return: 0, or -EBADMSG. */
int keeper_row_open(KeeperRow *ret, const char *bytes, size_t n);

/* The next one, while n_left is not 0. Return: as keeper_order_parse(). */
int keeper_row_next(KeeperRow *row, KeeperOrder *ret, GpuGrant **ret_gpus);

typedef enum KeeperNewsType {
        KEEPER_NEWS_TAKEN, /* it has the order, or the row: of the first one: pid, start_ticks; with its pidfd */
        KEEPER_NEWS_CLAIMED, /* nothing was or will be done: somebody has claimed it before, as the record says; or its epoch is over */
        KEEPER_NEWS_STARTED, /* the command runs: pid, start_ticks, at_us; with its pidfd. Not of one that has ended meanwhile */
        KEEPER_NEWS_ENDED, /* it is over, or could not be started: end */
} KeeperNewsType;

typedef struct KeeperNews {
        KeeperNewsType type;
        unsigned attempt;
        uint64_t ref;
        pid_t pid;
        uint64_t start_ticks;
        uint64_t at_us; /* STARTED: CLOCK_REALTIME */
        bool recorded;  /* ENDED: the record says so too; else there is none, or its disk is full */
        bool goes_on;   /* ENDED: it carries out the next order of its row */
        RecordEnd end;
} KeeperNews;
