#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * What an event changes of its task
 *
 * All but the phase: that is the table's in core.c. One small function for each event, called with
 * the entry still in its old phase; one that may fail does so before it has changed anything.
 */

#include "core/state.h"

/* Return: 0, CORE_E_ILLEGAL, or -ENOMEM. */
int change_apply(Core *core, Entry *entry, const Event *event);
