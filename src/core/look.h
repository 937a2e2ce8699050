#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Looks at the machine
 *
 * What a sample changes: figures, and what tasks were seen to hold.
 */

#include "core/state.h"

void look_take_ram(Core *core, const RamSample *sample, uint64_t boot_us);
void look_take_gpus(Core *core, const GpusSample *sample, uint64_t boot_us);

/**
 * look_take_report() - a runner's figure of its task's RAM
 * @known:      false: it could not tell
 *
 * It counts from the next look at RAM on: it may be newer than the free figure there is.
 */
void look_take_report(Core *core, Entry *entry, bool known, uint64_t used_bytes);

/* Whether the machine is so short of memory that nothing is to start. */
bool look_is_pressed(const Core *core);
