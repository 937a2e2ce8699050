#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * A small machine for the tests of the core
 *
 * 100 GiB of RAM, 16 cores, and as many GPUs as a test wants; no reserve, so that figures stay
 * round; and no room is kept for anybody. Times are in seconds here.
 */

#include <string.h>

#include "core/core.h"
#include "core/explain.h"

#include "check.h"

#define SEC  US_PER_SEC
#define HOUR (3600 * SEC)

enum {
        ALICE = 1000,
        BOB = 1001,
        CHUCK = 1002,
        START_S = 1000, /* boottime when a test begins */
};

typedef struct World {
        Core *core;
        uint64_t now_us;
        uint64_t last_id;
        unsigned n_gpus;
        GpuSample gpus[GPU_MAX];
        unsigned n_uses;
        GpuTaskUse uses[GPU_MAX];
        const Outsiders *outsiders; /* one for each GPU; NULL: nothing is known of them */
        uint64_t ram_total_bytes;
        uint64_t ram_free_bytes;
        unsigned pressure_permyriad;
} World;

/* What a task asks for, in few words. */
typedef struct Ask {
        uid_t uid;         /* 0: ALICE */
        unsigned priority; /* 0: the default; LOWEST: 0 */
        uint64_t memory_bytes;
        unsigned cpus;
        const char *gpu[4];    /* words: "0", "any" */
        uint64_t gpu_bytes[4]; /* 0: whole */
        const char *tokens;    /* "ansys:1 matlab:2"; NULL: none */
        uint64_t delay_us;
        bool delay_given;
        uint64_t time_limit_us; /* 0: none */
        TaskState state;
        unsigned retry_max;
        bool requeue;
        const char *command; /* NULL: none */
        const char *array;   /* its indices; NULL: no array */
        unsigned limit;      /* of the array */
        uint64_t after[4];   /* 0: no more */
        uint64_t any[4];     /* the same, however they end */
} Ask;

enum {
        LOWEST = 9999,
};

static inline Policy world_policy(void) {
        Policy policy = policy_default();

        policy.reserved_memory_bytes = 0;
        policy.reserved_gpu_memory_bytes = 0;
        policy.n_cpus = 16;
        policy.patience_us = TASK_TIME_INF;
        return policy;
}

static inline Event world_event(const World *world, EventType type, uint64_t id) {
        return (Event){
                .type = type,
                .boot_us = world->now_us,
                .at_us = world->now_us + 5000 * SEC,
                .task_id = id,
        };
}

static inline int apply(World *world, EventType type, uint64_t id) {
        Event event = world_event(world, type, id);

        return core_apply(world->core, &event);
}

static inline void look_at_ram(World *world) {
        Event event = world_event(world, EVENT_RAM, 0);

        event.ram = (RamSample){ world->ram_total_bytes, world->ram_free_bytes,
                                 core_n_offers(world->core), world->pressure_permyriad > 0,
                                 world->pressure_permyriad };
        assert_int_equal(core_apply(world->core, &event), 0);
}

static inline void look_at_gpus(World *world) {
        Event event = world_event(world, EVENT_GPUS, 0);

        event.gpus = (GpusSample){
                .known = true,
                .n_gpus = world->n_gpus,
                .gpus = world->gpus,
                .n_uses = world->n_uses,
                .uses = world->uses,
                .outsiders = world->outsiders,
                .n_offers_before = core_n_offers(world->core),
        };
        assert_int_equal(core_apply(world->core, &event), 0);
}

static inline void look(World *world) {
        look_at_ram(world);
        if (world->n_gpus > 0)
                look_at_gpus(world);
}

/* Time passes; nobody looks. */
static inline void pass_time(World *world, uint64_t us) {
        world->now_us += us;
}

static inline void world_init(World *world, const Policy *policy, unsigned n_gpus) {
        *world = (World){
                .now_us = START_S * SEC,
                .n_gpus = n_gpus,
                .ram_total_bytes = 100 * GIB,
                .ram_free_bytes = 100 * GIB,
        };
        for (unsigned i = 0; i < n_gpus; i++) {
                world->gpus[i] = (GpuSample){
                        .index = i,
                        .total_bytes = 24 * GIB,
                        .free_bytes = 24 * GIB,
                        .processes_known = true,
                };
                (void)snprintf(world->gpus[i].uuid, GPU_UUID_MAX, "GPU-%c%c", 'a' + (char)i,
                               'a' + (char)i);
                (void)snprintf(world->gpus[i].name, GPU_NAME_MAX, "Card");
        }
        assert_int_equal(core_new(&world->core, policy), 0);
        look(world);
}

static inline void world_setup(World *world, unsigned n_gpus) {
        Policy policy = world_policy();

        world_init(world, &policy, n_gpus);
}

static inline void world_done(World *world) {
        world->core = core_free(world->core);
}

static inline void needs_of(const World *world, const Ask *ask, Needs *ret) {
        *ret = (Needs){ .memory_bytes = ask->memory_bytes, .cpus = ask->cpus };
        for (size_t i = 0; i < ELEMENTSOF(ask->gpu) && ask->gpu[i]; i++)
                assert_int_equal(needs_add_gpu(ret, ask->gpu[i],
                                               ask->gpu_bytes[i] ? ask->gpu_bytes[i] : GPU_WHOLE),
                                 0);
        if (ask->tokens)
                assert_int_equal(needs_add_tokens(ret, ask->tokens), 0);
        assert_int_equal(core_resolve(world->core, ret, NULL), 0);
}

static inline Task *task_of(World *world, const Ask *ask) {
        Task *task = task_new();

        assert_non_null(task);
        task->id = ++world->last_id;
        task->uid = ask->uid ? ask->uid : ALICE;
        task->priority = ask->priority == LOWEST ? 0 :
                         ask->priority           ? ask->priority :
                                                   TASK_PRIORITY_DEFAULT;
        task->delay_given = ask->delay_given;
        task->delay_us = ask->delay_us;
        task->time_limit_us = ask->time_limit_us ? ask->time_limit_us : TASK_TIME_INF;
        task->state = ask->state;
        task->retry_max = ask->retry_max;
        task->requeue = ask->requeue;
        memcpy(task->key, &task->id, sizeof(task->id));
        needs_of(world, ask, &task->needs);
        if (ask->command) {
                task->command = strdup(ask->command);
                assert_non_null(task->command);
        }
        if (ask->array) {
                task->array = calloc(1, sizeof(*task->array));
                assert_non_null(task->array);
                task->array->limit = ask->limit;
                assert_int_equal(index_set_parse(ask->array, TASK_INDEX_MAX, &task->array->waiting,
                                                 NULL),
                                 0);
        }
        task->after = calloc(2 * ELEMENTSOF(ask->after), sizeof(*task->after));
        assert_non_null(task->after);
        for (size_t i = 0; i < ELEMENTSOF(ask->after); i++) {
                if (ask->after[i] > 0)
                        task->after[task->n_after++] = (TaskAfter){ .id = ask->after[i] };
                if (ask->any[i] > 0)
                        task->after[task->n_after++] =
                                (TaskAfter){ .id = ask->any[i], .any = true };
        }
        return task;
}

static inline int try_submit(World *world, Ask ask) {
        Event event = world_event(world, EVENT_SUBMITTED, 0);
        int r;

        event.submitted = task_of(world, &ask);
        r = core_apply(world->core, &event);
        if (r != 0)
                task_free(event.submitted);
        return r;
}

static inline int split(World *world, uint64_t id, uint32_t index) {
        Event event = world_event(world, EVENT_SPLIT, id);

        event.split.index = index;
        return core_apply(world->core, &event);
}

static inline uint64_t submit(World *world, Ask ask) {
        Event event = world_event(world, EVENT_SUBMITTED, 0);

        event.submitted = task_of(world, &ask);
        assert_int_equal(core_apply(world->core, &event), 0);
        return world->last_id;
}

static inline Plan plan_now(const World *world) {
        Plan plan;

        assert_int_equal(core_plan(world->core, world->now_us, &plan), 0);
        return plan;
}

static inline int offer(World *world, const PlanOffer *offer) {
        Event event = world_event(world, EVENT_OFFERED, offer->task_id);

        if (offer->index >= 0) {
                assert_int_equal(split(world, offer->task_id, (uint32_t)offer->index), 0);
                event.task_id = task_ref(offer->task_id, offer->index);
        }
        event.offered.gpus = offer->gpus;
        return core_apply(world->core, &event);
}

/*
 * Offers the first of a plan by the figures there are. Returns its id, that of the element if it is
 * an array; 0 if there is none.
 */
static inline uint64_t offer_next(World *world) {
        Plan plan = plan_now(world);
        uint64_t id = 0;

        if (plan.n_offers > 0) {
                id = plan.offers[0].task_id;
                if (plan.offers[0].index >= 0)
                        id = task_ref(id, plan.offers[0].index);
                assert_int_equal(offer(world, &plan.offers[0]), 0);
        }
        plan_done(&plan);
        return id;
}

/* The same, after a look at everything, and it is accepted. */
static inline uint64_t start_next(World *world) {
        uint64_t id;

        look(world);
        id = offer_next(world);
        if (id > 0)
                assert_int_equal(apply(world, EVENT_ACCEPTED, id), 0);
        return id;
}

static inline uint64_t start(World *world, Ask ask) {
        uint64_t id = submit(world, ask);

        assert_int_equal(start_next(world), id);
        return id;
}

/* Everything that starts, one by one, with a look in between: how many. */
static inline size_t start_all(World *world) {
        size_t n = 0;

        while (start_next(world) > 0)
                n++;
        return n;
}

/* Room is kept as a plan says, if it does. */
static inline void keep_room(World *world, const Plan *plan) {
        Event event = world_event(world, EVENT_KEPT, plan->keep_id);

        event.kept.gpus = plan->keep_gpus;
        if (plan->keeps)
                assert_int_equal(core_apply(world->core, &event), 0);
}

/* All that one plan says after the other, with looks in between, as the daemon does it. Returns how many started. */
static inline size_t settle(World *world) {
        bool again = true;
        size_t n = 0;

        while (again) {
                Plan plan;

                look(world);
                plan = plan_now(world);
                for (size_t i = 0; i < plan.n_offers; i++) {
                        const PlanOffer *next = &plan.offers[i];

                        if (i == plan.keep_at)
                                keep_room(world, &plan);
                        assert_int_equal(offer(world, next), 0);
                        assert_int_equal(apply(world, EVENT_ACCEPTED,
                                               next->index < 0 ?
                                                       next->task_id :
                                                       task_ref(next->task_id, next->index)),
                                         0);
                        n++;
                }
                if (plan.keep_at == plan.n_offers)
                        keep_room(world, &plan);
                again = plan.n_offers > 0 || plan.keeps;
                plan_done(&plan);
        }

        return n;
}

/* For whom room is kept; 0: nobody. */
static inline uint64_t kept_for(const World *world) {
        KeepView view;
        uint64_t id = 0;
        int r = core_view_keep(world->core, world->now_us, &view);

        assert_true(r >= 0);
        if (r > 0) {
                id = view.task_id;
                core_keep_view_done(&view);
        }
        return id;
}

static inline int report(World *world, uint64_t id, bool known, uint64_t memory_bytes) {
        Event event = world_event(world, EVENT_USED, id);

        event.used.known = known;
        event.used.memory_bytes = memory_bytes;
        return core_apply(world->core, &event);
}

/* The task takes RAM, its runner says so, and the next look sees it. */
static inline void take_ram(World *world, uint64_t id, uint64_t bytes) {
        uint64_t had = core_find(world->core, id)->memory.used_bytes;

        world->ram_free_bytes = world->ram_free_bytes + had - bytes;
        assert_int_equal(report(world, id, true, bytes), 0);
        look_at_ram(world);
}

/* The same on a GPU. */
static inline void take_gpu(World *world, uint64_t id, unsigned gpu, uint64_t bytes) {
        GpuTaskUse *use = NULL;

        for (unsigned i = 0; i < world->n_uses && !use; i++)
                if (world->uses[i].task_id == id &&
                    strcmp(world->uses[i].uuid, world->gpus[gpu].uuid) == 0)
                        use = &world->uses[i];
        if (!use) {
                use = &world->uses[world->n_uses++];
                *use = (GpuTaskUse){ .task_id = id };
                memcpy(use->uuid, world->gpus[gpu].uuid, GPU_UUID_MAX);
                world->gpus[gpu].n_processes++;
        }
        world->gpus[gpu].free_bytes += use->used_bytes;
        world->gpus[gpu].free_bytes -= bytes;
        use->used_bytes = bytes;
        look_at_gpus(world);
}

static inline int end(World *world, uint64_t id, TaskState state) {
        Event event = world_event(world, EVENT_ENDED, id);

        event.ended.state = state;
        event.ended.exit_status = state == TASK_STATE_DONE ? 0 : -1;
        return core_apply(world->core, &event);
}

static inline TaskState state_of(const World *world, uint64_t id) {
        return core_find(world->core, id)->state;
}

static inline uint64_t ram_free(const World *world) {
        return core_view_ram(world->core, world->now_us).free_bytes;
}

/* For the next task on a GPU, by its place in the list of views. */
static inline uint64_t gpu_free(const World *world, unsigned i) {
        GpuView *views;
        ssize_t n = core_view_gpus(world->core, world->now_us, &views);
        uint64_t bytes;

        assert_true(n > (ssize_t)i);
        bytes = views[i].free_bytes;
        core_gpu_views_free(views, (size_t)n);
        return bytes;
}

/* The sentence of `why` begins with @words, and what it says first has that @reason. */
static inline void assert_why(const World *world,
                              uint64_t id,
                              WaitReason reason,
                              const char *words) {
        static Explain explain;
        char text[1024];

        assert_int_equal(core_explain(world->core, id, world->now_us, &explain), 0);
        assert_true(explain.n_lacks > 0);
        assert_int_equal(explain.lacks[0].reason, reason);
        explain_sentence(&explain, world->now_us, NULL, NULL, text, sizeof(text));
        if (strncmp(text, words, strlen(words)) != 0)
                fail_msg("%s", text);
}

#define WORLD(n_gpus)                               \
        _cleanup_(world_done) World own_world = {}; \
        World *world = &own_world;                  \
        world_setup(world, (n_gpus))
