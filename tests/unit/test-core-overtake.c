/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Who overtakes one for whom room is kept, by what runs of the same took before
 */

#include "core/keep.h"

#include "test-core-fixture.h"

#define PATIENCE (600 * SEC)

/* One with a task that asks for more than is left; nothing settles. */
static void crowded_world(World *world, uint64_t patience_us) {
        Policy policy = world_policy();

        policy.patience_us = patience_us;
        policy.default_delay_us = 0;
        world_init(world, &policy, 0);
}

#define CROWDED_WORLD(patience_us)                  \
        _cleanup_(world_done) World own_world = {}; \
        World *world = &own_world;                  \
        crowded_world(world, (patience_us))

static const Ask small = { .command = "small", .memory_bytes = 10 * GIB };
static const Ask large = { .command = "large", .memory_bytes = 50 * GIB };
static const Ask whole = { .uid = BOB, .memory_bytes = 80 * GIB };

/* One run of it, alone. */
static void play(World *world, Ask ask, uint64_t takes_us) {
        uint64_t id = start(world, ask);

        pass_time(world, takes_us);
        assert_int_equal(end(world, id, TASK_STATE_DONE), 0);
        core_forget(world->core, id);
}

static bool runs(const World *world, uint64_t id) {
        return state_of(world, id) == TASK_STATE_RUNNING;
}

/* One runs, and room is kept for the whole machine. Returns the one that runs. */
static uint64_t keep_whole(World *world, Ask ask) {
        uint64_t running = start(world, ask), id = submit(world, whole);

        pass_time(world, core_policy(world->core)->patience_us);
        (void)settle(world);
        assert_int_equal(kept_for(world), id);
        return running;
}

/* Whether one that is submitted now can start at once; else it is withdrawn. */
static bool overtakes(World *world, Ask ask) {
        uint64_t id = submit(world, ask);

        (void)settle(world);
        if (runs(world, id))
                return true;
        assert_int_equal(apply(world, EVENT_WITHDRAWN, id), 0);
        core_forget(world->core, id);
        return false;
}

static void test_nobody_knows_how_long_it_takes(_unused_ void **state) {
        CROWDED_WORLD(PATIENCE);
        Ask of_chuck = small;

        of_chuck.uid = CHUCK; /* who never ran anything */
        play(world, large, HOUR);
        (void)keep_whole(world, large);
        assert_false(overtakes(world, of_chuck));
}

static void test_who_will_have_ended_by_experience_overtakes(_unused_ void **state) {
        CROWDED_WORLD(PATIENCE);

        play(world, small,
             HOUR - PATIENCE); /* the longest is what counts, and of what runs the mean */
        play(world, small, 60 * SEC);
        play(world, large, HOUR - 60 * SEC);
        play(world, large, HOUR + 60 * SEC);
        (void)keep_whole(world, large);
        assert_true(overtakes(world, small));
        pass_time(world, SEC);
        assert_false(overtakes(world, small));
}

static void test_who_never_ran_takes_what_its_user_runs(_unused_ void **state) {
        CROWDED_WORLD(PATIENCE);
        Ask new = { .command = "new", .memory_bytes = 10 * GIB };
        Ask of_bob = large;

        of_bob.uid = BOB;
        play(world, small, 60 * SEC);
        play(world, of_bob, HOUR);
        (void)keep_whole(world, of_bob);
        assert_true(overtakes(world, new));
        new.uid = CHUCK;
        assert_false(overtakes(world, new));
}

static void test_what_its_user_says_counts_more(_unused_ void **state) {
        CROWDED_WORLD(PATIENCE);
        Ask limited = small;

        play(world, small, HOUR);
        play(world, large, HOUR);
        (void)keep_whole(world, large);
        assert_false(overtakes(world, small));
        limited.time_limit_us = HOUR - PATIENCE + 1;
        assert_false(overtakes(world, limited));
        limited.time_limit_us = HOUR - PATIENCE; /* it is ended then */
        assert_true(overtakes(world, limited));
}

static void test_also_where_it_is_more_than_runs_took(_unused_ void **state) {
        CROWDED_WORLD(PATIENCE);
        Ask limited = small;

        limited.time_limit_us = 2 * HOUR;
        play(world, small, 60 * SEC);
        play(world, large, HOUR);
        (void)keep_whole(world, large);
        assert_false(overtakes(world, limited));
        assert_true(overtakes(world, small));
}

static void test_what_was_outlived_is_expected_after_twice_the_time(_unused_ void **state) {
        CROWDED_WORLD(PATIENCE);
        Ask limited = small;

        play(world, large, PATIENCE / 2);
        (void)keep_whole(world, large); /* it is about to take twice that */
        limited.time_limit_us = PATIENCE;
        assert_true(overtakes(world, limited));
        limited.time_limit_us = PATIENCE + 1;
        assert_false(overtakes(world, limited));
}

/* When the keeping begins is the last moment for it to be put right: else it could move on for ever. */
static void test_who_is_outlived_lets_nobody_else_overtake(_unused_ void **state) {
        CROWDED_WORLD(PATIENCE);
        Ask limited = small;

        limited.time_limit_us = 60 * SEC;
        play(world, small, 60 * SEC);
        play(world, large, HOUR);
        (void)keep_whole(world, large);
        pass_time(world, HOUR - PATIENCE - 60 * SEC);
        assert_true(overtakes(world, small));
        pass_time(world, SEC);
        assert_false(overtakes(world, small));
        pass_time(world, 60 * SEC);
        assert_false(overtakes(world, small));
        assert_false(overtakes(world, limited));
}

/* What runs may take longer than that: the room would not be there before it is kept no more. */
static void test_who_overtakes_has_ended_before_the_keeping_is_over(_unused_ void **state) {
        CROWDED_WORLD(PATIENCE);
        uint64_t max_us = core_policy(world->core)->keep_max_us;
        Ask runs_long = large, limited = small;

        runs_long.time_limit_us = 2 * max_us;
        (void)keep_whole(world, runs_long);
        limited.time_limit_us = max_us + 1;
        assert_false(overtakes(world, limited));
        limited.time_limit_us = max_us;
        assert_true(overtakes(world, limited));
        pass_time(world, SEC);
        assert_false(overtakes(world, limited));
        limited.time_limit_us = max_us - SEC;
        assert_true(overtakes(world, limited));
}

static void test_who_has_no_patience_trusts_no_experience(_unused_ void **state) {
        CROWDED_WORLD(0);

        play(world, small, 60 * SEC);
        play(world, large, HOUR);
        (void)keep_whole(world, large);
        assert_false(overtakes(world, small));
}

/* As after a restart: what runs is there before it is told how long it takes. */
static void test_what_runs_is_expected_to_end_as_records_tell(_unused_ void **state) {
        CROWDED_WORLD(PATIENCE);
        uint64_t running, hour_us[] = { HOUR };
        Event event;

        running = keep_whole(world, large);
        event = world_event(world, EVENT_LEARNED, 0);
        event.learned.uid = ALICE;
        event.learned.signature = core_find_unlearned(world->core, running);
        event.learned.n_runs = 1;
        event.learned.durations_us[0] = hour_us[0];
        assert_int_equal(core_apply(world->core, &event), 0);

        assert_true(overtakes(world,
                              (Ask){ .memory_bytes = 10 * GIB, .time_limit_us = HOUR - PATIENCE }));
        assert_false(overtakes(world, (Ask){ .memory_bytes = 10 * GIB,
                                             .time_limit_us = HOUR - PATIENCE + 1 }));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_nobody_knows_how_long_it_takes),
                cmocka_unit_test(test_who_will_have_ended_by_experience_overtakes),
                cmocka_unit_test(test_who_never_ran_takes_what_its_user_runs),
                cmocka_unit_test(test_what_its_user_says_counts_more),
                cmocka_unit_test(test_also_where_it_is_more_than_runs_took),
                cmocka_unit_test(test_what_was_outlived_is_expected_after_twice_the_time),
                cmocka_unit_test(test_who_is_outlived_lets_nobody_else_overtake),
                cmocka_unit_test(test_who_overtakes_has_ended_before_the_keeping_is_over),
                cmocka_unit_test(test_who_has_no_patience_trusts_no_experience),
                cmocka_unit_test(test_what_runs_is_expected_to_end_as_records_tell),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
