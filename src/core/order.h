#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The order in which tasks are looked at
 *
 * Each user has a line of their own: priority, then time of submission (the id; an array comes
 * before those of its elements that are tasks of their own). The lines are merged: next is always
 * the user whose first task is the best by the priority that counts between users; among equals the
 * user whose turn it is (turn.h), which moves with each task that is taken from a line; then by id.
 *
 * Nobody gains in front of others by ordering their own tasks in some way, since a user's place is
 * that of the task that goes next, not of a better one behind it.
 */

#include "core/limit.h"
#include "core/queue.h"

/* A member of a class, with what it is compared by, so that nothing is looked up in a heap. */
typedef struct Cursor {
        const Class *class;
        size_t at;
        uint64_t order; /* task_ref_place() */
        unsigned priority;
} Cursor;

/* A place between users: the higher priority first, then the smaller share, then the smaller order. */
typedef struct Rank {
        unsigned priority; /* between users */
        uint64_t share;    /* turn_share(); 0 for all where nobody has turns */
        uint64_t order;    /* task_ref_place() */
} Rank;

/* A user's line. */
typedef struct Lane {
        const User *user;
        Cursor *heap; /* the next of each class; the best in front */
        size_t n;
        Rank rank;       /* of the first one */
        uint64_t had;    /* turn_had() */
        Holding held;    /* what the user has, and would have by what was taken from the line */
        size_t n_offers; /* open ones, and those that a pass makes */
        bool used_known;
        LimitUse used;       /* a pass: likewise, if there are limits for the user */
        uint32_t from_index; /* a pass: of the array in front, what it was not yet offered for */
} Lane;

typedef struct Order {
        const Core *core;
        uint64_t now_boot_us;
        uint64_t fade;  /* turn_fade() */
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

bool rank_is_before(Rank a, Rank b);

/* Of a task whose user has @share. */
Rank order_rank(const Core *core, const Entry *entry, uint64_t share, uint64_t now_boot_us);

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

/* A task of this user, who has somebody queued, takes what it asks for, whoever is the first. */
void order_take_apart(Order *order, const Class *class);

/* The line of a user who has somebody queued; else undefined. */
Lane *order_find_lane(const Order *order, const User *user);

/* The first one, or an element of it, takes what it asks for; then go on, or stay. */
void order_take(Order *order);

/* The first one is still the first of its line; whose turn it is may have changed. */
void order_stay(Order *order);

/* Go on to the next one. */
void order_next(Order *order);

/* Go on, and leave out what is left of this array in this class: itself, and its elements. */
void order_skip_array(Order *order);

/* Go on, and leave out what is left of this class. */
void order_skip_class(Order *order);

/* Go on, and leave out what is left of this user. */
void order_skip_lane(Order *order);
