/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * How long tasks take, by what runs before took
 */

#include "core/expect.h"
#include "core/signature.h"
#include "core/table.h"

#include "test-core-fixture.h"

static const Ask train = { .command = "train big", .memory_bytes = GIB };
static const Ask render = { .command = "render it", .memory_bytes = GIB };

/* One run of it, that ends so. */
static void play(World *world, Ask ask, uint64_t takes_s, TaskState state) {
        uint64_t id = start(world, ask);

        pass_time(world, takes_s * SEC);
        assert_int_equal(end(world, id, state), 0);
        core_forget(world->core, id);
}

static bool find_span(const World *world, uint64_t id, ExpectSpan *ret) {
        return expect_span(world->core, table_find(world->core, id), world->now_us, ret);
}

static void assert_span(const World *world,
                        uint64_t id,
                        uint64_t lower_s,
                        uint64_t middle_s,
                        uint64_t upper_s) {
        ExpectSpan span = {};

        assert_true(find_span(world, id, &span));
        assert_int_equal(span.lower_us, lower_s * SEC);
        assert_int_equal(span.middle_us, middle_s * SEC);
        assert_int_equal(span.upper_us, upper_s * SEC);
}

static int tell(World *world, Ask ask, unsigned n, const uint64_t *durations_s) {
        Event event = world_event(world, EVENT_LEARNED, 0);
        Task *task = task_of(world, &ask);

        event.learned.uid = task->uid;
        event.learned.signature = signature_of(task, NULL);
        event.learned.n_runs = n;
        for (unsigned i = 0; i < MIN(n, (unsigned)CORE_RUNS_MAX); i++)
                event.learned.durations_us[i] = durations_s[i] * SEC;
        task_free(task);
        return core_apply(world->core, &event);
}

static void test_nothing_is_known_at_first(_unused_ void **state) {
        WORLD(0);
        uint64_t id = submit(world, train);
        ExpectSpan span;

        assert_false(find_span(world, id, &span));
}

static void test_a_limit_is_known(_unused_ void **state) {
        WORLD(0);
        uint64_t id = submit(world, (Ask){ .time_limit_us = 100 * SEC });
        ExpectSpan span;

        assert_span(world, id, 0, 100, 100);
        assert_true(find_span(world, id, &span));
        assert_int_equal(span.n_runs, 0);
        assert_int_equal(start_next(world), id);
        pass_time(world, 30 * SEC);
        assert_span(world, id, 0, 70, 70);
        pass_time(world, 100 * SEC); /* it is being ended */
        assert_span(world, id, 0, 0, 0);
}

static void test_runs_before_tell(_unused_ void **state) {
        WORLD(0);
        Ask limited = train;
        ExpectSpan span;
        uint64_t id;

        play(world, train, 300, TASK_STATE_DONE);
        play(world, train, 100, TASK_STATE_DONE);
        play(world, train, 200, TASK_STATE_DONE);
        id = submit(world, train);
        assert_span(world, id, 100, 200, 300);
        assert_true(find_span(world, id, &span));
        assert_int_equal(span.n_runs, 3);
        assert_true(span.of_same);

        limited.time_limit_us = 150 * SEC;
        assert_span(world, submit(world, limited), 100, 150, 150);
}

static void test_only_what_ends_well_tells(_unused_ void **state) {
        static const TaskState ends[] = { TASK_STATE_FAILED, TASK_STATE_CANCELLED,
                                          TASK_STATE_TIMEOUT, TASK_STATE_LOST };
        WORLD(0);
        ExpectSpan span;
        uint64_t id;

        for (size_t i = 0; i < ELEMENTSOF(ends); i++)
                play(world, train, 100, ends[i]);
        id = submit(world, train);
        assert_false(find_span(world, id, &span));
}

/* Nobody knows when it did. */
static void test_a_late_status_does_not_tell(_unused_ void **state) {
        WORLD(0);
        uint64_t id = start(world, train);
        ExpectSpan span;

        pass_time(world, 10 * SEC);
        assert_int_equal(end(world, id, TASK_STATE_LOST), 0);
        pass_time(world, 10000 * SEC);
        assert_int_equal(end(world, id, TASK_STATE_DONE), 0);
        assert_false(find_span(world, submit(world, train), &span));
}

static void test_the_last_ten_count(_unused_ void **state) {
        WORLD(0);
        ExpectSpan span;
        uint64_t id;

        play(world, train, 9999, TASK_STATE_DONE);
        play(world, train, 1, TASK_STATE_DONE);
        for (unsigned i = 0; i < CORE_RUNS_MAX; i++)
                play(world, train, 100 + i, TASK_STATE_DONE);
        id = submit(world, train);
        assert_span(world, id, 100, 104, 109);
        assert_true(find_span(world, id, &span));
        assert_int_equal(span.n_runs, CORE_RUNS_MAX);
}

static void test_what_is_new_takes_what_its_user_runs(_unused_ void **state) {
        WORLD(0);
        Ask of_bob = train;
        ExpectSpan span;
        uint64_t id;

        of_bob.uid = BOB;
        play(world, train, 100, TASK_STATE_DONE);
        play(world, train, 200, TASK_STATE_DONE);
        id = submit(world, render);
        assert_span(world, id, 100, 100, 200);
        assert_true(find_span(world, id, &span));
        assert_false(span.of_same);
        assert_false(find_span(world, submit(world, of_bob), &span));
}

static void test_elements_are_runs_of_their_array(_unused_ void **state) {
        WORLD(0);
        Ask sweep = train;
        uint64_t id;

        sweep.array = "0-1";
        id = submit(world, sweep);
        assert_int_equal(start_next(world), task_ref(id, 0));
        pass_time(world, 50 * SEC);
        assert_int_equal(end(world, task_ref(id, 0), TASK_STATE_DONE), 0);
        assert_span(world, id, 50, 50, 50);
        assert_span(world, submit(world, train), 50, 50, 50);
}

static void test_what_runs_takes_longer_than_what_was_over_by_now(_unused_ void **state) {
        WORLD(0);
        uint64_t id;

        play(world, train, 100, TASK_STATE_DONE);
        play(world, train, 200, TASK_STATE_DONE);
        play(world, train, 400, TASK_STATE_DONE);
        id = start(world, train);
        assert_span(world, id, 100, 200, 400);
        pass_time(world, 50 * SEC);
        assert_span(world, id, 50, 150, 350);
        pass_time(world, 50 * SEC);
        assert_span(world, id, 100, 100, 300);
        pass_time(world, 200 * SEC);
        assert_span(world, id, 100, 100, 100);
}

static void test_what_outlived_all_is_thought_to_take_twice_as_long(_unused_ void **state) {
        WORLD(0);
        uint64_t id;

        play(world, train, 100, TASK_STATE_DONE);
        id = start(world, train);
        pass_time(world, 100 * SEC);
        assert_span(world, id, 0, 50, 100);
        pass_time(world, 100 * SEC);
        assert_span(world, id, 0, 100, 200);
        pass_time(world, 350 * SEC);
        assert_span(world, id, 0, 125, 250);
}

static void test_records_tell_what_was_before(_unused_ void **state) {
        static const uint64_t before[] = { 300, 100, 200 };
        static const uint64_t many[CORE_RUNS_MAX] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 };
        WORLD(0);
        uint64_t id = submit(world, train), other = submit(world, render);

        assert_int_not_equal(core_find_unlearned(world->core, id), 0);
        assert_int_equal(tell(world, train, ELEMENTSOF(before), before), 0);
        assert_int_equal(core_find_unlearned(world->core, id), 0);
        assert_span(world, id, 100, 200, 300);

        /* that there was nothing is told once as well */
        assert_int_not_equal(core_find_unlearned(world->core, other), 0);
        assert_int_equal(tell(world, render, 0, NULL), 0);
        assert_int_equal(core_find_unlearned(world->core, other), 0);
        assert_span(world, other, 100, 200, 300); /* what its user ran */
        assert_int_equal(core_find_unlearned(world->core, 12345), 0);

        assert_int_equal(tell(world, train, CORE_RUNS_MAX + 1, many), CORE_E_ILLEGAL);
}

static void test_what_was_told_is_followed_by_what_is_seen(_unused_ void **state) {
        static const uint64_t before[CORE_RUNS_MAX] = { 900, 1, 2, 3, 4, 5, 6, 7, 8, 9 };
        WORLD(0);

        assert_int_equal(tell(world, train, CORE_RUNS_MAX, before), 0);
        play(world, train, 20, TASK_STATE_DONE);
        assert_span(world, submit(world, train), 1, 5, 20);
}

static void test_there_is_a_bound_to_what_is_known(_unused_ void **state) {
        static const uint64_t minute = 60;
        WORLD(0);
        uint64_t first = submit(world, train), last = 0;

        assert_int_equal(tell(world, train, 1, &minute), 0);
        for (unsigned i = 0; i < CORE_EXPERIENCES_MAX; i++) {
                char command[32];
                Ask ask = { .command = command };

                (void)snprintf(command, sizeof(command), "program-%u", i);
                if (i + 1 == CORE_EXPERIENCES_MAX)
                        last = submit(world, ask);
                assert_int_equal(tell(world, ask, 1, &minute), 0);
        }
        assert_int_not_equal(core_find_unlearned(world->core, first), 0);
        assert_int_equal(core_find_unlearned(world->core, last), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_nothing_is_known_at_first),
                cmocka_unit_test(test_a_limit_is_known),
                cmocka_unit_test(test_runs_before_tell),
                cmocka_unit_test(test_only_what_ends_well_tells),
                cmocka_unit_test(test_a_late_status_does_not_tell),
                cmocka_unit_test(test_the_last_ten_count),
                cmocka_unit_test(test_what_is_new_takes_what_its_user_runs),
                cmocka_unit_test(test_elements_are_runs_of_their_array),
                cmocka_unit_test(test_what_runs_takes_longer_than_what_was_over_by_now),
                cmocka_unit_test(test_what_outlived_all_is_thought_to_take_twice_as_long),
                cmocka_unit_test(test_records_tell_what_was_before),
                cmocka_unit_test(test_what_was_told_is_followed_by_what_is_seen),
                cmocka_unit_test(test_there_is_a_bound_to_what_is_known),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
