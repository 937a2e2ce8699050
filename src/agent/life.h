#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * What becomes of a task
 *
 * What the agent does, from what the daemon says of a task and what the record of a start says: a table, and all that decides
 * whether a task runs twice or is forgotten. No I/O, so that a simulation can drive it.
 *
 * A task may have several records, one for each start. Each is asked about by itself; then, if none is left that stands for the
 * attempt that the daemon speaks of or for a later one, the task is asked about without any.
 */

#include <stdbool.h>

#include "util/string-table.h"

typedef enum LifeSaid {
        LIFE_SAID_NOTHING, /* it lists the user's tasks, and this one is not among them: over, or unknown */
        LIFE_SAID_WAITING, /* pending or held; attempt: the last one that was accepted, 0: none */
        LIFE_SAID_RUNNING, /* attempt was accepted */
        LIFE_SAID_OFFERED, /* attempt would be the next */
        LIFE_SAID_GRANTED, /* attempt may start: our Accept was answered, or it needs none */
} LifeSaid;

typedef enum LifeRecord {
        LIFE_RECORD_NONE,
        LIFE_RECORD_STARTING, /* its keeper lives, and has no command yet */
        LIFE_RECORD_RUNNING,  /* the command lives, or its keeper does */
        LIFE_RECORD_DEAD,     /* both are gone, and no end was written */
        LIFE_RECORD_ENDED,
} LifeRecord;

typedef enum LifeAction {
        LIFE_NOTHING,
        LIFE_WATCH, /* look at the record again later: in a moment if it is STARTING, else when its process ends */
        LIFE_RESUME_RUNNING, /* Resume, running */
        LIFE_RESUME_NOT_STARTED, /* claim the start, so that no late keeper has it; then Resume, not running */
        LIFE_SAY_ENDED,   /* Ended; when it is answered, however, the record goes */
        LIFE_SAY_LOST,    /* the same with the state lost */
        LIFE_DROP_RECORD, /* the daemon has had it */
        LIFE_ASK, /* Resume, not running: on NoSuchTask it is over, and the task is dropped */
        LIFE_WITHDRAW, /* Withdraw: it can't be started, for want of its command or because it was started already */
        LIFE_ACCEPT,
        LIFE_DECLINE,
        LIFE_START,
} LifeAction;

enum {
        N_LIFE_SAID = LIFE_SAID_GRANTED + 1,
        N_LIFE_RECORDS = LIFE_RECORD_ENDED + 1,
        N_LIFE_ACTIONS = LIFE_START + 1,
};

DECLARE_STRING_TABLE(life_action, LifeAction);

typedef struct LifeView {
        LifeSaid said;
        unsigned said_attempt;
        LifeRecord record;
        unsigned record_attempt;
        bool has_bundle; /* the agent knows how to start it */
} LifeView;

LifeAction life_decide(const LifeView *view);

/* Whether a record leaves nothing to ask about its task without any: it stands for what the daemon says, or for more. */
bool life_record_stands(const LifeView *view);
