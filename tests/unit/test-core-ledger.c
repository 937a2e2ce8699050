/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * What is free for the next task, and what a delay does to it
 */

#include "test-core-fixture.h"

static void test_an_exact_fit_starts(_unused_ void **state) {
        WORLD(1);
        Ask ask = {
                .memory_bytes = 100 * GIB, .gpu = { "0" }, .gpu_bytes = { 24 * GIB }, .cpus = 16
        };

        assert_int_equal(start(world, ask), 1);
}

static void test_one_byte_too_much_waits(_unused_ void **state) {
        WORLD(1);

        world->ram_free_bytes--;
        submit(world, (Ask){ .memory_bytes = 100 * GIB });
        assert_int_equal(start_next(world), 0);
        world->ram_free_bytes++;
        assert_int_equal(start_next(world), 1);

        world->gpus[0].free_bytes--;
        submit(world, (Ask){ .gpu = { "0" }, .gpu_bytes = { 24 * GIB } });
        assert_int_equal(start_next(world), 0);
        world->gpus[0].free_bytes++;
        assert_int_equal(start_next(world), 2);
}

static void test_the_reserve_stays_free(_unused_ void **state) {
        Policy policy = world_policy();
        _cleanup_(world_done) World own_world = {};
        World *world = &own_world;

        policy.reserved_memory_bytes = 10 * GIB;
        policy.reserved_gpu_memory_bytes = 4 * GIB;
        world_init(world, &policy, 1);
        assert_true(ram_free(world) == 90 * GIB);
        assert_true(gpu_free(world, 0) == 20 * GIB);
        world->ram_free_bytes = 60 * GIB;
        submit(world, (Ask){ .memory_bytes = 50 * GIB + 1 });
        assert_int_equal(start_next(world), 0);
        submit(world, (Ask){ .memory_bytes = 50 * GIB });
        assert_int_equal(start_next(world), 2);
}

static void test_what_is_not_taken_yet_stays_promised_for_life(_unused_ void **state) {
        WORLD(0);
        uint64_t id = start(world, (Ask){ .memory_bytes = 60 * GIB });

        take_ram(world, id, 20 * GIB);
        assert_true(core_view_ram(world->core, world->now_us).promised_bytes == 40 * GIB);
        pass_time(world, 1000000 * SEC);
        look(world);
        assert_true(ram_free(world) == 40 * GIB);
        submit(world, (Ask){ .memory_bytes = 40 * GIB + 1 });
        assert_int_equal(start_next(world), 0);
        submit(world, (Ask){ .memory_bytes = 40 * GIB });
        assert_int_equal(start_next(world), 3);
}

/* asked, use over time, then what is free of 100G */
static void test_the_ledger_is_asked_less_the_peak(_unused_ void **state) {
        static const struct {
                uint64_t asked_gib, uses_gib[3], free_gib;
        } cases[] = {
                { 30, { 0, 0, 0 }, 70 },    { 30, { 10, 10, 10 }, 70 }, { 30, { 30, 30, 30 }, 70 },
                { 30, { 40, 40, 40 }, 60 }, { 30, { 40, 40, 5 }, 95 },  { 30, { 20, 20, 5 }, 85 },
                { 30, { 5, 20, 10 }, 80 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                WORLD(1);
                uint64_t id = start(world, (Ask){ .memory_bytes = cases[i].asked_gib * GIB });
                uint64_t gpu = start(world, (Ask){ .gpu = { "0" },
                                                   .gpu_bytes = { cases[i].asked_gib * GIB / 4 } });

                for (size_t j = 0; j < ELEMENTSOF(cases[i].uses_gib); j++) {
                        take_ram(world, id, cases[i].uses_gib[j] * GIB);
                        take_gpu(world, gpu, 0, cases[i].uses_gib[j] * GIB / 4);
                }
                if (ram_free(world) != cases[i].free_gib * GIB)
                        fail_msg("case %zu: %llu", i, (unsigned long long)ram_free(world) >> 30);
                assert_true(gpu_free(world, 0) == (cases[i].free_gib - 100 + 96) * GIB / 4);
        }
}

static void test_a_report_counts_from_the_next_look_on(_unused_ void **state) {
        WORLD(0);
        uint64_t id = start(world, (Ask){ .memory_bytes = 60 * GIB });

        /* It took 60 after the look that says 100 are free: they must not be free twice. */
        assert_int_equal(report(world, id, true, 60 * GIB), 0);
        assert_true(core_find(world->core, id)->memory.used_bytes == 60 * GIB);
        assert_true(ram_free(world) == 40 * GIB);
        world->ram_free_bytes = 40 * GIB;
        look_at_ram(world);
        assert_true(ram_free(world) == 40 * GIB);
        assert_true(core_view_ram(world->core, world->now_us).promised_bytes == 0);
}

static void test_unfilled_parts_are_let_go_after_the_delay_if_set(_unused_ void **state) {
        Policy policy = world_policy();
        WORLD(0);

        policy.unfilled_delay = true;
        core_set_policy(world->core, &policy);
        start(world, (Ask){ .memory_bytes = 60 * GIB });
        take_ram(world, 1, 10 * GIB);
        pass_time(world, 60 * SEC - 1);
        assert_true(ram_free(world) == 40 * GIB);
        pass_time(world, 1);
        assert_true(ram_free(world) == 90 * GIB);
}

static void test_cores_are_summed_up(_unused_ void **state) {
        WORLD(0);

        start(world, (Ask){ .cpus = 10 });
        submit(world, (Ask){ .cpus = 7 });
        submit(world, (Ask){ .cpus = 6 });
        submit(world, (Ask){ .cpus = 1 });
        assert_int_equal(start_next(world), 3);
        assert_int_equal(start_next(world), 0);
        assert_int_equal(end(world, 3, TASK_STATE_DONE), 0);
        assert_int_equal(start_next(world), 4);
        assert_int_equal(end(world, 1, TASK_STATE_DONE), 0);
        assert_int_equal(start_next(world), 2);
}

/* -- strict delays -- */

static Ask strict(uint64_t memory_bytes, uint64_t delay_us) {
        return (Ask){ .memory_bytes = memory_bytes, .delay_given = true, .delay_us = delay_us };
}

static void test_with_d_nothing_else_starts_there_until_it_is_over(_unused_ void **state) {
        WORLD(0);

        start(world, strict(GIB, 30 * SEC));
        submit(world, (Ask){ .memory_bytes = 1 });
        assert_int_equal(start_next(world), 0);
        pass_time(world, 30 * SEC - 1);
        assert_int_equal(start_next(world), 0);
        pass_time(world, 1);
        assert_int_equal(start_next(world), 2);
}

static void test_with_d_it_settles_when_it_holds_what_it_asked_for(_unused_ void **state) {
        WORLD(0);

        start(world, strict(10 * GIB, 30 * SEC));
        submit(world, (Ask){ .memory_bytes = 1 });
        take_ram(world, 1, 10 * GIB - 1);
        assert_int_equal(start_next(world), 0);
        take_ram(world, 1, 10 * GIB);
        take_ram(world, 1, GIB); /* it was seen to hold it, that is enough */
        assert_int_equal(start_next(world), 2);
}

static void test_with_d_it_settles_when_it_ends(_unused_ void **state) {
        WORLD(0);

        start(world, strict(10 * GIB, 30 * SEC));
        submit(world, (Ask){ .memory_bytes = 1 });
        assert_int_equal(end(world, 1, TASK_STATE_FAILED), 0);
        assert_int_equal(start_next(world), 2);
}

static void test_a_delay_begins_with_the_offer(_unused_ void **state) {
        WORLD(0);

        submit(world, strict(GIB, 30 * SEC));
        look(world);
        assert_int_equal(offer_next(world), 1);
        submit(world, (Ask){ .memory_bytes = 1 });
        assert_int_equal(start_next(world), 0);
        pass_time(world, 4 * SEC);
        assert_int_equal(apply(world, EVENT_ACCEPTED, 1), 0);
        pass_time(world, 26 * SEC - 1);
        assert_int_equal(start_next(world), 0);
        pass_time(world, 1);
        assert_int_equal(start_next(world), 2);
}

static void test_delay_0_holds_nobody_back(_unused_ void **state) {
        WORLD(0);

        start(world, strict(10 * GIB, 0));
        assert_true(ram_free(world) == 90 * GIB); /* its part is its own all the same */
        submit(world, (Ask){ .memory_bytes = 90 * GIB });
        assert_int_equal(start_next(world), 2);
}

static void test_delay_inf_lasts_until_it_is_filled(_unused_ void **state) {
        WORLD(0);

        start(world, strict(10 * GIB, TASK_TIME_INF));
        submit(world, (Ask){ .memory_bytes = 1 });
        pass_time(world, 1000000000 * SEC);
        assert_int_equal(start_next(world), 0);
        take_ram(world, 1, 10 * GIB);
        assert_int_equal(start_next(world), 2);
}

static void test_other_resources_do_not_wait_for_a_delay(_unused_ void **state) {
        WORLD(2);

        start(world, (Ask){ .gpu = { "0" },
                            .gpu_bytes = { GIB },
                            .delay_given = true,
                            .delay_us = 30 * SEC });
        start(world, (Ask){ .memory_bytes = GIB });
        start(world, (Ask){ .cpus = 2 });
        start(world, (Ask){});
        start(world, (Ask){ .gpu = { "1" }, .gpu_bytes = { GIB } });
        submit(world, (Ask){ .gpu = { "0" }, .gpu_bytes = { MIB } });
        submit(world, (Ask){ .gpu = { "any" }, .gpu_bytes = { GIB } });
        assert_int_equal(start_next(world), 7);
        assert_string_equal(core_find(world->core, 7)->gpus[0].uuid, "GPU-bb");
        pass_time(world, 30 * SEC);
        assert_int_equal(start_next(world), 6);
}

static void test_each_resource_settles_by_itself(_unused_ void **state) {
        WORLD(1);

        start(world, (Ask){ .memory_bytes = GIB,
                            .gpu = { "0" },
                            .gpu_bytes = { GIB },
                            .delay_given = true,
                            .delay_us = 30 * SEC });
        submit(world, (Ask){ .memory_bytes = 1 });
        submit(world, (Ask){ .gpu = { "0" }, .gpu_bytes = { 1 } });
        assert_int_equal(start_next(world), 0);
        take_gpu(world, 1, 0, GIB);
        assert_int_equal(start_next(world), 3);
        assert_int_equal(start_next(world), 0);
        take_ram(world, 1, GIB);
        assert_int_equal(start_next(world), 2);
}

static void test_the_setting_strict_makes_every_delay_strict(_unused_ void **state) {
        Policy policy = world_policy();
        WORLD(0);

        policy.delay_strict = true;
        core_set_policy(world->core, &policy);
        start(world, (Ask){ .memory_bytes = GIB });
        submit(world, (Ask){ .memory_bytes = 1 });
        assert_int_equal(start_next(world), 0);
        pass_time(world, 60 * SEC);
        assert_int_equal(start_next(world), 2);
}

/* -- ample room -- */

static void test_while_one_settles_there_must_be_room_for_twice_what_it_asked(
        _unused_ void **state) {
        WORLD(0);

        start(world, (Ask){ .memory_bytes = 30 * GIB });
        submit(world, (Ask){ .memory_bytes = 40 * GIB + 1 });
        assert_int_equal(start_next(world), 0);
        submit(world, (Ask){ .memory_bytes = 40 * GIB });
        assert_int_equal(start_next(world), 3); /* 100 - 2 * 30 */
        assert_int_equal(start_next(world), 0);
        pass_time(world, 60 * SEC);
        assert_int_equal(start_next(world), 0); /* 30 free, by the ledger */
        assert_int_equal(end(world, 3, TASK_STATE_DONE), 0);
        assert_int_equal(start_next(world), 2);
}

static void test_twice_is_of_all_that_settle_and_less_what_they_hold(_unused_ void **state) {
        WORLD(0);

        start(world, (Ask){ .memory_bytes = 20 * GIB });
        start(world, (Ask){ .memory_bytes = 10 * GIB });
        take_ram(world, 1, 15 * GIB);
        /* 85 free, of which 40 - 15 and 20 - 0 may still be taken */
        submit(world, (Ask){ .memory_bytes = 40 * GIB + 1 });
        assert_int_equal(start_next(world), 0);
        submit(world, (Ask){ .memory_bytes = 40 * GIB });
        assert_int_equal(start_next(world), 4);
}

static void test_a_filled_task_counts_once(_unused_ void **state) {
        WORLD(0);

        start(world, (Ask){ .memory_bytes = 30 * GIB });
        take_ram(world, 1, 30 * GIB);
        submit(world, (Ask){ .memory_bytes = 70 * GIB });
        assert_int_equal(start_next(world), 2);
}

static void test_under_one_percent_need_not_wait_for_ample_room(_unused_ void **state) {
        WORLD(0);

        start(world, (Ask){ .memory_bytes = 60 * GIB });
        submit(world, (Ask){ .memory_bytes = GIB });
        assert_int_equal(start_next(world), 0);
        submit(world, (Ask){ .memory_bytes = GIB - 1 });
        assert_int_equal(start_next(world), 3);
}

static void test_under_one_percent_must_fit_the_ledger(_unused_ void **state) {
        WORLD(0);

        start(world, (Ask){ .memory_bytes = 100 * GIB - 10 });
        submit(world, (Ask){ .memory_bytes = 11 });
        assert_int_equal(start_next(world), 0);
        submit(world, (Ask){ .memory_bytes = 10 });
        assert_int_equal(start_next(world), 3);
}

static void test_the_factor_is_a_setting_and_never_less_than_one(_unused_ void **state) {
        Policy policy = world_policy();
        WORLD(0);

        policy.ample_factor_permille = 1500;
        core_set_policy(world->core, &policy);
        start(world, (Ask){ .memory_bytes = 30 * GIB });
        submit(world, (Ask){ .memory_bytes = 55 * GIB + 1 });
        assert_int_equal(start_next(world), 0);
        policy.ample_factor_permille = 0;
        core_set_policy(world->core, &policy);
        assert_int_equal(start_next(world), 2);
        assert_true(ram_free(world) == 15 * GIB - 1);
}

static void test_a_strict_delay_goes_before_ample_room(_unused_ void **state) {
        WORLD(0);

        start(world, (Ask){ .memory_bytes = GIB });
        start(world, strict(GIB, 30 * SEC));
        submit(world, (Ask){ .memory_bytes = GIB });
        assert_int_equal(start_next(world), 0);
        pass_time(world, 30 * SEC);
        assert_int_equal(start_next(world), 3);
}

/* -- what can't be measured -- */

static void test_what_was_not_reported_yet_is_kept(_unused_ void **state) {
        WORLD(0);

        start(world, strict(60 * GIB, 0));
        pass_time(world, 1000 * SEC);
        look(world);
        assert_true(ram_free(world) == 40 * GIB);
}

static void test_what_cant_be_measured_is_unfilled_until_the_delay_is_over(_unused_ void **state) {
        WORLD(0);

        start(world, (Ask){ .memory_bytes = 60 * GIB });
        assert_int_equal(report(world, 1, false, 0), 0);
        pass_time(world, 60 * SEC - 1);
        look(world);
        assert_true(ram_free(world) == 40 * GIB);
        assert_false(core_find(world->core, 1)->memory.let_go);
        pass_time(world, 1);
        look(world);
        assert_true(ram_free(world) == 100 * GIB);
        assert_true(core_find(world->core, 1)->memory.let_go);
}

static void test_what_can_be_measured_after_all_is_its_own_again(_unused_ void **state) {
        WORLD(0);

        start(world, (Ask){ .memory_bytes = 60 * GIB });
        assert_int_equal(report(world, 1, false, 0), 0);
        pass_time(world, 60 * SEC);
        look(world);
        assert_true(ram_free(world) == 100 * GIB);
        take_ram(world, 1, 30 * GIB);
        assert_true(ram_free(world) == 40 * GIB);
        assert_false(core_find(world->core, 1)->memory.let_go);
}

static void test_a_task_once_measured_keeps_its_peak_when_a_look_fails(_unused_ void **state) {
        WORLD(0);

        start(world, (Ask){ .memory_bytes = 60 * GIB });
        take_ram(world, 1, 30 * GIB);
        assert_int_equal(report(world, 1, false, 0), 0);
        pass_time(world, 100 * SEC);
        look(world);
        assert_true(ram_free(world) == 40 * GIB);
        assert_false(core_find(world->core, 1)->memory.known);
        assert_true(core_find(world->core, 1)->memory.peak_bytes == 30 * GIB);
}

static void test_a_gpu_without_process_list_is_let_go_after_the_delay(_unused_ void **state) {
        WORLD(1);

        world->gpus[0].processes_known = false;
        start(world, (Ask){ .gpu = { "0" }, .gpu_bytes = { 20 * GIB } });
        world->gpus[0].free_bytes -= 18 * GIB;
        look(world);
        assert_true(gpu_free(world, 0) == 0);
        assert_false(core_find(world->core, 1)->gpu_usage[0].known);
        pass_time(world, 60 * SEC);
        look(world);
        assert_true(gpu_free(world, 0) == 6 * GIB);
        assert_true(core_find(world->core, 1)->gpu_usage[0].let_go);
}

/* A container's processes are not the task's: it holds next to nothing, and the rest is outside. */
static void test_what_grew_outside_instead_is_let_go(_unused_ void **state) {
        static const struct {
                const char *what;
                uint64_t seen_gib, outside_gib;
                bool let_go;
        } cases[] = {
                { "all outside", 1, 29, true },      { "more outside", 1, 35, true },
                { "not all outside", 1, 28, false }, { "a tenth seen", 3, 40, false },
                { "nothing outside", 1, 0, false },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                WORLD(1);
                uint64_t ram = start(world, (Ask){ .memory_bytes = 30 * GIB });
                uint64_t gpu = start(world, (Ask){ .gpu = { "0" }, .gpu_bytes = { 15 * GIB } });

                world->ram_free_bytes -= cases[i].outside_gib * GIB;
                world->gpus[0].free_bytes -= cases[i].outside_gib * GIB / 2;
                take_ram(world, ram, cases[i].seen_gib * GIB);
                take_gpu(world, gpu, 0, cases[i].seen_gib * GIB / 2);
                pass_time(world, 60 * SEC - 1);
                look(world);
                assert_false(core_find(world->core, ram)->memory.let_go);
                pass_time(world, 1);
                look(world);
                if (core_find(world->core, ram)->memory.let_go != cases[i].let_go ||
                    core_find(world->core, gpu)->gpu_usage[0].let_go != cases[i].let_go)
                        fail_msg("%s", cases[i].what);
                assert_int_equal(core_view_ram(world->core, world->now_us).promised_bytes == 0,
                                 cases[i].let_go);
        }
}

static void test_growth_outside_is_judged_at_the_end_of_the_delay_only(_unused_ void **state) {
        WORLD(0);

        start(world, (Ask){ .memory_bytes = 30 * GIB });
        take_ram(world, 1, GIB);
        pass_time(world, 60 * SEC);
        look(world);
        world->ram_free_bytes -= 50 * GIB; /* somebody else's, later */
        pass_time(world, 60 * SEC);
        look(world);
        assert_false(core_find(world->core, 1)->memory.let_go);
        assert_true(ram_free(world) == 20 * GIB);
}

static void test_one_growth_outside_explains_one_task(_unused_ void **state) {
        WORLD(0);

        start(world, (Ask){ .memory_bytes = 20 * GIB });
        start(world, (Ask){ .memory_bytes = 20 * GIB });
        take_ram(world, 1, GIB);
        take_ram(world, 2, GIB);
        world->ram_free_bytes -= 30 * GIB;
        pass_time(world, 60 * SEC);
        look(world);
        assert_true(core_find(world->core, 1)->memory.let_go);
        assert_false(core_find(world->core, 2)->memory.let_go);
}

static void test_what_other_tasks_take_is_not_outside(_unused_ void **state) {
        WORLD(0);

        start(world, (Ask){ .memory_bytes = 30 * GIB });
        start(world, (Ask){ .memory_bytes = 30 * GIB });
        take_ram(world, 1, GIB);
        take_ram(world, 2, 30 * GIB);
        pass_time(world, 60 * SEC);
        look(world);
        assert_false(core_find(world->core, 1)->memory.let_go);
        assert_true(ram_free(world) == 40 * GIB);
}

/* -- hostile figures -- */

static void test_figures_that_cant_be_do_not_shake_the_ledger(_unused_ void **state) {
        static const uint64_t figures[] = { 0, 1, GIB, UINT64_MAX / 2, UINT64_MAX - 1, UINT64_MAX };

        for (size_t i = 0; i < ELEMENTSOF(figures); i++)
                for (size_t j = 0; j < ELEMENTSOF(figures); j++) {
                        WORLD(1);
                        uint64_t id = start(world, (Ask){ .memory_bytes = GIB,
                                                          .gpu = { "0" },
                                                          .gpu_bytes = { GIB } });

                        world->ram_total_bytes = figures[i];
                        world->ram_free_bytes = figures[j];
                        world->gpus[0].total_bytes = figures[i];
                        world->gpus[0].free_bytes = figures[j];
                        world->n_uses = 2;
                        for (unsigned k = 0; k < 2; k++) {
                                world->uses[k] =
                                        (GpuTaskUse){ .task_id = id, .used_bytes = figures[j] };
                                memcpy(world->uses[k].uuid, world->gpus[0].uuid, GPU_UUID_MAX);
                        }
                        assert_int_equal(report(world, id, true, figures[j]), 0);
                        look(world);
                        pass_time(world, 61 * SEC);
                        look(world);
                        assert_true(ram_free(world) <= figures[i]);
                        assert_true(gpu_free(world, 0) <= figures[i]);
                        submit(world, (Ask){});
                        (void)start_next(world);
                }
}

static void test_the_largest_numbers_are_asked_for_in_vain(_unused_ void **state) {
        WORLD(1);
        Event event = world_event(world, EVENT_SUBMITTED, 0);
        Task *task = event.submitted = task_of(world, &(Ask){ .gpu = { "0" } });

        task->needs.memory_bytes = UINT64_MAX;
        task->needs.cpus = UINT32_MAX;
        task->needs.gpus[0].bytes = UINT64_MAX - 1;
        assert_int_equal(core_apply(world->core, &event), 0);
        submit(world, (Ask){ .memory_bytes = GIB, .cpus = 16, .gpu = { "0" } });
        assert_int_equal(start_next(world), 2);
        assert_int_equal(start_next(world), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_an_exact_fit_starts),
                cmocka_unit_test(test_one_byte_too_much_waits),
                cmocka_unit_test(test_the_reserve_stays_free),
                cmocka_unit_test(test_what_is_not_taken_yet_stays_promised_for_life),
                cmocka_unit_test(test_the_ledger_is_asked_less_the_peak),
                cmocka_unit_test(test_a_report_counts_from_the_next_look_on),
                cmocka_unit_test(test_unfilled_parts_are_let_go_after_the_delay_if_set),
                cmocka_unit_test(test_cores_are_summed_up),
                cmocka_unit_test(test_with_d_nothing_else_starts_there_until_it_is_over),
                cmocka_unit_test(test_with_d_it_settles_when_it_holds_what_it_asked_for),
                cmocka_unit_test(test_with_d_it_settles_when_it_ends),
                cmocka_unit_test(test_a_delay_begins_with_the_offer),
                cmocka_unit_test(test_delay_0_holds_nobody_back),
                cmocka_unit_test(test_delay_inf_lasts_until_it_is_filled),
                cmocka_unit_test(test_other_resources_do_not_wait_for_a_delay),
                cmocka_unit_test(test_each_resource_settles_by_itself),
                cmocka_unit_test(test_the_setting_strict_makes_every_delay_strict),
                cmocka_unit_test(test_while_one_settles_there_must_be_room_for_twice_what_it_asked),
                cmocka_unit_test(test_twice_is_of_all_that_settle_and_less_what_they_hold),
                cmocka_unit_test(test_a_filled_task_counts_once),
                cmocka_unit_test(test_under_one_percent_need_not_wait_for_ample_room),
                cmocka_unit_test(test_under_one_percent_must_fit_the_ledger),
                cmocka_unit_test(test_the_factor_is_a_setting_and_never_less_than_one),
                cmocka_unit_test(test_a_strict_delay_goes_before_ample_room),
                cmocka_unit_test(test_what_was_not_reported_yet_is_kept),
                cmocka_unit_test(test_what_cant_be_measured_is_unfilled_until_the_delay_is_over),
                cmocka_unit_test(test_what_can_be_measured_after_all_is_its_own_again),
                cmocka_unit_test(test_a_task_once_measured_keeps_its_peak_when_a_look_fails),
                cmocka_unit_test(test_a_gpu_without_process_list_is_let_go_after_the_delay),
                cmocka_unit_test(test_what_grew_outside_instead_is_let_go),
                cmocka_unit_test(test_growth_outside_is_judged_at_the_end_of_the_delay_only),
                cmocka_unit_test(test_one_growth_outside_explains_one_task),
                cmocka_unit_test(test_what_other_tasks_take_is_not_outside),
                cmocka_unit_test(test_figures_that_cant_be_do_not_shake_the_ledger),
                cmocka_unit_test(test_the_largest_numbers_are_asked_for_in_vain),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
