/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Who stands in a row is given back at once. Offers are not answered: they go back with the connection. A grant that comes now, with the
 * answer to an end, is given back (reconcile.c). What was accepted or ordered is waited for, and what no keeper has taken after
 * SEE_THROUGH_US is given back too.
 */

#include "agent/stop.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/conversation.h"
#include "agent/orders.h"
#include "agent/runs.h"
#include "agent/say.h"
#include "util/cleanup.h"
#include "util/fd.h"

#define SEE_THROUGH_US (3 * US_PER_SEC)
#define GIVE_BACK_US   (5 * US_PER_SEC)    /* for the daemon to answer that */
#define BY_SIGNAL_US   (500 * US_PER_MSEC) /* whoever sent it may kill us soon */

static bool is_under_way(const Run *run) {
        return run->phase == RUN_PHASE_ACCEPTING || run->phase == RUN_PHASE_IN_ROW ||
               run->phase == RUN_PHASE_STARTING;
}

static bool has_starts_under_way(const Agent *agent) {
        for (const Run *head = agent->runs; head; head = head->hh.next)
                for (const Run *run = head; run; run = run->older)
                        if (is_under_way(run))
                                return true;
        return agent->due || conversation_may_bring_starts(agent->conversation);
}

void stop_go_on(Agent *agent) {
        if (!agent->stopping || has_starts_under_way(agent))
                return;
        if (!agent_has_work(agent))
                agent_remove_spool(agent);
        (void)sd_event_exit(agent->event, 0);
}

/* A keeper that has yet to take it will find that it may not. */
static void give_back_untaken(Agent *agent) {
        Run *run, *next;

        HASH_ITER(hh, agent->runs, run, next) {
                if (run->phase != RUN_PHASE_STARTING || run->keeper != 0)
                        continue;
                say_warning("task %" PRIu64 " was not started before the end: it waits again",
                            task_ref_id(run->ref));
                orders_forget(run);
                (void)run_claim_back(run);
        }
}

static int on_stop_time(sd_event_source *source, uint64_t usec, void *userdata) {
        Agent *agent = userdata;

        if (agent->stop_late)
                return sd_event_exit(agent->event, 0);
        agent->stop_late = true;
        give_back_untaken(agent);
        agent_want_turn(agent);
        (void)sd_event_source_set_time_relative(source, GIVE_BACK_US);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int begin(Agent *agent, uint64_t see_through_us) {
        int r;

        if (!agent->stop_source) {
                r = sd_event_add_time_relative(agent->event, &agent->stop_source, CLOCK_MONOTONIC,
                                               see_through_us, 0, on_stop_time, agent);
                if (r < 0)
                        return r;
        }
        agent->stopping = true;
        rows_give_back(agent);
        agent_want_turn(agent);
        return 0;
}

int stop_by_user(Agent *agent) {
        _cleanup_free_ char *path = NULL;
        int r;

        if (asprintf(&path, "%s/stopped", agent->folder) < 0)
                return -ENOMEM;
        r = fd_write_file_atomic(AT_FDCWD, path, "", 0, 0600);
        if (r < 0)
                return r;
        say_info("stopped; tasks that run go on");
        return begin(agent, SEE_THROUGH_US);
}

int stop_by_signal(Agent *agent) {
        if (agent->stopping)
                return sd_event_exit(agent->event, 0);
        return begin(agent, BY_SIGNAL_US);
}
