/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The plan: what it relies on, what it asks for, and when it wants to be made again
 */

#include "test-core-fixture.h"

typedef struct Want {
        size_t n_offers;
        bool ram, gpus;
} Want;

static Want want_now(const World *world) {
        Plan plan = plan_now(world);
        Want want = { plan.n_offers, plan.want_ram, plan.want_gpus };

        plan_done(&plan);
        return want;
}

#define assert_plan(world, offers, want_ram, want_gpus)   \
        do {                                              \
                Want _want = want_now(world);             \
                assert_int_equal(_want.n_offers, offers); \
                assert_int_equal(_want.ram, want_ram);    \
                assert_int_equal(_want.gpus, want_gpus);  \
        } while (0)

static uint64_t wake_now(const World *world) {
        Plan plan = plan_now(world);
        uint64_t wake = plan.wake_boot_us;

        plan_done(&plan);
        return wake;
}

/* -- fresh figures -- */

static void test_old_figures_start_nothing(_unused_ void **state) {
        WORLD(1);
        uint64_t age_us = core_policy(world->core)->sample_max_age_us;

        submit(world, (Ask){ .memory_bytes = GIB, .gpu = { "0" } });
        pass_time(world, age_us);
        assert_plan(world, 1, false, false);
        pass_time(world, 1);
        assert_plan(world, 0, true, true);
        look_at_ram(world);
        assert_plan(world, 0, false, true);
        look_at_gpus(world);
        assert_plan(world, 1, false, false);
}

static void test_a_look_asked_for_before_the_last_start_there_starts_nothing(
        _unused_ void **state) {
        WORLD(1);
        Event early = world_event(world, EVENT_RAM, 0), gpus = world_event(world, EVENT_GPUS, 0);

        early.ram = (RamSample){ 100 * GIB, 100 * GIB, core_n_offers(world->core) };
        gpus.gpus = (GpusSample){ .known = true, .n_gpus = 1, .gpus = world->gpus };
        start(world, (Ask){ .memory_bytes = GIB, .gpu = { "0" }, .gpu_bytes = { GIB } });
        submit(world, (Ask){ .memory_bytes = GIB });
        submit(world, (Ask){ .gpu = { "0" }, .gpu_bytes = { GIB } });
        assert_plan(world, 0, true, true);

        assert_int_equal(core_apply(world->core, &early), 0);
        assert_int_equal(core_apply(world->core, &gpus), 0);
        assert_plan(world, 0, true, true);
        look_at_ram(world);
        assert_plan(world, 1, false, true);
        look_at_gpus(world);
        assert_plan(world, 2, false, false);
}

static void test_a_start_elsewhere_does_not_age_a_look(_unused_ void **state) {
        WORLD(2);

        submit(world, (Ask){ .memory_bytes = GIB });
        submit(world, (Ask){ .gpu = { "0" } });
        submit(world, (Ask){ .gpu = { "1" } });
        look(world);
        assert_int_equal(offer_next(world), 1);
        assert_int_equal(offer_next(world), 2);
        assert_int_equal(offer_next(world), 3);
}

static void test_no_look_is_wanted_that_could_change_nothing(_unused_ void **state) {
        WORLD(2);

        /* nothing waits */
        pass_time(world, 1000 * SEC);
        assert_plan(world, 0, false, false);

        /* what waits asks for nothing that is measured */
        submit(world, (Ask){ .cpus = 16 });
        submit(world, (Ask){ .cpus = 16 });
        assert_int_equal(offer_next(world), 1);
        assert_int_equal(apply(world, EVENT_ACCEPTED, 1), 0);
        assert_plan(world, 0, false, false);

        /* the cores are short, whatever a look said */
        submit(world, (Ask){ .cpus = 1, .memory_bytes = GIB, .gpu = { "0" } });
        assert_plan(world, 0, false, false);

        /* it asks for RAM only, or one GPU only */
        submit(world, (Ask){ .memory_bytes = GIB });
        assert_plan(world, 0, true, false);
        assert_int_equal(apply(world, EVENT_HELD, 4), 0);
        submit(world, (Ask){ .gpu = { "1" } });
        assert_plan(world, 0, false, true);
}

static void test_no_look_is_wanted_where_the_ledger_leaves_no_room(_unused_ void **state) {
        WORLD(1);

        start(world, (Ask){ .memory_bytes = 60 * GIB, .gpu = { "0" } });
        submit(world, (Ask){ .memory_bytes = 50 * GIB });
        submit(world, (Ask){ .gpu = { "0" }, .gpu_bytes = { GIB } });
        pass_time(world, 100 * SEC);
        assert_plan(world, 0, false, false); /* 100 in all, 60 promised; the GPU is held */
        submit(world, (Ask){ .memory_bytes = 40 * GIB });
        assert_plan(world, 0, true, false);
}

static void test_no_look_is_wanted_during_a_strict_delay(_unused_ void **state) {
        WORLD(0);

        start(world, (Ask){ .memory_bytes = GIB, .delay_given = true, .delay_us = 30 * SEC });
        submit(world, (Ask){ .memory_bytes = GIB });
        pass_time(world, SEC);
        assert_plan(world, 0, false, false);
        /* but when its report says that it is over, a look would count it */
        assert_int_equal(report(world, 1, true, GIB), 0);
        assert_plan(world, 0, true, false);
        look(world);
        assert_plan(world, 1, false, false);
}

static void test_a_fresh_look_that_says_no_is_not_repeated(_unused_ void **state) {
        WORLD(1);

        world->ram_free_bytes = GIB;
        world->gpus[0].free_bytes = GIB;
        submit(world, (Ask){ .memory_bytes = 2 * GIB });
        submit(world, (Ask){ .gpu = { "0" }, .gpu_bytes = { 2 * GIB } });
        look(world);
        assert_plan(world, 0, false, false);
}

static void test_an_end_makes_a_look_worth_while(_unused_ void **state) {
        WORLD(1);

        start(world, (Ask){ .memory_bytes = 60 * GIB, .gpu = { "0" }, .gpu_bytes = { 20 * GIB } });
        take_ram(world, 1, 60 * GIB);
        take_gpu(world, 1, 0, 20 * GIB);
        submit(world, (Ask){ .memory_bytes = 50 * GIB, .gpu = { "0" }, .gpu_bytes = { 20 * GIB } });
        look(world);
        assert_plan(world, 0, false, false);
        assert_int_equal(end(world, 1, TASK_STATE_DONE), 0);
        assert_plan(world, 0, true, true);
}

static void test_only_the_look_is_wanted_that_is_old(_unused_ void **state) {
        WORLD(1);

        world->gpus[0].free_bytes = GIB;
        world->ram_free_bytes = 50 * GIB;
        look(world);
        submit(world, (Ask){ .memory_bytes = 50 * GIB, .gpu = { "0" }, .gpu_bytes = { 2 * GIB } });
        assert_plan(world, 0, false, false);
        pass_time(world, SEC);
        look_at_ram(world);
        assert_plan(world, 0, false, true);
        look_at_gpus(world);
        pass_time(world, SEC);
        look_at_gpus(world);
        assert_plan(world, 0, false, false); /* by fresh figures GPU 0 is short */
        world->gpus[0].free_bytes = 2 * GIB;
        look_at_gpus(world);
        assert_plan(world, 0, true, false);
}

static void test_a_report_makes_a_look_worth_while(_unused_ void **state) {
        WORLD(0);

        start(world, (Ask){ .memory_bytes = 30 * GIB });
        submit(world, (Ask){ .memory_bytes = 60 * GIB });
        look(world);
        assert_plan(world, 0, false, false); /* not ample */
        assert_int_equal(report(world, 1, true, 30 * GIB), 0);
        assert_plan(world, 0, true, false);
        assert_int_equal(report(world, 1, true, 30 * GIB), 0);
        look(world);
        assert_plan(world, 1, false, false);
}

static void test_a_look_is_wanted_at_gpus_never_seen(_unused_ void **state) {
        WORLD(0);
        Event event = world_event(world, EVENT_SUBMITTED, 0);
        Task *task = event.submitted = task_of(world, &(Ask){});

        /* After a restart: the store has the task, nobody has looked yet. */
        assert_int_equal(needs_add_gpu(&task->needs, "0", GIB), 0);
        strcpy(task->needs.gpus[0].uuid, "GPU-aa");
        assert_int_equal(core_apply(world->core, &event), 0);
        assert_plan(world, 0, false, true);
        event = world_event(world, EVENT_GPUS, 0);
        assert_int_equal(core_apply(world->core, &event), 0); /* no answer */
        assert_plan(world, 0, false, false);
        pass_time(world, SEC);
        assert_plan(world, 0, false, true);
}

static void test_a_silent_probe_is_asked_again_when_time_has_passed(_unused_ void **state) {
        WORLD(1);
        Event event = world_event(world, EVENT_GPUS, 0);

        submit(world, (Ask){ .gpu = { "any" } });
        assert_int_equal(core_apply(world->core, &event), 0);
        assert_plan(world, 0, false, false);
        pass_time(world, SEC);
        assert_plan(world, 0, false, true);
}

/* Else it would be overtaken for no other reason than that its figures are older. */
static void test_who_waits_for_a_look_at_ram_is_not_overtaken(_unused_ void **state) {
        WORLD(1);

        submit(world,
               (Ask){ .memory_bytes = GIB, .gpu = { "0" }, .gpu_bytes = { 20 * GIB }, .cpus = 16 });
        submit(world, (Ask){ .gpu = { "0" }, .gpu_bytes = { 20 * GIB } });
        submit(world, (Ask){ .cpus = 16 });
        pass_time(world, SEC);
        look_at_gpus(world);
        assert_plan(world, 0, true, false);
        look_at_ram(world);
        assert_plan(world, 1, false, false);
        assert_int_equal(offer_next(world), 1);
}

static void test_who_waits_for_a_look_at_gpus_holds_up_gpus_only(_unused_ void **state) {
        WORLD(2);

        submit(world, (Ask){ .memory_bytes = 90 * GIB, .gpu = { "0" }, .cpus = 16 });
        submit(world, (Ask){ .memory_bytes = 90 * GIB });
        submit(world, (Ask){ .cpus = 16 });
        pass_time(world, SEC);
        look_at_ram(world);
        assert_plan(world, 2, false, true);
        assert_int_equal(offer_next(world), 2);
        assert_int_equal(offer_next(world), 3);
}

/* -- one start a resource, many of what is not measured -- */

static void test_a_resource_is_given_once_in_a_plan(_unused_ void **state) {
        WORLD(2);

        submit(world, (Ask){ .memory_bytes = GIB });
        submit(world, (Ask){ .memory_bytes = GIB });
        submit(world, (Ask){ .gpu = { "0" }, .gpu_bytes = { GIB } });
        submit(world, (Ask){ .gpu = { "0" }, .gpu_bytes = { GIB } });
        submit(world, (Ask){ .gpu = { "any" }, .gpu_bytes = { GIB } });
        submit(world, (Ask){ .gpu = { "any" }, .gpu_bytes = { GIB } });
        look(world);
        assert_plan(world, 3, false, false);
        assert_int_equal(offer_next(world), 1);
        assert_int_equal(offer_next(world), 3);
        assert_int_equal(offer_next(world), 5);
        assert_int_equal(offer_next(world), 0);
}

static void test_what_asks_for_nothing_measured_starts_at_once(_unused_ void **state) {
        Policy policy = world_policy();
        WORLD(0);
        Plan plan;

        policy.max_offers_per_uid = 10000;
        core_set_policy(world->core, &policy);
        pass_time(world, 1000 * SEC);
        for (int i = 0; i < 20; i++) {
                submit(world, (Ask){});
                submit(world, (Ask){ .cpus = 2 });
        }
        plan = plan_now(world);
        assert_int_equal(plan.n_offers, 28); /* 16 cores */
        assert_false(plan.want_ram);
        for (size_t i = 0; i < 16; i++)
                assert_int_equal(plan.offers[i].task_id, i + 1); /* in order, across classes */
        plan_done(&plan);
}

static void test_a_plan_has_a_most_of_offers(_unused_ void **state) {
        Policy policy = world_policy();
        WORLD(0);

        policy.max_offers_per_uid = UINT32_MAX;
        core_set_policy(world->core, &policy);
        for (int i = 0; i < PLAN_OFFERS_MAX + 10; i++)
                submit(world, (Ask){});
        assert_plan(world, PLAN_OFFERS_MAX, false, false);
}

static void test_a_user_has_a_most_of_open_offers(_unused_ void **state) {
        Policy policy = world_policy();
        WORLD(0);

        policy.max_offers_per_uid = 3;
        core_set_policy(world->core, &policy);
        for (int i = 0; i < 5; i++)
                submit(world, (Ask){ .uid = ALICE });
        submit(world, (Ask){ .uid = BOB });
        assert_plan(world, 4, false, false);
        for (uint64_t i = 1; i <= 3; i++)
                assert_int_equal(offer_next(world), i);
        assert_int_equal(offer_next(world), 6);
        assert_int_equal(offer_next(world), 0);
        assert_int_equal(apply(world, EVENT_ACCEPTED, 2), 0);
        assert_int_equal(offer_next(world), 4);
        assert_int_equal(offer_next(world), 0);
}

static void test_a_user_has_a_most_of_tasks_that_run(_unused_ void **state) {
        Policy policy = world_policy();
        WORLD(0);

        policy.max_active_per_uid = 2;
        core_set_policy(world->core, &policy);
        for (int i = 0; i < 4; i++)
                submit(world, (Ask){ .uid = ALICE });
        submit(world, (Ask){ .uid = BOB });
        assert_plan(world, 3, false, false);
        assert_int_equal(offer_next(world), 1);
        assert_int_equal(apply(world, EVENT_ACCEPTED, 1), 0);
        assert_int_equal(offer_next(world), 2);
        assert_int_equal(apply(world, EVENT_ACCEPTED, 2), 0);
        assert_int_equal(core_n_running_of(world->core, ALICE), 2);
        assert_int_equal(offer_next(world), 5);
        assert_int_equal(offer_next(world), 0);
        assert_int_equal(end(world, 1, TASK_STATE_DONE), 0);
        assert_int_equal(offer_next(world), 3);
        assert_int_equal(core_n_running_of(world->core, ALICE), 1);
        assert_int_equal(core_n_running_of(world->core, CHUCK), 0);
}

static void test_a_task_that_does_not_fit_is_overtaken(_unused_ void **state) {
        WORLD(0);

        submit(world, (Ask){ .memory_bytes = 80 * GIB });
        submit(world, (Ask){ .memory_bytes = 60 * GIB });
        submit(world, (Ask){ .memory_bytes = 50 * GIB });
        world->ram_free_bytes = 55 * GIB;
        assert_int_equal(start_next(world), 3);
}

static void test_held_and_passed_over_tasks_are_not_offered(_unused_ void **state) {
        WORLD(0);

        submit(world, (Ask){ .state = TASK_STATE_HELD });
        submit(world, (Ask){});
        assert_int_equal(apply(world, EVENT_RUNNER_AWAY, 2), 0);
        assert_plan(world, 0, false, false);
}

static void test_an_offer_has_the_grants_in_the_order_of_the_needs(_unused_ void **state) {
        WORLD(3);
        Ask ask = { .gpu = { "any", "1", "any" }, .gpu_bytes = { GIB, 2 * GIB, 0 } };
        Plan plan;

        submit(world, ask);
        look(world);
        plan = plan_now(world);
        assert_int_equal(plan.n_offers, 1);
        assert_int_equal(plan.offers[0].n_gpus, 3);
        assert_true(plan.offers[0].gpus[0].bytes == GIB);
        assert_int_equal(plan.offers[0].gpus[1].index, 1);
        assert_string_equal(plan.offers[0].gpus[1].uuid, "GPU-bb");
        assert_true(plan.offers[0].gpus[2].bytes == GPU_WHOLE);
        plan_done(&plan);
        assert_int_equal(plan.n_offers, 0);
}

static void test_a_plan_is_the_same_when_it_is_made_again(_unused_ void **state) {
        WORLD(2);
        Plan a, b;

        for (unsigned i = 0; i < 20; i++)
                submit(world, (Ask){ .uid = ALICE + i % 3,
                                     .memory_bytes = i * GIB,
                                     .gpu = { i % 2 ? "any" : NULL },
                                     .gpu_bytes = { GIB } });
        look(world);
        a = plan_now(world);
        b = plan_now(world);
        assert_int_equal(a.n_offers, b.n_offers);
        for (size_t i = 0; i < a.n_offers; i++)
                assert_int_equal(a.offers[i].task_id, b.offers[i].task_id);
        plan_done(&a);
        plan_done(&b);
}

/* -- when to be woken -- */

static void test_the_end_of_a_delay_wakes(_unused_ void **state) {
        WORLD(0);

        start(world, (Ask){ .memory_bytes = GIB, .delay_given = true, .delay_us = 30 * SEC });
        submit(world, (Ask){ .memory_bytes = GIB });
        assert_true(wake_now(world) == world->now_us + 30 * SEC);
        pass_time(world, 30 * SEC);
        assert_true(wake_now(world) == TASK_TIME_INF);
        assert_int_equal(start_next(world), 2);
}

static void test_the_next_of_several_delays_wakes(_unused_ void **state) {
        WORLD(0);

        start(world, (Ask){ .memory_bytes = 10 * GIB });
        pass_time(world, 10 * SEC);
        start(world, (Ask){ .memory_bytes = 10 * GIB });
        submit(world, (Ask){ .memory_bytes = 70 * GIB });
        assert_true(wake_now(world) == world->now_us + 50 * SEC);
        pass_time(world, 50 * SEC);
        assert_true(wake_now(world) == world->now_us + 10 * SEC);
}

static void test_nothing_wakes_that_nobody_waits_for(_unused_ void **state) {
        WORLD(2);

        start(world, (Ask){ .memory_bytes = GIB, .gpu = { "0" }, .gpu_bytes = { GIB } });
        assert_true(wake_now(world) == TASK_TIME_INF); /* nothing waits */
        submit(world, (Ask){ .cpus = 16 });
        submit(world, (Ask){ .cpus = 16 });
        assert_true(wake_now(world) == TASK_TIME_INF); /* for nothing that settles */
        submit(world, (Ask){ .gpu = { "1" } });
        assert_true(wake_now(world) == TASK_TIME_INF);
        submit(world, (Ask){ .gpu = { "any" } });
        assert_true(wake_now(world) == world->now_us + 60 * SEC);
        take_gpu(world, 1, 0, GIB);
        assert_true(wake_now(world) == TASK_TIME_INF); /* filled */
}

static void test_a_delay_without_end_wakes_nobody(_unused_ void **state) {
        WORLD(0);

        start(world, (Ask){ .memory_bytes = GIB, .delay_given = true, .delay_us = TASK_TIME_INF });
        submit(world, (Ask){ .memory_bytes = GIB });
        assert_true(wake_now(world) == TASK_TIME_INF);
}

/* -- memory pressure -- */

static void test_nothing_starts_under_memory_pressure(_unused_ void **state) {
        WORLD(1);
        static Explain explain;
        char line[512];

        world->pressure_permyriad = 2001;
        look(world);
        submit(world, (Ask){ .memory_bytes = GIB });
        submit(world, (Ask){ .uid = BOB, .gpu = { "0" } });
        submit(world, (Ask){ .uid = CHUCK });
        assert_plan(world, 0, false, false);
        assert_int_equal(core_explain(world->core, 3, world->now_us, &explain), 0);
        assert_int_equal(explain.n_lacks, 1);
        explain_sentence(&explain, world->now_us, NULL, NULL, line, sizeof(line));
        assert_string_equal(
                line,
                "nothing starts: programs waited for memory in 20.0 % of the last 10 seconds, "
                "more than 20.0 % (pressure_limit)");

        /* it is looked at again when the figures are old, and at the limit all goes on */
        pass_time(world, SEC);
        assert_plan(world, 0, true, false);
        world->pressure_permyriad = 2000;
        look(world);
        assert_plan(world, 3, false, false);
}

static void test_without_figures_there_is_no_pressure(_unused_ void **state) {
        WORLD(0);
        Event event = world_event(world, EVENT_RAM, 0);

        event.ram = (RamSample){ 100 * GIB, 100 * GIB, 0, false, 10000 };
        assert_int_equal(core_apply(world->core, &event), 0);
        submit(world, (Ask){ .memory_bytes = GIB });
        assert_plan(world, 1, false, false);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_old_figures_start_nothing),
                cmocka_unit_test(test_a_look_asked_for_before_the_last_start_there_starts_nothing),
                cmocka_unit_test(test_a_start_elsewhere_does_not_age_a_look),
                cmocka_unit_test(test_no_look_is_wanted_that_could_change_nothing),
                cmocka_unit_test(test_no_look_is_wanted_where_the_ledger_leaves_no_room),
                cmocka_unit_test(test_no_look_is_wanted_during_a_strict_delay),
                cmocka_unit_test(test_a_fresh_look_that_says_no_is_not_repeated),
                cmocka_unit_test(test_an_end_makes_a_look_worth_while),
                cmocka_unit_test(test_only_the_look_is_wanted_that_is_old),
                cmocka_unit_test(test_a_report_makes_a_look_worth_while),
                cmocka_unit_test(test_a_look_is_wanted_at_gpus_never_seen),
                cmocka_unit_test(test_a_silent_probe_is_asked_again_when_time_has_passed),
                cmocka_unit_test(test_who_waits_for_a_look_at_ram_is_not_overtaken),
                cmocka_unit_test(test_who_waits_for_a_look_at_gpus_holds_up_gpus_only),
                cmocka_unit_test(test_a_resource_is_given_once_in_a_plan),
                cmocka_unit_test(test_what_asks_for_nothing_measured_starts_at_once),
                cmocka_unit_test(test_a_plan_has_a_most_of_offers),
                cmocka_unit_test(test_a_user_has_a_most_of_open_offers),
                cmocka_unit_test(test_a_user_has_a_most_of_tasks_that_run),
                cmocka_unit_test(test_a_task_that_does_not_fit_is_overtaken),
                cmocka_unit_test(test_held_and_passed_over_tasks_are_not_offered),
                cmocka_unit_test(test_an_offer_has_the_grants_in_the_order_of_the_needs),
                cmocka_unit_test(test_a_plan_is_the_same_when_it_is_made_again),
                cmocka_unit_test(test_the_end_of_a_delay_wakes),
                cmocka_unit_test(test_the_next_of_several_delays_wakes),
                cmocka_unit_test(test_nothing_wakes_that_nobody_waits_for),
                cmocka_unit_test(test_a_delay_without_end_wakes_nobody),
                cmocka_unit_test(test_nothing_starts_under_memory_pressure),
                cmocka_unit_test(test_without_figures_there_is_no_pressure),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
