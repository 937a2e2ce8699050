/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Two that don't fit on one GPU
 *
 * Tasks that each ask for more than half of any GPU, on few GPUs, with looks at all sorts of times:
 * slow ones, missing ones, between the start of one task and the moment at which it takes its
 * memory. At no time two of them may run on the same GPU, whether the driver tells what each process
 * uses or not.
 *
 *     apart [SEED [ROUNDS]]
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "sim/rng.h"
#include "util/macro.h"

#include "vm.h"

enum {
        JOBS_MAX = 12,
        DELAY_S = 60, /* the default one */
};

static VmOptions some_options(Rng *rng, uint64_t seed) {
        VmOptions options = {
                .policy = policy_default(),
                .seed = seed,
                .ram_bytes = 128 * GIB,
                .n_gpus = (unsigned)rng_between(rng, 1, 2),
                .gpu_bytes = 24 * GIB,
                .outage_percent = rng_chance(rng, 50) ? (unsigned)rng_below(rng, 60) : 0,
                .probe_us = rng_below(rng, rng_chance(rng, 50) ? 20 * US_PER_SEC : US_PER_SEC),
                .hides_uses = rng_chance(rng, 50),
        };

        options.policy.n_cpus = 32;
        options.policy.delay_strict = rng_chance(rng, 20);
        options.policy.gpu_pick_pack = rng_chance(rng, 50);
        options.policy.ample_factor_permille = rng_chance(rng, 50) ? 1000 : 2000;
        return options;
}

/*
 * Where nobody can tell what it uses, a task's part is its own until its delay is over: it must have
 * taken it then. Where it is seen, it may take what it wants, and when.
 */
static Job some_job(Rng *rng, const VmOptions *options) {
        const uint64_t bytes = options->gpu_bytes / 100 * rng_between(rng, 51, 95);
        Job job = { .task = task_new() };

        if (!job.task || needs_add_gpu(&job.task->needs, "any", bytes) < 0)
                abort();
        job.task->uid = 1000 + (uid_t)rng_below(rng, 3);
        job.task->delay_us = DELAY_S * US_PER_SEC;
        job.gpu_bytes = options->hides_uses ? bytes : bytes / 100 * rng_below(rng, 101);
        job.ramp_us = rng_below(rng, options->hides_uses ? DELAY_S * US_PER_SEC : 600 * US_PER_SEC);
        job.duration_us = rng_between(rng, 1, 300) * US_PER_SEC;
        return job;
}

static bool are_apart(const Job *a, const Job *b) {
        return a->grants[0] != b->grants[0] || a->start_us + a->duration_us <= b->start_us ||
               b->start_us + b->duration_us <= a->start_us;
}

static bool judge(const Vm *vm, uint64_t seed) {
        for (size_t i = 0; i < vm->n_jobs; i++)
                for (size_t k = 0; k < i; k++)
                        if (!are_apart(&vm->jobs[i], &vm->jobs[k])) {
                                (void)fprintf(stderr,
                                              "apart, seed %" PRIu64 ": tasks %" PRIu64
                                              " and %" PRIu64 " ran together on GPU %u\n",
                                              seed, vm->jobs[k].id, vm->jobs[i].id,
                                              vm->jobs[i].grants[0]);
                                return false;
                        }
        return true;
}

static bool play(uint64_t seed, uint64_t *n_events) {
        Rng rng = { seed * 31 + 7 };
        VmOptions options = some_options(&rng, seed);
        uint64_t n_jobs = rng_between(&rng, 2, JOBS_MAX);
        uint64_t gap_us = rng_below(&rng, 30 * US_PER_SEC) + 1;
        uint64_t at_us = 0;
        bool good;
        Vm vm;

        vm_init(&vm, &options);
        for (uint64_t i = 0; i < n_jobs; i++) {
                Job job = some_job(&rng, &options);

                at_us += rng_below(&rng, gap_us);
                job.arrival_us = at_us;
                (void)vm_add(&vm, &job);
        }

        good = vm_run(&vm);
        if (!good)
                (void)fprintf(stderr, "apart, seed %" PRIu64 ", event %" PRIu64 ": %s\n", seed,
                              vm.drive.n_events, vm.drive.oracle.fault);
        good = good && judge(&vm, seed);
        *n_events += vm.drive.n_events;
        vm_done(&vm);
        return good;
}

int main(int argc, char **argv) {
        uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
        uint64_t n_rounds = argc > 2 ? strtoull(argv[2], NULL, 10) : 300;
        uint64_t n_events = 0, n_bad = 0;

        for (uint64_t i = 0; i < n_rounds; i++)
                n_bad += !play(seed + i, &n_events);

        (void)printf("apart: %" PRIu64 " rounds, %" PRIu64 " events, %" PRIu64 " failed\n",
                     n_rounds, n_events, n_bad);
        return n_bad > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
