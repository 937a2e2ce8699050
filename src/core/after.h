#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Waiting for the end of others
 *
 * Who waits for a task is found by its id when it ends, so that an end costs what depends on it and
 * no more. What has come true is taken out of Task.after; one that cannot come true any more makes
 * its task doomed, and stays.
 */

#include "core/state.h"

/**
 * after_enter() - a new task begins to wait for what its Task.after says
 *
 * What is over by now is judged at once.
 *
 * Return: 0; CORE_E_ILLEGAL if one of them is not in the core, or is an element; or -ENOMEM; then
 * nothing was changed.
 */
int after_enter(Core *core, Entry *entry);

/**
 * after_inherit() - an element split off from its array begins to wait for what the array waits for
 * @array:      waits for the very same
 *
 * Return: 0, or -ENOMEM with nothing changed.
 */
int after_inherit(Core *core, Entry *entry, const Entry *array);

/* It waits for nothing any more, or is gone. Task.after stays as it is. */
void after_leave(Core *core, Entry *entry);

/* A task or an array has ended: those that waited for it go on, or are doomed. */
void after_ended(Core *core, const Task *task, uint64_t now_boot_us);
