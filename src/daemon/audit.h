#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Audit
 *
 * Who did what to whose task, and who was not allowed to, in the daemon's log. What people do to tasks of their own is nobody's
 * business. Of refusals a user can cause as many as he likes: he has so many lines of the log, and the others are counted.
 */

#include <stdint.h>
#include <sys/types.h>

#include "daemon/peers.h"

/**
 * audit_act() - somebody has acted on a task
 * @act:        CANCEL, HOLD, RELEASE or UPDATE
 * @owner:      of the task; nothing is written if it is the peer's own
 */
void audit_act(const Peer *peer, CallType act, uint64_t task_id, uid_t owner);

/* Somebody was not allowed to, for a task of another one's. */
void audit_refused(Peer *peer, CallType act, uint64_t task_id, uid_t owner);

/* Somebody was not allowed to at all: no admin, or kept out by the settings. */
void audit_kept_out(Peer *peer, CallType act);
