#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Experience
 *
 * How long the last runs of the same took, by user and signature (signature.h), and what a user runs in general. What ends well
 * teaches it; whoever keeps records tells what they know with EVENT_LEARNED, once a signature. There is a bounded number: what had
 * nothing new for longest is forgotten first.
 */

#include "core/state.h"

enum {
        SIGNATURE_ANY = 0, /* of an Experience: whatever that user ran */
};

/* What a user's runs of a signature took; NULL: nothing is known of them. */
const Experience *experience_find(const Core *core, uid_t uid, uint64_t signature);

/* A task has ended well. What can't be remembered for want of memory is not. */
void experience_learn(Core *core, const Entry *entry, uint64_t duration_us);

/* EVENT_LEARNED */
int experience_restore(Core *core, const Event *event);

void experience_clear(Core *core);
