#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * When there will be room
 *
 * By the ends of running tasks, as far as they are expected (expect.h): at which of them what is free is enough.
 */

#include "core/ledger.h"

/*
 * When that much of a GPU is expected to be free: now, at the end of a task, or (TASK_TIME_INF) after one that is not
 * known.
 */
uint64_t horizon_of_gpu_us(const Ledger *ledger, unsigned slot, uint64_t bytes);

/* When the room that is marked as kept can be there at the earliest: an end that is not known may come at once. */
uint64_t horizon_of_kept_us(const Ledger *ledger);
