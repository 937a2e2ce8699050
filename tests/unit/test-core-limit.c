/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * What one user's tasks may have at once
 */

#include <string.h>

#include "core/explain.h"

#include "check.h"
#include "test-core-fixture.h"

static void limit(World *world, uid_t uid, UserRules rules) {
        Event event = world_event(world, EVENT_USER, 0);

        rules.weight_permille = 1000;
        event.user.uid = uid;
        event.user.rules = rules;
        assert_int_equal(core_apply(world->core, &event), 0);
}

/* No limits: to change one of them. */
static UserRules none(void) {
        return user_rules_default();
}

static void test_no_more_run_than_may(_unused_ void **state) {
        WORLD(0);
        UserRules rules = none();
        uint64_t ids[5], other;

        rules.max_running = 2;
        limit(world, ALICE, rules);
        for (size_t i = 0; i < ELEMENTSOF(ids); i++)
                ids[i] = submit(world, (Ask){ .uid = ALICE, .cpus = 1 });
        other = submit(world, (Ask){ .uid = BOB, .cpus = 1 });
        assert_int_equal(settle(world), 3);
        assert_int_equal(core_find(world->core, other)->state, TASK_STATE_RUNNING);
        assert_int_equal(core_n_running_of(world->core, ALICE), 2);
        assert_why(
                world, ids[2], WAIT_REASON_MAX_RUNNING,
                "2 tasks of uid 1000 run or are about to, max_running_per_user allows 2 (task 1, task 2)");

        assert_int_equal(end(world, ids[0], TASK_STATE_DONE), 0);
        assert_int_equal(settle(world), 1);
        assert_int_equal(core_n_running_of(world->core, ALICE), 2);
        limit(world, ALICE, none());
        assert_int_equal(settle(world), 2);
}

static void test_an_array_is_bounded_too(_unused_ void **state) {
        WORLD(0);
        UserRules rules = none();

        rules.max_running = 3;
        limit(world, ALICE, rules);
        submit(world, (Ask){ .uid = ALICE, .array = "0-9" });
        assert_int_equal(settle(world), 3);
        assert_int_equal(core_n_running_of(world->core, ALICE), 3);
}

static void test_smaller_ones_go_on_and_what_is_taken_counts(_unused_ void **state) {
        WORLD(0);
        UserRules rules = none();
        uint64_t first, large, small;

        rules.max_memory_bytes = 20 * GIB;
        limit(world, ALICE, rules);
        first = start(world, (Ask){ .uid = ALICE, .memory_bytes = 10 * GIB });
        pass_time(world, 60 * SEC);
        large = submit(world, (Ask){ .uid = ALICE, .memory_bytes = 12 * GIB });
        small = submit(world, (Ask){ .uid = ALICE, .memory_bytes = 9 * GIB });
        assert_int_equal(start_next(world), small);
        assert_int_equal(start_next(world), 0);
        assert_why(
                world, large, WAIT_REASON_MAX_MEMORY,
                "needs 12G of RAM: max_memory_per_user allows uid 1000 20G in all, 19G used, 11G missing (task 1 has 10G, task 3 has 9G)");
        assert_int_equal(end(world, small, TASK_STATE_DONE), 0);
        assert_int_equal(start_next(world), 0);
        assert_int_equal(end(world, first, TASK_STATE_DONE), 0);
        assert_int_equal(start_next(world), large);
}

static void test_gpus_are_counted_and_weighed(_unused_ void **state) {
        WORLD(4);
        UserRules rules = none();
        uint64_t id;

        rules.max_gpus = 2;
        rules.max_gpu_memory_bytes = 30 * GIB;
        limit(world, ALICE, rules);
        start(world, (Ask){ .uid = ALICE, .gpu = { "any" } });
        id = submit(world, (Ask){ .uid = ALICE, .gpu = { "any" } });
        assert_int_equal(start_next(world), 0);
        assert_why(
                world, id, WAIT_REASON_MAX_GPU_MEMORY,
                "needs 24G on GPUs: max_gpu_memory_per_user allows uid 1000 30G in all, 24G used, 18G missing (task 1 has 24G)");
        start(world, (Ask){ .uid = ALICE, .gpu = { "any" }, .gpu_bytes = { 6 * GIB } });
        id = submit(world, (Ask){ .uid = ALICE, .gpu = { "3" }, .gpu_bytes = { GIB } });
        assert_int_equal(start_next(world), 0);
        assert_why(
                world, id, WAIT_REASON_MAX_GPUS,
                "needs 1 GPU: max_gpus_per_user allows uid 1000 2 in all, 2 used, 1 missing (task 1 has 1, task 3 has 1)");
}

/* Else the room would stand empty until others of its user have ended. */
static void test_no_room_is_kept_for_one_beyond_a_limit(_unused_ void **state) {
        Policy policy = world_policy();
        WORLD(0);
        UserRules rules = none();
        uint64_t own, beyond;

        policy.patience_us = 0;
        core_set_policy(world->core, &policy);
        rules.max_running = 1;
        limit(world, ALICE, rules);
        own = start(world, (Ask){ .uid = ALICE, .cpus = 4 });
        beyond = submit(world, (Ask){ .uid = ALICE, .cpus = 16 });
        submit(world, (Ask){ .uid = BOB, .cpus = 8 });
        assert_int_equal(settle(world), 1);
        assert_int_equal(core_find(world->core, beyond)->state, TASK_STATE_PENDING);
        assert_int_equal(end(world, own, TASK_STATE_DONE), 0);
        submit(world, (Ask){ .uid = CHUCK, .cpus = 8 });
        assert_int_equal(settle(world), 0);
        assert_int_equal(core_find(world->core, beyond)->state, TASK_STATE_PENDING);
}

static void assert_refused(const World *world, UserRules rules, Ask ask, const char *words) {
        Needs needs;
        Error error = {};

        needs_of(world, &ask, &needs);
        assert_int_equal(core_check_limits(world->core, &rules, &needs,
                                           ask.time_limit_us ? ask.time_limit_us : TASK_TIME_INF,
                                           &error),
                         words ? CORE_E_IMPOSSIBLE : 0);
        if (words)
                assert_string_equal(error.text, words);
        needs_done(&needs);
}

static void test_what_is_beyond_a_limit_alone_is_refused_with_its_name(_unused_ void **state) {
        WORLD(4);
        const Ask ask = { .memory_bytes = 20 * GIB, .gpu = { "any", "0" }, .gpu_bytes = { GIB } };
        UserRules rules = none();

        assert_refused(world, rules, ask, NULL);
        rules.max_time_us = 3600 * SEC;
        assert_refused(world, rules, ask,
                       "it has no time limit, but max_time is 1h: say with -t how long it may run");
        assert_refused(world, rules, (Ask){ .time_limit_us = 2 * HOUR },
                       "its time limit is 2h, but max_time is 1h");
        assert_refused(world, rules, (Ask){ .time_limit_us = HOUR }, NULL);

        rules = none();
        rules.max_gpu_memory_bytes = 25 * GIB;
        assert_refused(world, rules, ask, NULL);
        rules.max_gpu_memory_bytes--;
        assert_refused(world, rules, ask,
                       "it asks for 25G of memory on GPUs, but max_gpu_memory_per_user is 25G");
        rules.max_gpus = 1;
        assert_refused(world, rules, ask, "it asks for 2 GPUs, but max_gpus_per_user is 1");
        rules.max_memory_bytes = 19 * GIB;
        assert_refused(world, rules, ask, "it asks for 20G of RAM, but max_memory_per_user is 19G");
        rules.max_running = 0;
        assert_refused(world, rules, ask,
                       "max_running_per_user is 0: no task of this user may run");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_no_more_run_than_may),
                cmocka_unit_test(test_an_array_is_bounded_too),
                cmocka_unit_test(test_smaller_ones_go_on_and_what_is_taken_counts),
                cmocka_unit_test(test_gpus_are_counted_and_weighed),
                cmocka_unit_test(test_no_room_is_kept_for_one_beyond_a_limit),
                cmocka_unit_test(test_what_is_beyond_a_limit_alone_is_refused_with_its_name),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
