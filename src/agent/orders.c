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
        run->phase = RUN_PHASE_ENDED;
        run->end = (RecordEnd){
                .state = TASK_STATE_FAILED,
                .exit_status = -1,
                .ended_at_us = clock_realtime_us(),
        };
        (void)snprintf(run->end.reason, sizeof(run->end.reason),
                       "it could not be started: what is to be run can't be read: %s",
                       strerror(-r));
        say_error("task %" PRIu64 ": %s", task_ref_id(run->ref), run->end.reason);
        conversation_tell_ended(run->agent->conversation, run);
}

/* What the spool has of it. */
typedef struct Kept {
        SpoolTask task;
        void *context;
        size_t n_context;
} Kept;

static void kept_done(Kept *kept) {
        spool_task_done(&kept->task);
        free(kept->context);
}

static int load(const Run *run, Kept *ret) {
        const Job *job = job_find(run->agent, run->ref);
        int r;

        if (!job)
                return -ENOENT;
        r = spool_load_key(run->agent->spool, job->key, &ret->task);
        if (r < 0)
                return r;
        return spool_load_context(run->agent->spool, ret->task.context_id, &ret->context,
                                  &ret->n_context);
}

/* The path of its log, to be freed. */
static int find_log(const Run *run, const SpoolTask *kept, char **ret, bool *ret_own) {
        BundleTask task;
        int r;

        r = bundle_task_parse(&task, kept->argv, kept->n_argv);
        if (r < 0)
                return r;
        *ret_own = !task.output;
        *ret = task.output ? output_expand(task.output, run->ref, run->name) :
                             logs_path(run->agent->logs, run->ref);
        bundle_task_done(&task);
        return *ret ? 0 : -ENOMEM;
}

/* Return: as nursery_spawn(). */
static int send_one(const Run *run) {
        _cleanup_(kept_done) Kept kept = {};
        _cleanup_free_ char *log = NULL;
        KeeperOrder order;
        bool own;
        int r;

        r = load(run, &kept);
        if (r < 0)
                return r;
        r = find_log(run, &kept.task, &log, &own);
        if (r < 0)
                return r;
        order = (KeeperOrder){
                .ref = run->ref,
                .attempt = run->attempt,
                .n_gpus = run->n_gpus,
                .gpus = run->gpus,
                .pin = run->pin,
                .time_limit_us = run->time_limit_us,
                .context = kept.context,
                .n_context = kept.n_context,
                .task = kept.task.argv,
                .n_task = kept.task.n_argv,
                .log = log,
                .log_is_own = own,
                .folder = run->agent->folder,
        };
        return nursery_spawn(run->agent->nursery, &order);
}

void orders_send(Agent *agent) {
        int enabled = SD_EVENT_OFF;

        while (agent->ordering) {
                Run *run = agent->ordering;
                int r;

                r = send_one(run);
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
        orders_send(run->agent);
}
