#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The queue
 *
 * Users, their classes of equal tasks, and the lists that the phases stand for. Whoever changes a
 * phase does it with queue_move(), which keeps every list and count true.
 */

#include "core/state.h"

/* What the tasks of a class have in common. */
typedef struct Alike {
        uid_t uid;
        unsigned priority;
        DelayKind delay;
        uint64_t time_limit_us;
        const Needs *needs; /* borrowed */
} Alike;

/* That of a task; @task's needs are borrowed. */
Alike queue_alike(const Task *task);

/**
 * queue_get_user() - the user, made if there is none
 *
 * Return: 0, or -ENOMEM.
 */
int queue_get_user(Core *core, uid_t uid, User **ret);

/* Drops a user of whom there are no tasks, and nothing to remember. */
void queue_forget_user(Core *core, User *user);

/**
 * queue_ref_class() - the class of such tasks, made if there is none
 * @alike:      its needs are copied if the class is new
 * @ret:        set; release it with queue_unref_class()
 *
 * Return: 0, or -ENOMEM.
 */
int queue_ref_class(Core *core, const Alike *alike, Class **ret);
void queue_unref_class(Core *core, Class *class);

/* Put a new entry, whose class is set, in the list of @phase. */
void queue_enter(Core *core, Entry *entry, Phase phase);

/* Take an entry out of the list of its phase, for good or before its class changes. */
void queue_leave(Core *core, Entry *entry);

/* From the list of its phase to another. */
void queue_move(Core *core, Entry *entry, Phase phase);

/* The phase of a task that is neither offered nor running nor over: what keeps it from starting. */
Phase entry_waiting_phase(const Entry *entry);

/* To the list of that phase, if the task is in one of those and it has changed; else nothing. */
void queue_settle(Core *core, Entry *entry);

/* Of an array there wait @n elements now; to be settled next. */
void queue_set_n_waiting(Core *core, Entry *entry, uint32_t n);

/* The @i-th of those queued, in order. */
static inline const Entry *class_queued(const Class *class, size_t i) {
        return class->queue[class->first + i];
}

/**
 * class_n_before() - how many of a class are queued in front of a place
 * @order:      the place, a task_ref_place()
 */
size_t class_n_before(const Class *class, uint64_t order);
