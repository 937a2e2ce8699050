#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * What one user's tasks may have at once
 *
 * The limits that the settings set a user (UserRules). A task that would go beyond one waits until others of its user have
 * ended; smaller ones behind it may start, and no room is kept for it meanwhile.
 */

#include "core/explain.h"
#include "core/state.h"

/* What counts: of a task, or of all that a user has offered and running. */
typedef struct LimitUse {
        uint64_t n_running;
        uint64_t memory_bytes; /* the larger of what was asked for and what was seen */
        uint64_t n_gpus;
        uint64_t gpu_bytes; /* as asked for; a whole GPU: all of it */
} LimitUse;

/* One that is in the way. */
typedef struct LimitLack {
        WaitReason reason;
        uint64_t asked, used, most;
} LimitLack;

/* Whether there are any for a user. */
bool limit_is_set(const UserRules *rules);

/* What an offered or running task has. */
LimitUse limit_of_active(const Core *core, const Entry *entry);

/* What the user's offered and running tasks have. Looks at all that run. */
LimitUse limit_used(const Core *core, const User *user);

/* What a task that asks for this would have; @grants: the GPUs it gets, NULL: not known, those with least memory that it may get. */
LimitUse limit_asked(const Core *core, const Needs *needs, const GpuGrant *grants);

LimitUse limit_sum(const LimitUse *a, const LimitUse *b);

/* Whether a limit is in the way of one that asks for this, of a user who has that; @ret: which, may be NULL. */
bool limit_find(const UserRules *rules,
                const LimitUse *used,
                const LimitUse *asked,
                LimitLack *ret);

/* The same from the state as it is. */
bool limit_blocks(const Core *core, const User *user, const Needs *needs, LimitLack *ret);
