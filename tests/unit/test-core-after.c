/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Waiting for the end of others
 */

#include "test-core-fixture.h"

static uint64_t doomed(const World *world, char reason[static 200]) {
        return core_next_doomed(world->core, reason, 200);
}

#define assert_doomed(world, id, text)                       \
        do {                                                 \
                char _reason[200] = "";                      \
                assert_true(doomed(world, _reason) == (id)); \
                assert_string_equal(_reason, text);          \
        } while (0)

static void test_a_task_starts_when_those_it_waits_for_have_succeeded(_unused_ void **state) {
        WORLD(1);
        uint64_t a = start(world, (Ask){}), b = start(world, (Ask){});
        uint64_t id = submit(world, (Ask){ .after = { a, b }, .gpu = { "0" } });
        const Task *task = core_find(world->core, id);

        assert_int_equal(task->state, TASK_STATE_PENDING);
        assert_int_equal(task->n_after, 2);
        assert_false(core_is_waiting(world->core)); /* the daemon sleeps */
        assert_false(core_uses_gpus(world->core));
        assert_int_equal(core_counts(world->core).pending, 1);
        assert_int_equal(core_n_waiting_of(world->core, ALICE), 1);
        assert_int_equal(start_all(world), 0);

        assert_int_equal(end(world, a, TASK_STATE_DONE), 0);
        assert_int_equal(task->n_after, 1);
        assert_true(task->after[0].id == b);
        assert_false(core_is_waiting(world->core));
        pass_time(world, 5 * SEC);
        assert_int_equal(end(world, b, TASK_STATE_DONE), 0);
        assert_int_equal(task->n_after, 0);
        assert_null(task->after);
        assert_true(task->queued_boot_us == world->now_us);
        assert_true(core_is_waiting(world->core));
        assert_true(core_uses_gpus(world->core));
        assert_int_equal(start_next(world), id);
}

static void test_it_comes_into_its_place_by_id(_unused_ void **state) {
        WORLD(0);
        uint64_t a = start(world, (Ask){ .memory_bytes = GIB });
        uint64_t id = submit(world, (Ask){ .after = { a }, .memory_bytes = GIB });
        uint64_t later = submit(world, (Ask){ .memory_bytes = GIB });

        assert_int_equal(end(world, a, TASK_STATE_DONE), 0);
        assert_int_equal(start_next(world), id);
        assert_int_equal(start_next(world), later);
}

static void test_what_fails_dooms_those_that_want_success(_unused_ void **state) {
        static const struct {
                TaskState end;
                const char *text;
        } cases[] = {
                { TASK_STATE_FAILED, "task 1, which it was to wait for, failed" },
                { TASK_STATE_CANCELLED, "task 1, which it was to wait for, was cancelled" },
                { TASK_STATE_TIMEOUT, "task 1, which it was to wait for, ran out of time" },
                { TASK_STATE_LOST, "task 1, which it was to wait for, was lost" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                WORLD(0);
                uint64_t a = start(world, (Ask){});
                uint64_t id = submit(world, (Ask){ .after = { a } });
                uint64_t any = submit(world, (Ask){ .any = { a } });

                assert_doomed(world, 0, "");
                assert_int_equal(end(world, a, cases[i].end), 0);
                assert_doomed(world, id, cases[i].text);
                core_forget(world->core, a);
                assert_doomed(world, id, cases[i].text); /* also when that one is forgotten */
                assert_int_equal(start_next(world), any);
                assert_int_equal(apply(world, EVENT_WITHDRAWN, id), 0);
                assert_doomed(world, 0, "");
        }
}

static void test_a_withdrawn_task_dooms_in_turn(_unused_ void **state) {
        WORLD(0);
        uint64_t a = submit(world, (Ask){});
        uint64_t b = submit(world, (Ask){ .after = { a }, .state = TASK_STATE_HELD });
        uint64_t c = submit(world, (Ask){ .after = { b } });

        assert_int_equal(apply(world, EVENT_WITHDRAWN, a), 0);
        assert_doomed(world, b, "task 1, which it was to wait for, was cancelled");
        assert_int_equal(apply(world, EVENT_WITHDRAWN, b), 0);
        assert_doomed(world, c, "task 2, which it was to wait for, was cancelled");
        assert_int_equal(apply(world, EVENT_WITHDRAWN, c), 0);
        assert_doomed(world, 0, "");
}

static void test_what_is_over_when_it_comes_is_judged_at_once(_unused_ void **state) {
        WORLD(0);
        uint64_t good = start(world, (Ask){}), bad = start(world, (Ask){}), id;

        assert_int_equal(end(world, good, TASK_STATE_DONE), 0);
        assert_int_equal(end(world, bad, TASK_STATE_FAILED), 0);
        id = submit(world, (Ask){ .after = { good }, .any = { bad } });
        assert_int_equal(core_find(world->core, id)->n_after, 0);
        assert_int_equal(start_next(world), id);
        id = submit(world, (Ask){ .after = { good, bad } });
        assert_doomed(world, id, "task 2, which it was to wait for, failed");
        assert_int_equal(core_find(world->core, id)->n_after, 1);
}

static void test_only_tasks_that_are_there_can_be_waited_for(_unused_ void **state) {
        WORLD(0);
        uint64_t a = start(world, (Ask){}), array = submit(world, (Ask){ .array = "0-3" });

        assert_int_equal(split(world, array, 0), 0);
        assert_int_equal(try_submit(world, (Ask){ .after = { 99 } }), CORE_E_ILLEGAL);
        assert_int_equal(try_submit(world, (Ask){ .after = { a }, .any = { 99 } }), CORE_E_ILLEGAL);
        assert_int_equal(try_submit(world, (Ask){ .after = { task_ref(array, 0) } }),
                         CORE_E_ILLEGAL);
        assert_int_equal(try_submit(world, (Ask){ .after = { world->last_id + 1 } }),
                         CORE_E_ILLEGAL); /* itself */
        assert_int_equal(core_counts(world->core).pending, 4);
        assert_int_equal(end(world, a, TASK_STATE_DONE), 0);
        core_forget(world->core, a);
        assert_int_equal(try_submit(world, (Ask){ .after = { a } }), CORE_E_ILLEGAL);
}

static void test_a_running_task_waits_for_nothing(_unused_ void **state) {
        WORLD(0);
        Event event = world_event(world, EVENT_SUBMITTED, 0);
        Ask ask = { .after = { 99 }, .state = TASK_STATE_RUNNING };

        event.submitted = task_of(world, &ask);
        assert_int_equal(core_apply(world->core, &event), 0);
        assert_int_equal(core_find(world->core, 1)->n_after, 0);
}

static void test_one_task_may_be_named_twice(_unused_ void **state) {
        WORLD(0);
        uint64_t a = start(world, (Ask){});
        uint64_t id = submit(world, (Ask){ .after = { a, a }, .any = { a, a } });

        assert_int_equal(core_find(world->core, id)->n_after, 4);
        assert_int_equal(end(world, a, TASK_STATE_DONE), 0);
        assert_int_equal(core_find(world->core, id)->n_after, 0);
        assert_int_equal(start_next(world), id);
}

static void test_a_held_task_is_released_into_its_wait(_unused_ void **state) {
        WORLD(0);
        uint64_t a = start(world, (Ask){});
        uint64_t id = submit(world, (Ask){ .after = { a }, .state = TASK_STATE_HELD });

        assert_int_equal(apply(world, EVENT_RELEASED, id), 0);
        assert_int_equal(state_of(world, id), TASK_STATE_PENDING);
        assert_false(core_is_waiting(world->core));
        assert_int_equal(apply(world, EVENT_HELD, id), 0);
        assert_int_equal(end(world, a, TASK_STATE_DONE), 0);
        assert_int_equal(state_of(world, id), TASK_STATE_HELD);
        assert_int_equal(apply(world, EVENT_RELEASED, id), 0);
        assert_int_equal(start_next(world), id);
}

static void test_a_task_whose_runner_is_away_is_passed_over_after_its_wait(_unused_ void **state) {
        WORLD(0);
        uint64_t a = start(world, (Ask){}), id = submit(world, (Ask){ .any = { a } });

        assert_int_equal(apply(world, EVENT_RUNNER_AWAY, id), 0);
        assert_int_equal(end(world, a, TASK_STATE_LOST), 0);
        assert_int_equal(start_all(world), 0);
        assert_int_equal(apply(world, EVENT_RUNNER_BACK, id), 0);
        assert_int_equal(start_next(world), id);
}

static void test_a_try_that_fails_is_no_end(_unused_ void **state) {
        WORLD(0);
        uint64_t a = start(world, (Ask){ .retry_max = 1 });
        uint64_t id = submit(world, (Ask){ .after = { a } });

        assert_int_equal(end(world, a, TASK_STATE_FAILED), 0);
        assert_doomed(world, 0, "");
        assert_int_equal(start_next(world), a);
        assert_int_equal(end(world, a, TASK_STATE_DONE), 0);
        assert_int_equal(start_next(world), id);
}

static void test_a_late_status_that_comes_in_time_saves_the_doomed(_unused_ void **state) {
        WORLD(0);
        uint64_t a = start(world, (Ask){}), id = submit(world, (Ask){ .after = { a } });

        assert_int_equal(end(world, a, TASK_STATE_LOST), 0);
        assert_doomed(world, id, "task 1, which it was to wait for, was lost");
        assert_int_equal(end(world, a, TASK_STATE_DONE), 0);
        assert_doomed(world, 0, "");
        assert_int_equal(start_next(world), id);
}

static void test_all_of_an_array_is_waited_for(_unused_ void **state) {
        WORLD(0);
        uint64_t array = submit(world, (Ask){ .array = "0-1" });
        uint64_t id = submit(world, (Ask){ .after = { array } });

        assert_int_equal(start_all(world), 2);
        assert_int_equal(end(world, task_ref(array, 0), TASK_STATE_DONE), 0);
        assert_int_equal(start_all(world), 0);
        assert_int_equal(end(world, task_ref(array, 1), TASK_STATE_DONE), 0);
        assert_int_equal(start_next(world), id);
}

static void test_an_array_waits_as_a_whole(_unused_ void **state) {
        WORLD(0);
        uint64_t a = start(world, (Ask){});
        uint64_t array = submit(world, (Ask){ .array = "0-2", .after = { a } });

        assert_int_equal(core_counts(world->core).pending, 3);
        assert_int_equal(split(world, array, 0), 0); /* held alone, say; it waits as well */
        assert_int_equal(start_all(world), 0);
        assert_int_equal(core_find(world->core, task_ref(array, 0))->n_after, 1);
        assert_int_equal(end(world, a, TASK_STATE_DONE), 0);
        assert_int_equal(start_all(world), 3);
}

static void test_the_elements_of_a_doomed_array_are_doomed(_unused_ void **state) {
        WORLD(0);
        uint64_t a = start(world, (Ask){});
        uint64_t array = submit(world, (Ask){ .array = "0-2", .after = { a } });

        assert_int_equal(split(world, array, 0), 0);
        assert_int_equal(end(world, a, TASK_STATE_FAILED), 0);
        core_forget(world->core, a);
        assert_int_equal(split(world, array, 1), 0); /* hears of it from the array */
        assert_doomed(world, array, "task 1, which it was to wait for, failed");
        assert_int_equal(apply(world, EVENT_WITHDRAWN, array), 0);
        assert_int_equal(state_of(world, array), TASK_STATE_PENDING);
        assert_doomed(world, task_ref(array, 0), "task 1, which it was to wait for, failed");
        assert_int_equal(apply(world, EVENT_WITHDRAWN, task_ref(array, 0)), 0);
        assert_doomed(world, task_ref(array, 1), "task 1, which it was to wait for, failed");
        assert_int_equal(apply(world, EVENT_WITHDRAWN, task_ref(array, 1)), 0);
        assert_doomed(world, 0, "");
        assert_int_equal(state_of(world, array), TASK_STATE_CANCELLED);
}

static const char *why(const World *world, uint64_t id) {
        static Explain explain;
        static char line[500];

        assert_int_equal(core_explain(world->core, id, world->now_us, &explain), 0);
        assert_int_equal(explain.place, 0);
        explain_sentence(&explain, world->now_us, NULL, NULL, line, sizeof(line));
        return line;
}

static void test_what_is_waited_for_is_named(_unused_ void **state) {
        WORLD(0);
        Event event = world_event(world, EVENT_SUBMITTED, 0);
        Task *task;

        for (unsigned i = 0; i < 12; i++)
                start(world, (Ask){});
        submit(world, (Ask){ .after = { 1 } });
        assert_string_equal(why(world, 13), "waits for task 1 to succeed");
        submit(world, (Ask){ .any = { 1, 2 } });
        assert_string_equal(why(world, 14), "waits for task 1 and task 2 to end");
        submit(world, (Ask){ .after = { 1, 2, 3 }, .any = { 4 }, .memory_bytes = GIB });
        assert_string_equal(why(world, 15), "waits for task 1, task 2 and task 3 to succeed; waits "
                                            "for task 4 to end");
        assert_int_equal(apply(world, EVENT_HELD, 13), 0);
        assert_string_equal(why(world, 13), "held: it does not start before it is released; waits "
                                            "for task 1 to succeed");

        task = event.submitted = task_of(world, &(Ask){});
        free(task->after);
        task->after = calloc(12, sizeof(*task->after));
        task->n_after = 12;
        for (unsigned i = 0; i < 12; i++)
                task->after[i].id = i + 1;
        assert_int_equal(core_apply(world->core, &event), 0);
        assert_string_equal(why(world, task->id),
                            "waits for task 1, task 2, task 3 and 9 more to succeed");
}

static void test_a_crowd_that_waits_for_one_task_goes_on_in_order(_unused_ void **state) {
        enum {
                N = 50000
        };
        WORLD(0);
        uint64_t a = start(world, (Ask){});

        for (unsigned i = 0; i < N; i++)
                submit(world, (Ask){ .after = { a }, .memory_bytes = GIB });
        assert_int_equal(end(world, a, TASK_STATE_DONE), 0);
        for (uint64_t i = 1; i <= 50; i++)
                assert_int_equal(start_next(world), a + i);
        assert_int_equal(core_counts(world->core).pending, N - 50);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_task_starts_when_those_it_waits_for_have_succeeded),
                cmocka_unit_test(test_it_comes_into_its_place_by_id),
                cmocka_unit_test(test_what_fails_dooms_those_that_want_success),
                cmocka_unit_test(test_a_withdrawn_task_dooms_in_turn),
                cmocka_unit_test(test_what_is_over_when_it_comes_is_judged_at_once),
                cmocka_unit_test(test_only_tasks_that_are_there_can_be_waited_for),
                cmocka_unit_test(test_a_running_task_waits_for_nothing),
                cmocka_unit_test(test_one_task_may_be_named_twice),
                cmocka_unit_test(test_a_held_task_is_released_into_its_wait),
                cmocka_unit_test(test_a_task_whose_runner_is_away_is_passed_over_after_its_wait),
                cmocka_unit_test(test_a_try_that_fails_is_no_end),
                cmocka_unit_test(test_a_late_status_that_comes_in_time_saves_the_doomed),
                cmocka_unit_test(test_all_of_an_array_is_waited_for),
                cmocka_unit_test(test_an_array_waits_as_a_whole),
                cmocka_unit_test(test_the_elements_of_a_doomed_array_are_doomed),
                cmocka_unit_test(test_what_is_waited_for_is_named),
                cmocka_unit_test(test_a_crowd_that_waits_for_one_task_goes_on_in_order),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
