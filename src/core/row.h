#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Rows
 *
 * Tasks that an agent may run one after the other without asking in between, in the room of the first. Each that stands behind
 * another one has been offered its start, and takes the room when that one has ended; until then it is not in the ledger.
 * What asks for anything that is measured never stands in a row: each of its starts has a look of its own.
 */

#include "core/state.h"

/* Whether an offered or running task has the room that the first of the row of @ahead has, and may stand behind it. */
bool row_may_join(const Entry *entry, const Entry *ahead);
void row_join(Core *core, Entry *entry, Entry *ahead);

/* It is no longer offered or running: the one behind it moves up, and has its room if it was the first. */
void row_leave(Core *core, Entry *entry, const Event *event);
