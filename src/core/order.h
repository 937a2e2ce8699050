#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The order in which tasks are looked at
 *
 * Each user has a line of their own: priority, then time of submission (the id; an array comes
 * before those of its elements that are tasks of their own). The lines are merged: next is always
 * the user whose first task is the best by the priority that counts between users, then by id.
 *
 * Nobody gains in front of others by ordering their own tasks in some way, since a user's place is
 * that of the task that goes next, not of a better one behind it.
 */

#include "core/queue.h"

/* A member of a class, with what it is compared by, so that nothing is looked up in a heap. */
typedef struct Cursor {
        const Class *class;
        size_t at;
        uint64_t order; /* task_ref_place() */
        unsigned priority;
} Cursor;

/* A user's line. */
typedef struct Lane {
        const User *user;
        Cursor *heap; /* the next of each class; the best in front */
        size_t n;
        unsigned priority; /* of the first one, between users */
        uint64_t order;    /* of the first one */
        size_t n_offers;   /* open ones, and those that a pass makes */
} Lane;

typedef struct Order {
        const Core *core;
        uint64_t now_boot_us;
        bool everybody; /* those too whose array has its limit of active elements */
        Cursor *cursors;
        Lane *lanes; /* a heap, the next in front */
        size_t n_lanes;
} Order;

/* The priority of a task between users. */
unsigned order_priority(const Policy *policy,
                        unsigned priority,
                        uint64_t queued_boot_us,
                        uint64_t now_boot_us);

/**
 * order_init() - start at the front of everybody who is queued
 * @everybody:  false: leave out elements whose array has its limit of active ones
 *
 * Return: 0 or -ENOMEM; release with order_done().
 */
int order_init(Order *ret, const Core *core, uint64_t now_boot_us, bool everybody);
void order_done(Order *order);

/* The next one and its line, or NULL at the end. */
const Entry *order_first(const Order *order);
Lane *order_first_lane(const Order *order);

/* Go on to the next one. */
void order_next(Order *order);

/* Go on, and leave out what is left of this array in this class: itself, and its elements. */
void order_skip_array(Order *order);

/* Go on, and leave out what is left of this class. */
void order_skip_class(Order *order);

/* Go on, and leave out what is left of this user. */
void order_skip_lane(Order *order);

/**
 * order_place() - how many are in front of a task
 * @uid:        its user
 * @priority:   its own
 * @id:         UINT64_MAX: it would be the last of its user's with this priority
 *
 * Those that are passed over are in front of nobody; an array counts as one, and so does each
 * element that waits for its array's limit. Exact, unless a user's tasks do not wait in
 * the order of their ids (a held one was released): then that user's count may be off.
 */
size_t order_place(const Core *core,
                   uid_t uid,
                   unsigned priority,
                   uint64_t id,
                   uint64_t queued_boot_us,
                   uint64_t now_boot_us);
