/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Turns between users
 */

#include <stdlib.h>

#include "core/turn.h"

#include "test-core-fixture.h"

#define HALF_LIFE (24 * HOUR)

/* How far off a figure may be that was rounded now and then. */
#define SLIP (CORE_WHOLE >> 20)

static UserView view_of(const World *world, uid_t uid) {
        UserView *views, found = {};
        ssize_t n = core_view_users(world->core, world->now_us, &views);

        assert_true(n >= 0);
        for (ssize_t i = 0; i < n; i++)
                if (views[i].uid == uid)
                        found = views[i];
        free(views);
        return found;
}

static void assert_about(uint64_t figure, uint64_t want) {
        assert_in_range(figure, want - MIN(want, SLIP), want + SLIP);
}

static void weigh(World *world, uid_t uid, unsigned permille) {
        Event event = world_event(world, EVENT_USER, 0);

        event.user.uid = uid;
        event.user.rules = user_rules_default();
        event.user.rules.weight_permille = permille;
        assert_int_equal(core_apply(world->core, &event), 0);
}

static void tell_history(World *world, uid_t uid, uint64_t had, uint64_t age_us) {
        Event event = world_event(world, EVENT_HISTORY, 0);

        event.history.uid = uid;
        event.history.had = had;
        event.history.age_us = age_us;
        assert_int_equal(core_apply(world->core, &event), 0);
}

/* Who is started next, and ends at once. */
static uid_t serve_next(World *world) {
        uint64_t id = start_next(world);
        uid_t uid;

        assert_int_not_equal(id, 0);
        uid = core_find(world->core, id)->uid;
        pass_time(world, 60 * SEC);
        assert_int_equal(end(world, id, TASK_STATE_DONE), 0);
        return uid;
}

static void test_who_holds_less_goes_first(_unused_ void **state) {
        WORLD(0);
        uint64_t own, other;

        start(world, (Ask){ .uid = ALICE, .memory_bytes = 20 * GIB });
        start(world, (Ask){ .uid = BOB, .memory_bytes = 30 * GIB });
        pass_time(world, 60 * SEC); /* nothing settles any more */
        other = submit(world, (Ask){ .uid = BOB, .memory_bytes = GIB });
        own = submit(world, (Ask){ .uid = ALICE, .memory_bytes = GIB });
        assert_int_equal(start_next(world), own);
        assert_int_equal(start_next(world), other);
}

static void test_of_one_priority_only(_unused_ void **state) {
        WORLD(0);
        uint64_t id;

        start(world, (Ask){ .uid = ALICE, .memory_bytes = 20 * GIB });
        pass_time(world, 60 * SEC);
        submit(world, (Ask){ .uid = BOB, .memory_bytes = GIB, .priority = 50 });
        id = submit(world, (Ask){ .uid = ALICE, .memory_bytes = GIB, .priority = 60 });
        assert_int_equal(start_next(world), id);
}

static void test_fifo_knows_no_turns(_unused_ void **state) {
        Policy policy = world_policy();
        WORLD(0);
        uint64_t id;

        policy.order_fifo = true;
        core_set_policy(world->core, &policy);
        start(world, (Ask){ .uid = ALICE, .memory_bytes = 20 * GIB });
        pass_time(world, 60 * SEC);
        id = submit(world, (Ask){ .uid = ALICE, .memory_bytes = GIB });
        submit(world, (Ask){ .uid = BOB, .memory_bytes = GIB });
        assert_int_equal(start_next(world), id);
}

/* One queues two hundred, then another comes with one like those: it is among the next two to start. */
static void test_one_of_another_is_among_the_next_two(_unused_ void **state) {
        for (int n_before = 0; n_before < 8; n_before++) {
                WORLD(0);

                for (int i = 0; i < 200; i++)
                        submit(world, (Ask){ .uid = ALICE, .memory_bytes = 60 * GIB });
                for (int i = 0; i < n_before; i++)
                        assert_int_equal(serve_next(world), ALICE);
                submit(world, (Ask){ .uid = BOB, .memory_bytes = 60 * GIB });
                assert_true(serve_next(world) == BOB || serve_next(world) == BOB);
        }
}

/* The same while the machine is full of the first one's, and whatever both did before. */
static void test_also_beside_many_that_run(_unused_ void **state) {
        WORLD(0);
        uint64_t id, first;

        for (int i = 0; i < 200; i++)
                submit(world, (Ask){ .uid = ALICE, .cpus = 4 });
        first = start_next(world);
        for (int i = 1; i < 4; i++)
                assert_int_not_equal(start_next(world), 0);
        id = submit(world, (Ask){ .uid = BOB, .cpus = 4 });
        pass_time(world, HOUR);
        assert_int_equal(start_next(world), 0);
        assert_int_equal(end(world, first, TASK_STATE_DONE), 0);
        assert_int_equal(start_next(world), id);
}

static void test_both_have_as_much_in_the_long_run(_unused_ void **state) {
        WORLD(0);
        int n_of_bob = 0;

        for (int i = 0; i < 100; i++)
                submit(world, (Ask){ .uid = ALICE, .memory_bytes = 60 * GIB });
        for (int i = 0; i < 100; i++)
                submit(world, (Ask){ .uid = BOB, .memory_bytes = 60 * GIB });
        for (int i = 0; i < 60; i++) {
                n_of_bob += serve_next(world) == BOB;
                assert_in_range(2 * n_of_bob, i, i + 2);
        }
}

static void test_twice_the_weight_is_twice_the_turns(_unused_ void **state) {
        WORLD(0);
        int n_of_bob = 0;

        weigh(world, BOB, 2000);
        for (int i = 0; i < 100; i++)
                submit(world, (Ask){ .uid = ALICE, .memory_bytes = 60 * GIB });
        for (int i = 0; i < 100; i++)
                submit(world, (Ask){ .uid = BOB, .memory_bytes = 60 * GIB });
        for (int i = 0; i < 60; i++)
                n_of_bob += serve_next(world) == BOB;
        assert_in_range(n_of_bob, 39, 41);
        assert_int_equal(view_of(world, BOB).weight_permille, 2000);
}

static void test_what_counts_is_the_largest_part(_unused_ void **state) {
        WORLD(4);
        uint64_t id;

        start(world, (Ask){ .cpus = 4, .memory_bytes = 10 * GIB });
        assert_int_equal(view_of(world, ALICE).portion, CORE_WHOLE / 4);
        pass_time(world, 60 * SEC);
        id = start(world, (Ask){ .uid = BOB, .memory_bytes = 50 * GIB, .cpus = 1 });
        assert_int_equal(view_of(world, BOB).portion, CORE_WHOLE / 2);
        start(world, (Ask){ .uid = CHUCK, .gpu = { "any" }, .cpus = 1 });
        assert_int_equal(view_of(world, CHUCK).portion, CORE_WHOLE / 4);
        start(world, (Ask){ .uid = CHUCK, .gpu = { "any" }, .gpu_bytes = { 12 * GIB } });
        assert_int_equal(view_of(world, CHUCK).portion, 3 * (CORE_WHOLE / 8));
        assert_int_equal(end(world, id, TASK_STATE_DONE), 0);
        assert_int_equal(view_of(world, BOB).portion, 0);
}

static void test_what_was_seen_counts_if_it_is_more(_unused_ void **state) {
        WORLD(2);
        uint64_t id = start(world, (Ask){ .memory_bytes = 10 * GIB });

        take_ram(world, id, 5 * GIB);
        assert_int_equal(view_of(world, ALICE).portion, CORE_WHOLE / 10);
        take_ram(world, id, 50 * GIB);
        assert_int_equal(view_of(world, ALICE).portion, CORE_WHOLE / 2);
        take_ram(world, id, 25 * GIB);
        assert_int_equal(view_of(world, ALICE).portion, CORE_WHOLE / 4);
        id = start(world, (Ask){ .uid = BOB, .gpu = { "0" }, .gpu_bytes = { 6 * GIB } });
        assert_int_equal(view_of(world, BOB).portion, CORE_WHOLE / 8);
        take_gpu(world, id, 0, 12 * GIB);
        assert_int_equal(view_of(world, BOB).portion, CORE_WHOLE / 4);
}

static void test_an_offer_counts_until_it_is_returned(_unused_ void **state) {
        WORLD(0);
        uint64_t id = submit(world, (Ask){ .memory_bytes = 50 * GIB });

        assert_int_equal(offer_next(world), id);
        assert_int_equal(view_of(world, ALICE).portion, CORE_WHOLE / 2);
        assert_int_equal(apply(world, EVENT_OFFER_RETURNED, id), 0);
        assert_int_equal(view_of(world, ALICE).portion, 0);
}

static void test_the_past_counts_half_each_half_life(_unused_ void **state) {
        WORLD(0);
        uint64_t id = start(world, (Ask){ .memory_bytes = 50 * GIB });

        assert_int_equal(view_of(world, ALICE).had, 0);
        pass_time(world, HALF_LIFE);
        assert_about(view_of(world, ALICE).had, CORE_WHOLE / 4);
        pass_time(world, HALF_LIFE);
        assert_about(view_of(world, ALICE).had, 3 * (CORE_WHOLE / 8));
        assert_int_equal(end(world, id, TASK_STATE_DONE), 0);
        pass_time(world, HALF_LIFE);
        assert_about(view_of(world, ALICE).had, 3 * (CORE_WHOLE / 16));
        assert_about(view_of(world, ALICE).share, 3 * (CORE_WHOLE / 16));
        pass_time(world, 10 * HALF_LIFE);
        assert_about(view_of(world, ALICE).had, 3 * (CORE_WHOLE >> 14));
        look(world);
        assert_about(view_of(world, ALICE).had, 3 * (CORE_WHOLE >> 14));
        pass_time(world, 60 * HALF_LIFE);
        assert_int_equal(view_of(world, ALICE).had, 0);
}

static void test_many_changes_make_no_difference(_unused_ void **state) {
        WORLD(0);

        for (int i = 0; i < 50000; i++) {
                uint64_t id = submit(world, (Ask){ .cpus = 3 });

                assert_int_equal(offer_next(world), id);
                assert_int_equal(apply(world, EVENT_ACCEPTED, id), 0);
                pass_time(world, HALF_LIFE / 50000);
                assert_int_equal(end(world, id, TASK_STATE_DONE), 0);
                core_forget(world->core, id);
        }
        assert_about(view_of(world, ALICE).had, 3 * (CORE_WHOLE / 32));
}

static void test_another_half_life_changes_no_past(_unused_ void **state) {
        Policy policy = world_policy();
        WORLD(0);
        uint64_t id = start(world, (Ask){ .memory_bytes = 50 * GIB });

        pass_time(world, HALF_LIFE);
        assert_int_equal(end(world, id, TASK_STATE_DONE), 0);
        look(world);
        policy.share_half_life_us = HALF_LIFE / 24;
        core_set_policy(world->core, &policy);
        assert_about(view_of(world, ALICE).had, CORE_WHOLE / 4);
        pass_time(world, HOUR);
        assert_about(view_of(world, ALICE).had, CORE_WHOLE / 8);
        look(world);
        policy.share_half_life_us = 0; /* as short as may be */
        core_set_policy(world->core, &policy);
        assert_about(view_of(world, ALICE).had, CORE_WHOLE / 8);
        pass_time(world, POLICY_HALF_LIFE_MIN_US);
        assert_about(view_of(world, ALICE).had, CORE_WHOLE / 16);
}

/* What a daemon is told when it starts: who had what, then which tasks run. */
static void test_a_restart_makes_no_difference(_unused_ void **state) {
        WORLD(1);
        _cleanup_(world_done) World other_world = {};
        World *next = &other_world;
        uint64_t id = start(world, (Ask){ .memory_bytes = 40 * GIB, .gpu = { "0" } }), saved;
        Event event;

        start(world, (Ask){ .uid = BOB, .cpus = 4 });
        pass_time(world, 5 * HOUR);
        saved = view_of(world, ALICE).had;
        pass_time(world, 3 * HOUR);

        world_setup(next, 1);
        next->now_us = world->now_us;
        tell_history(next, ALICE, saved, 3 * HOUR);
        event = world_event(next, EVENT_SUBMITTED, 0);
        event.submitted = task_of(next, &(Ask){ .memory_bytes = 40 * GIB, .gpu = { "0" } });
        event.submitted->state = TASK_STATE_RUNNING;
        event.submitted->started_boot_us = core_find(world->core, id)->started_boot_us;
        event.submitted->gpus = calloc(1, sizeof(GpuGrant));
        assert_non_null(event.submitted->gpus);
        event.submitted->gpus[0] = core_find(world->core, id)->gpus[0];
        assert_int_equal(core_apply(next->core, &event), 0);
        assert_about(view_of(next, ALICE).had, view_of(world, ALICE).had);

        /* and of whom nothing was saved, that which runs alone counts from its start on */
        event = world_event(next, EVENT_SUBMITTED, 0);
        event.submitted = task_of(next, &(Ask){ .uid = BOB, .cpus = 4 });
        event.submitted->state = TASK_STATE_RUNNING;
        event.submitted->started_boot_us = START_S * SEC;
        assert_int_equal(core_apply(next->core, &event), 0);
        assert_about(view_of(next, BOB).had, view_of(world, BOB).had);
}

static void test_a_history_from_nowhere_is_bounded(_unused_ void **state) {
        WORLD(0);

        tell_history(world, ALICE, UINT64_MAX, 0);
        tell_history(world, BOB, CORE_WHOLE, UINT64_MAX);
        assert_in_range(view_of(world, ALICE).had, CORE_WHOLE, 8 * CORE_WHOLE);
        assert_int_equal(view_of(world, BOB).had, 0);
        submit(world, (Ask){ .uid = ALICE, .memory_bytes = GIB });
        submit(world, (Ask){ .uid = BOB, .memory_bytes = GIB });
        assert_int_equal(start_next(world), 2);
        pass_time(world, 60 * SEC);
        assert_int_equal(start_next(world), 1);
}

static void test_those_who_had_nothing_lately_are_forgotten(_unused_ void **state) {
        WORLD(0);
        UserView *views;

        for (uid_t uid = 1; uid <= CORE_USERS_MAX + 10; uid++)
                tell_history(world, uid, uid * (CORE_WHOLE >> 14), 0);
        assert_int_equal(core_view_users(world->core, world->now_us, &views), CORE_USERS_MAX);
        assert_int_equal(views[0].uid, 11); /* those who had least had to go */
        free(views);
        pass_time(world, 30 * HALF_LIFE);
        look(world);
        assert_int_equal(core_view_users(world->core, world->now_us, &views), 0);
        free(views);
}

static void test_what_the_settings_say_outlives_no_user(_unused_ void **state) {
        WORLD(0);

        assert_int_equal(core_user_rules(world->core, BOB).weight_permille, 1000);
        weigh(world, BOB, 0); /* none is no weight */
        assert_int_equal(core_user_rules(world->core, BOB).weight_permille, 1);
        pass_time(world, HALF_LIFE);
        look(world);
        assert_int_equal(core_user_rules(world->core, BOB).weight_permille, 1000);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_who_holds_less_goes_first),
                cmocka_unit_test(test_of_one_priority_only),
                cmocka_unit_test(test_fifo_knows_no_turns),
                cmocka_unit_test(test_one_of_another_is_among_the_next_two),
                cmocka_unit_test(test_also_beside_many_that_run),
                cmocka_unit_test(test_both_have_as_much_in_the_long_run),
                cmocka_unit_test(test_twice_the_weight_is_twice_the_turns),
                cmocka_unit_test(test_what_counts_is_the_largest_part),
                cmocka_unit_test(test_what_was_seen_counts_if_it_is_more),
                cmocka_unit_test(test_an_offer_counts_until_it_is_returned),
                cmocka_unit_test(test_the_past_counts_half_each_half_life),
                cmocka_unit_test(test_many_changes_make_no_difference),
                cmocka_unit_test(test_another_half_life_changes_no_past),
                cmocka_unit_test(test_a_restart_makes_no_difference),
                cmocka_unit_test(test_a_history_from_nowhere_is_bounded),
                cmocka_unit_test(test_those_who_had_nothing_lately_are_forgotten),
                cmocka_unit_test(test_what_the_settings_say_outlives_no_user),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
