/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The oracle's rules about how long tasks take
 */

#include <stdlib.h>
#include <string.h>

#include "oracle-rule.h"

enum {
        ANYTHING = 0, /* the signature of whatever a user ran */
};

static OracleRuns *find_runs(const Oracle *oracle, uid_t uid, uint64_t signature) {
        for (size_t i = 0; i < oracle->n_runs; i++)
                if (oracle->runs[i].uid == uid && oracle->runs[i].signature == signature)
                        return &oracle->runs[i];
        return NULL;
}

/* Made if there is none. */
static OracleRuns *get_runs(Oracle *oracle, uid_t uid, uint64_t signature) {
        OracleRuns *runs = find_runs(oracle, uid, signature);

        if (runs)
                return runs;
        oracle->runs = reallocarray(oracle->runs, oracle->n_runs + 1, sizeof(*runs));
        if (!oracle->runs)
                abort();
        runs = &oracle->runs[oracle->n_runs++];
        *runs = (OracleRuns){ .uid = uid, .signature = signature };
        return runs;
}

static void add_run(OracleRuns *runs, uint64_t us) {
        if (runs->n == CORE_RUNS_MAX)
                memmove(runs->us, runs->us + 1, --runs->n * sizeof(runs->us[0]));
        runs->us[runs->n++] = us;
}

void oracle_learn(Oracle *oracle, const OracleTask *task, const Event *event) {
        if (task->started_at_us == 0 || event->at_us <= task->started_at_us)
                return;
        add_run(get_runs(oracle, task->uid, task->signature), event->at_us - task->started_at_us);
        add_run(get_runs(oracle, task->uid, ANYTHING), event->at_us - task->started_at_us);
}

static void set_runs(OracleRuns *runs, const Event *event) {
        runs->n = event->learned.n_runs;
        memcpy(runs->us, event->learned.durations_us, runs->n * sizeof(runs->us[0]));
}

void oracle_take_learned(Oracle *oracle, const Event *event) {
        set_runs(get_runs(oracle, event->learned.uid, event->learned.signature), event);
        for (size_t i = 0; i < oracle->n_alive; i++) {
                OracleTask *task = oracle_alive(oracle, i);

                if (oracle_is_active(task) && task->expected_us == 0 &&
                    task->uid == event->learned.uid && task->signature == event->learned.signature)
                        task->expected_us = oracle_expect(oracle, task);
        }
        if (event->learned.n_runs > 0 && get_runs(oracle, event->learned.uid, ANYTHING)->n == 0)
                set_runs(get_runs(oracle, event->learned.uid, ANYTHING), event);
}

uint64_t oracle_expect(const Oracle *oracle, const OracleTask *task) {
        const OracleRuns *runs = find_runs(oracle, task->uid, task->signature);
        unsigned __int128 sum = 0;

        if (!runs || runs->n == 0)
                runs = find_runs(oracle, task->uid, ANYTHING);
        if (!runs || runs->n == 0)
                return 0;
        for (unsigned i = 0; i < runs->n; i++)
                sum += runs->us[i];
        return MAX((uint64_t)(sum / runs->n), UINT64_C(1));
}

uint64_t oracle_longest(const Oracle *oracle, const OracleTask *task) {
        const OracleRuns *runs = find_runs(oracle, task->uid, task->signature);
        uint64_t longest_us = 0;

        if (!runs || runs->n == 0)
                runs = find_runs(oracle, task->uid, ANYTHING);
        for (unsigned i = 0; runs && i < runs->n; i++)
                longest_us = MAX(longest_us, MAX(runs->us[i], UINT64_C(1)));
        return longest_us;
}

uint64_t oracle_end_us(const OracleTask *task, uint64_t now, bool by_limit) {
        uint64_t takes_us = task->expected_us;

        if (takes_us == 0 || by_limit || task->time_limit_us != TASK_TIME_INF)
                return task->time_limit_us == TASK_TIME_INF ?
                               TASK_TIME_INF :
                               task->offered_boot_us + task->time_limit_us;
        while (task->offered_boot_us + takes_us <= now)
                takes_us *= 2;
        return task->offered_boot_us + takes_us;
}
