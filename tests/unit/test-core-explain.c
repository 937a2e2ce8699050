/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Why a task waits, in numbers and in words
 */

#include "test-core-fixture.h"

static Explain explain; /* large */

static const char *user_name(uid_t uid, char *buf, size_t n, void *userdata) {
        assert_ptr_equal(userdata, &explain);
        (void)snprintf(buf, n, "%s", uid == ALICE ? "alice" : uid == BOB ? "bob" : "chuck");
        return buf;
}

static const char *why(const World *world, uint64_t id) {
        static char line[2000];

        assert_int_equal(core_explain(world->core, id, world->now_us, &explain), 0);
        explain_sentence(&explain, world->now_us, user_name, &explain, line, sizeof(line));
        return line;
}

static void test_ram_is_short_with_numbers_and_holders(_unused_ void **state) {
        WORLD(0);
        const Lack *lack = &explain.lacks[0];
        uint64_t id;

        start(world, (Ask){ .uid = BOB, .memory_bytes = 20 * GIB });
        start(world, (Ask){ .uid = CHUCK, .memory_bytes = 30 * GIB });
        take_ram(world, 1, 20 * GIB);
        take_ram(world, 2, 5 * GIB);
        world->ram_free_bytes -= 15 * GIB;
        look(world);
        id = submit(world, (Ask){ .memory_bytes = 50 * GIB });

        assert_string_equal(why(world, id),
                            "needs 50G of RAM: 35G free, 15G missing (task 2 of chuck holds 5G and "
                            "may take 25G more, task 1 of bob holds 20G; 15G is used outside "
                            "taskflow)");
        assert_int_equal(explain.n_lacks, 1);
        assert_int_equal(explain.place, 1);
        assert_false(explain.any_gpu);
        assert_int_equal(lack->reason, WAIT_REASON_MEMORY);
        assert_int_equal(lack->gpu_index, -1);
        assert_true(lack->asked_bytes == 50 * GIB);
        assert_true(lack->free_bytes == 35 * GIB);
        assert_true(lack->missing_bytes == 15 * GIB);
        assert_true(lack->total_bytes == 100 * GIB);
        assert_true(lack->outside_bytes == 15 * GIB);
        assert_true(lack->until_boot_us == 0);
        assert_int_equal(lack->n_holders, 2);
        assert_int_equal(lack->holders[0].task_id, 2);
        assert_int_equal(lack->holders[0].uid, CHUCK);
        assert_true(lack->holders[0].used_bytes == 5 * GIB);
        assert_true(lack->holders[0].promised_bytes == 25 * GIB);
}

static void test_the_largest_holders_are_named_the_others_counted(_unused_ void **state) {
        WORLD(0);
        uint64_t id;

        for (unsigned i = 1; i <= 12; i++) {
                start(world, (Ask){ .memory_bytes = i * GIB, .delay_given = true });
                take_ram(world, i, i * GIB);
        }
        id = submit(world, (Ask){ .memory_bytes = 90 * GIB });
        assert_non_null(strstr(why(world, id), "task 12 of alice holds 12G, task 11 of alice"));
        assert_non_null(strstr(why(world, id), "holds 5G and 4 more tasks)"));
        assert_int_equal(explain.lacks[0].n_holders, EXPLAIN_HOLDERS_MAX);
        assert_int_equal(explain.lacks[0].n_more_holders, 4);
        for (size_t i = 0; i < EXPLAIN_HOLDERS_MAX; i++)
                assert_int_equal(explain.lacks[0].holders[i].task_id, 12 - i);
}

static void test_without_names_users_are_numbers(_unused_ void **state) {
        WORLD(0);
        char line[200];

        start(world, (Ask){ .memory_bytes = 60 * GIB });
        submit(world, (Ask){ .memory_bytes = 60 * GIB });
        (void)why(world, 2);
        explain_sentence(&explain, world->now_us, NULL, NULL, line, sizeof(line));
        assert_string_equal(line, "needs 60G of RAM: 40G free, 20G missing (task 1 of uid 1000 may "
                                  "take 60G)");
}

static void test_cores_are_counted(_unused_ void **state) {
        WORLD(0);

        start(world, (Ask){ .uid = BOB, .cpus = 10 });
        start(world, (Ask){ .uid = CHUCK, .cpus = 5 });
        submit(world, (Ask){ .cpus = 4 });
        assert_string_equal(why(world, 3), "needs 4 cores: 1 of 16 free, 3 missing (task 1 of bob "
                                           "has 10, task 2 of chuck has 5)");
        submit(world, (Ask){ .cpus = 1 });
        assert_string_equal(why(world, 4), "nothing is missing: it can start now");
}

static void test_a_strict_delay_is_named_with_its_end(_unused_ void **state) {
        WORLD(0);

        start(world,
              (Ask){ .uid = BOB, .memory_bytes = GIB, .delay_given = true, .delay_us = 45 * SEC });
        submit(world, (Ask){ .memory_bytes = 5 * GIB });
        pass_time(world, 10 * SEC + 1);
        assert_string_equal(why(world, 2), "needs 5G of RAM: kept for task 1 of bob until it has "
                                           "taken what it asked for, at most 35s more");
        assert_int_equal(explain.lacks[0].reason, WAIT_REASON_DELAY);
        assert_true(explain.lacks[0].until_boot_us == world->now_us + 35 * SEC - 1);
        assert_true(explain.lacks[0].missing_bytes == 0);
}

static void test_a_delay_without_end_has_none(_unused_ void **state) {
        WORLD(0);

        start(world, (Ask){ .uid = BOB,
                            .memory_bytes = GIB,
                            .delay_given = true,
                            .delay_us = TASK_TIME_INF });
        submit(world, (Ask){ .memory_bytes = 5 * GIB });
        assert_string_equal(why(world, 2), "needs 5G of RAM: kept for task 1 of bob until it has "
                                           "taken what it asked for");
        assert_true(explain.lacks[0].until_boot_us == 0);
}

static void test_of_several_delays_the_last_end_counts(_unused_ void **state) {
        WORLD(0);

        start(world, (Ask){ .uid = BOB, .memory_bytes = GIB });
        start(world, (Ask){ .uid = CHUCK,
                            .memory_bytes = GIB,
                            .delay_given = true,
                            .delay_us = 90 * SEC });
        submit(world, (Ask){ .memory_bytes = 5 * GIB });
        assert_non_null(strstr(why(world, 3), "kept for task 2 of chuck until"));
        assert_true(explain.lacks[0].until_boot_us == world->now_us + 90 * SEC);
}

static void test_room_that_is_not_ample_is_told_with_the_figure(_unused_ void **state) {
        WORLD(0);

        start(world, (Ask){ .uid = BOB, .memory_bytes = 40 * GIB });
        submit(world, (Ask){ .memory_bytes = 50 * GIB });
        assert_string_equal(why(world, 2),
                            "needs 50G of RAM: task 1 of bob just started and may take more than "
                            "it asked for: 20G free beyond that, 30G missing, at most 1m more");
        assert_int_equal(explain.lacks[0].reason, WAIT_REASON_SETTLING);
        assert_true(explain.lacks[0].missing_bytes == 30 * GIB);
}

static void test_memory_on_a_named_gpu_is_short(_unused_ void **state) {
        WORLD(2);

        start(world, (Ask){ .uid = BOB, .gpu = { "1" }, .gpu_bytes = { 20 * GIB } });
        take_gpu(world, 1, 1, 20 * GIB);
        world->gpus[1].free_bytes -= 100 * MIB;
        look(world);
        submit(world, (Ask){ .gpu = { "1" }, .gpu_bytes = { 20 * GIB } });
        assert_string_equal(why(world, 2),
                            "needs 20G on GPU 1: 3.9G free, 16.1G missing (task 1 of bob holds "
                            "20G; 100M is used outside taskflow)");
        assert_int_equal(explain.lacks[0].gpu_index, 1);
        assert_string_equal(explain.lacks[0].gpu_uuid, "GPU-bb");
        assert_false(explain.any_gpu);
}

static void test_who_it_is_outside_taskflow_is_told(_unused_ void **state) {
        WORLD(2);
        Outsiders outsiders[2] = {};

        for (pid_t pid = 4711; pid < 4716; pid++)
                outsiders_add(&outsiders[1],
                              &(OutsideProcess){ .pid = pid,
                                                 .uid = BOB,
                                                 .used_bytes = (uint64_t)(pid - 4710) * GIB });
        outsiders[1].items[1].uid = OUTSIDER_UID_UNKNOWN;
        world->outsiders = outsiders;
        world->gpus[1].free_bytes -= 15 * GIB;
        look(world);
        submit(world, (Ask){ .gpu = { "1" }, .gpu_bytes = { 20 * GIB } });
        assert_string_equal(
                why(world, 1),
                "needs 20G on GPU 1: 9G free, 11G missing (15G is used outside taskflow: 5G "
                "by process 4715 of bob, 4G by process 4714, 3G by process 4713 of bob, 2 "
                "more)");
        assert_int_equal(explain.lacks[0].n_outsiders, EXPLAIN_OUTSIDERS_MAX);
        assert_int_equal(explain.lacks[0].n_more_outsiders, 2);
        assert_int_equal(explain.lacks[0].outsiders[0].pid, 4715);

        /* They have gone, and a driver names somebody without saying what he has. */
        outsiders[1] = (Outsiders){};
        outsiders_add(&outsiders[1], &(OutsideProcess){ .pid = 99,
                                                        .uid = CHUCK,
                                                        .used_bytes = OUTSIDER_BYTES_UNKNOWN });
        look(world);
        assert_string_equal(
                why(world, 1),
                "needs 20G on GPU 1: 9G free, 11G missing (15G is used outside taskflow: by "
                "process 99 of chuck)");
}

static void test_what_was_known_of_a_gpu_that_does_not_answer_is_no_news(_unused_ void **state) {
        WORLD(1);
        Outsiders outsiders = {};
        GpuView *views;

        outsiders_add(&outsiders,
                      &(OutsideProcess){ .pid = 99, .uid = BOB, .used_bytes = 20 * GIB });
        world->outsiders = &outsiders;
        world->gpus[0].free_bytes -= 20 * GIB;
        look(world);
        assert_int_equal(core_view_gpus(world->core, world->now_us, &views), 1);
        assert_int_equal(views[0].outsiders.n, 1);
        assert_true(views[0].outside_bytes == 20 * GIB);
        core_gpu_views_free(views, 1);

        world->gpus[0].state = GPU_STATE_LOST;
        look(world);
        assert_int_equal(core_view_gpus(world->core, world->now_us, &views), 1);
        assert_true(views[0].outside_bytes == 0);
        core_gpu_views_free(views, 1);
        submit(world, (Ask){ .gpu = { "0" } });
        (void)why(world, 1);
        assert_int_equal(explain.lacks[0].n_outsiders, 0);
}

static void test_for_any_every_gpu_is_told(_unused_ void **state) {
        WORLD(4);

        start(world, (Ask){ .uid = BOB, .gpu = { "0" }, .gpu_bytes = { 20 * GIB } });
        take_gpu(world, 1, 0, 20 * GIB);
        start(world, (Ask){ .uid = CHUCK, .gpu = { "1" } });
        world->gpus[2].state = GPU_STATE_LOST;
        world->gpus[3].state = GPU_STATE_UNKNOWN;
        look(world);
        submit(world, (Ask){ .gpu = { "any" }, .gpu_bytes = { 20 * GIB } });
        assert_string_equal(why(world, 3),
                            "needs 20G on a GPU: GPU 0 has 4G free, 16G missing (task 1 of bob "
                            "holds 20G); GPU 1: task 2 of chuck has it alone; GPU 2: the driver "
                            "says that it is gone; GPU 3: the driver does not answer");
        assert_int_equal(explain.n_lacks, 4);
        assert_true(explain.any_gpu);
}

static void test_of_several_any_those_are_told_that_lack_something(_unused_ void **state) {
        WORLD(3);

        world->gpus[1].free_bytes = world->gpus[2].free_bytes = GIB;
        look(world);
        submit(world, (Ask){ .gpu = { "any", "any" }, .gpu_bytes = { 5 * GIB, 5 * GIB } });
        (void)why(world, 1);
        assert_int_equal(explain.n_lacks, 2);
        assert_int_equal(explain.lacks[0].gpu_index, 1);
        assert_int_equal(explain.lacks[1].gpu_index, 2);
}

static void test_a_gpu_in_use_is_not_had_whole_but_shared(_unused_ void **state) {
        WORLD(2);

        start(world, (Ask){ .uid = BOB, .gpu = { "0" }, .gpu_bytes = { 5 * GIB } });
        take_gpu(world, 1, 0, 5 * GIB);
        world->gpus[1].n_processes = 1;
        world->gpus[1].free_bytes = 20 * GIB;
        look(world);
        submit(world, (Ask){ .gpu = { "0" } });
        submit(world, (Ask){ .gpu = { "any" } });
        assert_string_equal(why(world, 2),
                            "needs GPU 0 alone: it is in use (task 1 of bob holds 5G); "
                            "--gpu 0:SIZE would share it");
        assert_true(explain.lacks[0].asked_bytes == GPU_WHOLE);
        assert_string_equal(why(world, 3), "needs a GPU alone: GPU 0 is in use (task 1 of bob "
                                           "holds 5G); GPU 1 is in use (4G is used outside "
                                           "taskflow), 2.8G more than whole_gpu_used allows; --gpu "
                                           "any:SIZE would share one");
}

static void test_everything_that_is_missing_is_told(_unused_ void **state) {
        WORLD(2);

        start(world, (Ask){ .uid = BOB, .memory_bytes = 60 * GIB, .cpus = 16, .gpu = { "0" } });
        submit(world, (Ask){ .memory_bytes = 60 * GIB, .cpus = 1, .gpu = { "0" } });
        assert_string_equal(
                why(world, 2),
                "needs 60G of RAM: 40G free, 20G missing (task 1 of bob may take 60G); needs 1 "
                "core: 0 of 16 free, 1 missing (task 1 of bob has 16); needs GPU 0 alone: task 1 "
                "of bob has it alone");
        submit(world, (Ask){ .memory_bytes = 60 * GIB, .gpu = { "any", "any" } });
        assert_string_equal(why(world, 3), "needs 60G of RAM: 40G free, 20G missing (task 1 of bob "
                                           "may take 60G); needs a GPU alone: GPU 0: task 1 of bob "
                                           "has it alone");
}

static void test_held_away_and_too_many_offers_are_told(_unused_ void **state) {
        Policy policy = world_policy();
        WORLD(0);

        submit(world, (Ask){ .state = TASK_STATE_HELD });
        assert_string_equal(why(world, 1), "held: it does not start before it is released");
        assert_int_equal(explain.place, 0);

        submit(world, (Ask){ .memory_bytes = 100 * GIB });
        assert_int_equal(apply(world, EVENT_RUNNER_AWAY, 2), 0);
        assert_string_equal(why(world, 2), "its taskflow does not answer (stopped?)");
        world->ram_free_bytes = 40 * GIB;
        look(world);
        assert_string_equal(why(world, 2),
                            "its taskflow does not answer (stopped?); needs 100G of RAM: 40G free, "
                            "60G missing (60G is used outside taskflow)");

        policy.max_offers_per_uid = 1;
        core_set_policy(world->core, &policy);
        submit(world, (Ask){});
        assert_int_equal(offer_next(world), 3);
        submit(world, (Ask){});
        assert_string_equal(why(world, 4),
                            "1 other task of alice is about to start, of at most 1 at once");
        assert_int_equal(apply(world, EVENT_ACCEPTED, 3), 0);
        policy.max_active_per_uid = 1;
        core_set_policy(world->core, &policy);
        assert_string_equal(why(world, 4),
                            "1 other task of alice runs or is about to, of at most 1 at once");
}

static void say_drained(World *world, const Drain *drain) {
        Event event = world_event(world, EVENT_DRAINED, 0);

        event.drain = drain;
        assert_int_equal(core_apply(world->core, &event), 0);
}

static void test_a_drained_machine_is_told_first(_unused_ void **state) {
        Drain drain = { .on = true, .by_uid = BOB, .at_us = 7 };
        WORLD(1);
        uint64_t id;

        world->ram_free_bytes = 40 * GIB;
        look(world);
        id = submit(world, (Ask){ .memory_bytes = 50 * GIB });
        say_drained(world, &drain);
        assert_int_equal(core_drain(world->core)->by_uid, BOB);
        assert_non_null(strstr(why(world, id), "nothing starts: drained by bob; needs 50G of RAM"));
        assert_int_equal(explain.place, 1);

        strcpy(drain.reason, "new kernel");
        say_drained(world, &drain);
        id = submit(world, (Ask){});
        assert_string_equal(why(world, id), "nothing starts: drained by bob (new kernel)");

        say_drained(world, &(Drain){});
        assert_string_equal(why(world, id), "nothing is missing: it can start now");
        assert_int_equal(explain.drain.on, false);
}

static void test_a_gpu_that_the_settings_keep_back_is_told(_unused_ void **state) {
        WORLD(1);
        Policy policy = world_policy();

        submit(world, (Ask){ .gpu = { "0" }, .gpu_bytes = { GIB } });
        submit(world, (Ask){ .gpu = { "any" }, .gpu_bytes = { GIB } });
        policy.gpus_all = false;
        core_set_policy(world->core, &policy);
        assert_string_equal(why(world, 1),
                            "needs 1G on GPU 0: the settings (gpus) no longer give it out");
        assert_string_equal(why(world, 2), "needs 1G on a GPU: none is there now");
}

static void test_a_gpu_that_was_never_seen_is_told_by_its_name(_unused_ void **state) {
        WORLD(0);
        Event event = world_event(world, EVENT_SUBMITTED, 0);
        Task *task = event.submitted = task_of(world, &(Ask){});

        assert_int_equal(needs_add_gpu(&task->needs, "GPU-a", GIB), 0);
        strcpy(task->needs.gpus[0].uuid, "GPU-aa");
        assert_int_equal(core_apply(world->core, &event), 0);
        assert_string_equal(why(world, 1), "needs 1G on GPU GPU-aa: the driver does not answer");
        assert_int_equal(explain.lacks[0].gpu_index, -1);
}

static void test_before_the_first_look_at_ram_it_is_awaited(_unused_ void **state) {
        Policy policy = world_policy();
        World world = {};
        Event event = { .type = EVENT_SUBMITTED };

        assert_int_equal(core_new(&world.core, &policy), 0);
        event.submitted = task_new();
        event.submitted->id = 1;
        event.submitted->needs.memory_bytes = GIB;
        assert_int_equal(core_apply(world.core, &event), 0);
        assert_string_equal(why(&world, 1), "needs 1G of RAM: about to be measured");
        world_done(&world);
}

static void test_old_figures_are_no_reason_to_wait(_unused_ void **state) {
        WORLD(1);

        submit(world, (Ask){ .memory_bytes = GIB, .gpu = { "any" }, .gpu_bytes = { GIB } });
        pass_time(world, 1000 * SEC);
        assert_string_equal(why(world, 1), "nothing is missing: it can start now, on GPU 0");
        assert_int_equal(explain.n_lacks, 0);
        assert_string_equal(explain.grants[0].uuid, "GPU-aa");
        assert_true(explain.grants[0].bytes == GIB);
}

static void test_an_open_offer_lacks_nothing(_unused_ void **state) {
        WORLD(2);

        submit(world, (Ask){ .memory_bytes = 100 * GIB, .gpu = { "1", "0" } });
        look(world);
        assert_int_equal(offer_next(world), 1);
        assert_string_equal(why(world, 1), "nothing is missing: it can start now, on GPU 1 and 0");
}

static void test_only_who_waits_is_explained(_unused_ void **state) {
        WORLD(0);

        start(world, (Ask){});
        assert_int_equal(core_explain(world->core, 1, world->now_us, &explain), CORE_E_ILLEGAL);
        assert_int_equal(end(world, 1, TASK_STATE_DONE), 0);
        assert_int_equal(core_explain(world->core, 1, world->now_us, &explain), CORE_E_ILLEGAL);
        assert_int_equal(core_explain(world->core, 2, world->now_us, &explain), CORE_E_NO_TASK);
}

static void test_a_request_is_explained_before_it_is_submitted(_unused_ void **state) {
        WORLD(1);
        Ask ask = { .memory_bytes = 60 * GIB, .gpu = { "any" } };
        Task *task = task_new();

        assert_non_null(task);
        needs_of(world, &ask, &task->needs);
        submit(world, (Ask){ .uid = BOB });
        submit(world, (Ask){ .uid = ALICE, .priority = 50 });
        assert_int_equal(core_explain_new(world->core, task, ALICE, world->now_us, &explain), 0);
        assert_int_equal(explain.n_lacks, 0);
        assert_int_equal(explain.place, 2);
        assert_string_equal(explain.grants[0].uuid, "GPU-aa");
        task->priority = 10;
        assert_int_equal(core_explain_new(world->core, task, CHUCK, world->now_us, &explain), 0);
        assert_int_equal(explain.place, 3);
        world->ram_free_bytes = 0;
        look(world);
        assert_int_equal(core_explain_new(world->core, task, CHUCK, world->now_us, &explain), 0);
        assert_int_equal(explain.lacks[0].reason, WAIT_REASON_MEMORY);
        assert_int_equal(core_counts(world->core).pending, 2);
        task_free(task);
}

static void test_a_line_is_cut_and_always_ended(_unused_ void **state) {
        WORLD(0);
        char full[300], line[300];

        submit(world, (Ask){ .memory_bytes = 60 * GIB });
        world->ram_free_bytes = 0;
        look(world);
        (void)snprintf(full, sizeof(full), "%s", why(world, 1));
        for (size_t n = 1; n < strlen(full) + 2; n++) {
                memset(line, 'x', sizeof(line));
                explain_sentence(&explain, world->now_us, user_name, &explain, line, n);
                assert_int_equal(strlen(line), MIN(n - 1, strlen(full)));
                assert_memory_equal(line, full, strlen(line));
                for (size_t i = n; i < sizeof(line); i++)
                        assert_int_equal(line[i], 'x');
        }
        line[0] = 'y';
        explain_sentence(&explain, world->now_us, user_name, &explain, line, 0);
        assert_int_equal(line[0], 'y');
}

/* Whatever is missing, the sentence has a figure, a name, or says what to wait for. */
static void test_every_reason_has_words(_unused_ void **state) {
        for (int reason = 0; reason < N_WAIT_REASONS; reason++)
                for (int gpu = -1; gpu < 2; gpu++)
                        for (int any = 0; any < 2; any++) {
                                char line[400];

                                explain = (Explain){ .n_lacks = 1, .any_gpu = any };
                                explain.lacks[0] = (Lack){ .reason = (WaitReason)reason,
                                                           .gpu_index = gpu,
                                                           .asked_bytes = GIB };
                                explain_sentence(&explain, 0, NULL, NULL, line, sizeof(line));
                                assert_true(strlen(line) > 15);
                                assert_null(strstr(line, "resources"));
                        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_ram_is_short_with_numbers_and_holders),
                cmocka_unit_test(test_the_largest_holders_are_named_the_others_counted),
                cmocka_unit_test(test_without_names_users_are_numbers),
                cmocka_unit_test(test_cores_are_counted),
                cmocka_unit_test(test_a_strict_delay_is_named_with_its_end),
                cmocka_unit_test(test_a_delay_without_end_has_none),
                cmocka_unit_test(test_of_several_delays_the_last_end_counts),
                cmocka_unit_test(test_room_that_is_not_ample_is_told_with_the_figure),
                cmocka_unit_test(test_memory_on_a_named_gpu_is_short),
                cmocka_unit_test(test_who_it_is_outside_taskflow_is_told),
                cmocka_unit_test(test_what_was_known_of_a_gpu_that_does_not_answer_is_no_news),
                cmocka_unit_test(test_for_any_every_gpu_is_told),
                cmocka_unit_test(test_of_several_any_those_are_told_that_lack_something),
                cmocka_unit_test(test_a_gpu_in_use_is_not_had_whole_but_shared),
                cmocka_unit_test(test_everything_that_is_missing_is_told),
                cmocka_unit_test(test_held_away_and_too_many_offers_are_told),
                cmocka_unit_test(test_a_drained_machine_is_told_first),
                cmocka_unit_test(test_a_gpu_that_the_settings_keep_back_is_told),
                cmocka_unit_test(test_a_gpu_that_was_never_seen_is_told_by_its_name),
                cmocka_unit_test(test_before_the_first_look_at_ram_it_is_awaited),
                cmocka_unit_test(test_old_figures_are_no_reason_to_wait),
                cmocka_unit_test(test_an_open_offer_lacks_nothing),
                cmocka_unit_test(test_only_who_waits_is_explained),
                cmocka_unit_test(test_a_request_is_explained_before_it_is_submitted),
                cmocka_unit_test(test_a_line_is_cut_and_always_ended),
                cmocka_unit_test(test_every_reason_has_words),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
