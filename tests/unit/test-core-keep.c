/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Room that is kept: for whom, of what, for how long, and who starts beside it (decisions.md 5, 6)
 */

#include "util/cleanup.h"

#include "test-core-fixture.h"

#define PATIENCE (600 * SEC)

static void keeping_world(World *world, unsigned n_gpus, uint64_t delay_us) {
        Policy policy = world_policy();

        policy.patience_us = PATIENCE;
        policy.default_delay_us = delay_us;
        world_init(world, &policy, n_gpus);
}

#define KEEPING_WORLD(n_gpus, delay_us)             \
        _cleanup_(world_done) World own_world = {}; \
        World *world = &own_world;                  \
        keeping_world(world, (n_gpus), (delay_us))

/* One in which nothing settles, so that what is kept is all there is to see. */
#define CALM_WORLD(n_gpus) KEEPING_WORLD(n_gpus, 0)

static bool runs(const World *world, uint64_t id) {
        return state_of(world, id) == TASK_STATE_RUNNING;
}

/* One that is submitted, if it can start at once. */
static bool starts(World *world, Ask ask) {
        uint64_t id = submit(world, ask);

        (void)settle(world);
        return runs(world, id);
}

static void sentence_of(const World *world, uint64_t id, char *buf, size_t n) {
        static Explain explain;

        assert_int_equal(core_explain(world->core, id, world->now_us, &explain), 0);
        explain_sentence(&explain, world->now_us, NULL, NULL, buf, n);
}

#define assert_says(world, id, text)                                     \
        do {                                                             \
                char _line[2048];                                        \
                sentence_of(world, id, _line, sizeof(_line));            \
                if (!strstr(_line, text))                                \
                        fail_msg("'%s' does not say '%s'", _line, text); \
        } while (0)

/* -- since when -- */

static void test_others_overtake_until_its_patience_is_over(_unused_ void **state) {
        CALM_WORLD(0);
        uint64_t running = start(world, (Ask){ .memory_bytes = 40 * GIB });
        uint64_t big = submit(world, (Ask){ .memory_bytes = 80 * GIB }), late;
        Plan plan;

        assert_int_equal(settle(world), 0);
        assert_true(starts(world, (Ask){ .uid = BOB, .memory_bytes = 10 * GIB }));
        plan = plan_now(world);
        assert_true(plan.wake_boot_us == world->now_us + PATIENCE);
        plan_done(&plan);

        pass_time(world, PATIENCE - 1);
        assert_true(starts(world, (Ask){ .uid = BOB, .memory_bytes = 10 * GIB }));
        assert_int_equal(kept_for(world), 0);
        pass_time(world, 1);
        assert_int_equal(settle(world), 0);
        assert_int_equal(kept_for(world), big);
        assert_says(world, big, "room is kept for it");

        late = submit(world, (Ask){ .uid = BOB, .memory_bytes = 10 * GIB });
        assert_int_equal(settle(world), 0);
        assert_says(world, late, "needs 10G of RAM: 40G free, but 80G kept for task 2 of uid 1000");

        assert_int_equal(end(world, running, TASK_STATE_DONE), 0);
        assert_int_equal(settle(world), 1); /* both small ones, and it */
        assert_true(runs(world, big));
        assert_int_equal(kept_for(world), 0);
}

static void test_its_patience_begins_with_its_release(_unused_ void **state) {
        CALM_WORLD(0);
        uint64_t held;

        start(world, (Ask){ .memory_bytes = 40 * GIB });
        held = submit(world, (Ask){ .memory_bytes = 80 * GIB, .state = TASK_STATE_HELD });
        pass_time(world, PATIENCE);
        assert_int_equal(apply(world, EVENT_RELEASED, held), 0);
        (void)settle(world);
        assert_int_equal(kept_for(world), 0);
        pass_time(world, PATIENCE);
        (void)settle(world);
        assert_int_equal(kept_for(world), held);
}

static void test_its_patience_begins_with_the_end_of_what_it_waited_for(_unused_ void **state) {
        CALM_WORLD(0);
        uint64_t first = start(world, (Ask){ .memory_bytes = GIB }), next;

        start(world, (Ask){ .memory_bytes = 40 * GIB });
        next = submit(world, (Ask){ .memory_bytes = 80 * GIB, .after = { first } });
        pass_time(world, PATIENCE);
        assert_int_equal(end(world, first, TASK_STATE_DONE), 0);
        (void)settle(world);
        assert_int_equal(kept_for(world), 0);
        pass_time(world, PATIENCE);
        (void)settle(world);
        assert_int_equal(kept_for(world), next);
}

static void test_nothing_is_kept_without_end_of_patience(_unused_ void **state) {
        _cleanup_(world_done) World world = {};
        Policy policy = world_policy();

        policy.default_delay_us = 0;
        world_init(&world, &policy, 0);
        start(&world, (Ask){ .memory_bytes = 40 * GIB });
        submit(&world, (Ask){ .memory_bytes = 80 * GIB });
        pass_time(&world, 1000 * HOUR);
        assert_true(starts(&world, (Ask){ .memory_bytes = 10 * GIB }));
        assert_int_equal(kept_for(&world), 0);
}

/* -- for whom -- */

static void test_it_is_for_the_first_in_order_of_those_past_theirs(_unused_ void **state) {
        CALM_WORLD(0);
        uint64_t first, second, third;

        start(world, (Ask){ .memory_bytes = 50 * GIB });
        first = submit(world, (Ask){ .memory_bytes = 90 * GIB, .priority = 10 });
        second = submit(world, (Ask){ .uid = BOB, .memory_bytes = 80 * GIB });
        third = submit(world, (Ask){ .uid = CHUCK, .memory_bytes = 40 * GIB });
        pass_time(world, PATIENCE);
        assert_int_equal(settle(world), 0);
        assert_int_equal(kept_for(world), second);
        assert_says(world, third, "80G kept for task 3 of uid 1001");
        (void)first;
}

static void test_it_stays_but_one_of_higher_priority_past_its_own_takes_it(_unused_ void **state) {
        CALM_WORLD(0);
        uint64_t first, equal, higher;

        start(world, (Ask){ .memory_bytes = 50 * GIB });
        first = submit(world, (Ask){ .uid = BOB, .memory_bytes = 80 * GIB, .priority = 50 });
        pass_time(world, PATIENCE);
        (void)settle(world);
        assert_int_equal(kept_for(world), first);

        equal = submit(world, (Ask){ .uid = CHUCK, .memory_bytes = 80 * GIB, .priority = 50 });
        higher = submit(world, (Ask){ .memory_bytes = 90 * GIB, .priority = 90 });
        pass_time(world, PATIENCE - 1);
        (void)settle(world);
        assert_int_equal(kept_for(world), first);
        pass_time(world, 1);
        (void)settle(world);
        assert_int_equal(kept_for(world), higher);
        assert_int_equal(apply(world, EVENT_WITHDRAWN, higher), 0);
        (void)settle(world);
        assert_int_equal(kept_for(world), first);
        (void)equal;
}

static void test_it_is_for_nobody_who_could_not_start(_unused_ void **state) {
        CALM_WORLD(0);
        uint64_t big;
        Event event = world_event(world, EVENT_DRAINED, 0);
        Drain drain = { .on = true };

        start(world, (Ask){ .memory_bytes = 50 * GIB });
        big = submit(world, (Ask){ .uid = BOB, .memory_bytes = 80 * GIB });
        pass_time(world, PATIENCE);
        (void)settle(world);
        assert_int_equal(kept_for(world), big);
        assert_int_equal(apply(world, EVENT_RUNNER_AWAY, big), 0);
        assert_int_equal(kept_for(world), 0);
        assert_true(starts(world, (Ask){ .memory_bytes = 10 * GIB }));
        assert_int_equal(apply(world, EVENT_RUNNER_BACK, big), 0);
        (void)settle(world);
        assert_int_equal(kept_for(world), big);

        assert_int_equal(apply(world, EVENT_HELD, big), 0);
        assert_int_equal(kept_for(world), 0);
        assert_int_equal(apply(world, EVENT_RELEASED, big), 0);
        pass_time(world, PATIENCE);
        (void)settle(world);
        assert_int_equal(kept_for(world), big);

        event.drain = &drain;
        assert_int_equal(core_apply(world->core, &event), 0);
        assert_int_equal(kept_for(world), 0);
        drain.on = false;
        assert_int_equal(core_apply(world->core, &event), 0);
        (void)settle(world);
        assert_int_equal(kept_for(world), big);
}

static void test_one_that_asks_for_something_else_is_judged_anew(_unused_ void **state) {
        CALM_WORLD(0);
        Needs less = { .memory_bytes = 20 * GIB };
        Event event;
        uint64_t big;

        start(world, (Ask){ .memory_bytes = 50 * GIB });
        big = submit(world, (Ask){ .uid = BOB, .memory_bytes = 80 * GIB });
        pass_time(world, PATIENCE);
        (void)settle(world);
        assert_int_equal(kept_for(world), big);
        event = world_event(world, EVENT_UPDATED, big);
        event.updated.priority = -1;
        event.updated.needs = &less;
        assert_int_equal(core_apply(world->core, &event), 0);
        assert_int_equal(kept_for(world), 0);
        assert_int_equal(settle(world), 1);
        assert_true(runs(world, big));
}

static void test_after_keep_max_others_overtake_it_again(_unused_ void **state) {
        CALM_WORLD(0);
        uint64_t max_us = core_policy(world->core)->keep_max_us, big;
        KeepView view;

        start(world, (Ask){ .memory_bytes = 50 * GIB });
        big = submit(world, (Ask){ .uid = BOB, .memory_bytes = 80 * GIB });
        pass_time(world, PATIENCE);
        (void)settle(world);
        pass_time(world, max_us - SEC);
        assert_false(starts(world, (Ask){ .memory_bytes = 30 * GIB }));
        assert_int_equal(core_view_keep(world->core, world->now_us, &view), 1);
        assert_true(view.age_us == max_us - SEC && view.left_us == SEC);
        core_keep_view_done(&view);

        pass_time(world, SEC);
        assert_int_equal(settle(world), 1);
        assert_int_equal(kept_for(world), 0);
        pass_time(world, PATIENCE - 1);
        (void)settle(world);
        assert_int_equal(kept_for(world), 0);
        pass_time(world, 1);
        (void)settle(world);
        assert_int_equal(kept_for(world), big);
}

static void test_for_an_array_it_is_kept_for_one_element(_unused_ void **state) {
        CALM_WORLD(0);
        uint64_t running = start(world, (Ask){ .memory_bytes = 50 * GIB }), array, small;

        array = submit(world, (Ask){ .uid = BOB, .memory_bytes = 60 * GIB, .array = "0-3" });
        pass_time(world, PATIENCE);
        (void)settle(world);
        assert_int_equal(kept_for(world), array);
        small = submit(world, (Ask){ .memory_bytes = 41 * GIB });
        (void)settle(world);
        assert_false(runs(world, small));
        assert_int_equal(end(world, running, TASK_STATE_DONE), 0);
        assert_int_equal(settle(world), 1);
        assert_true(runs(world, task_ref(array, 0)));
        assert_int_equal(kept_for(world), array); /* the next one has waited as long */
}

/* -- what -- */

static void test_it_is_kept_on_everything_or_on_nothing(_unused_ void **state) {
        CALM_WORLD(1);
        uint64_t big;

        world->gpus[0].free_bytes = 4 * GIB; /* somebody beside taskflow has the rest */
        world->gpus[0].n_processes = 1;
        start(world, (Ask){ .memory_bytes = 50 * GIB });
        big = submit(world, (Ask){ .uid = BOB,
                                   .memory_bytes = 80 * GIB,
                                   .gpu = { "0" },
                                   .gpu_bytes = { 10 * GIB } });
        pass_time(world, PATIENCE);
        assert_int_equal(settle(world), 0);
        assert_int_equal(kept_for(world), 0);
        assert_says(world, big, "no room is kept for it");
        assert_says(world, big, "20G is used outside taskflow");
        assert_true(starts(world, (Ask){ .memory_bytes = 40 * GIB }));

        world->gpus[0].free_bytes = 10 * GIB;
        (void)settle(world);
        assert_int_equal(kept_for(world), big);
}

static void test_nothing_is_kept_that_ends_of_tasks_can_not_bring(_unused_ void **state) {
        CALM_WORLD(0);
        uint64_t big;

        world->ram_free_bytes = 70 * GIB;
        (void)start(world, (Ask){ .memory_bytes = 20 * GIB });
        take_ram(world, 1, 5 * GIB);
        big = submit(world, (Ask){ .memory_bytes = 71 * GIB });
        pass_time(world, PATIENCE);
        (void)settle(world);
        assert_int_equal(kept_for(world), 0);
        world->ram_free_bytes += GIB; /* 66G are free, and it holds 5G */
        (void)settle(world);
        assert_int_equal(kept_for(world), big);
}

static void test_it_is_kept_on_between_an_end_and_the_next_look(_unused_ void **state) {
        CALM_WORLD(0);
        uint64_t big;

        start(world, (Ask){ .memory_bytes = 50 * GIB });
        take_ram(world, 1, 50 * GIB);
        start(world, (Ask){ .memory_bytes = 30 * GIB });
        take_ram(world, 2, 30 * GIB);
        big = submit(world, (Ask){ .memory_bytes = 100 * GIB });
        pass_time(world, PATIENCE);
        (void)settle(world);
        assert_int_equal(kept_for(world), big);
        assert_int_equal(end(world, 2, TASK_STATE_DONE),
                         0); /* 30G more are free, but not measured yet */
        assert_int_equal(kept_for(world), big);
        assert_int_equal(offer_next(world), 0);
        assert_int_equal(kept_for(world), big);

        world->ram_free_bytes += 20 * GIB; /* and somebody else has 10G of them */
        (void)settle(world);
        assert_int_equal(kept_for(world), 0);
}

static void test_the_gpu_that_is_expected_free_first_is_kept(_unused_ void **state) {
        CALM_WORLD(3);
        KeepView view;
        uint64_t big;

        start(world, (Ask){ .gpu = { "0" } });
        start(world, (Ask){ .gpu = { "1" }, .time_limit_us = 2 * HOUR });
        start(world, (Ask){ .gpu = { "2" }, .time_limit_us = HOUR });
        big = submit(world, (Ask){ .uid = BOB, .gpu = { "any" } });
        pass_time(world, PATIENCE);
        (void)settle(world);
        assert_int_equal(core_view_keep(world->core, world->now_us, &view), 1);
        assert_int_equal(view.task_id, big);
        assert_true(view.n_gpus == 1 && view.gpus[0].index == 2 && view.gpus[0].bytes == GPU_WHOLE);
        core_keep_view_done(&view);

        /* the others are nobody's: what comes free is taken; it itself takes the first that is free */
        assert_int_equal(end(world, 1, TASK_STATE_DONE), 0);
        assert_int_equal(settle(world), 1);
        assert_true(runs(world, big));
}

static void test_others_have_what_is_beside_it(_unused_ void **state) {
        CALM_WORLD(2);
        uint64_t big;

        start(world, (Ask){ .memory_bytes = 20 * GIB, .gpu = { "0" }, .cpus = 10 });
        big = submit(world,
                     (Ask){ .uid = BOB, .memory_bytes = 60 * GIB, .gpu = { "0" }, .cpus = 12 });
        pass_time(world, PATIENCE);
        (void)settle(world);
        assert_int_equal(kept_for(world), big);
        assert_false(starts(world, (Ask){ .cpus = 1 }));
        assert_says(world, 3, "needs 1 core: 6 of 16 free, but 12 kept for task 2 of uid 1001");
        assert_false(starts(world, (Ask){ .memory_bytes = 20 * GIB + 1, .gpu = { "1" } }));
        assert_true(starts(world, (Ask){ .memory_bytes = 20 * GIB, .gpu = { "1" } }));

        assert_int_equal(end(world, 1, TASK_STATE_DONE), 0);
        assert_int_equal(settle(world), 2); /* it, and the one that wants a core */
        assert_true(runs(world, big));
}

static void test_of_a_gpu_as_much_as_was_asked_for_is_kept(_unused_ void **state) {
        CALM_WORLD(1);
        uint64_t big;

        start(world, (Ask){ .gpu = { "0" }, .gpu_bytes = { 10 * GIB } });
        big = submit(world, (Ask){ .uid = BOB, .gpu = { "0" }, .gpu_bytes = { 16 * GIB } });
        pass_time(world, PATIENCE);
        (void)settle(world);
        assert_int_equal(kept_for(world), big);
        assert_false(starts(world, (Ask){ .gpu = { "any" }, .gpu_bytes = { GIB } }));
        assert_says(world, 3, "needs 1G on a GPU: GPU 0 has 14G free, but 16G kept for task 2");
        assert_int_equal(end(world, 1, TASK_STATE_DONE), 0);
        assert_int_equal(settle(world), 2);
}

/* -- who overtakes -- */

static void test_who_will_have_ended_before_overtakes(_unused_ void **state) {
        CALM_WORLD(0);
        uint64_t big;

        start(world, (Ask){ .memory_bytes = 50 * GIB, .time_limit_us = HOUR });
        big = submit(world, (Ask){ .uid = BOB, .memory_bytes = 80 * GIB });
        pass_time(world, PATIENCE);
        (void)settle(world);
        assert_int_equal(kept_for(world), big);

        assert_false(starts(world, (Ask){ .memory_bytes = 10 * GIB }));
        assert_false(starts(world, (Ask){ .memory_bytes = 10 * GIB,
                                          .time_limit_us = HOUR - PATIENCE + 1 }));
        assert_true(
                starts(world, (Ask){ .memory_bytes = 10 * GIB, .time_limit_us = HOUR - PATIENCE }));
        pass_time(world, SEC);
        assert_false(
                starts(world, (Ask){ .memory_bytes = 10 * GIB, .time_limit_us = HOUR - PATIENCE }));
        assert_false(runs(world, big));
}

static void test_nobody_overtakes_where_the_room_may_come_at_any_moment(_unused_ void **state) {
        CALM_WORLD(0);

        start(world, (Ask){ .memory_bytes = 50 * GIB });
        start(world, (Ask){ .memory_bytes = 5 * GIB, .time_limit_us = HOUR });
        submit(world, (Ask){ .uid = BOB, .memory_bytes = 80 * GIB });
        pass_time(world, PATIENCE);
        assert_false(starts(world, (Ask){ .memory_bytes = 10 * GIB, .time_limit_us = 60 * SEC }));
}

static void test_one_that_outlives_its_limit_may_end_at_any_moment(_unused_ void **state) {
        CALM_WORLD(0);

        start(world, (Ask){ .memory_bytes = 50 * GIB, .time_limit_us = PATIENCE });
        submit(world, (Ask){ .uid = BOB, .memory_bytes = 80 * GIB });
        pass_time(world, PATIENCE + SEC);
        assert_false(starts(world, (Ask){ .memory_bytes = 10 * GIB, .time_limit_us = 60 * SEC }));
}

static void test_what_it_waits_for_longest_says_how_long_others_may_take(_unused_ void **state) {
        CALM_WORLD(1);

        start(world, (Ask){ .memory_bytes = 50 * GIB, .time_limit_us = HOUR });
        start(world, (Ask){ .gpu = { "0" }, .time_limit_us = 3 * HOUR });
        submit(world, (Ask){ .uid = BOB, .memory_bytes = 80 * GIB, .gpu = { "0" } });
        pass_time(world, PATIENCE);
        assert_true(starts(world, (Ask){ .memory_bytes = 10 * GIB, .time_limit_us = 2 * HOUR }));
}

/* -- delay (decisions.md 6) -- */

static void test_those_settle_towards_it_that_started_before(_unused_ void **state) {
        KEEPING_WORLD(0, 60 * SEC);
        uint64_t first = start(world, (Ask){ .memory_bytes = 40 * GIB }), big;

        take_ram(world, first, 40 * GIB);
        big = submit(world, (Ask){ .uid = BOB, .memory_bytes = 70 * GIB });
        pass_time(world, PATIENCE - SEC);
        start(world, (Ask){ .memory_bytes = 20 * GIB }); /* would take 40G, if it took twice that */
        pass_time(world, SEC);
        (void)settle(world);
        assert_int_equal(kept_for(world), big);
        assert_int_equal(end(world, first, TASK_STATE_DONE), 0);
        world->ram_free_bytes = 100 * GIB;
        assert_int_equal(settle(world), 0); /* 60G for it beyond what may be taken */
        assert_says(world, big, "just started and may take more than it asked for");
        pass_time(world, 60 * SEC);
        assert_int_equal(settle(world), 1);
        assert_true(runs(world, big));
}

static void test_those_do_not_that_started_after(_unused_ void **state) {
        KEEPING_WORLD(1, 60 * SEC);
        uint64_t first = start(world, (Ask){ .gpu = { "0" }, .gpu_bytes = { 24 * GIB } }), big;

        take_gpu(world, first, 0, 24 * GIB);
        big = submit(world, (Ask){ .uid = BOB, .memory_bytes = 70 * GIB, .gpu = { "0" } });
        pass_time(world, PATIENCE);
        (void)settle(world);
        assert_int_equal(kept_for(world), big);
        assert_true(starts(world, (Ask){ .memory_bytes = 20 * GIB }));
        world->n_uses = 0;
        world->gpus[0].free_bytes = 24 * GIB;
        world->gpus[0].n_processes = 0;
        assert_int_equal(end(world, first, TASK_STATE_DONE), 0);
        assert_int_equal(settle(world),
                         1); /* at once, though twice 20G and 70G are more than there is */
        assert_true(runs(world, big));

        /* and what settles strictly does not start where room is kept */
        submit(world, (Ask){ .uid = CHUCK, .memory_bytes = 5 * GIB, .gpu = { "0" } });
        pass_time(world, PATIENCE);
        (void)settle(world);
        assert_int_equal(kept_for(world), 4);
        assert_false(
                starts(world, (Ask){ .memory_bytes = MIB, .delay_given = true, .delay_us = SEC }));
        assert_says(world, 5, "which a delay (-d) would hold up");
        assert_true(starts(world, (Ask){ .memory_bytes = MIB, .delay_given = true }));
}

/* -- what people see -- */

static void assert_listed(const World *world, size_t i, uint64_t id, size_t place) {
        _cleanup_free_ const Task **tasks = NULL;
        static Explain explain;

        assert_true(core_list(world->core, &tasks) > (ssize_t)i);
        assert_int_equal(tasks[i]->id, id);
        assert_int_equal(core_explain(world->core, id, world->now_us, &explain), 0);
        assert_int_equal(explain.place, place);
}

static void test_it_is_the_first_in_line(_unused_ void **state) {
        CALM_WORLD(0);
        uint64_t big, urgent, late;
        static Explain explain;
        Task *task;

        start(world, (Ask){ .memory_bytes = 40 * GIB });
        big = submit(world, (Ask){ .memory_bytes = 80 * GIB });
        pass_time(world, PATIENCE);
        urgent = submit(world, (Ask){ .memory_bytes = 70 * GIB, .priority = 200 });
        late = submit(world, (Ask){ .memory_bytes = 70 * GIB });
        assert_listed(world, 1, urgent, 1);
        assert_listed(world, 2, big, 2);
        (void)settle(world);
        assert_int_equal(kept_for(world), big);
        assert_listed(world, 1, big, 1);
        assert_listed(world, 2, urgent, 2);
        assert_listed(world, 3, late, 3);

        task = task_of(world, &(Ask){ .memory_bytes = 70 * GIB, .priority = 200 });
        assert_int_equal(core_explain_new(world->core, task, CHUCK, world->now_us, &explain), 0);
        assert_int_equal(explain.place, 2);
        (void)task_free(task);
}

static void test_what_is_ample_beside_it_is_told(_unused_ void **state) {
        KEEPING_WORLD(1, 60 * SEC);
        uint64_t kept, late;

        start(world, (Ask){ .gpu = { "0" } });
        kept = submit(world, (Ask){ .memory_bytes = 40 * GIB, .gpu = { "0" } });
        pass_time(world, PATIENCE);
        (void)settle(world);
        assert_int_equal(kept_for(world), kept);
        assert_true(starts(world, (Ask){ .uid = CHUCK, .memory_bytes = 20 * GIB }));
        late = submit(world, (Ask){ .uid = BOB, .memory_bytes = 30 * GIB });
        assert_int_equal(settle(world), 0);
        assert_says(world, late,
                    "20G free beyond that, 10G missing, at most 1m more, and 40G is kept for task "
                    "2 of uid 1000");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_others_overtake_until_its_patience_is_over),
                cmocka_unit_test(test_its_patience_begins_with_its_release),
                cmocka_unit_test(test_its_patience_begins_with_the_end_of_what_it_waited_for),
                cmocka_unit_test(test_nothing_is_kept_without_end_of_patience),
                cmocka_unit_test(test_it_is_for_the_first_in_order_of_those_past_theirs),
                cmocka_unit_test(test_it_stays_but_one_of_higher_priority_past_its_own_takes_it),
                cmocka_unit_test(test_it_is_for_nobody_who_could_not_start),
                cmocka_unit_test(test_one_that_asks_for_something_else_is_judged_anew),
                cmocka_unit_test(test_after_keep_max_others_overtake_it_again),
                cmocka_unit_test(test_for_an_array_it_is_kept_for_one_element),
                cmocka_unit_test(test_it_is_kept_on_everything_or_on_nothing),
                cmocka_unit_test(test_nothing_is_kept_that_ends_of_tasks_can_not_bring),
                cmocka_unit_test(test_it_is_kept_on_between_an_end_and_the_next_look),
                cmocka_unit_test(test_the_gpu_that_is_expected_free_first_is_kept),
                cmocka_unit_test(test_others_have_what_is_beside_it),
                cmocka_unit_test(test_of_a_gpu_as_much_as_was_asked_for_is_kept),
                cmocka_unit_test(test_who_will_have_ended_before_overtakes),
                cmocka_unit_test(test_nobody_overtakes_where_the_room_may_come_at_any_moment),
                cmocka_unit_test(test_one_that_outlives_its_limit_may_end_at_any_moment),
                cmocka_unit_test(test_what_it_waits_for_longest_says_how_long_others_may_take),
                cmocka_unit_test(test_those_settle_towards_it_that_started_before),
                cmocka_unit_test(test_those_do_not_that_started_after),
                cmocka_unit_test(test_it_is_the_first_in_line),
                cmocka_unit_test(test_what_is_ample_beside_it_is_told),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
