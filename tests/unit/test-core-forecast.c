/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * When a task that waits may start
 */

#include "core/signature.h"

#include "test-core-fixture.h"

static Explain explain; /* large */

/* Nothing settles here, but where a test says so; and who comes first is before the others. */
static void calm_world(World *world, unsigned n_gpus) {
        Policy policy = world_policy();

        policy.default_delay_us = 0;
        policy.order_fifo = true;
        world_init(world, &policy, n_gpus);
}

#define CALM_WORLD(n_gpus)                          \
        _cleanup_(world_done) World own_world = {}; \
        World *world = &own_world;                  \
        calm_world(world, (n_gpus))

/* What the last runs of it took. */
static void tell(World *world, Ask ask, unsigned n, const uint64_t *durations_s) {
        Event event = world_event(world, EVENT_LEARNED, 0);
        Task *task = task_of(world, &ask);

        event.learned.uid = task->uid;
        event.learned.signature = signature_of(task, NULL);
        event.learned.n_runs = n;
        for (unsigned i = 0; i < n; i++)
                event.learned.durations_us[i] = durations_s[i] * SEC;
        (void)task_free(task);
        assert_int_equal(core_apply(world->core, &event), 0);
}

#define TELL(world, ask, ...)                                                       \
        do {                                                                        \
                const uint64_t _durations_s[] = { __VA_ARGS__ };                    \
                tell(world, ask, (unsigned)ELEMENTSOF(_durations_s), _durations_s); \
        } while (0)

static const ExplainStart *start_of(const World *world, uint64_t id) {
        assert_int_equal(core_explain(world->core, id, world->now_us, &explain), 0);
        assert_int_equal(explain.start.late_boot_us, 0);
        assert_int_equal(core_explain_start(world->core, id, world->now_us, &explain), 0);
        return &explain.start;
}

static void assert_start(const World *world,
                         uint64_t id,
                         uint64_t early_s,
                         uint64_t about_s,
                         uint64_t late_s) {
        const ExplainStart *start = start_of(world, id);

        assert_int_equal(start->early_boot_us, world->now_us + early_s * SEC);
        assert_int_equal(start->about_boot_us, world->now_us + about_s * SEC);
        assert_int_equal(start->late_boot_us, world->now_us + late_s * SEC);
}

static void assert_untold(const World *world, uint64_t id) {
        const ExplainStart *start = start_of(world, id);

        assert_int_equal(start->early_boot_us, 0);
        assert_int_equal(start->late_boot_us, 0);
        assert_int_equal(start->n_rests, 0);
}

static const Ask train = { .uid = BOB, .command = "train big", .memory_bytes = 60 * GIB };

static void test_where_nothing_is_known_nothing_is_told(_unused_ void **state) {
        CALM_WORLD(0);

        start(world, train);
        assert_untold(world, submit(world, (Ask){ .memory_bytes = 50 * GIB }));
}

static void test_a_time_limit_tells_the_latest(_unused_ void **state) {
        CALM_WORLD(0);
        uint64_t id;

        start(world, (Ask){ .uid = BOB, .memory_bytes = 60 * GIB, .time_limit_us = 100 * SEC });
        id = submit(world, (Ask){ .memory_bytes = 50 * GIB });
        assert_start(world, id, 0, 100, 100);
        assert_true(explain.start.latest_alone);
        assert_int_equal(explain.start.n_rests, 1);
        assert_int_equal(explain.start.rests[0].task_id, 1);
        assert_int_equal(explain.start.rests[0].uid, BOB);
        assert_int_equal(explain.start.rests[0].n_runs, 0);
        pass_time(world, 30 * SEC);
        assert_start(world, id, 0, 70, 70);
}

static void have_tokens(World *world, unsigned n) {
        Policy policy = *core_policy(world->core);

        policy.n_tokens = 1;
        policy.tokens[0] = (Token){ "matlab", n };
        core_set_policy(world->core, &policy);
}

static void test_tokens_come_back_with_the_end_of_a_task(_unused_ void **state) {
        CALM_WORLD(0);
        uint64_t id;

        have_tokens(world, 3);
        start(world, (Ask){ .uid = BOB, .tokens = "matlab:2", .time_limit_us = 100 * SEC });
        start(world, (Ask){ .uid = BOB, .cpus = 1, .time_limit_us = 50 * SEC });
        id = submit(world, (Ask){ .tokens = "matlab:2" });
        assert_start(world, id, 0, 100, 100);
        assert_int_equal(explain.start.n_rests, 1);
        assert_int_equal(explain.start.rests[0].task_id, 1);
}

static void test_a_task_gives_back_as_many_tokens_as_it_has(_unused_ void **state) {
        CALM_WORLD(0);
        uint64_t id;

        have_tokens(world, 3);
        start(world, (Ask){ .uid = BOB, .tokens = "matlab:1", .time_limit_us = 50 * SEC });
        start(world, (Ask){ .uid = BOB, .tokens = "matlab:2", .time_limit_us = 100 * SEC });
        id = submit(world, (Ask){ .tokens = "matlab:3" });
        assert_start(world, id, 0, 100, 100);
        assert_int_equal(explain.start.n_rests, 2);
}

static void test_who_is_before_it_has_the_tokens_first(_unused_ void **state) {
        CALM_WORLD(0);
        const Ask solve = {
                .uid = BOB, .command = "solve", .tokens = "matlab", .time_limit_us = 100 * SEC
        };
        uint64_t second, third;

        have_tokens(world, 1);
        start(world, solve);
        second = submit(world, solve);
        third = submit(world, (Ask){ .uid = CHUCK, .tokens = "matlab" });
        assert_start(world, second, 0, 100, 100);
        assert_start(world, third, 0, 200, 200);
        assert_int_equal(explain.start.rests[0].task_id, second);
}

static void test_runs_of_the_same_tell_when(_unused_ void **state) {
        CALM_WORLD(0);
        uint64_t id;

        TELL(world, train, 50, 60, 90);
        start(world, train);
        id = submit(world, (Ask){ .memory_bytes = 50 * GIB });
        assert_start(world, id, 50, 60, 90);
        assert_false(explain.start.latest_alone);
        assert_int_equal(explain.start.rests[0].n_runs, 3);
        assert_true(explain.start.rests[0].of_same);
        pass_time(world, 55 * SEC); /* one of three was over by now */
        assert_start(world, id, 5, 5, 35);
}

static void test_as_many_end_as_it_takes(_unused_ void **state) {
        CALM_WORLD(0);
        uint64_t small, large;

        for (uint64_t i = 1; i <= 3; i++)
                start(world, (Ask){ .uid = BOB,
                                    .memory_bytes = 30 * GIB,
                                    .time_limit_us = i * 100 * SEC });
        small = submit(world, (Ask){ .memory_bytes = 40 * GIB });
        assert_start(world, small, 0, 100, 100);
        assert_int_equal(apply(world, EVENT_HELD, small), 0);
        large = submit(world, (Ask){ .memory_bytes = 80 * GIB });
        assert_start(world, large, 0, 300, 300);
        assert_int_equal(explain.start.n_rests, 3);
        assert_int_equal(explain.start.rests[0].task_id, 3); /* it made room at last */
}

static void test_many_limits_are_limits_alone(_unused_ void **state) {
        CALM_WORLD(0);
        uint64_t id;

        for (uint64_t i = 1; i <= EXPLAIN_RESTS_MAX + 2; i++)
                start(world, (Ask){ .uid = BOB,
                                    .memory_bytes = 15 * GIB,
                                    .time_limit_us = i * 100 * SEC });
        id = submit(world, (Ask){ .memory_bytes = 100 * GIB });
        assert_start(world, id, 0, 600, 600);
        assert_int_equal(explain.start.n_rests, EXPLAIN_RESTS_MAX);
        assert_int_equal(explain.start.n_more_rests, 2);
        assert_true(explain.start.latest_alone);
}

static void test_who_is_before_it_goes_first(_unused_ void **state) {
        CALM_WORLD(0);
        uint64_t first, second, third;

        TELL(world, train, 100);
        first = start(world, train);
        second = submit(world, train);
        third = submit(world, (Ask){ .memory_bytes = 50 * GIB });
        assert_start(world, second, 100, 100, 100);
        assert_start(world, third, 200, 200, 200);
        assert_int_equal(explain.start.rests[0].task_id, second);
        assert_int_equal(explain.start.rests[1].task_id, first);
}

static void test_who_is_before_it_and_fits_beside_it_is_no_obstacle(_unused_ void **state) {
        CALM_WORLD(0);

        start(world, (Ask){ .uid = BOB, .memory_bytes = 90 * GIB, .time_limit_us = 100 * SEC });
        submit(world, (Ask){ .uid = BOB, .memory_bytes = 20 * GIB }); /* nobody knows how long */
        assert_start(world, submit(world, (Ask){ .uid = CHUCK, .memory_bytes = 50 * GIB }), 0, 100,
                     100);
}

static void test_behind_one_of_whom_nothing_is_known_nothing_is_told(_unused_ void **state) {
        CALM_WORLD(0);

        start(world, (Ask){ .uid = BOB, .memory_bytes = 60 * GIB, .time_limit_us = 100 * SEC });
        submit(world, (Ask){ .uid = BOB, .memory_bytes = 70 * GIB });
        assert_untold(world, submit(world, (Ask){ .uid = CHUCK, .memory_bytes = 50 * GIB }));
}

static void test_one_that_is_not_in_the_way_may_take_for_ever(_unused_ void **state) {
        CALM_WORLD(1);

        start(world, (Ask){ .uid = BOB, .gpu = { "0" } });
        start(world, (Ask){ .uid = BOB, .cpus = 16, .time_limit_us = 100 * SEC });
        assert_start(world, submit(world, (Ask){ .cpus = 4 }), 0, 100, 100);
        assert_int_equal(explain.start.n_rests, 1);
        assert_int_equal(explain.start.rests[0].task_id, 2);
}

static void test_of_gpus_for_any_the_first_to_be_free_counts(_unused_ void **state) {
        CALM_WORLD(3);

        start(world, (Ask){ .uid = BOB, .gpu = { "0" }, .time_limit_us = 300 * SEC });
        start(world, (Ask){ .uid = BOB, .gpu = { "1" }, .time_limit_us = 100 * SEC });
        start(world, (Ask){ .uid = BOB, .gpu = { "2" }, .gpu_bytes = { 20 * GIB } });
        take_gpu(world, 3, 2, 20 * GIB);
        assert_start(world, submit(world, (Ask){ .gpu = { "any" }, .time_limit_us = 50 * SEC }), 0,
                     100, 100);
        assert_start(world, submit(world, (Ask){ .uid = CHUCK, .gpu = { "0" } }), 0, 300, 300);
        assert_untold(world, submit(world, (Ask){ .uid = CHUCK, .gpu = { "2" } }));
}

static void test_a_delay_ends_when_it_ends(_unused_ void **state) {
        WORLD(0);

        start(world, (Ask){ .uid = BOB,
                            .memory_bytes = 20 * GIB,
                            .delay_given = true,
                            .delay_us = 45 * SEC });
        assert_start(world, submit(world, (Ask){ .memory_bytes = 10 * GIB }), 45, 45, 45);
        assert_int_equal(explain.start.n_rests, 0);
        assert_false(explain.start.latest_alone);
}

static void test_room_is_ample_when_all_have_settled(_unused_ void **state) {
        WORLD(0);

        start(world, (Ask){ .uid = BOB, .memory_bytes = 40 * GIB });
        assert_start(world, submit(world, (Ask){ .memory_bytes = 50 * GIB }), 60, 60, 60);
}

static void test_whom_room_is_kept_for_goes_first(_unused_ void **state) {
        Policy policy = world_policy();
        CALM_WORLD(0);
        uint64_t kept, late;

        policy.default_delay_us = 0;
        policy.order_fifo = true;
        policy.patience_us = 600 * SEC;
        core_set_policy(world->core, &policy);
        start(world, (Ask){ .memory_bytes = 40 * GIB, .time_limit_us = 1000 * SEC });
        kept = submit(world, (Ask){ .memory_bytes = 80 * GIB, .time_limit_us = 500 * SEC });
        pass_time(world, 600 * SEC);
        late = submit(world,
                      (Ask){ .memory_bytes = 50 * GIB, .priority = 200, .time_limit_us = HOUR });
        (void)settle(world);
        assert_int_equal(state_of(world, late), TASK_STATE_RUNNING); /* it came just before */
        assert_int_equal(end(world, late, TASK_STATE_CANCELLED), 0);
        (void)settle(world);
        assert_int_equal(kept_for(world), kept);
        late = submit(world,
                      (Ask){ .memory_bytes = 50 * GIB, .priority = 200, .time_limit_us = HOUR });
        assert_start(world, kept, 0, 400, 400);
        assert_start(world, late, 0, 900, 900);
}

static void test_what_room_alone_would_not_help_is_not_told(_unused_ void **state) {
        Drain drain = { .on = true, .by_uid = BOB };
        CALM_WORLD(0);
        Event event = world_event(world, EVENT_DRAINED, 0);
        uint64_t first, id;

        first = start(world,
                      (Ask){ .uid = BOB, .memory_bytes = 60 * GIB, .time_limit_us = 100 * SEC });
        assert_untold(world, submit(world, (Ask){ .after = { first } }));
        assert_untold(world, submit(world, (Ask){ .state = TASK_STATE_HELD }));
        id = submit(world, (Ask){ .memory_bytes = 50 * GIB });
        assert_start(world, id, 0, 100, 100);
        assert_int_equal(apply(world, EVENT_RUNNER_AWAY, id), 0);
        assert_untold(world, id);
        assert_int_equal(apply(world, EVENT_RUNNER_BACK, id), 0);
        event.drain = &drain;
        assert_int_equal(core_apply(world->core, &event), 0);
        assert_untold(world, id);
}

static void test_what_is_used_outside_does_not_end(_unused_ void **state) {
        CALM_WORLD(0);

        start(world, (Ask){ .uid = BOB, .memory_bytes = 40 * GIB, .time_limit_us = 100 * SEC });
        take_ram(world, 1, 40 * GIB);
        world->ram_free_bytes -= 30 * GIB;
        look(world);
        assert_untold(world, submit(world, (Ask){ .memory_bytes = 80 * GIB }));
        assert_start(world, submit(world, (Ask){ .uid = CHUCK, .memory_bytes = 65 * GIB }), 0, 100,
                     100);
}

static void test_the_elements_of_an_array_go_first_each(_unused_ void **state) {
        CALM_WORLD(0);
        uint64_t id;

        start(world, (Ask){ .uid = BOB, .memory_bytes = 60 * GIB, .time_limit_us = 100 * SEC });
        submit(world,
               (Ask){ .memory_bytes = 60 * GIB, .time_limit_us = 100 * SEC, .array = "0-2" });
        id = submit(world, (Ask){ .memory_bytes = 60 * GIB });
        assert_start(world, id, 0, 400, 400);
        assert_int_equal(explain.start.n_rests, EXPLAIN_RESTS_MAX);
        assert_int_equal(explain.start.n_more_rests, 0);
        assert_true(explain.start.latest_alone);
        submit(world, (Ask){ .uid = BOB, .memory_bytes = 60 * GIB, .array = "0-99" });
        assert_untold(world, submit(world, (Ask){ .uid = BOB, .memory_bytes = 60 * GIB }));
}

static void test_there_is_nothing_to_tell_of_what_can_start(_unused_ void **state) {
        CALM_WORLD(0);

        assert_untold(world, submit(world, (Ask){ .memory_bytes = 50 * GIB }));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_where_nothing_is_known_nothing_is_told),
                cmocka_unit_test(test_a_time_limit_tells_the_latest),
                cmocka_unit_test(test_tokens_come_back_with_the_end_of_a_task),
                cmocka_unit_test(test_a_task_gives_back_as_many_tokens_as_it_has),
                cmocka_unit_test(test_who_is_before_it_has_the_tokens_first),
                cmocka_unit_test(test_runs_of_the_same_tell_when),
                cmocka_unit_test(test_as_many_end_as_it_takes),
                cmocka_unit_test(test_many_limits_are_limits_alone),
                cmocka_unit_test(test_who_is_before_it_goes_first),
                cmocka_unit_test(test_who_is_before_it_and_fits_beside_it_is_no_obstacle),
                cmocka_unit_test(test_behind_one_of_whom_nothing_is_known_nothing_is_told),
                cmocka_unit_test(test_one_that_is_not_in_the_way_may_take_for_ever),
                cmocka_unit_test(test_of_gpus_for_any_the_first_to_be_free_counts),
                cmocka_unit_test(test_a_delay_ends_when_it_ends),
                cmocka_unit_test(test_room_is_ample_when_all_have_settled),
                cmocka_unit_test(test_whom_room_is_kept_for_goes_first),
                cmocka_unit_test(test_what_room_alone_would_not_help_is_not_told),
                cmocka_unit_test(test_what_is_used_outside_does_not_end),
                cmocka_unit_test(test_the_elements_of_an_array_go_first_each),
                cmocka_unit_test(test_there_is_nothing_to_tell_of_what_can_start),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
