/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Days on a shared machine
 *
 * Random tasks of some users on the virtual machine, in scenarios from honest to wild. Every rule
 * is checked after every event; and where all tasks take no more than they asked for, and nobody
 * uses the machine beside taskflow, its memory must never overflow.
 *
 *     sim [SEED [TASKS]]
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/rng.h"
#include "util/macro.h"

#include "vm.h"

typedef struct Scenario {
        const char *name;
        bool honest;    /* no task takes more than it asked for */
        bool disturbed; /* outsiders, deaths, silence, outages */
        bool strict;
        bool pack;
        bool unfilled_delay;
        unsigned gap_s; /* between two arrivals, at most */
} Scenario;

static const Scenario scenarios[] = {
        { .name = "honest", .honest = true, .gap_s = 40 },
        { .name = "honest-strict", .honest = true, .strict = true, .pack = true, .gap_s = 120 },
        { .name = "honest-crowd", .honest = true, .pack = true, .gap_s = 4 },
        { .name = "wild", .disturbed = true, .gap_s = 40 },
        { .name = "wild-pack",
          .disturbed = true,
          .pack = true,
          .unfilled_delay = true,
          .gap_s = 20 },
};

static VmOptions options_of(const Scenario *scenario, uint64_t seed) {
        VmOptions options = {
                .policy = policy_default(),
                .seed = seed,
                .ram_bytes = 128 * GIB,
                .n_gpus = 4,
                .gpu_bytes = 24 * GIB,
                .outsiders = scenario->disturbed,
                .outage_percent = scenario->disturbed ? 5 : 0,
                .probe_us = scenario->disturbed ? 2 * US_PER_SEC : 50 * US_PER_MSEC,
        };

        options.policy.n_cpus = 32;
        options.policy.delay_strict = scenario->strict;
        options.policy.gpu_pick_pack = scenario->pack;
        options.policy.unfilled_delay = scenario->unfilled_delay;
        options.policy.n_tokens = 2;
        options.policy.tokens[0] = (Token){ "matlab", 3 };
        options.policy.tokens[1] = (Token){ "mat", 1 };
        return options;
}

/* What people type: round figures, sometimes much. */
static uint64_t some_size(Rng *rng, uint64_t total) {
        static const unsigned percent[] = { 1, 2, 2, 4, 4, 8, 8, 15, 25, 40, 75 };

        return total / 100 * percent[rng_below(rng, ELEMENTSOF(percent))];
}

static void some_tokens(Rng *rng, const VmOptions *options, Needs *needs) {
        for (unsigned i = 0; i < options->policy.n_tokens; i++) {
                Token token = options->policy.tokens[i];

                token.n = (unsigned)rng_between(rng, 1, token.n);
                if (rng_chance(rng, 70) && needs_add_token(needs, &token) < 0)
                        abort();
        }
}

static void some_gpus(Rng *rng, const VmOptions *options, Needs *needs, uint64_t bytes) {
        unsigned n = rng_chance(rng, 80) ? 1 : (unsigned)rng_between(rng, 1, options->n_gpus);
        unsigned named = (unsigned)rng_below(rng, options->n_gpus);
        bool first_named = rng_chance(rng, 30);

        for (unsigned i = 0; i < n; i++) {
                char word[16] = "any";

                if (i == 0 && first_named)
                        (void)snprintf(word, sizeof(word), "%u", named);
                if (needs_add_gpu(needs, word, bytes) < 0)
                        abort();
        }
}

static void some_array(Rng *rng, Task *task) {
        TaskArray *array = task->array = calloc(1, sizeof(*array));

        if (!array || index_set_add(&array->waiting, 0, (uint32_t)rng_between(rng, 0, 11)) < 0)
                abort();
        array->limit = (unsigned)rng_below(rng, 4);
}

/* What it waits for came before it. */
static void some_after(Rng *rng, Task *task, const uint64_t *ids, uint64_t n_ids) {
        task->after = calloc(1, sizeof(*task->after));
        if (!task->after)
                abort();
        task->after[task->n_after++] = (TaskAfter){
                .id = ids[rng_between(rng, n_ids > 8 ? n_ids - 8 : 0, n_ids - 1)],
                .any = rng_chance(rng, 50),
        };
}

static void some_detached(Rng *rng, Job *job, const uint64_t *ids, uint64_t n_ids) {
        Task *task = job->task;

        task->detached = true;
        task->retry_max = rng_chance(rng, 30) ? (unsigned)rng_between(rng, 1, 3) : 0;
        task->requeue = rng_chance(rng, 30);
        job->n_crashes = task->requeue ? (unsigned)rng_below(rng, 3) : 0;
        if (rng_chance(rng, 30))
                some_array(rng, task);
        if (rng_chance(rng, 30) && n_ids > 0)
                some_after(rng, task, ids, n_ids);
}

static Job some_job(Rng *rng, const Scenario *scenario, const VmOptions *options) {
        Job job = { .task = task_new() };
        Task *task = job.task;
        uint64_t gpu_bytes = rng_chance(rng, 15) ? GPU_WHOLE : some_size(rng, options->gpu_bytes);

        if (!task)
                abort();
        task->uid = 1000 + (uid_t)rng_below(rng, 6);
        task->priority = rng_chance(rng, 80) ? TASK_PRIORITY_DEFAULT :
                                               (unsigned)rng_below(rng, TASK_PRIORITY_MAX + 1);
        task->delay_given = rng_chance(rng, 10);
        task->delay_us = rng_below(rng, 120) * US_PER_SEC;
        if (rng_chance(rng, 90))
                task->needs.memory_bytes = some_size(rng, options->ram_bytes);
        if (rng_chance(rng, 30))
                task->needs.cpus = (unsigned)rng_between(rng, 1, 8);
        if (rng_chance(rng, 50))
                some_gpus(rng, options, &task->needs, gpu_bytes);
        if (rng_chance(rng, 15))
                some_tokens(rng, options, &task->needs);

        job.ram_bytes = task->needs.memory_bytes / 100 * rng_between(rng, 20, 100);
        job.gpu_bytes = (gpu_bytes == GPU_WHOLE ? options->gpu_bytes / 2 : gpu_bytes) / 100 *
                        rng_between(rng, 20, 100);
        job.ramp_us = rng_between(rng, 1, 90) * US_PER_SEC;
        job.duration_us = rng_between(rng, 1, rng_chance(rng, 10) ? 3600 : 300) * US_PER_SEC;
        if (rng_chance(rng, 30)) /* people's guesses are long */
                task->time_limit_us = job.duration_us * rng_between(rng, 100, 500) / 100;
        if (scenario->disturbed) {
                job.ram_bytes = job.ram_bytes * rng_between(rng, 30, 150) / 100;
                job.gpu_bytes = job.gpu_bytes * rng_between(rng, 30, 150) / 100;
                job.lies = rng_chance(rng, 10);
                job.n_silent = rng_chance(rng, 5) ? (unsigned)rng_between(rng, 1, 4) : 0;
                job.dies = rng_chance(rng, 3);
                job.is_killed = rng_chance(rng, 3);
        }
        return job;
}

static bool play(const Scenario *scenario,
                 uint64_t seed,
                 uint64_t n_jobs,
                 VmStats *total,
                 uint64_t *n_events) {
        VmOptions options = options_of(scenario, seed);
        Rng rng = { seed * 31 + 7 };
        uint64_t *ids = calloc(n_jobs + 1, sizeof(uint64_t));
        uint64_t at_us = 0;
        bool good;
        Vm vm;

        if (!ids)
                abort();
        vm_init(&vm, &options);
        for (uint64_t i = 0; i < n_jobs; i++) {
                Job job = some_job(&rng, scenario, &options);

                at_us += rng_below(&rng, scenario->gap_s * US_PER_SEC);
                job.arrival_us = at_us;
                if (rng_chance(&rng, 40))
                        some_detached(&rng, &job, ids, i);
                ids[i] = vm_add(&vm, &job);
        }
        free(ids);

        good = vm_run(&vm);
        if (scenario->honest && vm.stats.n_overflows > 0) {
                (void)snprintf(vm.drive.oracle.fault, sizeof(vm.drive.oracle.fault),
                               "the memory overflowed %" PRIu64 " times", vm.stats.n_overflows);
                good = false;
        }
        if (!good)
                (void)fprintf(stderr, "%s, seed %" PRIu64 ", event %" PRIu64 ": %s\n",
                              scenario->name, seed, vm.drive.n_events, vm.drive.oracle.fault);
        total->n_started += vm.stats.n_started;
        total->n_lost += vm.stats.n_lost;
        total->n_withdrawn += vm.stats.n_withdrawn;
        total->n_again += vm.stats.n_again;
        total->n_overflows += vm.stats.n_overflows;
        total->wait_sum_us += vm.stats.wait_sum_us;
        total->wait_max_us = MAX(total->wait_max_us, vm.stats.wait_max_us);
        *n_events += vm.drive.n_events;
        vm_done(&vm);
        return good;
}

int main(int argc, char **argv) {
        uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
        uint64_t n_jobs = argc > 2 ? strtoull(argv[2], NULL, 10) : 100;
        uint64_t n_events = 0, n_bad = 0;
        VmStats total = {};

        for (size_t i = 0; i < ELEMENTSOF(scenarios); i++)
                n_bad += !play(&scenarios[i], seed + i, n_jobs, &total, &n_events);

        (void)printf("sim: %zu scenarios, %" PRIu64 " events, %" PRIu64 " starts, %" PRIu64
                     " lost, %" PRIu64 " withdrawn, %" PRIu64 " put back, mean wait %" PRIu64
                     " s, longest %" PRIu64 " s, %" PRIu64
                     " overflows (all by wrong guesses), %" PRIu64 " failed\n",
                     ELEMENTSOF(scenarios), n_events, total.n_started, total.n_lost,
                     total.n_withdrawn, total.n_again,
                     total.wait_sum_us / MAX(total.n_started, UINT64_C(1)) / US_PER_SEC,
                     total.wait_max_us / US_PER_SEC, total.n_overflows, n_bad);
        return n_bad > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
