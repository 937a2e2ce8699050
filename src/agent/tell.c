/* SPDX-License-Identifier: GPL-3.0-or-later */

/* News of starts and ends goes out in the order in which it came up, and together: what ends at once costs the daemon one commit. */

#include <stdlib.h>

#include "agent/conversation.h"
#include "agent/runs.h"
#include "util/fd.h"

static void take_off(Run *run) {
        Run **at = &run->agent->due;

        while (*at != run)
                at = &(*at)->next_due;
        *at = run->next_due;
        if (run->agent->due_end == &run->next_due)
                run->agent->due_end = at;
        run->next_due = NULL;
        run->is_due = false;
}

void tell_forget(Run *run) {
        if (run->is_due)
                take_off(run);
        run->started_fd = fd_close(run->started_fd);
}

static void tell(Run *run) {
        Conversation *conversation = run->agent->conversation;

        if (run->phase == RUN_PHASE_RUNNING)
                conversation_tell_started(conversation, run, run->started_fd);
        else if (run->phase == RUN_PHASE_ENDED || run->phase == RUN_PHASE_DEAD)
                conversation_tell_ended(conversation, run);
        run->started_fd = fd_close(run->started_fd);
}

/* A connection that is lost meanwhile forgets those that are left. */
void tell_due(Agent *agent) {
        if (!agent->due)
                return;
        conversation_hold(agent->conversation);
        while (agent->due) {
                Run *run = agent->due;

                take_off(run);
                tell(run);
        }
        conversation_let_go(agent->conversation);
}

void tell_later(Run *run) {
        Agent *agent = run->agent;

        if (run->is_due)
                return;
        run->is_due = true;
        run->next_due = NULL;
        *agent->due_end = run;
        agent->due_end = &run->next_due;
}
