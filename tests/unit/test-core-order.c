/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Who goes first
 */

#include "core/order.h"

#include "test-core-fixture.h"

/* The ids of those who wait, in order, as text: "3 1 2". */
static const char *waiting(const World *world, char *buf, size_t n) {
        const Task **tasks;
        ssize_t n_tasks = core_list(world->core, &tasks);
        size_t at = 0;

        buf[0] = '\0';
        for (ssize_t i = 0; i < n_tasks; i++)
                if (tasks[i]->state == TASK_STATE_PENDING)
                        at += (size_t)snprintf(buf + at, n - at, "%s%llu", at > 0 ? " " : "",
                                               (unsigned long long)tasks[i]->id);
        free(tasks);
        return buf;
}

#define assert_waiting(world, want)                                            \
        do {                                                                   \
                char _buf[256];                                                \
                assert_string_equal(waiting(world, _buf, sizeof(_buf)), want); \
        } while (0)

#define FIFO_WORLD()                                \
        _cleanup_(world_done) World own_world = {}; \
        World *world = &own_world;                  \
        fifo_setup(world)

static void fifo_setup(World *world) {
        Policy policy = world_policy();

        policy.order_fifo = true;
        world_init(world, &policy, 0);
}

static void test_first_come_first_served(_unused_ void **state) {
        FIFO_WORLD();

        submit(world, (Ask){ .uid = ALICE, .memory_bytes = 3 });
        submit(world, (Ask){ .uid = BOB, .memory_bytes = 2 });
        submit(world, (Ask){ .uid = ALICE, .memory_bytes = 1 });
        submit(world, (Ask){ .uid = BOB, .memory_bytes = 2 });
        assert_waiting(world, "1 2 3 4");
}

/* With turns, which move with each task; among one user's own it is first come, first served. */
static void test_turns_are_taken(_unused_ void **state) {
        WORLD(0);

        for (int i = 0; i < 4; i++)
                submit(world, (Ask){ .uid = ALICE, .memory_bytes = 2 * GIB });
        submit(world, (Ask){ .uid = BOB, .memory_bytes = 2 * GIB });
        submit(world, (Ask){ .uid = CHUCK, .memory_bytes = GIB });
        submit(world, (Ask){ .uid = CHUCK, .memory_bytes = 3 * GIB });
        submit(world, (Ask){ .uid = BOB, .memory_bytes = 2 * GIB });
        assert_waiting(world, "1 5 6 7 2 8 3 4");
}

static void test_priority_goes_before_time(_unused_ void **state) {
        WORLD(0);

        submit(world, (Ask){ .priority = LOWEST });
        submit(world, (Ask){ .priority = 50 });
        submit(world, (Ask){ .uid = BOB, .priority = 60 });
        submit(world, (Ask){ .priority = 100 });
        assert_waiting(world, "4 3 2 1");
}

static void test_between_users_priority_counts_up_to_the_limit(_unused_ void **state) {
        WORLD(0);

        submit(world, (Ask){ .uid = BOB });
        submit(world, (Ask){ .uid = ALICE });
        submit(world, (Ask){ .uid = ALICE, .priority = 200 });
        /* Alice prefers 3 to 2, but it does not go before Bob's. */
        assert_waiting(world, "1 3 2");
}

static void test_the_limit_is_a_setting(_unused_ void **state) {
        Policy policy = world_policy();
        WORLD(0);

        policy.priority_limit = 200;
        core_set_policy(world->core, &policy);
        submit(world, (Ask){ .uid = BOB });
        submit(world, (Ask){ .uid = ALICE, .priority = 200 });
        assert_waiting(world, "2 1");
        policy.priority_limit = 0;
        core_set_policy(world->core, &policy);
        assert_waiting(world, "1 2");
}

static void test_waiting_raises_the_priority_between_users(_unused_ void **state) {
        WORLD(0);

        submit(world, (Ask){ .uid = BOB, .priority = 98 });
        pass_time(world, 2 * HOUR - 1);
        submit(world, (Ask){ .uid = ALICE });
        look(world);
        assert_waiting(world, "2 1");
        pass_time(world, 1);
        look(world); /* two hours: 98 counts as 100, and it came first */
        assert_waiting(world, "1 2");
}

static void test_waiting_never_raises_beyond_the_limit(_unused_ void **state) {
        Policy policy = policy_default();

        assert_int_equal(order_priority(&policy, 98, 0, UINT64_MAX), 100);
        assert_int_equal(order_priority(&policy, 200, 0, 0), 100);
        assert_int_equal(order_priority(&policy, 0, 5, 4), 0);
        assert_int_equal(order_priority(&policy, 0, 0, 99 * HOUR), 99);
        policy.priority_age_us = TASK_TIME_INF;
        assert_int_equal(order_priority(&policy, 98, 0, UINT64_MAX), 98);
        policy.priority_age_us = 0;
        assert_int_equal(order_priority(&policy, 98, 0, UINT64_MAX), 98);
        policy.priority_limit = 0;
        assert_int_equal(order_priority(&policy, 98, 0, UINT64_MAX), 0);
}

static void test_among_one_s_own_waiting_raises_nothing(_unused_ void **state) {
        WORLD(0);

        submit(world, (Ask){ .priority = 98 });
        pass_time(world, 1000 * HOUR);
        submit(world, (Ask){ .priority = 99 });
        look(world);
        assert_waiting(world, "2 1");
}

/* Else an old task that can't start would carry all new ones of its user to the front. */
static void test_nobody_gains_by_what_stands_behind(_unused_ void **state) {
        WORLD(0);

        submit(world, (Ask){ .uid = ALICE, .priority = 50 });
        pass_time(world, 100 * HOUR);
        submit(world, (Ask){ .uid = BOB, .priority = 80 });
        submit(world, (Ask){ .uid = ALICE, .priority = 60 });
        look(world);
        assert_waiting(world, "2 3 1");
}

static void test_a_hold_keeps_the_place(_unused_ void **state) {
        WORLD(0);

        for (int i = 0; i < 3; i++)
                submit(world, (Ask){ .memory_bytes = 1 });
        assert_int_equal(apply(world, EVENT_HELD, 2), 0);
        assert_waiting(world, "1 3");
        assert_int_equal(apply(world, EVENT_RELEASED, 2), 0);
        assert_waiting(world, "1 2 3");
        assert_int_equal(apply(world, EVENT_HELD, 1), 0);
        assert_int_equal(apply(world, EVENT_RELEASED, 1), 0);
        assert_waiting(world, "1 2 3");
}

static void test_those_passed_over_are_listed_last(_unused_ void **state) {
        WORLD(0);

        for (int i = 0; i < 4; i++)
                submit(world, (Ask){ .memory_bytes = 1 });
        assert_int_equal(apply(world, EVENT_RUNNER_AWAY, 3), 0);
        assert_int_equal(apply(world, EVENT_RUNNER_AWAY, 1), 0);
        assert_waiting(world, "2 4 1 3");
}

static void test_an_update_moves_a_task(_unused_ void **state) {
        WORLD(0);
        Event event;

        for (int i = 0; i < 3; i++)
                submit(world, (Ask){ .memory_bytes = 1 });
        event = world_event(world, EVENT_UPDATED, 3);
        event.updated.priority = 101;
        assert_int_equal(core_apply(world->core, &event), 0);
        assert_waiting(world, "3 1 2");
        event.updated.priority = 99;
        assert_int_equal(core_apply(world->core, &event), 0);
        assert_waiting(world, "1 2 3");
}

static void test_the_list_has_the_running_first_and_the_ended_last(_unused_ void **state) {
        static const TaskState want[] = { TASK_STATE_RUNNING, TASK_STATE_RUNNING,
                                          TASK_STATE_PENDING, TASK_STATE_PENDING,
                                          TASK_STATE_HELD,    TASK_STATE_CANCELLED };
        static const uint64_t ids[] = { 2, 6, 4, 3, 1, 5 };
        WORLD(0);
        const Task **tasks;

        submit(world, (Ask){ .state = TASK_STATE_HELD });
        assert_int_equal(start(world, (Ask){}), 2);
        submit(world, (Ask){ .memory_bytes = 1000 * KIB });
        submit(world, (Ask){ .memory_bytes = 1000 * KIB });
        submit(world, (Ask){});
        assert_int_equal(apply(world, EVENT_WITHDRAWN, 5), 0);
        assert_int_equal(apply(world, EVENT_RUNNER_AWAY, 3), 0);
        look(world);
        assert_int_equal(offer_next(world), 4);
        pass_time(world, SEC);
        assert_int_equal(start(world, (Ask){}), 6);

        assert_int_equal(core_list(world->core, &tasks), 6);
        for (size_t i = 0; i < ELEMENTSOF(ids); i++) {
                assert_int_equal(tasks[i]->id, ids[i]);
                assert_int_equal(tasks[i]->state, want[i]);
        }
        free(tasks);
}

/* What one user has, in the order of the whole list, whatever the others have in between. */
static void test_the_list_of_one_user_is_a_part_of_the_whole(_unused_ void **state) {
        static const uid_t uids[] = { ALICE, BOB, CHUCK };
        WORLD(0);
        const Task **all, **own;

        for (unsigned i = 0; i < 60; i++)
                submit(world,
                       (Ask){ .uid = uids[i * 7 % 3],
                              .memory_bytes = i % 4 * GIB,
                              .state = i % 11 == 10 ? TASK_STATE_HELD : TASK_STATE_PENDING });
        for (int i = 0; i < 5; i++)
                (void)offer_next(world);

        for (size_t i = 0; i < ELEMENTSOF(uids); i++) {
                ssize_t n_all = core_list(world->core, &all),
                        n_own = core_list_of(world->core, uids[i], &own), n = 0;

                for (ssize_t k = 0; k < n_all; k++)
                        if (all[k]->uid == uids[i])
                                assert_int_equal(own[n++]->id, all[k]->id);
                assert_int_equal(n_own, n);
                assert_int_equal(n, 20);
                free(all);
                free(own);
        }
        assert_int_equal(core_list_of(world->core, 4711, &own), 0);
        free(own);
}

static void test_a_class_keeps_its_order_through_any_coming_and_going(_unused_ void **state) {
        WORLD(0);
        uint64_t seed = 7;
        bool held[201] = {};

        for (int i = 0; i < 200; i++)
                submit(world, (Ask){ .memory_bytes = 1 });

        for (int round = 0; round < 5000; round++) {
                uint64_t id, last = 0;
                const Task **tasks;
                ssize_t n;

                seed = seed * 6364136223846793005 + 1442695040888963407;
                id = 1 + (seed >> 33) % 200;
                assert_int_equal(apply(world, held[id] ? EVENT_RELEASED : EVENT_HELD, id), 0);
                held[id] = !held[id];
                if (round % 50 != 0)
                        continue;
                n = core_list(world->core, &tasks);
                assert_int_equal(n, 200);
                for (ssize_t i = 0; i < n && tasks[i]->state == TASK_STATE_PENDING; i++) {
                        assert_true(tasks[i]->id > last);
                        assert_false(held[tasks[i]->id]);
                        last = tasks[i]->id;
                }
                free(tasks);
        }
}

/* Random tasks of random users: the place that `why` tells is the place in the list. */
static void test_the_place_is_that_in_the_list(_unused_ void **state) {
        static Explain explain;
        uint64_t seed = 99;

        for (int round = 0; round < 40; round++) {
                WORLD(0);
                const Task **tasks;
                ssize_t n;

                for (int i = 0; i < 60; i++) {
                        seed = seed * 6364136223846793005 + 1442695040888963407;
                        submit(world, (Ask){ .uid = ALICE + (uid_t)(seed >> 33) % 4,
                                             .priority = 1 + (unsigned)(seed >> 40) % 130,
                                             .memory_bytes = 1 + (seed >> 50) % 3 });
                        pass_time(world, ((seed >> 20) % 4) * HOUR);
                }
                look(world);
                n = core_list(world->core, &tasks);
                for (ssize_t i = 0; i < n; i++) {
                        assert_int_equal(core_explain(world->core, tasks[i]->id, world->now_us,
                                                      &explain),
                                         0);
                        assert_int_equal(explain.place, i + 1);
                }
                free(tasks);
        }
}

/* The pass and the list agree: with room for one at a time, they start as they are listed. */
static void test_they_start_in_the_order_of_the_list(_unused_ void **state) {
        uint64_t seed = 5;
        FIFO_WORLD();
        const Task **tasks;
        ssize_t n;

        for (int i = 0; i < 80; i++) {
                seed = seed * 6364136223846793005 + 1442695040888963407;
                submit(world, (Ask){ .uid = ALICE + (uid_t)(seed >> 33) % 3,
                                     .priority = 1 + (unsigned)(seed >> 40) % 150,
                                     .memory_bytes = (60 + (seed >> 50) % 9) * GIB });
        }
        n = core_list(world->core, &tasks);
        assert_int_equal(n, 80);
        for (ssize_t i = 0; i < n; i++) {
                uint64_t id = tasks[i]->id;

                assert_int_equal(start_next(world), id);
                assert_int_equal(start_next(world), 0);
                assert_int_equal(end(world, id, TASK_STATE_DONE), 0);
        }
        free(tasks);
}

/* With turns, too, as long as what has started goes on. */
static void test_they_take_turns_as_they_are_listed(_unused_ void **state) {
        uint64_t seed = 6;
        WORLD(0);
        const Task **tasks;
        ssize_t n;

        for (int i = 0; i < 80; i++) {
                seed = seed * 6364136223846793005 + 1442695040888963407;
                submit(world, (Ask){ .uid = ALICE + (uid_t)(seed >> 33) % 3,
                                     .priority = 1 + (unsigned)(seed >> 40) % 150,
                                     .memory_bytes = (100 + (seed >> 50) % 900) * MIB });
        }
        n = core_list(world->core, &tasks);
        assert_int_equal(n, 80);
        for (ssize_t i = 0; i < n; i++)
                assert_int_equal(start_next(world), tasks[i]->id);
        free(tasks);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_first_come_first_served),
                cmocka_unit_test(test_turns_are_taken),
                cmocka_unit_test(test_priority_goes_before_time),
                cmocka_unit_test(test_between_users_priority_counts_up_to_the_limit),
                cmocka_unit_test(test_the_limit_is_a_setting),
                cmocka_unit_test(test_waiting_raises_the_priority_between_users),
                cmocka_unit_test(test_waiting_never_raises_beyond_the_limit),
                cmocka_unit_test(test_among_one_s_own_waiting_raises_nothing),
                cmocka_unit_test(test_nobody_gains_by_what_stands_behind),
                cmocka_unit_test(test_a_hold_keeps_the_place),
                cmocka_unit_test(test_those_passed_over_are_listed_last),
                cmocka_unit_test(test_an_update_moves_a_task),
                cmocka_unit_test(test_the_list_has_the_running_first_and_the_ended_last),
                cmocka_unit_test(test_the_list_of_one_user_is_a_part_of_the_whole),
                cmocka_unit_test(test_a_class_keeps_its_order_through_any_coming_and_going),
                cmocka_unit_test(test_the_place_is_that_in_the_list),
                cmocka_unit_test(test_they_start_in_the_order_of_the_list),
                cmocka_unit_test(test_they_take_turns_as_they_are_listed),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
