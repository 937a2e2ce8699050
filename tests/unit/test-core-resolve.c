/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * What the words of a request mean, and what can never be
 */

#include "test-core-fixture.h"

/* A machine with a reserve: 100G of RAM less 1G, GPUs of 24G less 1M. */
static void setup(World *world, unsigned n_gpus) {
        Policy policy = world_policy();

        policy.reserved_memory_bytes = GIB;
        policy.reserved_gpu_memory_bytes = MIB;
        world_init(world, &policy, n_gpus);
}

static int resolve(const World *world,
                   Needs *needs,
                   const char *const *words,
                   const uint64_t *bytes,
                   Error *error) {
        *needs = (Needs){};
        for (unsigned i = 0; i < 4 && words[i]; i++)
                assert_int_equal(needs_add_gpu(needs, words[i], bytes[i]), 0);
        return core_resolve(world->core, needs, error);
}

static void test_words_become_uuids(_unused_ void **state) {
        static const struct {
                const char *word, *uuid;
        } cases[] = {
                { "0", "GPU-aa" },     { "1", "GPU-bb" }, { "GPU-bb", "GPU-bb" },
                { "GPU-b", "GPU-bb" }, { "any", "" },
        };
        _cleanup_(world_done) World world = {};

        setup(&world, 3);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Needs needs;

                assert_int_equal(resolve(&world, &needs, (const char *[4]){ cases[i].word },
                                         (uint64_t[4]){ GIB }, NULL),
                                 0);
                assert_string_equal(needs.gpus[0].uuid, cases[i].uuid);
                assert_string_equal(needs.gpus[0].want, cases[i].word);
                needs_done(&needs);
        }
}

static void test_what_can_never_be_is_refused_with_the_numbers(_unused_ void **state) {
        static const struct {
                const char *words[4];
                uint64_t bytes[4];
                const char *say[3];
        } cases[] = {
                { { "7" }, { GIB }, { "'7'", "GPU 0", "GPU 2" } },
                { { "GPU-zz" }, { GIB }, { "'GPU-zz'" } },
                { { "gpu-aa" }, { GIB }, { "'gpu-aa'" } },
                { { "-1" }, { GIB }, { "'-1'" } },
                { { "GPU-" }, { GIB }, { "more than one", "GPU-aa", "GPU-bb" } },
                { { "0", "0" }, { GIB, GIB }, { "GPU 0", "twice" } },
                { { "0", "GPU-aa" }, { GIB, GIB }, { "GPU 0", "twice" } },
                { { "0" }, { 30 * GIB }, { "30G", "24G" } },
                { { "any" }, { 30 * GIB }, { "30G", "24G" } },
                { { "any", "any", "any", "any" }, { 1, 1, 1, 1 }, { "4 different GPUs" } },
                { { "0", "1", "2", "any" }, { 1, 1, 1, 1 }, { "4 different GPUs" } },
        };
        _cleanup_(world_done) World world = {};

        setup(&world, 3);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Error error = {};
                Needs needs;
                int r = resolve(&world, &needs, cases[i].words, cases[i].bytes, &error);

                if (r != CORE_E_IMPOSSIBLE)
                        fail_msg("%s: %d", cases[i].words[0], r);
                for (size_t j = 0; j < ELEMENTSOF(cases[i].say) && cases[i].say[j]; j++)
                        if (!strstr(error.text, cases[i].say[j]))
                                fail_msg("no \"%s\" in: %s", cases[i].say[j], error.text);
                assert_int_equal(core_resolve(world.core, &needs, NULL), CORE_E_IMPOSSIBLE);
                needs_done(&needs);
        }
}

static void test_ram_and_cores_are_judged_by_what_there_is(_unused_ void **state) {
        _cleanup_(world_done) World world = {};
        Needs needs = { .memory_bytes = 99 * GIB, .cpus = 16 };
        Error error;

        setup(&world, 0);
        world.ram_free_bytes = 0;
        look(&world);
        assert_int_equal(core_resolve(world.core, &needs, &error), 0);
        needs.memory_bytes++;
        assert_int_equal(core_resolve(world.core, &needs, &error), CORE_E_IMPOSSIBLE);
        assert_non_null(strstr(error.text, "99G"));
        assert_non_null(strstr(error.text, "100G"));
        assert_non_null(strstr(error.text, "1G"));
        needs = (Needs){ .cpus = 17 };
        assert_int_equal(core_resolve(world.core, &needs, &error), CORE_E_IMPOSSIBLE);
        assert_non_null(strstr(error.text, "17"));
        assert_non_null(strstr(error.text, "16"));
}

static void test_a_size_up_to_103_percent_is_no_refusal(_unused_ void **state) {
        _cleanup_(world_done) World world = {};
        Needs needs;

        setup(&world, 1);
        world.gpus[0].total_bytes = 24564 * MIB;
        look(&world);
        for (int any = 0; any < 2; any++) {
                const char *words[4] = { any ? "any" : "0" };

                assert_int_equal(resolve(&world, &needs, words, (uint64_t[4]){ 24 * GIB }, NULL),
                                 0);
                assert_true(needs.gpus[0].bytes == 24 * GIB); /* as asked: it says what it gets */
                needs_done(&needs);
                assert_int_equal(resolve(&world, &needs, words, (uint64_t[4]){ 25301 * MIB }, NULL),
                                 CORE_E_IMPOSSIBLE);
                needs_done(&needs);
        }
}

static void test_refused_needs_are_left_as_they_were(_unused_ void **state) {
        _cleanup_(world_done) World world = {};
        Needs needs;

        setup(&world, 2);
        assert_int_equal(resolve(&world, &needs, (const char *[4]){ "0", "9" },
                                 (uint64_t[4]){ GIB, GIB }, NULL),
                         CORE_E_IMPOSSIBLE);
        assert_string_equal(needs.gpus[0].uuid, "");
        needs_done(&needs);
}

static void test_of_gpus_that_differ_enough_must_be_large_enough(_unused_ void **state) {
        _cleanup_(world_done) World world = {};
        const char *words[4] = { "any", "any", "0" };
        Needs needs;

        setup(&world, 3);
        world.gpus[1].total_bytes = 8 * GIB;
        look(&world);
        assert_int_equal(resolve(&world, &needs, words, (uint64_t[4]){ GIB, 20 * GIB, GIB }, NULL),
                         0);
        needs_done(&needs);
        assert_int_equal(resolve(&world, &needs, words, (uint64_t[4]){ 20 * GIB, 20 * GIB, GIB },
                                 NULL),
                         CORE_E_IMPOSSIBLE);
        needs_done(&needs);
}

static void test_lost_and_unknown_gpus_are_waited_for(_unused_ void **state) {
        _cleanup_(world_done) World world = {};
        Needs needs;

        setup(&world, 2);
        world.gpus[0].state = GPU_STATE_UNKNOWN;
        world.n_gpus = 1; /* the other is gone */
        look(&world);
        assert_int_equal(resolve(&world, &needs, (const char *[4]){ "0", "1" },
                                 (uint64_t[4]){ GIB, 24 * GIB }, NULL),
                         0);
        needs_done(&needs);
        assert_int_equal(resolve(&world, &needs, (const char *[4]){ "1" },
                                 (uint64_t[4]){ 25 * GIB }, NULL),
                         CORE_E_IMPOSSIBLE); /* it had 24 */
        needs_done(&needs);
}

static void test_an_index_is_that_of_the_gpu_that_is_there(_unused_ void **state) {
        _cleanup_(world_done) World world = {};
        Needs needs;

        setup(&world, 1);
        strcpy(world.gpus[0].uuid, "GPU-new"); /* GPU-aa was taken out */
        look(&world);
        assert_int_equal(resolve(&world, &needs, (const char *[4]){ "0" }, (uint64_t[4]){ GIB },
                                 NULL),
                         0);
        assert_string_equal(needs.gpus[0].uuid, "GPU-new");
        needs_done(&needs);
}

static void test_what_the_settings_keep_back_is_refused(_unused_ void **state) {
        _cleanup_(world_done) World world = {};
        Policy policy = world_policy();
        Error error;
        Needs needs;

        policy.gpus_all = false;
        policy.n_gpus = 1;
        strcpy(policy.gpus[0], "1");
        world_init(&world, &policy, 2);
        assert_int_equal(resolve(&world, &needs, (const char *[4]){ "0" }, (uint64_t[4]){ GIB },
                                 &error),
                         CORE_E_IMPOSSIBLE);
        assert_non_null(strstr(error.text, "not given out"));
        needs_done(&needs);
        assert_int_equal(resolve(&world, &needs, (const char *[4]){ "any", "any" },
                                 (uint64_t[4]){ GIB, GIB }, &error),
                         CORE_E_IMPOSSIBLE);
        needs_done(&needs);
        assert_int_equal(resolve(&world, &needs, (const char *[4]){ "any" }, (uint64_t[4]){ GIB },
                                 &error),
                         0);
        needs_done(&needs);
}

static void test_before_the_first_look_nothing_is_known(_unused_ void **state) {
        _cleanup_(core_freep) Core *core = NULL;
        Policy policy = world_policy();
        Needs needs = { .memory_bytes = 1 };
        Event event = { .type = EVENT_GPUS };
        Error error;

        assert_int_equal(core_new(&core, &policy), 0);
        assert_int_equal(core_resolve(core, &needs, &error), CORE_E_NO_FIGURES);
        needs.memory_bytes = 0;
        assert_int_equal(core_resolve(core, &needs, &error), 0);
        assert_int_equal(needs_add_gpu(&needs, "0", 1), 0);
        assert_int_equal(core_resolve(core, &needs, &error), CORE_E_NO_FIGURES);

        /* No answer is no figures; none is an answer. */
        assert_int_equal(core_apply(core, &event), 0);
        assert_int_equal(core_resolve(core, &needs, &error), CORE_E_NO_FIGURES);
        event.gpus.known = true;
        assert_int_equal(core_apply(core, &event), 0);
        assert_int_equal(core_resolve(core, &needs, &error), CORE_E_IMPOSSIBLE);
        assert_non_null(strstr(error.text, "no GPU"));
        needs_done(&needs);
}

static void test_a_long_list_of_gpus_is_cut_between_two(_unused_ void **state) {
        _cleanup_(world_done) World world = {};
        Error error;
        Needs needs;

        setup(&world, 26);
        assert_int_equal(resolve(&world, &needs, (const char *[4]){ "77" }, (uint64_t[4]){ GIB },
                                 &error),
                         CORE_E_IMPOSSIBLE);
        assert_int_equal(error.text[strlen(error.text) - 1], ')');
        needs_done(&needs);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_words_become_uuids),
                cmocka_unit_test(test_what_can_never_be_is_refused_with_the_numbers),
                cmocka_unit_test(test_ram_and_cores_are_judged_by_what_there_is),
                cmocka_unit_test(test_a_size_up_to_103_percent_is_no_refusal),
                cmocka_unit_test(test_refused_needs_are_left_as_they_were),
                cmocka_unit_test(test_of_gpus_that_differ_enough_must_be_large_enough),
                cmocka_unit_test(test_lost_and_unknown_gpus_are_waited_for),
                cmocka_unit_test(test_an_index_is_that_of_the_gpu_that_is_there),
                cmocka_unit_test(test_what_the_settings_keep_back_is_refused),
                cmocka_unit_test(test_before_the_first_look_nothing_is_known),
                cmocka_unit_test(test_a_long_list_of_gpus_is_cut_between_two),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
