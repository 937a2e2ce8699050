/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * What a pass costs with a million waiting tasks, and what one more of them costs
 *
 * The machine is full, so that a pass looks at the first of every class. Said are medians; status 1 if one is over its limit: 100 us with
 * 100 classes, 10 ms with 10,000; and a submission at a million that takes the core more than three times as long as one at ten.
 *
 * Those are compared with nothing of the core in the processor's caches, as it is for a daemon that is woken by a message. One right
 * after the other, which is said too, all that ten tasks need stays in the caches, and of what a million need hardly anything.
 *
 *     bench-pass [TASKS]
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/core.h"
#include "util/macro.h"

enum {
        N_PASSES = 101,
        N_SUBMITTED = 1001,
        N_USERS = 10,
        N_GPUS = 8,
        N_COLD = 101,
        COLD_TIMES = 3,
        CACHE_BYTES = 128 * 1024 * 1024, /* more than any cache that it may be */
};

#define NOW_US (1000000 * US_PER_SEC)

/* What stands in the way of all that wait. */
typedef enum Crowd {
        CROWD_PATIENT,  /* they have just come */
        CROWD_KEPT,     /* they have waited for long: room is kept for the first */
        CROWD_LIMITS,   /* and each has a time limit, that may let it overtake */
        CROWD_HOPELESS, /* they have waited for long, and people beside taskflow have the memory */
} Crowd;

static const char *const crowd_names[] = { "patient", "room kept", "room kept, limits", "no room" };

static uint64_t now_ns(void) {
        struct timespec ts;

        if (clock_gettime(CLOCK_MONOTONIC, &ts) < 0)
                abort();
        return (uint64_t)ts.tv_sec * US_PER_SEC * NS_PER_USEC + (uint64_t)ts.tv_nsec;
}

static int by_number(const void *a, const void *b) {
        uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

        return x < y ? -1 : x > y;
}

static uint64_t median(uint64_t *ns, size_t n) {
        qsort(ns, n, sizeof(*ns), by_number);
        return ns[n / 2];
}

static void apply(Core *core, Event *event) {
        if (core_apply(core, event) != 0)
                abort();
}

static void look(Core *core, uint64_t available_bytes) {
        static GpuSample gpus[N_GPUS];
        Event event = { .type = EVENT_RAM, .boot_us = NOW_US };

        event.ram = (RamSample){ .total_bytes = 1024 * GIB,
                                 .available_bytes = available_bytes,
                                 .n_offers_before = core_n_offers(core) };
        apply(core, &event);
        for (unsigned i = 0; i < N_GPUS; i++) {
                gpus[i] = (GpuSample){ .index = i,
                                       .total_bytes = 80 * GIB,
                                       .free_bytes = 80 * GIB,
                                       .processes_known = true };
                (void)snprintf(gpus[i].uuid, sizeof(gpus[i].uuid), "GPU-%u", i);
        }
        event = (Event){ .type = EVENT_GPUS, .boot_us = NOW_US };
        event.gpus = (GpusSample){ .known = true,
                                   .n_gpus = N_GPUS,
                                   .gpus = gpus,
                                   .n_offers_before = core_n_offers(core) };
        apply(core, &event);
}

/* Returns the time that it took the core to take it. */
static uint64_t submit(Core *core, uint64_t id, uint64_t class, Crowd crowd) {
        Event event = { .type = EVENT_SUBMITTED, .boot_us = NOW_US };
        Task *task = event.submitted = task_new();
        uint64_t began_ns;

        if (!task)
                abort();
        task->id = id;
        memcpy(task->key, &id, sizeof(id));
        task->uid = 1000 + (uid_t)(class % N_USERS);
        task->queued_boot_us = crowd == CROWD_PATIENT ? NOW_US : 1;
        task->needs.memory_bytes = 500 * GIB + class * MIB;
        if (crowd == CROWD_LIMITS)
                task->time_limit_us = 86400 * US_PER_SEC;
        if (needs_add_gpu(&task->needs, "any", 10 * GIB) < 0)
                abort();
        began_ns = now_ns();
        apply(core, &event);
        return now_ns() - began_ns;
}

/* One that runs, and has most of it. */
static void fill(Core *core, uint64_t id) {
        Event event;

        (void)submit(core, id, UINT64_C(100) * 1024, CROWD_LIMITS); /* 600G, of which it uses 1G */
        event = (Event){ .type = EVENT_OFFERED, .boot_us = NOW_US, .task_id = id };
        event.offered.gpus = &(GpuGrant){ .uuid = "GPU-0", .bytes = 10 * GIB };
        apply(core, &event);
        event = (Event){ .type = EVENT_ACCEPTED, .boot_us = NOW_US, .task_id = id };
        apply(core, &event);
        event = (Event){ .type = EVENT_USED, .boot_us = NOW_US, .task_id = id };
        event.used.known = true;
        event.used.memory_bytes = GIB;
        apply(core, &event);
}

static Core *new_core(void) {
        Policy policy = policy_default();
        Core *core = NULL;

        policy.default_delay_us = 0;
        if (core_new(&core, &policy) < 0)
                abort();
        return core;
}

static uint64_t time_passes(Core *core) {
        static uint64_t ns[N_PASSES];

        for (size_t i = 0; i < N_PASSES; i++) {
                uint64_t began_ns = now_ns();
                Plan plan;

                if (core_plan(core, NOW_US, &plan) < 0)
                        abort();
                ns[i] = now_ns() - began_ns;
                if (plan.n_offers > 0)
                        abort();
                if (plan.keeps) { /* the rest of them go on with it */
                        Event event = { .type = EVENT_KEPT,
                                        .boot_us = NOW_US,
                                        .task_id = plan.keep_id };

                        event.kept.gpus = plan.keep_gpus;
                        apply(core, &event);
                }
                plan_done(&plan);
        }
        return median(ns, N_PASSES);
}

static bool bench_pass(uint64_t n_tasks, uint64_t n_classes, Crowd crowd, uint64_t limit_ns) {
        Core *core = new_core();
        uint64_t ns;

        look(core, 1024 * GIB);
        fill(core, 1);
        for (uint64_t i = 0; i < n_tasks; i++)
                (void)submit(core, i + 2, i % n_classes, crowd);
        look(core, crowd == CROWD_HOPELESS ? 400 * GIB : 1024 * GIB);
        ns = time_passes(core);
        (void)printf("a pass with %" PRIu64 " tasks in %" PRIu64 " classes (%s): %.1f us\n",
                     n_tasks, n_classes, crowd_names[crowd], (double)ns / 1000);
        (void)core_free(core);
        return ns <= limit_ns;
}

/* Other memory is looked at until nothing else is left in the caches. */
static void chill(void) {
        static unsigned char *bytes;

        if (!bytes)
                bytes = calloc(1, CACHE_BYTES);
        if (!bytes)
                abort();
        for (size_t i = 0; i < CACHE_BYTES; i += 64)
                ((volatile unsigned char *)bytes)[i]++;
}

static uint64_t time_submissions(Core *core, uint64_t n_tasks, size_t n, bool cold) {
        static uint64_t ns[N_SUBMITTED];

        for (uint64_t i = 0; i < n; i++) {
                uint64_t id = n_tasks + i + 1;
                Event event = { .type = EVENT_WITHDRAWN, .boot_us = NOW_US, .task_id = id };

                if (cold)
                        chill();
                ns[i] = submit(core, id, i % 10, CROWD_PATIENT);
                apply(core, &event);
                core_forget(core, id);
        }
        return median(ns, n);
}

typedef struct Submission {
        uint64_t warm_ns;
        uint64_t cold_ns;
} Submission;

static Submission bench_submission(uint64_t n_tasks) {
        Core *core = new_core();
        Submission took;

        look(core, 1024 * GIB);
        for (uint64_t i = 0; i < n_tasks; i++)
                (void)submit(core, i + 1, i % 10, CROWD_PATIENT);
        took.warm_ns = time_submissions(core, n_tasks, N_SUBMITTED, false);
        took.cold_ns = time_submissions(core, n_tasks, N_COLD, true);
        (void)core_free(core);
        (void)printf("a submission with %" PRIu64 " waiting: %" PRIu64 " ns, %" PRIu64
                     " ns with cold caches\n",
                     n_tasks, took.warm_ns, took.cold_ns);
        return took;
}

int main(int argc, char **argv) {
        uint64_t n_tasks = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
        Submission few, many;
        bool good = true;

        for (Crowd crowd = CROWD_PATIENT; crowd <= CROWD_HOPELESS; crowd++) {
                good &= bench_pass(n_tasks, 100, crowd, 100 * NS_PER_USEC);
                good &= bench_pass(n_tasks, 10000, crowd, 10000 * NS_PER_USEC);
        }

        few = bench_submission(10);
        many = bench_submission(n_tasks);
        good &= many.cold_ns <= COLD_TIMES * few.cold_ns;
        return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
