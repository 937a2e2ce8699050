/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "agent/orders.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/conversation.h"
#include "agent/jobs.h"
#include "agent/logs.h"
#include "agent/say.h"
#include "core/output.h"
#include "runner/bundle.h"
#include "store/spool.h"
#include "util/cleanup.h"
#include "util/clock.h"

/* Nothing was started, and that is its end. */
static void fail(Run *run, int r) {
        run->end = (RecordEnd){
                .state = TASK_STATE_FAILED,
                .exit_status = -1,
                .ended_at_us = clock_realtime_us(),
        };
        (void)snprintf(run->end.reason, sizeof(run->end.reason),
                       "it could not be started: what is to be run can't be read: %s",
                       strerror(-r));
        say_error("task %" PRIu64 ": %s", task_ref_id(run->ref), run->end.reason);
        run_finish(run, RUN_PHASE_ENDED);
}

/* One order, with what the spool has of it. */
typedef struct Kept {
        SpoolTask task;
        void *context; /* owned, or borrowed from the one before */
        size_t n_context;
        bool own_context;
        char *log;
        KeeperOrder order; /* borrows from these, and from its run */
} Kept;

static void kept_done(Kept *kept) {
        spool_task_done(&kept->task);
        if (kept->own_context)
                free(kept->context);
        free(kept->log);
}

static int load(const Run *run, Kept *kept, const Kept *last) {
        const Job *job = job_find(run->agent, run->ref);
        int r;

        if (!job)
                return -ENOENT;
        r = spool_load_task(run->agent->spool, job->row, job->key, &kept->task);
        if (r < 0)
                return r;
        if (last && last->task.context_id == kept->task.context_id) {
                kept->context = last->context;
                kept->n_context = last->n_context;
                return 0;
        }
        r = spool_load_context(run->agent->spool, kept->task.context_id, &kept->context,
                               &kept->n_context);
        kept->own_context = r >= 0;
        return r;
}

/* The path of its log. */
static int find_log(const Run *run, Kept *kept, bool *ret_own) {
        BundleTask task;
        int r;

        r = bundle_task_parse(&task, kept->task.argv, kept->task.n_argv);
        if (r < 0)
                return r;
        *ret_own = !task.output;
        kept->log = task.output ? output_expand(task.output, run->ref, run->name) :
                                  logs_path(run->agent->logs, run->ref);
        bundle_task_done(&task);
        return kept->log ? 0 : -ENOMEM;
}

static int prepare(const Run *run, Kept *kept, const Kept *last) {
        bool own;
        int r;

        r = load(run, kept, last);
        if (r >= 0)
                r = find_log(run, kept, &own);
        if (r < 0)
                return r;
        kept->order = (KeeperOrder){
                .ref = run->ref,
                .attempt = run->attempt,
                .n_gpus = run->n_gpus,
                .gpus = run->gpus,
                .pin = run->pin,
                .time_limit_us = run->time_limit_us,
                .context = kept->context,
                .n_context = kept->n_context,
                .task = kept->task.argv,
                .n_task = kept->task.n_argv,
                .log = kept->log,
                .log_is_own = own,
                .folder = run->agent->folder,
                .epoch = run->agent->epoch,
        };
        return 0;
}

/* A run and those behind it. Return: as nursery_spawn(). */
static int send_row(Run *first) {
        KeeperOrder orders[KEEPER_ROW_MAX];
        Kept kept[KEEPER_ROW_MAX] = {};
        size_t n_max = row_prepare_order(first) ? KEEPER_ROW_MAX : 1, n = 0;
        Run *run = first;
        int r = 0;

        for (; run && n < n_max; run = run->behind) {
                r = prepare(run, &kept[n], n > 0 ? &kept[n - 1] : NULL);
                if (r < 0)
                        break;
                orders[n] = kept[n].order;
                n++;
        }
        if (n > 0)
                r = nursery_spawn(first->agent->nursery, orders, n);
        if (r == -E2BIG && n > 1)
                r = nursery_spawn(first->agent->nursery, orders, n = 1);
        for (size_t i = 0; i < MIN(n + 1, (size_t)KEEPER_ROW_MAX); i++)
                kept_done(&kept[i]);
        row_note_order(first, r == 0 ? n : 1);
        return r;
}

void orders_send(Agent *agent) {
        int enabled = SD_EVENT_OFF;

        while (agent->ordering) {
                Run *run = agent->ordering;
                int r;

                r = send_row(run);
                if (r == NURSERY_E_GONE)
                        return; /* all begins anew at once */
                if (r == NURSERY_E_AGAIN) {
                        (void)sd_event_source_get_enabled(agent->adopt_source, &enabled);
                        if (enabled == SD_EVENT_OFF)
                                adopt_arrange(agent);
                        return;
                }
                orders_forget(run);
                if (r < 0) {
                        fail(run, r);
                        continue;
                }
                run->ordered_boot_us = clock_boottime_us();
                (void)sd_event_source_get_enabled(agent->adopt_source, &enabled);
                if (enabled == SD_EVENT_OFF)
                        adopt_arrange(agent);
        }
}

void orders_forget(Run *run) {
        Run **at = &run->agent->ordering;

        if (!run->ordering)
                return;
        while (*at != run)
                at = &(*at)->next_ordering;
        *at = run->next_ordering;
        run->next_ordering = NULL;
        run->ordering = false;
}

void run_start(Run *run) {
        Run **at = &run->agent->ordering;

        run->phase = RUN_PHASE_STARTING;
        while (*at)
                at = &(*at)->next_ordering;
        *at = run;
        run->ordering = true;
        agent_want_turn(run->agent);
}
