/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * GPUs: which one is given, whole ones, and those that come and go
 */

#include "test-core-fixture.h"

/* The GPUs that a task got, as text: "1 0". */
static const char *grants(const World *world, uint64_t id, char *buf, size_t n) {
        const Task *task = core_find(world->core, id);
        size_t at = 0;

        buf[0] = '\0';
        for (unsigned i = 0; task->gpus && i < task->needs.n_gpus; i++)
                at += (size_t)snprintf(buf + at, n - at, "%s%u", at > 0 ? " " : "",
                                       task->gpus[i].index);
        return buf;
}

#define assert_grants(world, id, want)                                            \
        do {                                                                      \
                char _buf[256];                                                   \
                assert_string_equal(grants(world, id, _buf, sizeof(_buf)), want); \
        } while (0)

static void set_free(World *world, const uint64_t *free_gib) {
        for (unsigned i = 0; i < world->n_gpus; i++) {
                world->gpus[i].free_bytes = free_gib[i] * GIB;
                world->gpus[i].n_processes = 1;
        }
}

static void use_pack(World *world, bool pack) {
        Policy policy = *core_policy(world->core);

        policy.gpu_pick_pack = pack;
        core_set_policy(world->core, &policy);
}

static void test_any_is_the_one_with_most_free(_unused_ void **state) {
        WORLD(4);

        set_free(world, (uint64_t[]){ 10, 20, 15, 20 });
        start(world, (Ask){ .gpu = { "any" }, .gpu_bytes = { 5 * GIB } });
        assert_grants(world, 1, "1");
        start(world, (Ask){ .gpu = { "any" }, .gpu_bytes = { 5 * GIB } });
        assert_grants(world, 2, "3"); /* of 1 there are 15 left */
}

static void test_among_equals_it_is_the_one_with_the_smallest_index(_unused_ void **state) {
        for (int pack = 0; pack < 2; pack++) {
                WORLD(2);

                world->gpus[0].index = 1;
                world->gpus[1].index = 0;
                look(world);
                use_pack(world, pack);
                start(world, (Ask){ .gpu = { "any" }, .gpu_bytes = { GIB } });
                assert_grants(world, 1, "0");
        }
}

static void test_pack_is_the_fullest_that_still_fits(_unused_ void **state) {
        WORLD(4);

        set_free(world, (uint64_t[]){ 4, 20, 6, 20 });
        use_pack(world, true);
        start(world, (Ask){ .gpu = { "any" }, .gpu_bytes = { 5 * GIB } });
        assert_grants(world, 1, "2");
        start(world, (Ask){ .gpu = { "any" }, .gpu_bytes = { 5 * GIB } });
        assert_grants(world, 2, "1");
}

static void test_several_any_are_different_gpus(_unused_ void **state) {
        WORLD(3);
        Ask ask = { .gpu = { "any", "any", "any" }, .gpu_bytes = { GIB, GIB, GIB } };

        start(world, ask);
        assert_grants(world, 1, "0 1 2");
        world->gpus[1].free_bytes = 0;
        submit(world, ask);
        assert_int_equal(start_next(world), 0);
}

/* What is asked for on each GPU, what is free on each, and what is given. */
static void test_needs_that_differ_find_their_gpus(_unused_ void **state) {
        static const struct {
                const char *what;
                const char *gpu[4];
                uint64_t gib[4]; /* 0: whole */
                uint64_t free_gib[4];
                const char *want;
        } cases[] = {
                { "the large one goes first",
                  { "any", "any" },
                  { 2, 20 },
                  { 24, 10, 1, 1 },
                  "1 0" },
                { "a named one keeps its own", { "any", "0" }, { 2, 2 }, { 24, 10, 1, 1 }, "1 0" },
                { "whole ones too", { "any", "any" }, { 2, 0 }, { 24, 10, 1, 1 }, "1 0" },
                { "all four",
                  { "any", "any", "2", "any" },
                  { 5, 0, 1, 10 },
                  { 6, 24, 2, 11 },
                  "0 1 2 3" },
                { "two whole", { "any", "any" }, { 0, 0 }, { 22, 24, 24, 10 }, "1 2" },
                { "no second one", { "any", "any" }, { 20, 20 }, { 24, 19, 19, 19 }, "" },
                { "the named one is the only one",
                  { "0", "any" },
                  { 1, 20 },
                  { 24, 19, 19, 19 },
                  "" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                for (int pack = 0; pack < 2; pack++) {
                        WORLD(4);
                        Ask ask = {};
                        char buf[64];

                        for (size_t j = 0; j < 4; j++) {
                                ask.gpu[j] = cases[i].gpu[j];
                                ask.gpu_bytes[j] = cases[i].gib[j] * GIB;
                        }
                        set_free(world, cases[i].free_gib);
                        use_pack(world, pack);
                        submit(world, ask);
                        (void)start_next(world);
                        if (strcmp(grants(world, 1, buf, sizeof(buf)), cases[i].want) != 0)
                                fail_msg("%s (pack %d): %s", cases[i].what, pack, buf);
                }
}

/* Against trying everything: random GPUs, random needs. */
static bool exists(const World *world, const Ask *ask, size_t need, unsigned used) {
        if (need == ELEMENTSOF(ask->gpu) || !ask->gpu[need])
                return true;

        for (unsigned i = 0; i < world->n_gpus; i++) {
                uint64_t asked = ask->gpu_bytes[need];
                uint64_t free = world->gpus[i].free_bytes;
                bool fits = asked ? free >= asked : 24 * GIB - free <= 24 * GIB / 20;

                if (!(used & (1U << i)) && fits && exists(world, ask, need + 1, used | (1U << i)))
                        return true;
        }
        return false;
}

static void test_if_there_is_a_way_it_starts(_unused_ void **state) {
        uint64_t seed = 3;
        int n_started = 0;

        for (int round = 0; round < 2000; round++) {
                WORLD(5);
                Ask ask = {};
                uint64_t id;

                for (unsigned i = 0; i < 5; i++) {
                        seed = seed * 6364136223846793005 + 1442695040888963407;
                        world->gpus[i].free_bytes = (seed >> 33) % 25 * GIB;
                        world->gpus[i].n_processes = 1;
                }
                for (unsigned i = 0; i < 4; i++) {
                        seed = seed * 6364136223846793005 + 1442695040888963407;
                        ask.gpu[i] = "any";
                        ask.gpu_bytes[i] = (seed >> 33) % 16 * GIB;
                }
                use_pack(world, round % 2);
                id = submit(world, ask);
                assert_int_equal(start_next(world) == id, exists(world, &ask, 0, 0));
                n_started += state_of(world, id) == TASK_STATE_RUNNING;
        }
        assert_in_range(n_started, 200, 1800);
}

/* -- whole GPUs -- */

static void test_a_whole_gpu_is_given_when_hardly_anything_is_used(_unused_ void **state) {
        WORLD(1);

        world->gpus[0].n_processes = 1;
        world->gpus[0].free_bytes = 24 * GIB - 24 * GIB / 20 - 1;
        submit(world, (Ask){ .gpu = { "0" } });
        assert_int_equal(start_next(world), 0);
        world->gpus[0].free_bytes++;
        assert_int_equal(start_next(world), 1);
        assert_true(core_find(world->core, 1)->gpus[0].bytes == GPU_WHOLE);
}

static void test_what_an_idle_gpu_uses_does_not_count(_unused_ void **state) {
        WORLD(1);

        /* 4G are used by nobody, then 5 % more by somebody. */
        strcpy(world->gpus[0].uuid, "GPU-new");
        world->gpus[0].free_bytes = 20 * GIB;
        look(world);
        world->gpus[0].n_processes = 1;
        world->gpus[0].free_bytes = 20 * GIB - 24 * GIB / 20 - 1;
        submit(world, (Ask){ .gpu = { "0" } });
        assert_int_equal(start_next(world), 0);
        world->gpus[0].free_bytes++;
        assert_int_equal(start_next(world), 1);
}

static void test_of_several_idle_figures_the_least_counts(_unused_ void **state) {
        WORLD(1);

        strcpy(world->gpus[0].uuid, "GPU-new");
        world->gpus[0].free_bytes = 23 * GIB;
        look(world);
        world->gpus[0].free_bytes = 10 * GIB; /* by processes that we can't see */
        look(world);
        submit(world, (Ask){ .gpu = { "0" } });
        assert_int_equal(start_next(world), 0);
        world->gpus[0].free_bytes = 23 * GIB - GIB / 2;
        assert_int_equal(start_next(world), 1);
}

static void test_an_idle_gpu_does_not_use_more_than_a_quarter(_unused_ void **state) {
        WORLD(1);

        /* The first look was with 24G free: a new GPU, that was never seen with so much. */
        strcpy(world->gpus[0].uuid, "GPU-new");
        world->gpus[0].free_bytes = 16 * GIB;
        look(world);
        submit(world, (Ask){ .gpu = { "0" } });
        assert_int_equal(start_next(world), 0);
        world->gpus[0].free_bytes = 18 * GIB;
        assert_int_equal(start_next(world), 1);
}

static void test_the_idle_figure_is_not_taken_while_a_task_is_there(_unused_ void **state) {
        WORLD(1);

        /* A container's processes are not listed: that is no idle GPU. */
        strcpy(world->gpus[0].uuid, "GPU-new");
        world->gpus[0].n_processes = 1;
        look(world);
        start(world, (Ask){ .gpu = { "GPU-new" }, .gpu_bytes = { 10 * GIB } });
        world->gpus[0].n_processes = 0;
        world->gpus[0].free_bytes = 19 * GIB;
        look(world);
        assert_int_equal(end(world, 1, TASK_STATE_DONE), 0);
        world->gpus[0].n_processes = 1;
        submit(world, (Ask){ .gpu = { "GPU-new" } });
        assert_int_equal(start_next(world), 0);
}

static void test_a_whole_gpu_needs_one_without_other_tasks(_unused_ void **state) {
        WORLD(1);

        start(world, (Ask){ .gpu = { "0" }, .gpu_bytes = { 1 } });
        submit(world, (Ask){ .gpu = { "0" } });
        pass_time(world, 61 * SEC);
        assert_int_equal(start_next(world), 0);
        assert_int_equal(end(world, 1, TASK_STATE_DONE), 0);
        assert_int_equal(start_next(world), 2);
}

static void test_nothing_starts_on_a_whole_gpu_while_it_is_held(_unused_ void **state) {
        Policy policy = world_policy();
        WORLD(1);

        policy.unfilled_delay = true;
        core_set_policy(world->core, &policy);
        start(world, (Ask){ .gpu = { "0" } });
        submit(world, (Ask){ .gpu = { "0" }, .gpu_bytes = { 1 } });
        submit(world, (Ask){ .gpu = { "any" } });
        pass_time(world, 100000 * SEC);
        assert_int_equal(start_next(world), 0);
        take_gpu(world, 1, 0, GIB);
        assert_int_equal(start_next(world), 0);
        assert_true(gpu_free(world, 0) == 0);
        assert_int_equal(end(world, 1, TASK_STATE_DONE), 0);
        world->n_uses = 0;
        world->gpus[0].n_processes = 0;
        world->gpus[0].free_bytes = 24 * GIB;
        assert_int_equal(start_next(world), 2);
}

static void test_a_size_near_the_total_is_the_whole_gpu(_unused_ void **state) {
        static const struct {
                uint64_t asked_mib;
                bool starts, whole;
        } cases[] = {
                { 24563, true, false },                           /* total - reserve */
                { 24564, true, true },   { 24576, true, true },   /* 24G of a card of 24,564 MiB */
                { 25300, true, true },   { 25301, false, false }, /* 103 % are 25,300.92 */
                { 30000, false, false },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                for (int any = 0; any < 2; any++) {
                        WORLD(1);
                        Policy policy = world_policy();
                        Event event = world_event(world, EVENT_SUBMITTED, 0);
                        Task *task;

                        policy.reserved_gpu_memory_bytes = MIB;
                        core_set_policy(world->core, &policy);
                        world->gpus[0].total_bytes = world->gpus[0].free_bytes = 24564 * MIB;
                        look(world);
                        task = event.submitted =
                                task_of(world, &(Ask){ .gpu = { any ? "any" : "0" } });
                        task->needs.gpus[0].bytes = cases[i].asked_mib * MIB;
                        assert_int_equal(core_apply(world->core, &event), 0);
                        assert_int_equal(start_next(world) == 1, cases[i].starts);
                        if (cases[i].starts && (task->gpus[0].bytes == GPU_WHOLE) != cases[i].whole)
                                fail_msg("%llu", (unsigned long long)cases[i].asked_mib);
                }
}

static void test_a_size_may_be_whole_on_one_gpu_and_not_on_another(_unused_ void **state) {
        WORLD(2);

        world->gpus[0].total_bytes = world->gpus[0].free_bytes = 20 * GIB;
        world->gpus[1].free_bytes = 10 * GIB;
        submit(world, (Ask){ .gpu = { "any" }, .gpu_bytes = { 20 * GIB + GIB / 2 } });
        assert_int_equal(start_next(world), 1);
        assert_grants(world, 1, "0");
        assert_true(core_find(world->core, 1)->gpus[0].bytes == GPU_WHOLE);
}

static void test_a_gpu_without_memory_figures_can_be_had_whole(_unused_ void **state) {
        WORLD(1);

        world->gpus[0].total_bytes = world->gpus[0].free_bytes = 0;
        look(world);
        submit(world, (Ask){ .gpu = { "0" } });
        assert_int_equal(start_next(world), 1);
}

static void test_the_delay_of_a_whole_gpu_wakes_nobody(_unused_ void **state) {
        WORLD(1);
        static Explain explain;
        Ask ask = { .gpu = { "0" }, .delay_given = true, .delay_us = 30 * SEC };
        Plan plan;

        start(world, ask);
        submit(world, ask);
        plan = plan_now(world);
        assert_true(plan.wake_boot_us == TASK_TIME_INF); /* it has it until it ends */
        plan_done(&plan);
        assert_int_equal(core_explain(world->core, 2, world->now_us, &explain), 0);
        assert_int_equal(explain.lacks[0].reason, WAIT_REASON_GPU_WHOLE);
}

/* -- those that come and go -- */

static void test_a_gpu_that_vanishes_is_lost_and_waited_for(_unused_ void **state) {
        WORLD(2);
        GpuView *views;

        world->n_gpus = 1; /* GPU-bb is gone */
        look(world);
        assert_int_equal(core_view_gpus(world->core, world->now_us, &views), 2);
        assert_int_equal(views[1].sample.state, GPU_STATE_LOST);
        assert_true(views[1].sample.total_bytes == 24 * GIB);
        core_gpu_views_free(views, 2);
        submit(world, (Ask){ .gpu = { "1" }, .gpu_bytes = { GIB } });
        assert_int_equal(start_next(world), 0);
        world->n_gpus = 2;
        assert_int_equal(start_next(world), 1);
}

static void test_a_gpu_in_the_place_of_a_lost_one_is_shown_first(_unused_ void **state) {
        WORLD(1);
        GpuView *views;

        strcpy(world->gpus[0].uuid, "GPU-new");
        look(world);
        assert_int_equal(core_view_gpus(world->core, world->now_us, &views), 2);
        assert_string_equal(views[0].sample.uuid, "GPU-new");
        assert_string_equal(views[1].sample.uuid, "GPU-aa");
        core_gpu_views_free(views, 2);
}

static void test_while_the_probe_is_silent_gpus_are_unknown_and_the_rest_goes_on(
        _unused_ void **state) {
        WORLD(2);
        Event event = world_event(world, EVENT_GPUS, 0);
        GpuView *views;

        start(world, (Ask){ .gpu = { "0" }, .gpu_bytes = { 10 * GIB } });
        event.gpus = (GpusSample){ .known = false, .n_offers_before = 1 };
        assert_int_equal(core_apply(world->core, &event), 0);
        assert_int_equal(core_view_gpus(world->core, world->now_us, &views), 2);
        for (int i = 0; i < 2; i++)
                assert_int_equal(views[i].sample.state, GPU_STATE_UNKNOWN);
        assert_int_equal(views[0].task_ids[0], 1);
        core_gpu_views_free(views, 2);

        submit(world, (Ask){ .gpu = { "any" }, .gpu_bytes = { GIB } });
        submit(world, (Ask){ .memory_bytes = GIB });
        look_at_ram(world);
        assert_int_equal(offer_next(world), 3);
        look(world);
        assert_int_equal(offer_next(world), 2);
        assert_grants(world, 2, "1"); /* 0 has 10G promised still */
}

static void test_a_gpu_is_its_uuid_not_its_index(_unused_ void **state) {
        WORLD(2);
        GpuSample other;

        start(world, (Ask){ .gpu = { "0" }, .gpu_bytes = { 20 * GIB } });
        submit(world, (Ask){ .gpu = { "1" }, .gpu_bytes = { 20 * GIB } }); /* GPU-bb */
        submit(world, (Ask){ .gpu = { "0" }, .gpu_bytes = { 20 * GIB } }); /* GPU-aa */

        other = world->gpus[0];
        world->gpus[0] = world->gpus[1];
        world->gpus[1] = other;
        world->gpus[0].index = 0;
        world->gpus[1].index = 1;
        assert_int_equal(start_next(world), 2);
        assert_grants(world, 2, "0");
        assert_string_equal(core_find(world->core, 2)->gpus[0].uuid, "GPU-bb");
        pass_time(world, 100 * SEC);
        assert_int_equal(start_next(world), 0);
}

static void test_of_two_with_one_uuid_the_first_is_believed(_unused_ void **state) {
        WORLD(2);
        GpuView *views;

        world->gpus[1] = world->gpus[0];
        world->gpus[1].free_bytes = 0;
        look(world);
        assert_int_equal(core_view_gpus(world->core, world->now_us, &views), 2);
        assert_true(views[0].free_bytes == 24 * GIB);
        assert_int_equal(views[1].sample.state, GPU_STATE_LOST);
        core_gpu_views_free(views, 2);
}

static void test_a_gpu_without_uuid_is_none(_unused_ void **state) {
        WORLD(1);
        GpuView *views;

        world->n_gpus = 2;
        world->gpus[1] = world->gpus[0];
        world->gpus[1].uuid[0] = '\0';
        look(world);
        assert_int_equal(core_view_gpus(world->core, world->now_us, &views), 1);
        core_gpu_views_free(views, 1);
}

static void test_a_lost_gpu_makes_room_for_a_new_one(_unused_ void **state) {
        static GpuSample gpus[GPU_MAX + 8];
        WORLD(0);
        Event event = world_event(world, EVENT_GPUS, 0);
        unsigned n_held = 0;
        GpuView *views;

        for (unsigned i = 0; i < ELEMENTSOF(gpus); i++) {
                gpus[i] = (GpuSample){ .index = i, .total_bytes = GIB, .free_bytes = GIB };
                (void)snprintf(gpus[i].uuid, GPU_UUID_MAX, "GPU-%u", 1000 + i);
        }

        /* More than there can be: the first ones are taken. */
        event.gpus = (GpusSample){ .known = true, .n_gpus = GPU_MAX + 8, .gpus = gpus };
        assert_int_equal(core_apply(world->core, &event), 0);
        assert_int_equal(core_view_gpus(world->core, world->now_us, &views), GPU_MAX);
        core_gpu_views_free(views, GPU_MAX);

        memcpy(world->gpus, gpus, sizeof(world->gpus));
        world->n_gpus = GPU_MAX;
        start(world, (Ask){ .gpu = { "3" }, .gpu_bytes = { MIB } });
        for (unsigned round = 0; round < 5; round++) {
                event.gpus = (GpusSample){ .known = true, .n_gpus = 8, .gpus = gpus + GPU_MAX };
                assert_int_equal(core_apply(world->core, &event), 0);
                for (unsigned i = 0; i < 8; i++)
                        (void)snprintf(gpus[GPU_MAX + i].uuid, GPU_UUID_MAX, "GPU-%u",
                                       2000 + 10 * round + i);
        }
        assert_int_equal(core_view_gpus(world->core, world->now_us, &views), GPU_MAX);
        for (unsigned i = 0; i < GPU_MAX; i++)
                if (views[i].n_tasks > 0 || strcmp(views[i].sample.uuid, "GPU-1003") == 0) {
                        assert_string_equal(views[i].sample.uuid, "GPU-1003");
                        assert_int_equal(views[i].n_tasks, 1);
                        n_held++;
                }
        assert_int_equal(n_held, 1);
        core_gpu_views_free(views, GPU_MAX);
}

static void test_use_of_strangers_and_of_others_gpus_is_ignored(_unused_ void **state) {
        WORLD(2);
        const Task *task;

        start(world, (Ask){ .gpu = { "0" }, .gpu_bytes = { 10 * GIB } });
        task = core_find(world->core, 1);
        world->n_uses = 4;
        world->uses[0] = (GpuTaskUse){ .task_id = 4711, .uuid = "GPU-aa", .used_bytes = 99 };
        world->uses[1] = (GpuTaskUse){ .task_id = 1, .uuid = "GPU-bb", .used_bytes = 10 * GIB };
        world->uses[2] = (GpuTaskUse){ .task_id = 1, .uuid = "GPU-zz", .used_bytes = 10 * GIB };
        world->uses[3] = (GpuTaskUse){ .task_id = 1, .uuid = "GPU-aa", .used_bytes = GIB };
        look(world);
        assert_true(task->gpu_usage[0].known);
        assert_true(task->gpu_usage[0].used_bytes == GIB);
        assert_true(gpu_free(world, 0) == 15 * GIB);

        /* Several processes of one task are summed up; none is none. */
        world->uses[2].used_bytes = 2 * GIB;
        strcpy(world->uses[2].uuid, "GPU-aa");
        look(world);
        assert_true(task->gpu_usage[0].used_bytes == 3 * GIB);
        world->n_uses = 0;
        look(world);
        assert_true(task->gpu_usage[0].used_bytes == 0);
        assert_true(task->gpu_usage[0].peak_bytes == 3 * GIB);
        assert_true(gpu_free(world, 0) == 17 * GIB);
}

static void test_what_the_settings_keep_back_is_not_given(_unused_ void **state) {
        WORLD(2);
        Policy policy = world_policy();
        GpuView *views;

        submit(world, (Ask){ .gpu = { "0" }, .gpu_bytes = { GIB } });
        submit(world, (Ask){ .gpu = { "any" }, .gpu_bytes = { GIB } });
        policy.gpus_all = false;
        policy.n_gpus = 1;
        strcpy(policy.gpus[0], "GPU-bb");
        core_set_policy(world->core, &policy);
        assert_int_equal(start_next(world), 2);
        assert_grants(world, 2, "1");
        assert_int_equal(start_next(world), 0);
        assert_int_equal(core_view_gpus(world->core, world->now_us, &views), 2);
        assert_false(views[0].allowed);
        assert_true(views[1].allowed);
        core_gpu_views_free(views, 2);
}

static void test_known_from_an_earlier_run_is_unknown_with_its_size(_unused_ void **state) {
        WORLD(0);
        GpuSample stored = {
                .uuid = "GPU-old", .index = 0, .total_bytes = 8 * GIB, .state = GPU_STATE_UNKNOWN
        };
        Event event = world_event(world, EVENT_GPUS, 0);
        Needs needs = {};

        event.gpus = (GpusSample){ .known = true, .n_gpus = 1, .gpus = &stored };
        assert_int_equal(core_apply(world->core, &event), 0);
        assert_int_equal(needs_add_gpu(&needs, "0", 9 * GIB), 0);
        assert_int_equal(core_resolve(world->core, &needs, NULL), CORE_E_IMPOSSIBLE);
        needs.gpus[0].bytes = 8 * GIB;
        assert_int_equal(core_resolve(world->core, &needs, NULL), 0);
        assert_string_equal(needs.gpus[0].uuid, "GPU-old");
        needs_done(&needs);
        submit(world, (Ask){ .gpu = { "0" }, .gpu_bytes = { GIB } });
        assert_int_equal(start_next(world), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_any_is_the_one_with_most_free),
                cmocka_unit_test(test_among_equals_it_is_the_one_with_the_smallest_index),
                cmocka_unit_test(test_pack_is_the_fullest_that_still_fits),
                cmocka_unit_test(test_several_any_are_different_gpus),
                cmocka_unit_test(test_needs_that_differ_find_their_gpus),
                cmocka_unit_test(test_if_there_is_a_way_it_starts),
                cmocka_unit_test(test_a_whole_gpu_is_given_when_hardly_anything_is_used),
                cmocka_unit_test(test_what_an_idle_gpu_uses_does_not_count),
                cmocka_unit_test(test_of_several_idle_figures_the_least_counts),
                cmocka_unit_test(test_an_idle_gpu_does_not_use_more_than_a_quarter),
                cmocka_unit_test(test_the_idle_figure_is_not_taken_while_a_task_is_there),
                cmocka_unit_test(test_a_whole_gpu_needs_one_without_other_tasks),
                cmocka_unit_test(test_nothing_starts_on_a_whole_gpu_while_it_is_held),
                cmocka_unit_test(test_a_size_near_the_total_is_the_whole_gpu),
                cmocka_unit_test(test_a_size_may_be_whole_on_one_gpu_and_not_on_another),
                cmocka_unit_test(test_a_gpu_without_memory_figures_can_be_had_whole),
                cmocka_unit_test(test_the_delay_of_a_whole_gpu_wakes_nobody),
                cmocka_unit_test(test_a_gpu_that_vanishes_is_lost_and_waited_for),
                cmocka_unit_test(test_a_gpu_in_the_place_of_a_lost_one_is_shown_first),
                cmocka_unit_test(
                        test_while_the_probe_is_silent_gpus_are_unknown_and_the_rest_goes_on),
                cmocka_unit_test(test_a_gpu_is_its_uuid_not_its_index),
                cmocka_unit_test(test_of_two_with_one_uuid_the_first_is_believed),
                cmocka_unit_test(test_a_gpu_without_uuid_is_none),
                cmocka_unit_test(test_a_lost_gpu_makes_room_for_a_new_one),
                cmocka_unit_test(test_use_of_strangers_and_of_others_gpus_is_ignored),
                cmocka_unit_test(test_what_the_settings_keep_back_is_not_given),
                cmocka_unit_test(test_known_from_an_earlier_run_is_unknown_with_its_size),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
