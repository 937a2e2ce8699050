#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The GPUs that were seen
 *
 * Known by UUID: the index of one may change, and another may get its index. One that is gone is
 * remembered as lost, since a task may wait for it or still hold it.
 */

#include "core/gpu-word.h"
#include "core/state.h"

/* The first kind of which a GPU was ever seen: bare numbers mean it. */
GpuKind gpus_first_kind(const Core *core);

/* What people call the GPU in that slot; the kind is part of it where there are several. Returns @buf. */
const char *gpus_id(const Core *core, int slot, char buf[static GPU_ID_MAX]);

/* The grant of so many bytes, or GPU_WHOLE, of the GPU in that slot. */
GpuGrant gpus_grant(const Core *core, int slot, uint64_t bytes);

/* Whether the settings give it out. */
bool gpus_is_allowed(const Core *core, int slot);

/* The slot of the GPU with this UUID, or SLOT_NONE. */
int gpus_find(const Core *core, const char *uuid);

/**
 * gpus_get() - the slot of the GPU with this UUID, a new one if it was never seen
 * @number:     of a new one
 *
 * When all slots are taken, that of a lost GPU which no task holds is used again.
 *
 * Return: the slot, or SLOT_NONE if @uuid is empty or there is no room.
 */
int gpus_get(Core *core, const char *uuid, const GpuNumber *number);

/* Whether a slot's memory is RAM: that of RAM itself, and of a GPU without memory of its own. */
bool gpus_are_ram(const Core *core, int slot);

/* Whether the memory of two slots is one: they are the same, or both are RAM. */
bool gpus_are_one(const Core *core, int a, int b);

/* Whether a task may have that GPU with all others that it asks for: a part (MIG) it has alone. */
bool gpus_is_for(const Core *core, int slot, const Needs *needs);

/* Whether an offered or running task has any of it. */
bool gpus_is_held(const Core *core, int slot);
