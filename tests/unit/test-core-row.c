/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Rows: who may be told in advance that it is next, and whose room it has
 */

#include "test-core-fixture.h"

/* Half of the machine: two run at once. */
static const Ask half = { .cpus = 8 };

/* Puts the next one behind the last of a row, and it is accepted. Return: its id; 0: there is none. */
static uint64_t line_up(World *world, uint64_t id) {
        Event event = world_event(world, EVENT_OFFERED, 0);
        PlanOffer next;

        if (!core_next_in_row(world->core, id, &next))
                return 0;
        if (next.index >= 0) {
                assert_int_equal(split(world, next.task_id, (uint32_t)next.index), 0);
                next.task_id = task_ref(next.task_id, next.index);
        }
        event.task_id = next.task_id;
        event.offered.behind = next.behind;
        assert_int_equal(core_apply(world->core, &event), 0);
        assert_int_equal(apply(world, EVENT_ACCEPTED, next.task_id), 0);
        return next.task_id;
}

static void test_each_has_the_room_of_the_one_before(_unused_ void **state) {
        WORLD(0);
        uint64_t a = start(world, half), b = start(world, half), c = submit(world, half);
        uint64_t d = submit(world, half), e = submit(world, half);

        assert_int_equal(start_next(world), 0);
        assert_int_equal(line_up(world, a), c);
        assert_int_equal(line_up(world, a), d);
        assert_int_equal(core_n_behind(world->core, a), 2);
        assert_int_equal(core_find_behind(world->core, c), d);

        /* nobody finds room while they stand there, and nobody is late for it */
        assert_int_equal(start_next(world), 0);
        assert_int_equal(end(world, a, TASK_STATE_DONE), 0);
        assert_false(core_is_behind(world->core, c));
        assert_true(core_is_behind(world->core, d));
        assert_int_equal(start_next(world), 0);
        assert_int_equal(end(world, b, TASK_STATE_DONE), 0);
        assert_int_equal(start_next(world), e);
        assert_int_equal(end(world, c, TASK_STATE_FAILED), 0);
        assert_int_equal(end(world, d, TASK_STATE_DONE), 0);
        assert_int_equal(end(world, e, TASK_STATE_DONE), 0);
        start(world, half);
        start(world, half);
        (void)submit(world, half);
        assert_int_equal(start_next(world), 0);
}

static void test_who_stands_behind_has_not_started(_unused_ void **state) {
        WORLD(0);
        uint64_t a = start(world, half), b = start(world, half), c = submit(world, half);
        const Task **tasks = NULL;
        CoreCounts counts;

        assert_int_equal(line_up(world, b), c);
        counts = core_counts(world->core);
        assert_int_equal(counts.running, 2);
        assert_int_equal(counts.pending, 1);
        assert_int_equal(core_list(world->core, &tasks), 3);
        assert_int_equal(tasks[0]->id, a);
        assert_int_equal(tasks[2]->id, c);
        free(tasks);

        pass_time(world, 7 * SEC);
        assert_int_equal(end(world, b, TASK_STATE_DONE), 0);
        assert_int_equal(core_find(world->core, c)->started_boot_us, world->now_us);
        assert_int_equal(core_counts(world->core).running, 2);
}

/* What is given back waits in its place, and who stood behind it moves up. */
static void test_one_that_is_given_back_leaves_the_row(_unused_ void **state) {
        WORLD(0);
        uint64_t a = start(world, (Ask){ .cpus = 16 }), b, c;

        b = submit(world, (Ask){ .cpus = 16 });
        c = submit(world, (Ask){ .cpus = 16 });
        assert_int_equal(line_up(world, a), b);
        assert_int_equal(line_up(world, a), c);
        assert_int_equal(apply(world, EVENT_OFFER_RETURNED, b), 0);
        assert_int_equal(core_find(world->core, b)->state, TASK_STATE_PENDING);
        assert_int_equal(core_find_behind(world->core, a), c);
        assert_int_equal(apply(world, EVENT_OFFER_RETURNED, c), 0);
        assert_int_equal(core_n_behind(world->core, a), 0);
        assert_int_equal(end(world, a, TASK_STATE_DONE), 0);
        assert_int_equal(start_next(world), b);
}

static void test_a_try_that_failed_lets_the_next_one_start(_unused_ void **state) {
        WORLD(0);
        uint64_t a = start(world, (Ask){ .cpus = 16, .retry_max = 1 });
        uint64_t b = submit(world, (Ask){ .cpus = 16 });

        assert_int_equal(line_up(world, a), b);
        assert_int_equal(end(world, a, TASK_STATE_FAILED), 0);
        assert_int_equal(core_find(world->core, a)->state, TASK_STATE_PENDING);
        assert_false(core_is_behind(world->core, b));
        assert_int_equal(start_next(world), 0);
        assert_int_equal(end(world, b, TASK_STATE_DONE), 0);
        assert_int_equal(start_next(world), a);
}

static void test_only_equals_stand_in_a_row(_unused_ void **state) {
        static const Ask others[] = {
                { .cpus = 16, .priority = 200 },   { .cpus = 15 },
                { .cpus = 16, .memory_bytes = 1 }, { .cpus = 16, .uid = BOB },
                { .cpus = 16, .gpu = { "0" } },
        };

        for (size_t i = 0; i < ELEMENTSOF(others); i++) {
                WORLD(1);
                uint64_t a = start(world, (Ask){ .cpus = 16 });

                submit(world, others[i]);
                assert_int_equal(line_up(world, a), 0);
                submit(world, (Ask){ .cpus = 16 }); /* it may not be the next one */
                assert_int_equal(line_up(world, a), 0);
        }
}

static void test_what_is_measured_stands_in_no_row(_unused_ void **state) {
        WORLD(0);
        uint64_t a = start(world, (Ask){ .cpus = 16, .memory_bytes = GIB });

        submit(world, (Ask){ .cpus = 16, .memory_bytes = GIB });
        assert_int_equal(line_up(world, a), 0);
}

static void test_who_may_not_start_stands_in_no_row(_unused_ void **state) {
        WORLD(0);
        uint64_t a = start(world, (Ask){ .cpus = 16 }), b = submit(world, (Ask){ .cpus = 16 });
        Drain drain = { .on = true };
        Event event = world_event(world, EVENT_DRAINED, 0);

        assert_int_equal(apply(world, EVENT_RUNNER_AWAY, b), 0);
        assert_int_equal(line_up(world, a), 0);
        assert_int_equal(apply(world, EVENT_RUNNER_BACK, b), 0);
        assert_int_equal(apply(world, EVENT_HELD, b), 0);
        assert_int_equal(line_up(world, a), 0);
        assert_int_equal(apply(world, EVENT_RELEASED, b), 0);
        event.drain = &drain;
        assert_int_equal(core_apply(world->core, &event), 0);
        assert_int_equal(line_up(world, a), 0);
        drain.on = false;
        assert_int_equal(core_apply(world->core, &event), 0);
        assert_int_equal(line_up(world, a), b);
        assert_int_equal(line_up(world, a), 0);
        assert_int_equal(line_up(world, 4711), 0);
}

static void test_elements_stand_in_a_row_up_to_the_limit_of_their_array(_unused_ void **state) {
        WORLD(0);
        uint64_t array = submit(world, (Ask){ .cpus = 16, .array = "0-9", .limit = 3 });

        assert_int_equal(start_next(world), task_ref(array, 0));
        assert_int_equal(line_up(world, task_ref(array, 0)), task_ref(array, 1));
        assert_int_equal(line_up(world, task_ref(array, 0)), task_ref(array, 2));
        assert_int_equal(line_up(world, task_ref(array, 0)), 0);
        assert_int_equal(end(world, task_ref(array, 0), TASK_STATE_DONE), 0);
        assert_int_equal(line_up(world, task_ref(array, 1)), task_ref(array, 3));
}

static void test_a_row_that_makes_no_sense_is_refused(_unused_ void **state) {
        WORLD(0);
        uint64_t a = start(world, half), b = start(world, half), c = submit(world, half);
        uint64_t d = submit(world, half);
        Event event = world_event(world, EVENT_OFFERED, d);

        assert_int_equal(line_up(world, a), c);
        event.offered.behind = a; /* somebody stands there */
        assert_int_equal(core_apply(world->core, &event), CORE_E_ILLEGAL);
        event.offered.behind = d;
        assert_int_equal(core_apply(world->core, &event), CORE_E_ILLEGAL);
        event.offered.behind = 4711;
        assert_int_equal(core_apply(world->core, &event), CORE_E_ILLEGAL);
        event.offered.behind = b;
        assert_int_equal(core_apply(world->core, &event), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_each_has_the_room_of_the_one_before),
                cmocka_unit_test(test_who_stands_behind_has_not_started),
                cmocka_unit_test(test_one_that_is_given_back_leaves_the_row),
                cmocka_unit_test(test_a_try_that_failed_lets_the_next_one_start),
                cmocka_unit_test(test_only_equals_stand_in_a_row),
                cmocka_unit_test(test_what_is_measured_stands_in_no_row),
                cmocka_unit_test(test_who_may_not_start_stands_in_no_row),
                cmocka_unit_test(test_elements_stand_in_a_row_up_to_the_limit_of_their_array),
                cmocka_unit_test(test_a_row_that_makes_no_sense_is_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
