/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The daemon writes an accepted start down before it answers, and hears of an end before it offers again. So a record of an older
 * attempt than it speaks of was delivered. One of a later attempt is no accident of processes (a database was put back from a copy):
 * nothing is started then that has been started before.
 */

#include "agent/life.h"

static const char *const life_action_table[] = {
        [LIFE_NOTHING] = "nothing",
        [LIFE_WATCH] = "watch",
        [LIFE_RESUME_RUNNING] = "resume-running",
        [LIFE_RESUME_NOT_STARTED] = "resume-not-started",
        [LIFE_SAY_ENDED] = "say-ended",
        [LIFE_SAY_LOST] = "say-lost",
        [LIFE_DROP_RECORD] = "drop-record",
        [LIFE_ASK] = "ask",
        [LIFE_WITHDRAW] = "withdraw",
        [LIFE_ACCEPT] = "accept",
        [LIFE_DECLINE] = "decline",
        [LIFE_START] = "start",
};

DEFINE_STRING_TABLE(life_action, LifeAction);

/* A record's attempt, seen from what the daemon says. */
typedef enum Age {
        OLDER,
        SAME,
        NEWER,
} Age;

enum {
        N_AGES = NEWER + 1,
};

/* Short names, so that a row is a line. */
#define WATCH    LIFE_WATCH
#define RESUME   LIFE_RESUME_RUNNING
#define ENDED    LIFE_SAY_ENDED
#define LOST     LIFE_SAY_LOST
#define DROP     LIFE_DROP_RECORD
#define WITHDRAW LIFE_WITHDRAW
#define DECLINE  LIFE_DECLINE

/* clang-format off */
static const LifeAction with_record[N_LIFE_SAID][N_LIFE_RECORDS][N_AGES] = {
        /*                                 older     same      newer */
        [LIFE_SAID_NOTHING] = {
                [LIFE_RECORD_STARTING] = { WATCH,    WATCH,    WATCH },
                [LIFE_RECORD_RUNNING]  = { RESUME,   RESUME,   RESUME },
                [LIFE_RECORD_DEAD]     = { LOST,     LOST,     LOST },
                [LIFE_RECORD_ENDED]    = { ENDED,    ENDED,    ENDED },
        },
        [LIFE_SAID_WAITING] = {
                [LIFE_RECORD_STARTING] = { WATCH,    WATCH,    WATCH },
                [LIFE_RECORD_RUNNING]  = { RESUME,   RESUME,   RESUME },
                [LIFE_RECORD_DEAD]     = { DROP,     DROP,     WITHDRAW },
                [LIFE_RECORD_ENDED]    = { DROP,     DROP,     WITHDRAW },
        },
        [LIFE_SAID_RUNNING] = {
                [LIFE_RECORD_STARTING] = { WATCH,    WATCH,    WATCH },
                [LIFE_RECORD_RUNNING]  = { WATCH,    RESUME,   RESUME },
                [LIFE_RECORD_DEAD]     = { DROP,     LOST,     LOST },
                [LIFE_RECORD_ENDED]    = { DROP,     ENDED,    ENDED },
        },
        [LIFE_SAID_OFFERED] = {
                [LIFE_RECORD_STARTING] = { DECLINE,  DECLINE,  DECLINE },
                [LIFE_RECORD_RUNNING]  = { DECLINE,  DECLINE,  DECLINE },
                [LIFE_RECORD_DEAD]     = { DROP,     WITHDRAW, WITHDRAW },
                [LIFE_RECORD_ENDED]    = { DROP,     WITHDRAW, WITHDRAW },
        },
        [LIFE_SAID_GRANTED] = {
                [LIFE_RECORD_STARTING] = { WATCH,    WATCH,    WATCH },
                [LIFE_RECORD_RUNNING]  = { WATCH,    RESUME,   RESUME },
                [LIFE_RECORD_DEAD]     = { DROP,     LOST,     LOST },
                [LIFE_RECORD_ENDED]    = { DROP,     ENDED,    ENDED },
        },
};

static const LifeAction without_record[N_LIFE_SAID][2] = {
        /*                      no bundle                a bundle */
        [LIFE_SAID_NOTHING] = { LIFE_NOTHING,            LIFE_ASK },
        [LIFE_SAID_WAITING] = { LIFE_WITHDRAW,           LIFE_NOTHING },
        [LIFE_SAID_RUNNING] = { LIFE_RESUME_NOT_STARTED, LIFE_RESUME_NOT_STARTED },
        [LIFE_SAID_OFFERED] = { LIFE_WITHDRAW,           LIFE_ACCEPT },
        [LIFE_SAID_GRANTED] = { LIFE_RESUME_NOT_STARTED, LIFE_START },
};
/* clang-format on */

static Age age_of(const LifeView *view) {
        if (view->record_attempt == view->said_attempt)
                return SAME;
        return view->record_attempt < view->said_attempt ? OLDER : NEWER;
}

LifeAction life_decide(const LifeView *view) {
        if (view->record == LIFE_RECORD_NONE)
                return without_record[view->said][view->has_bundle];
        return with_record[view->said][view->record][age_of(view)];
}

bool life_record_stands(const LifeView *view) {
        return view->record != LIFE_RECORD_NONE && life_decide(view) != LIFE_DROP_RECORD;
}
