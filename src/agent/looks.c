/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * One timer for all runs: those that are due within a moment are measured together, since what costs most is to read the list of
 * processes, and one reading does for all.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/conversation.h"
#include "agent/logs.h"
#include "agent/runs.h"
#include "probe/tree.h"
#include "util/cleanup.h"
#include "util/clock.h"

#define TOGETHER_US (50 * US_PER_MSEC)
#define BUDGET_US   (50 * US_PER_MSEC) /* of PSS, for all tasks of one look */

uint64_t looks_interval_us(const Agent *agent) {
        return agent->look_interval_us;
}

/* A command without its keeper has no tree that could be told from others'. */
static bool is_looked_at(const Run *run) {
        return run->phase == RUN_PHASE_RUNNING && !run->keeper_gone;
}

static uint64_t next_due_us(const Agent *agent) {
        uint64_t due_us = UINT64_MAX;

        for (const Run *run = agent->runs; run; run = run->hh.next)
                if (is_looked_at(run))
                        due_us = MIN(due_us, look_due_boot_us(&run->look));
        return due_us;
}

/* Return: how many are due, with their keepers' pids. */
static size_t find_due(const Agent *agent, Run **ret, pid_t *ret_pids, uint64_t until_us) {
        size_t n = 0;

        for (Run *run = agent->runs; run; run = run->hh.next) {
                if (!is_looked_at(run) || look_due_boot_us(&run->look) > until_us)
                        continue;
                ret_pids[n] = run->keeper;
                ret[n++] = run;
        }
        return n;
}

static void look(Agent *agent) {
        size_t n_runs = HASH_COUNT(agent->runs);
        _cleanup_free_ Run **runs = calloc(n_runs + 1, sizeof(Run *));
        _cleanup_free_ pid_t *pids = calloc(n_runs + 1, sizeof(*pids));
        _cleanup_free_ TreeUse *uses = calloc(n_runs + 1, sizeof(*uses));
        uint64_t begin_us = clock_boottime_us();
        _cleanup_close_ int proc_fd = -1;
        size_t n;
        int r;

        if (!runs || !pids || !uses)
                return;
        n = find_due(agent, runs, pids, begin_us + TOGETHER_US);
        proc_fd = n > 0 ? open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
        r = proc_fd < 0 ? -errno : tree_measure_many(proc_fd, pids, n, getuid(), BUDGET_US, uses);
        for (size_t i = 0; i < n; i++) {
                look_taken(&runs[i]->look, begin_us);
                if (r >= 0 && uses[i].n_processes > 0)
                        conversation_tell_used(agent->conversation, runs[i], uses[i].memory_bytes);
                if (runs[i]->own_log)
                        logs_trim(agent->logs, runs[i]->ref);
        }
}

static int on_look(sd_event_source *source, uint64_t usec, void *userdata) {
        Agent *agent = userdata;

        look(agent);
        looks_arrange(agent);
        agent_want_turn(agent);
        return 0;
}

void looks_arrange(Agent *agent) {
        uint64_t due_us = next_due_us(agent);

        if (due_us == UINT64_MAX) {
                if (agent->look_source)
                        (void)sd_event_source_set_enabled(agent->look_source, SD_EVENT_OFF);
                return;
        }
        if (!agent->look_source) {
                (void)sd_event_add_time(agent->event, &agent->look_source, CLOCK_BOOTTIME, due_us,
                                        TOGETHER_US, on_look, agent);
                return;
        }
        (void)sd_event_source_set_time(agent->look_source, due_us);
        (void)sd_event_source_set_enabled(agent->look_source, SD_EVENT_ONESHOT);
}

void looks_set_interval(Agent *agent, uint64_t interval_us) {
        agent->look_interval_us = interval_us;
        for (Run *run = agent->runs; run; run = run->hh.next)
                look_set_interval(&run->look, interval_us);
        looks_arrange(agent);
}
