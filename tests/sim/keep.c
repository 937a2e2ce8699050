/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Large tasks among small ones
 *
 * On the virtual machine, with every rule checked after every event, many times with other small tasks:
 *
 *  - A task that asks for the whole machine starts within `patience` and the rest of the longest task that runs then, whatever
 *    stream of small ones comes, with the default delay and without. The rest is what is expected then: a task without a time
 *    limit that outlives that, or overtakes by experience and does, ends when it ends.
 *  - With patience and delay 0 the first in order never starts later because some of lower priority were added
 *    while it waited.
 *
 *     keep [SEED [ROUNDS]]
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "sim/rng.h"
#include "util/macro.h"

#include "vm.h"

enum {
        SMALL_N = 100,
        SLACK_S = 5, /* a look, a report, an answer */
};

#define MINUTE (60 * US_PER_SEC)

typedef struct Round {
        const char *name;
        uint64_t seed;
        uint64_t delay_us, patience_us;
        bool limits; /* small ones say how long they take; some, or (exact) all, and just so long */
        bool exact;
        bool alike; /* they are runs of a few programs, each of which takes about as long each time */
} Round;

static VmOptions options_of(const Round *round) {
        VmOptions options = {
                .policy = policy_default(),
                .seed = round->seed,
                .ram_bytes = 100 * GIB,
                .n_gpus = 4,
                .gpu_bytes = 24 * GIB,
        };

        options.policy.n_cpus = 32;
        options.policy.n_tokens = 1;
        options.policy.tokens[0] = (Token){ "matlab", 6 };
        options.policy.reserved_memory_bytes = 0;
        options.policy.reserved_gpu_memory_bytes = 0;
        options.policy.default_delay_us = round->delay_us;
        options.policy.patience_us = round->patience_us;
        return options;
}

static Job new_job(unsigned priority, uint64_t arrival_us, uint64_t duration_us) {
        Job job = { .task = task_new(), .arrival_us = arrival_us, .duration_us = duration_us };

        if (!job.task)
                abort();
        job.task->priority = priority;
        return job;
}

static void add_gpu(Task *task, const char *word, uint64_t bytes) {
        if (needs_add_gpu(&task->needs, word, bytes) < 0)
                abort();
}

static void add_tokens(Task *task, uint64_t n) {
        Token token = { "matlab", (unsigned)n };

        if (needs_add_token(&task->needs, &token) < 0)
                abort();
}

static void add_named_gpu(Task *task, uint64_t index, uint64_t bytes) {
        char word[16];

        (void)snprintf(word, sizeof(word), "%" PRIu64, index);
        add_gpu(task, word, bytes);
}

/* Of one of a few programs; now and then it takes much longer than usually. */
static void be_a_run(Rng *rng, Job *job) {
        static const unsigned usual_s[] = { 10, 20, 40, 80, 160 };
        uint64_t program = rng_below(rng, ELEMENTSOF(usual_s));
        uint64_t percent = rng_chance(rng, 10) ? 300 : rng_between(rng, 80, 120);

        if (asprintf(&job->task->command, "program-%" PRIu64, program) < 0)
                abort();
        job->duration_us = usual_s[program] * percent * (US_PER_SEC / 100);
}

/* It takes what it asks for; at once if nobody is given time to take it. */
static Job small_job(Rng *rng, const Round *round, unsigned priority, uint64_t arrival_us) {
        Job job = new_job(priority, arrival_us, rng_between(rng, 5, 240) * US_PER_SEC);
        Task *task = job.task;

        task->uid = 1000 + (uid_t)rng_below(rng, 5);
        if (round->alike)
                be_a_run(rng, &job);
        if (rng_chance(rng, 80))
                task->needs.memory_bytes = rng_between(rng, 1, 20) * GIB;
        if (rng_chance(rng, 30))
                task->needs.cpus = (unsigned)rng_between(rng, 1, 6);
        if (rng_chance(rng, 20))
                add_tokens(task, rng_between(rng, 1, 3));
        job.ram_bytes = task->needs.memory_bytes;
        if (rng_chance(rng, 50)) {
                job.gpu_bytes = rng_between(rng, 2, 12) * GIB;
                if (round->patience_us > 0 && rng_chance(rng, 50))
                        add_gpu(task, "any", job.gpu_bytes);
                else
                        add_named_gpu(task, rng_below(rng, 4), job.gpu_bytes);
        }
        job.ramp_us = round->delay_us > 0 ? rng_between(rng, 1, 50) * US_PER_SEC : 1;
        if (round->exact || (round->limits && rng_chance(rng, 50)))
                task->time_limit_us = round->exact ?
                                              job.duration_us :
                                              job.duration_us * rng_between(rng, 100, 300) / 100;
        return job;
}

static bool run(Vm *vm, const Round *round) {
        bool good = vm_run(vm);

        if (!good)
                (void)fprintf(stderr, "%s, seed %" PRIu64 ", event %" PRIu64 ": %s\n", round->name,
                              round->seed, vm->drive.n_events, vm->drive.oracle.fault);
        return good;
}

/* -- the whole machine -- */

static uint64_t add_whole(Vm *vm, Rng *rng, uint64_t arrival_us) {
        Job job = new_job(TASK_PRIORITY_DEFAULT, arrival_us, MINUTE);
        uint64_t what = rng_below(rng, 3);

        job.task->uid = 999;
        job.ramp_us = MINUTE / 2;
        if (what != 1)
                job.ram_bytes = job.task->needs.memory_bytes = vm->options.ram_bytes;
        for (uint64_t i = 0; what != 0 && i < vm->options.n_gpus; i++)
                if (rng_chance(rng, 50))
                        add_named_gpu(job.task, i, GPU_WHOLE);
                else
                        add_gpu(job.task, "any", GPU_WHOLE);
        if (rng_chance(rng, 50))
                job.task->needs.cpus = vm->options.policy.n_cpus;
        if (rng_chance(rng, 50))
                add_tokens(job.task, vm->options.policy.tokens[0].n);
        return vm_add(vm, &job);
}

/* When the last of those has ended that run at that time; or could have, by its time limit. */
static uint64_t rest_until_us(const Vm *vm, uint64_t past_us) {
        uint64_t until_us = past_us;

        for (size_t i = 0; i < vm->n_jobs; i++) {
                const Job *job = &vm->jobs[i];

                uint64_t longest_us =
                        job->limit_us == TASK_TIME_INF ? job->duration_us : job->limit_us;

                if (job->start_us > 0 && job->start_us <= past_us + US_PER_SEC)
                        until_us = MAX(until_us, job->start_us + longest_us);
        }
        return until_us;
}

static bool play_whole(const Round *round, uint64_t *ret_wait_us) {
        VmOptions options = options_of(round);
        Rng rng = { round->seed * 77 + 1 };
        uint64_t at_us = 0, id = 0, latest_us;
        const Job *job;
        bool good;
        Vm vm;

        vm_init(&vm, &options);
        for (unsigned i = 0; i < SMALL_N; i++) {
                Job small;

                /* those before it find room at once, and are not in front of it for long */
                at_us += i < 5 ? 0 : rng_below(&rng, 10 * US_PER_SEC);
                if (i == 5)
                        id = add_whole(&vm, &rng, at_us);
                small = small_job(&rng, round, TASK_PRIORITY_DEFAULT, at_us);
                (void)vm_add(&vm, &small);
        }

        vm.drive.oracle.watched_id = id;
        good = run(&vm, round);
        job = &vm.jobs[id - 1];
        latest_us = rest_until_us(&vm, MAX(job->queued_us + round->patience_us,
                                           vm.drive.oracle.watched_until_us)) +
                    SLACK_S * US_PER_SEC;
        *ret_wait_us = job->start_us - job->queued_us;
        if (good && job->start_us > latest_us) {
                (void)fprintf(stderr,
                              "%s, seed %" PRIu64 ": the large task starts %" PRIu64 " s late\n",
                              round->name, round->seed, (job->start_us - latest_us) / US_PER_SEC);
                good = false;
        }
        vm_done(&vm);
        return good;
}

/* -- tasks of lower priority -- */

static uint64_t start_of_first(const Round *round, bool with_lower, bool *ret_good) {
        VmOptions options = options_of(round);
        Rng rng = { round->seed * 99 + 5 }, lower = { round->seed * 55 + 3 };
        uint64_t at_us = 0, id = 0, start_us;
        Vm vm;

        options.policy.n_cpus = 32;
        options.policy.priority_limit = TASK_PRIORITY_MAX;
        vm_init(&vm, &options);
        for (unsigned i = 0; i < SMALL_N; i++) {
                Job job;

                at_us += rng_below(&rng, 20 * US_PER_SEC);
                job = small_job(&rng, round, 100, at_us);
                if (i ==
                    SMALL_N / 2) { /* the one that it is about: it asks for more than the others */
                        job.task->priority = TASK_PRIORITY_MAX;
                        job.task->uid = 999;
                        job.ram_bytes = job.task->needs.memory_bytes = 60 * GIB;
                }
                if (i < SMALL_N / 2 || i == SMALL_N / 2 + 1) {
                        (void)vm_add(&vm, &job);
                } else if (i == SMALL_N / 2) {
                        id = vm_add(&vm, &job);
                } else {
                        task_free(job.task);
                        if (!with_lower)
                                continue;
                        job = small_job(&lower, round, (unsigned)rng_below(&lower, 100), at_us);
                        (void)vm_add(&vm, &job);
                }
        }

        *ret_good = run(&vm, round);
        start_us = vm.jobs[id - 1].start_us;
        vm_done(&vm);
        return start_us;
}

static bool play_lower(const Round *round, uint64_t *ret_wait_us) {
        bool good, also_good;
        uint64_t without_us = start_of_first(round, false, &good);
        uint64_t with_us = start_of_first(round, true, &also_good);

        *ret_wait_us = 0;
        if (good && also_good && with_us > without_us + SLACK_S * US_PER_SEC) {
                (void)fprintf(stderr,
                              "%s, seed %" PRIu64 ": the first in order starts %" PRIu64
                              " s later for others of lower priority\n",
                              round->name, round->seed, (with_us - without_us) / US_PER_SEC);
                return false;
        }
        return good && also_good;
}

int main(int argc, char **argv) {
        static const Round rounds[] = {
                { .name = "whole", .delay_us = MINUTE, .patience_us = MINUTE / 2 },
                { .name = "whole-alike",
                  .delay_us = MINUTE,
                  .patience_us = MINUTE / 2,
                  .alike = true },
                { .name = "whole-limits",
                  .delay_us = MINUTE,
                  .patience_us = MINUTE / 2,
                  .limits = true },
                { .name = "whole-no-delay", .patience_us = MINUTE / 2, .alike = true },
                { .name = "whole-limits-no-delay", .patience_us = MINUTE / 2, .limits = true },
                { .name = "lower" },
                { .name = "lower-exact", .exact = true },
        };
        uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
        uint64_t n_rounds = argc > 2 ? strtoull(argv[2], NULL, 10) : 3;
        uint64_t longest_us = 0, n_played = 0, n_bad = 0;

        for (size_t i = 0; i < ELEMENTSOF(rounds); i++)
                for (uint64_t j = 0; j < n_rounds; j++) {
                        Round round = rounds[i];
                        uint64_t wait_us;

                        round.seed = seed + j;
                        n_bad += round.patience_us > 0 ? !play_whole(&round, &wait_us) :
                                                         !play_lower(&round, &wait_us);
                        longest_us = MAX(longest_us, wait_us);
                        n_played++;
                }

        (void)printf("keep: %" PRIu64 " rounds, a task for the whole machine waited %" PRIu64
                     " s at most, %" PRIu64 " failed\n",
                     n_played, longest_us / US_PER_SEC, n_bad);
        return n_bad > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
