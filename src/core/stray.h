#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Strays
 *
 * GPUs that running tasks use and did not ask for. Nothing is promised there and nothing settles: what they hold is measured like
 * anybody's. But it is known whose it is.
 */

#include "core/state.h"

/* What a look says of GPUs that running tasks did not ask for; of a GPU that does not answer what it said last stays. */
void stray_take_all(Core *core, const GpusSample *sample);

/* What the task holds now of the memory in @slot as strays: of the GPU there, or of all GPUs that are one pool with it. */
uint64_t stray_used_bytes(const Core *core, const Entry *entry, int slot);
