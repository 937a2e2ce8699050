#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The GPUs that were seen
 *
 * Known by UUID: the index of one may change, and another may get its index. One that is gone is
 * remembered as lost, since a task may wait for it or still hold it.
 */

#include "core/state.h"

/* The slot of the GPU with this UUID, or SLOT_NONE. */
int gpus_find(const Core *core, const char *uuid);

/**
 * gpus_get() - the slot of the GPU with this UUID, a new one if it was never seen
 *
 * When all slots are taken, that of a lost GPU which no task holds is used again.
 *
 * Return: the slot, or SLOT_NONE if @uuid is empty or there is no room.
 */
int gpus_get(Core *core, const char *uuid, unsigned index);

/* Whether an offered or running task has any of it. */
bool gpus_is_held(const Core *core, int slot);
