/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * A machine with GPUs of several kinds
 */

#include "core/gpus.h"

#include "test-core-fixture.h"

/* Slots 0 and 1 are NVIDIA's, 2 and 3 AMD's: each kind has a 0 and a 1. */
static void mix(World *world) {
        for (unsigned i = 2; i < 4; i++) {
                world->gpus[i].kind = GPU_KIND_AMD;
                world->gpus[i].index = i - 2;
        }
        look(world);
}

#define MIXED_WORLD() \
        WORLD(4);     \
        mix(world)

static void assert_id(const World *world, uint64_t id, const char *want) {
        const Task *task = core_find(world->core, id);

        assert_string_equal(task->gpus[0].id, want);
}

static void test_each_kind_counts_its_own(_unused_ void **state) {
        static const struct {
                const char *word, *id;
        } cases[] = {
                { "1", "nvidia:1" },  { "nvidia:0", "nvidia:0" }, { "amd:1", "amd:1" },
                { "amd:0", "amd:0" }, { "GPU-cc", "amd:0" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                MIXED_WORLD();

                start(world, (Ask){ .gpu = { cases[i].word }, .gpu_bytes = { GIB } });
                assert_id(world, 1, cases[i].id);
        }
}

static void test_where_one_kind_is_alone_the_number_is(_unused_ void **state) {
        WORLD(2);

        for (unsigned i = 0; i < 2; i++)
                world->gpus[i].kind = GPU_KIND_AMD;
        look(world);
        start(world, (Ask){ .gpu = { "0" }, .gpu_bytes = { GIB } });
        assert_id(world, 1, "0");
        start(world, (Ask){ .gpu = { "amd:1" }, .gpu_bytes = { GIB } });
        assert_id(world, 2, "1");
}

static void assert_refused(const World *world, const char *word, uint64_t bytes, const char *want) {
        Error error = {};
        Needs needs = {};

        assert_int_equal(needs_add_gpu(&needs, word, bytes), 0);
        assert_int_equal(core_resolve(world->core, &needs, &error), CORE_E_IMPOSSIBLE);
        assert_string_equal(error.text, want);
        needs_done(&needs);
}

static void test_what_there_is_is_named_with_its_kind(_unused_ void **state) {
        MIXED_WORLD();

        assert_refused(world, "intel:0", GIB,
                       "there is no GPU 'intel:0' here; there is GPU nvidia:0 (Card, 24G), GPU "
                       "nvidia:1 (Card, 24G), GPU amd:0 (Card, 24G), GPU amd:1 (Card, 24G)");
        assert_refused(world, "amd:1", 30 * GIB,
                       "it asks for 30G on GPU amd:1, which has 24G in all");
}

static void test_they_are_shown_by_kind_and_number(_unused_ void **state) {
        static const char *const want[] = { "nvidia:0", "nvidia:1", "amd:0", "amd:1" };
        GpuView *views;
        MIXED_WORLD();

        assert_int_equal(core_view_gpus(world->core, world->now_us, &views), 4);
        for (size_t i = 0; i < 4; i++)
                assert_string_equal(views[i].id, want[i]);
        core_gpu_views_free(views, 4);
}

static void test_the_wait_names_the_kind(_unused_ void **state) {
        Explain explain;
        char line[1024];
        MIXED_WORLD();

        start(world, (Ask){ .gpu = { "amd:1" }, .gpu_bytes = { 20 * GIB } });
        submit(world, (Ask){ .gpu = { "amd:1" }, .gpu_bytes = { 20 * GIB } });
        assert_int_equal(core_explain(world->core, 2, world->now_us, &explain), 0);
        assert_string_equal(explain.lacks[0].gpu_id, "amd:1");
        explain_sentence(&explain, world->now_us, NULL, NULL, line, sizeof(line));
        assert_non_null(strstr(line, "needs 20G on GPU amd:1: 4G free, 16G missing"));
}

/* When the driver of the first kind is away, a bare number does not become the other kind's. */
static void test_a_lost_first_kind_keeps_the_bare_numbers(_unused_ void **state) {
        Explain explain;
        MIXED_WORLD();

        memmove(&world->gpus[0], &world->gpus[2], 2 * sizeof(world->gpus[0]));
        world->n_gpus = 2;
        look(world);
        submit(world, (Ask){ .gpu = { "0" }, .gpu_bytes = { GIB } });
        assert_int_equal(start_next(world), 0);
        assert_int_equal(core_explain(world->core, 1, world->now_us, &explain), 0);
        assert_int_equal(explain.lacks[0].reason, WAIT_REASON_GPU_LOST);
        assert_string_equal(explain.lacks[0].gpu_id, "nvidia:0");
}

static void test_the_settings_name_kinds_too(_unused_ void **state) {
        Policy policy = world_policy();
        MIXED_WORLD();

        policy.gpus_all = false;
        policy.n_gpus = 2;
        strcpy(policy.gpus[0], "1");
        strcpy(policy.gpus[1], "amd:0");
        core_set_policy(world->core, &policy);
        for (int slot = 0; slot < 4; slot++)
                assert_int_equal(gpus_is_allowed(world->core, slot), slot == 1 || slot == 2);
}

static void test_a_part_is_a_gpu_of_its_own(_unused_ void **state) {
        WORLD(3);

        for (unsigned i = 0; i < 2; i++) {
                world->gpus[i].index = 0;
                world->gpus[i].part = i + 1;
        }
        world->gpus[2].index = 1;
        look(world);
        start(world, (Ask){ .gpu = { "0.1" }, .gpu_bytes = { GIB } });
        assert_id(world, 1, "0.1");
        assert_string_equal(core_find(world->core, 1)->gpus[0].uuid, "GPU-bb");
        assert_refused(world, "0", GIB,
                       "there is no GPU '0' here; there is GPU 0.0 (Card, 24G), GPU 0.1 (Card, "
                       "24G), GPU 1 (Card, 24G)");
}

static void test_any_is_of_the_first_kind_or_of_the_one_named(_unused_ void **state) {
        MIXED_WORLD();

        start(world, (Ask){ .gpu = { "any" } });
        assert_id(world, 1, "nvidia:0");
        start(world, (Ask){ .gpu = { "amd:any" } });
        assert_id(world, 2, "amd:0");
        start(world, (Ask){ .gpu = { "any", "amd:any" }, .gpu_bytes = { GIB, GIB } });
        assert_id(world, 3, "nvidia:1");
        assert_string_equal(core_find(world->core, 3)->gpus[1].id, "amd:1");

        /* All of the first kind are taken whole or asked for: the other kind's are not given instead. */
        submit(world, (Ask){ .gpu = { "any", "any" }, .gpu_bytes = { GIB, GIB } });
        assert_int_equal(start_next(world), 0);
        assert_refused(
                world, "intel:any", GIB,
                "it asks for 1G on a GPU, but none has that much; there is GPU nvidia:0 (Card, 24G), GPU "
                "nvidia:1 (Card, 24G), GPU amd:0 (Card, 24G), GPU amd:1 (Card, 24G)");
}

/* Of its memory nothing is known: who gets it gets all of it, and nobody gets a part. */
static void test_a_gpu_without_figures_is_given_whole(_unused_ void **state) {
        Explain explain;
        WORLD(1);

        world->gpus[0].kind = GPU_KIND_INTEL;
        world->gpus[0].whole_only = true;
        world->gpus[0].processes_known = false;
        world->gpus[0].total_bytes = 0;
        world->gpus[0].free_bytes = 0;
        look(world);
        assert_refused(
                world, "0", GIB,
                "it asks for 1G on GPU 0, of which it can't be known how much is used: it is given out whole "
                "('--gpu 0')");
        start(world, (Ask){ .gpu = { "any" } });
        submit(world, (Ask){ .gpu = { "0" } });
        assert_int_equal(start_next(world), 0);
        assert_int_equal(core_explain(world->core, 2, world->now_us, &explain), 0);
        assert_int_equal(explain.lacks[0].reason, WAIT_REASON_GPU_WHOLE);
        assert_int_equal(explain.lacks[0].holders[0].task_id, 1);
        assert_int_equal(end(world, 1, TASK_STATE_DONE), 0);
        assert_int_equal(start_next(world), 2);
}

/* The driver of one kind does not answer: its GPUs are not gone. */
static void test_a_driver_that_fails_makes_its_own_unknown(_unused_ void **state) {
        Event event;
        GpuView *views;
        MIXED_WORLD();

        memmove(&world->gpus[0], &world->gpus[2], 2 * sizeof(world->gpus[0]));
        event = (Event){
                .type = EVENT_GPUS,
                .boot_us = world->now_us,
                .gpus = { .known = true,
                          .unknown_kinds = 1U << GPU_KIND_NVIDIA,
                          .n_gpus = 1,
                          .gpus = world->gpus },
        };
        assert_int_equal(core_apply(world->core, &event), 0);
        assert_int_equal(core_view_gpus(world->core, world->now_us, &views), 4);
        assert_int_equal(views[0].sample.state, GPU_STATE_UNKNOWN);
        assert_int_equal(views[1].sample.state, GPU_STATE_UNKNOWN);
        assert_int_equal(views[2].sample.state, GPU_STATE_OK);
        assert_int_equal(views[3].sample.state, GPU_STATE_LOST);
        core_gpu_views_free(views, 4);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_each_kind_counts_its_own),
                cmocka_unit_test(test_where_one_kind_is_alone_the_number_is),
                cmocka_unit_test(test_what_there_is_is_named_with_its_kind),
                cmocka_unit_test(test_they_are_shown_by_kind_and_number),
                cmocka_unit_test(test_the_wait_names_the_kind),
                cmocka_unit_test(test_a_lost_first_kind_keeps_the_bare_numbers),
                cmocka_unit_test(test_the_settings_name_kinds_too),
                cmocka_unit_test(test_a_part_is_a_gpu_of_its_own),
                cmocka_unit_test(test_any_is_of_the_first_kind_or_of_the_one_named),
                cmocka_unit_test(test_a_gpu_without_figures_is_given_whole),
                cmocka_unit_test(test_a_driver_that_fails_makes_its_own_unknown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
