/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "core/expect.h"

#include "core/experience.h"
#include "core/sat.h"

/* What is known of a user's runs of a signature, else of whatever that user ran; NULL: nothing. */
static const Experience *find_runs(const Core *core, uid_t uid, uint64_t signature) {
        uint64_t signatures[] = { signature, SIGNATURE_ANY };

        for (size_t i = 0; i < ELEMENTSOF(signatures); i++) {
                const Experience *runs = experience_find(core, uid, signatures[i]);

                if (runs && runs->n > 0)
                        return runs;
        }
        return NULL;
}

uint64_t expect_learned_us(const Core *core, uid_t uid, uint64_t signature) {
        const Experience *runs = find_runs(core, uid, signature);
        uint64_t sum_us = 0;

        if (!runs)
                return 0;

        for (unsigned i = 0; i < runs->n; i++)
                sum_us = sat_add(sum_us, runs->durations_us[i]);
        return MAX(sum_us / runs->n, UINT64_C(1));
}

uint64_t expect_longest_us(const Core *core, uid_t uid, uint64_t signature) {
        const Experience *runs = find_runs(core, uid, signature);
        uint64_t longest_us = 0;

        for (unsigned i = 0; runs && i < runs->n; i++)
                longest_us = MAX(longest_us, runs->durations_us[i]);
        return runs ? MAX(longest_us, UINT64_C(1)) : 0;
}

/* Twice, four times... what was expected, so that it is beyond @age_us. */
static uint64_t corrected_us(uint64_t expected_us, uint64_t age_us) {
        expected_us = MAX(expected_us, UINT64_C(1));
        while (expected_us <= age_us && expected_us < UINT64_MAX)
                expected_us = sat_add(expected_us, expected_us);
        return expected_us;
}

uint64_t expect_limit_us(const Entry *entry) {
        const Task *task = entry->task;

        if (task->time_limit_us == TASK_TIME_INF)
                return TASK_TIME_INF;

        return sat_add(task->started_boot_us, task->time_limit_us);
}

uint64_t expect_end_us(const Entry *entry, uint64_t now_boot_us) {
        const Task *task = entry->task;
        uint64_t age_us = sat_sub(now_boot_us, task->started_boot_us);

        if (task->time_limit_us != TASK_TIME_INF || entry->expected_us == 0)
                return expect_limit_us(entry);

        return sat_add(task->started_boot_us, corrected_us(entry->expected_us, age_us));
}

/* The durations of those that took longer than @age_us, sorted. */
static unsigned list_longer(const Experience *experience,
                            uint64_t age_us,
                            uint64_t ret[static CORE_RUNS_MAX]) {
        unsigned n = 0;

        for (unsigned i = 0; i < experience->n; i++) {
                uint64_t us = experience->durations_us[i];
                unsigned at = n;

                if (us <= age_us)
                        continue;
                for (; at > 0 && ret[at - 1] > us; at--)
                        ret[at] = ret[at - 1];
                ret[at] = us;
                n++;
        }
        return n;
}

static uint64_t longest_us(const Experience *experience) {
        uint64_t longest = 0;

        for (unsigned i = 0; i < experience->n; i++)
                longest = MAX(longest, experience->durations_us[i]);
        return longest;
}

/* All that it takes, when it has run for @age_us. */
static ExpectSpan span_of(const Experience *experience, uint64_t age_us) {
        uint64_t longer[CORE_RUNS_MAX], latest_us;
        unsigned n = list_longer(experience, age_us, longer);

        if (n > 0)
                return (ExpectSpan){ .lower_us = longer[0],
                                     .middle_us = longer[(n - 1) / 2],
                                     .upper_us = longer[n - 1] };

        latest_us = corrected_us(longest_us(experience), age_us);
        return (ExpectSpan){ .lower_us = age_us,
                             .middle_us = age_us + (latest_us - age_us) / 2,
                             .upper_us = latest_us };
}

/* Less what is over, and no more than the time limit allows. */
static uint64_t rest_us(uint64_t takes_us, uint64_t limit_us, uint64_t age_us) {
        return sat_sub(MIN(takes_us, limit_us), age_us);
}

bool expect_span(const Core *core, const Entry *entry, uint64_t now_boot_us, ExpectSpan *ret) {
        const Task *task = entry->task;
        const Experience *runs = find_runs(core, task->uid, entry->signature);
        uint64_t limit_us = task->time_limit_us, age_us = 0;
        ExpectSpan all = { .middle_us = limit_us, .upper_us = limit_us };

        if (!runs && limit_us == TASK_TIME_INF)
                return false;

        if (phase_is_active(entry->phase) && !entry->ahead)
                age_us = sat_sub(now_boot_us, task->started_boot_us);
        if (runs)
                all = span_of(runs, age_us);
        *ret = (ExpectSpan){
                .lower_us = rest_us(all.lower_us, limit_us, age_us),
                .middle_us = rest_us(all.middle_us, limit_us, age_us),
                .upper_us = rest_us(all.upper_us, limit_us, age_us),
                .n_runs = runs ? runs->n : 0,
                .of_same = runs && runs->key.signature != SIGNATURE_ANY,
        };
        return true;
}
