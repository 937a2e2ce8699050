#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Arrays
 *
 * What an array learns from its elements, once they are tasks of their own: how many are active
 * and so whether another one may start, and how they ended.
 */

#include "core/state.h"

/* The array of an element; NULL for a task that is none, or if the array is not there any more. */
Entry *array_of(const Core *core, uint64_t ref);

/* Whether as many elements are offered or running as may be at once. */
static inline bool array_is_full(const TaskArray *array) {
        return array->limit > 0 && array->n_active >= array->limit;
}

/* How many of its elements are queued and may not start, since it is full. */
size_t array_n_shut(const Entry *array);

/**
 * array_withdraw() - those that wait in it are no longer wanted
 * @event:      EVENT_WITHDRAWN of the array
 *
 * If there is no other element left it is over; else it stays until the last one is.
 */
void array_withdraw(Core *core, Entry *array, const Event *event);

/**
 * array_follow() - an event has changed one of its elements
 * @before:     the element's state before
 *
 * Counts its end, ends the array if it was the last one, or lets the next one start.
 */
void array_follow(Core *core,
                  Entry *array,
                  const Task *element,
                  TaskState before,
                  const Event *event);
