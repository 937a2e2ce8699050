/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "daemon/experiences.h"

#include <string.h>

#include "daemon/log.h"
#include "util/macro.h"

/* The one that ended last comes first. */
static int add_run(Task *task, void *userdata) {
        Event *event = userdata;
        uint64_t *durations_us = event->learned.durations_us;
        unsigned n = event->learned.n_runs;

        if (n < CORE_RUNS_MAX && task->ended_at_us > task->started_at_us) {
                memmove(durations_us + 1, durations_us, n * sizeof(*durations_us));
                durations_us[0] = task->ended_at_us - task->started_at_us;
                event->learned.n_runs++;
        }
        (void)task_free(task);
        return 0;
}

bool experiences_tell(Daemon *daemon, uint64_t id) {
        uint64_t signature = core_find_unlearned(daemon->core, id);
        Event event = daemon_event(EVENT_LEARNED, 0);
        int r;

        if (signature == 0)
                return false;

        event.learned.uid = core_find(daemon->core, id)->uid;
        event.learned.signature = signature;
        r = store_load_runs(daemon->store, event.learned.uid, signature, CORE_RUNS_MAX, add_run,
                            &event);
        if (r < 0)
                log_warning("cannot read how long tasks took before: %s", strerror(-r));
        (void)core_apply(daemon->core, &event);
        return true;
}
