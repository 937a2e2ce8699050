#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Entries come and go
 *
 * A task that is submitted, or split off from its array, and one that is forgotten.
 */

#include "core/state.h"

/**
 * entry_submit() - EVENT_SUBMITTED
 *
 * Return: 0 and the task is taken, an outcome CORE_E_*, or -ENOMEM.
 */
int entry_submit(Core *core, const Event *event);

/**
 * entry_split() - EVENT_SPLIT: one of the waiting elements of an array becomes a task of its own
 *
 * Return: 0, CORE_E_ILLEGAL if it does not wait in there, or -ENOMEM.
 */
int entry_split(Core *core, Entry *array, const Event *event);

/* Forget an entry in any phase. */
void entry_free(Core *core, Entry *entry);

/* A task that waits has no GPUs and was seen to use nothing, whatever it had in an earlier life. */
void entry_forget_grants(Task *task);
