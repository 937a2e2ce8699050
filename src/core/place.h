#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The place in line
 *
 * What order.h would say if it were walked through, found without walking.
 */

#include "core/order.h"

/**
 * place_in_order() - how many are in front of a task
 * @uid:        its user
 * @priority:   its own
 * @id:         UINT64_MAX: it would be the last of its user's with this priority
 *
 * Those that are passed over are in front of nobody; an array counts as one, and so does each
 * element that waits for its array's limit. Exact, unless a user's tasks do not wait in
 * the order of their ids (a held one was released): then that user's count may be off.
 */
size_t place_in_order(const Core *core,
                      uid_t uid,
                      unsigned priority,
                      uint64_t id,
                      uint64_t queued_boot_us,
                      uint64_t now_boot_us);
