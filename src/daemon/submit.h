#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Submitting
 *
 * What submissions from a terminal (method-submit.c), those from an agent (agents.c), and tasks that come back (method-attach.c) have in
 * common.
 */

#include <stdbool.h>
#include <stddef.h>

#include "daemon/methods.h"
#include "daemon/records.h"

/* What the user is to be told beside the answer. */
typedef struct Notices {
        size_t n;
        char *texts[WIRE_NOTICES_MAX]; /* owned */
} Notices;

void notices_done(Notices *notices);

/* Whether a user may have @n waiting tasks more. */
bool submit_is_room_for(Daemon *daemon, uid_t uid, size_t n);

/* Whether this user may have @n tasks more now, and they could be written; refuses otherwise. */
bool submit_is_within_limits(Peer *peer, CallType type, size_t n);

/*
 * Looks up what a task asks for. Return: false if the call was answered, or parked until the GPUs were looked at. Nothing may
 * have been done for the call before: it is served again from its beginning.
 */
bool submit_look_up(Peer *peer, Call *call, Needs *needs, bool resumed);

/* That, and whether its user may ask for so much. */
bool submit_resolve(Peer *peer, Call *call, Task *task, bool resumed);

/* Whether a start at that time needs figures of the GPUs newer than those there are; parks the call then. */
bool submit_parks_for_gpus(Peer *peer, Call *call, bool resumed, uint64_t now_boot_us);

/* Whose it is, who brought it, and when: now. */
void submit_stamp(const Daemon *daemon, const Peer *peer, Task *task);

/* What counts of the delay that was asked for. */
void submit_apply_delay(const Daemon *daemon, const Peer *peer, Task *task, Notices *notices);

/* Whether it needs nobody who is still there later; refuses otherwise. */
bool submit_may_be_foreground(Peer *peer, CallType type, const Task *task);

/* Fills in what the daemon alone knows, the id apart, and cuts what is more than this machine allows. */
void submit_prepare(Peer *peer, Task *task, Notices *notices);

/* Puts the task into the core with a record of its own, owned by the peer. @task: taken in any case. NULL: out of memory. */
Record *submit_enter(Peer *peer, Task *task);

/* After a restart: every runner that was known may be back now, so that offers need not wait any longer. */
void submit_check_all_attached(Daemon *daemon);

/* What after_resolve() said. */
void submit_refuse_after(Peer *peer, CallType type, int r, const Error *error);

/* No id could be had: refuses. */
void submit_refuse_ids(Peer *peer, CallType type, int r);
