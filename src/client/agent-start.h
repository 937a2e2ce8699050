#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Starting the agent where it lives longest (decisions.md 24)
 */

#include <stdbool.h>

#include "util/error.h"

typedef enum AgentLife {
        AGENT_LIFE_DETACHED, /* a session of its own, which nobody ends at logout */
        AGENT_LIFE_SYSTEMD,  /* the user's manager, which lingers */
        AGENT_LIFE_SESSION,  /* until logout */
} AgentLife;

/* "detached", "systemd", "session" */
const char *agent_life_to_string(AgentLife life);

/* What decides where it lives. */
typedef struct AgentGround {
        bool lingers; /* the user's manager runs from boot to shutdown */
        bool manager; /* there is one */
        bool kills;   /* logind ends what is left of a session */
} AgentGround;

/**
 * agent_ground_look() - at this machine
 * @root:       in front of every path; "" but for tests
 * @user:       name of the user
 * @runtime:    his XDG_RUNTIME_DIR, or where it would be
 */
AgentGround agent_ground_look(const char *root, const char *user, const char *runtime);

/* Whether logind's settings below @root end a user's processes at logout; the last word counts, as systemd reads them. */
bool agent_ground_kills(const char *root);

AgentLife agent_life_choose(const AgentGround *ground);

/* Where one that is started now would live. */
AgentLife agent_life_here(void);

/* agent_start() */
enum {
        AGENT_START_E_AWAIT =
                1, /* one was started, by us or others: it will answer, but does not say when */
        AGENT_START_E_FAILED, /* @error says why */
};

/**
 * agent_start() - start it
 * @folder:     its folder; made if it is not there
 * @ret:        set to where it lives
 * @ret_log_start:      set to where in its log the words of this one begin
 *
 * Return: 0: it answers; an outcome; or negative errno. @error is filled in unless 0 or AWAIT.
 */
int agent_start(const char *folder, AgentLife *ret, long *ret_log_start, Error *error);
