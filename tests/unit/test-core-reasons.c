/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Every reason to wait, as it comes about, in the words that people read: each names what is missing, how much of it,
 * who has it, or the limit that is in the way.
 */

#include "test-core-fixture.h"

static Explain explain; /* large */

static const char *user_name(uid_t uid, char *buf, size_t n, _unused_ void *userdata) {
        (void)snprintf(buf, n, "%s", uid == ALICE ? "alice" : uid == BOB ? "bob" : "chuck");
        return buf;
}

static void set_policy(World *world, void (*change)(Policy *policy)) {
        Policy policy = *core_policy(world->core);

        change(&policy);
        core_set_policy(world->core, &policy);
}

/* -- memory, GPUs and cores -- */

static uint64_t ram_is_short(World *world) {
        start(world, (Ask){ .uid = BOB, .memory_bytes = 60 * GIB });
        take_ram(world, 1, 20 * GIB);
        world->ram_free_bytes -= 10 * GIB;
        look(world);
        return submit(world, (Ask){ .memory_bytes = 50 * GIB });
}

static uint64_t memory_of_a_gpu_is_short(World *world) {
        start(world, (Ask){ .uid = BOB, .gpu = { "1" }, .gpu_bytes = { 20 * GIB } });
        take_gpu(world, 1, 1, 20 * GIB);
        return submit(world, (Ask){ .gpu = { "1" }, .gpu_bytes = { 20 * GIB } });
}

static uint64_t a_whole_gpu_is_used_by_a_task(World *world) {
        start(world, (Ask){ .uid = BOB, .gpu = { "0" }, .gpu_bytes = { 5 * GIB } });
        take_gpu(world, 1, 0, 5 * GIB);
        return submit(world, (Ask){ .gpu = { "0" } });
}

static uint64_t a_whole_gpu_is_used_by_others(World *world) {
        static Outsiders outsiders[2];

        outsiders[0] = (Outsiders){};
        outsiders_add(&outsiders[0],
                      &(OutsideProcess){ .pid = 4711, .uid = BOB, .used_bytes = 2 * GIB });
        world->outsiders = outsiders;
        world->gpus[0].n_processes = 1;
        world->gpus[0].free_bytes -= 2 * GIB;
        look(world);
        return submit(world, (Ask){ .gpu = { "0" } });
}

static uint64_t another_has_the_whole_gpu(World *world) {
        start(world, (Ask){ .uid = BOB, .gpu = { "0" } });
        return submit(world, (Ask){ .gpu = { "0" }, .gpu_bytes = { GIB } });
}

static uint64_t on_gpu_0(World *world) {
        look(world);
        return submit(world, (Ask){ .gpu = { "0" }, .gpu_bytes = { 2 * GIB } });
}

static uint64_t the_driver_is_silent(World *world) {
        world->gpus[0].state = GPU_STATE_UNKNOWN;
        return on_gpu_0(world);
}

static uint64_t the_gpu_is_gone(World *world) {
        world->gpus[0].state = GPU_STATE_LOST;
        return on_gpu_0(world);
}

static void allow_no_gpu(Policy *policy) {
        policy->gpus_all = false;
}

static uint64_t the_gpu_is_kept_back(World *world) {
        uint64_t id = on_gpu_0(world);

        set_policy(world, allow_no_gpu);
        return id;
}

static uint64_t a_task_has_the_exclusive_gpu(World *world) {
        world->gpus[0].use = GPU_USE_EXCLUSIVE;
        look(world);
        start(world, (Ask){ .uid = BOB, .gpu = { "0" }, .gpu_bytes = { GIB } });
        return on_gpu_0(world);
}

static uint64_t a_program_has_the_exclusive_gpu(World *world) {
        static Outsiders outsiders[2];

        outsiders[0] = (Outsiders){};
        outsiders_add(&outsiders[0],
                      &(OutsideProcess){ .pid = 4711, .uid = BOB, .used_bytes = GIB });
        world->outsiders = outsiders;
        world->gpus[0].use = GPU_USE_EXCLUSIVE;
        world->gpus[0].n_processes = world->gpus[0].n_computing = 1;
        world->gpus[0].free_bytes -= GIB;
        return on_gpu_0(world);
}

static uint64_t nobody_may_use_the_gpu(World *world) {
        uint64_t id = on_gpu_0(world);

        world->gpus[0].use = GPU_USE_PROHIBITED;
        look(world);
        return id;
}

static uint64_t the_gpu_is_split(World *world) {
        uint64_t id = on_gpu_0(world);

        world->gpus[0].use = GPU_USE_SPLIT;
        look(world);
        return id;
}

static uint64_t cores_are_short(World *world) {
        start(world, (Ask){ .uid = BOB, .cpus = 14 });
        return submit(world, (Ask){ .cpus = 4 });
}

/* -- who has just started -- */

static uint64_t a_delay_lasts(World *world) {
        start(world,
              (Ask){ .uid = BOB, .memory_bytes = GIB, .delay_given = true, .delay_us = 45 * SEC });
        return submit(world, (Ask){ .memory_bytes = 5 * GIB });
}

static uint64_t a_delay_never_ends(World *world) {
        start(world, (Ask){ .uid = BOB,
                            .memory_bytes = GIB,
                            .delay_given = true,
                            .delay_us = TASK_TIME_INF });
        return submit(world, (Ask){ .memory_bytes = 5 * GIB });
}

static uint64_t room_is_not_ample(World *world) {
        start(world, (Ask){ .uid = BOB, .memory_bytes = 40 * GIB });
        return submit(world, (Ask){ .memory_bytes = 50 * GIB });
}

/* -- the task itself, and its user -- */

static uint64_t it_is_held(World *world) {
        return submit(world, (Ask){ .state = TASK_STATE_HELD });
}

static uint64_t it_is_held_for_not_answering(World *world) {
        uint64_t id = submit(world, (Ask){});

        for (unsigned i = 0; i < CORE_OFFERS_MISSED_MAX; i++) {
                look(world);
                assert_int_equal(offer_next(world), id);
                assert_int_equal(apply(world, EVENT_OFFER_EXPIRED, id), 0);
                if (i + 1 < CORE_OFFERS_MISSED_MAX)
                        assert_int_equal(apply(world, EVENT_RUNNER_BACK, id), 0);
        }
        return id;
}

static uint64_t its_runner_is_stopped(World *world) {
        uint64_t id = submit(world, (Ask){});

        assert_int_equal(apply(world, EVENT_RUNNER_AWAY, id), 0);
        return id;
}

static void allow_one_offer(Policy *policy) {
        policy->max_offers_per_uid = 1;
}

static uint64_t too_many_are_about_to_start(World *world) {
        set_policy(world, allow_one_offer);
        submit(world, (Ask){});
        look(world);
        assert_int_equal(offer_next(world), 1);
        return submit(world, (Ask){});
}

static void allow_two_active(Policy *policy) {
        policy->max_active_per_uid = 2;
}

static uint64_t too_many_run(World *world) {
        set_policy(world, allow_two_active);
        start(world, (Ask){});
        start(world, (Ask){});
        return submit(world, (Ask){});
}

static uint64_t no_figures_yet(World *world) {
        Policy policy = *core_policy(world->core);
        Event event = { .type = EVENT_SUBMITTED };

        core_free(world->core);
        assert_int_equal(core_new(&world->core, &policy), 0);
        event.submitted = task_new();
        assert_non_null(event.submitted);
        event.submitted->id = 1;
        event.submitted->uid = ALICE;
        event.submitted->needs.memory_bytes = GIB;
        assert_int_equal(core_apply(world->core, &event), 0);
        return 1;
}

static uint64_t others_must_succeed(World *world) {
        uint64_t first = start(world, (Ask){}), second = start(world, (Ask){ .uid = BOB });

        return submit(world, (Ask){ .after = { first, second } });
}

static uint64_t another_must_end(World *world) {
        uint64_t first = start(world, (Ask){});

        return submit(world, (Ask){ .any = { first } });
}

static uint64_t its_array_is_full(World *world) {
        uint64_t id = submit(world, (Ask){ .array = "0-9", .limit = 2 });

        (void)start_all(world);
        return id;
}

static uint64_t nothing_waits_in_the_array(World *world) {
        uint64_t id = submit(world, (Ask){ .array = "0-2" });

        (void)start_all(world);
        return id;
}

/* -- the machine -- */

static uint64_t it_is_drained(World *world) {
        Drain drain = { .on = true, .by_uid = BOB, .at_us = 7, .reason = "new kernel" };
        Event event = world_event(world, EVENT_DRAINED, 0);

        event.drain = &drain;
        assert_int_equal(core_apply(world->core, &event), 0);
        return submit(world, (Ask){});
}

static uint64_t programs_wait_for_memory(World *world) {
        world->pressure_permyriad = 3456;
        look(world);
        return submit(world, (Ask){});
}

/* -- kept room -- */

static void keep_after_ten_minutes(Policy *policy) {
        policy->patience_us = 600 * SEC;
        policy->keep_max_us = HOUR;
        policy->default_delay_us = 0;
}

/* 80G of RAM, 12 cores and 10G of GPU 1 are kept for task 2 of bob. */
static void keep(World *world) {
        set_policy(world, keep_after_ten_minutes);
        start(world, (Ask){ .uid = CHUCK, .memory_bytes = 40 * GIB, .cpus = 8 });
        submit(world, (Ask){ .uid = BOB,
                             .memory_bytes = 80 * GIB,
                             .cpus = 12,
                             .gpu = { "1" },
                             .gpu_bytes = { 10 * GIB } });
        pass_time(world, 600 * SEC);
        (void)settle(world);
        assert_int_equal(kept_for(world), 2);
        pass_time(world, 60 * SEC);
        look(world);
}

static uint64_t ram_is_kept(World *world) {
        keep(world);
        return submit(world, (Ask){ .memory_bytes = 30 * GIB });
}

static uint64_t a_delay_would_hold_it_up(World *world) {
        keep(world);
        return submit(world, (Ask){ .uid = CHUCK,
                                    .gpu = { "1" },
                                    .gpu_bytes = { GIB },
                                    .delay_given = true,
                                    .delay_us = SEC });
}

static uint64_t the_gpu_is_kept(World *world) {
        keep(world);
        return submit(world, (Ask){ .gpu = { "1" } });
}

static uint64_t cores_are_kept(World *world) {
        keep(world);
        return submit(world, (Ask){ .cpus = 6 });
}

static uint64_t ram_is_short_and_will_be_kept(World *world) {
        keep(world);
        return submit(world, (Ask){ .memory_bytes = 70 * GIB });
}

static uint64_t cores_are_short_and_will_be_kept(World *world) {
        keep(world);
        return submit(world, (Ask){ .cpus = 10 });
}

static void three_tokens(Policy *policy) {
        policy->n_tokens = 1;
        policy->tokens[0] = (Token){ "matlab", 3 };
}

static void two_tokens(Policy *policy) {
        policy->tokens[0].n = 2;
}

static uint64_t tokens_are_short(World *world) {
        set_policy(world, three_tokens);
        start(world, (Ask){ .uid = BOB, .tokens = "matlab:2" });
        return submit(world, (Ask){ .tokens = "matlab:2" });
}

static uint64_t there_are_fewer_tokens_now(World *world) {
        uint64_t id;

        set_policy(world, three_tokens);
        start(world, (Ask){ .uid = BOB, .tokens = "matlab" });
        id = submit(world, (Ask){ .tokens = "matlab:3" });
        set_policy(world, two_tokens);
        return id;
}

/* All three are kept for task 2 of bob, chuck has one. */
static void keep_tokens(World *world) {
        set_policy(world, three_tokens);
        set_policy(world, keep_after_ten_minutes);
        start(world, (Ask){ .uid = CHUCK, .tokens = "matlab" });
        submit(world, (Ask){ .uid = BOB, .tokens = "matlab:3" });
        pass_time(world, 600 * SEC);
        (void)settle(world);
        assert_int_equal(kept_for(world), 2);
        pass_time(world, 60 * SEC);
        look(world);
}

static uint64_t tokens_are_kept(World *world) {
        keep_tokens(world);
        return submit(world, (Ask){ .tokens = "matlab" });
}

static uint64_t tokens_are_short_and_will_be_kept(World *world) {
        keep_tokens(world);
        return submit(world, (Ask){ .tokens = "matlab:3" });
}

static uint64_t room_is_kept_for_it(World *world) {
        keep(world);
        return 2;
}

static uint64_t its_room_cannot_come(World *world) {
        set_policy(world, keep_after_ten_minutes);
        world->ram_free_bytes = 30 * GIB;
        look(world);
        submit(world, (Ask){ .memory_bytes = 80 * GIB });
        pass_time(world, 600 * SEC);
        (void)settle(world);
        return 1;
}

/* -- limits -- */

static void limit_alice(World *world, UserRules rules) {
        Event event = world_event(world, EVENT_USER, 0);

        rules.weight_permille = 1000;
        event.user.uid = ALICE;
        event.user.rules = rules;
        assert_int_equal(core_apply(world->core, &event), 0);
}

static uint64_t too_many_of_hers_run(World *world) {
        UserRules rules = user_rules_default();

        start(world, (Ask){});
        start(world, (Ask){ .uid = BOB });
        start(world, (Ask){});
        start(world, (Ask){});
        rules.max_running = 2;
        limit_alice(world, rules);
        return submit(world, (Ask){});
}

static uint64_t she_has_her_ram(World *world) {
        UserRules rules = user_rules_default();

        rules.max_memory_bytes = 20 * GIB;
        limit_alice(world, rules);
        start(world, (Ask){ .memory_bytes = 10 * GIB });
        start(world, (Ask){ .memory_bytes = 5 * GIB, .delay_given = true });
        return submit(world, (Ask){ .memory_bytes = 8 * GIB });
}

static uint64_t she_has_her_gpus(World *world) {
        UserRules rules = user_rules_default();

        rules.max_gpus = 1;
        limit_alice(world, rules);
        start(world, (Ask){ .gpu = { "0" }, .gpu_bytes = { GIB } });
        return submit(world, (Ask){ .gpu = { "1" }, .gpu_bytes = { GIB } });
}

static uint64_t she_has_her_memory_of_gpus(World *world) {
        UserRules rules = user_rules_default();

        rules.max_gpu_memory_bytes = 30 * GIB;
        limit_alice(world, rules);
        start(world, (Ask){ .gpu = { "0" }, .gpu_bytes = { 20 * GIB } });
        return submit(world, (Ask){ .gpu = { "1" }, .gpu_bytes = { 12 * GIB } });
}

static const struct {
        WaitReason reason;
        uint64_t (*happen)(World *world); /* returns the one that waits */
        const char *words;
} rows[] = {
        { WAIT_REASON_MEMORY, ram_is_short,
          "needs 50G of RAM: 30G free, 20G missing (task 1 of bob holds 20G and may take 40G more; 10G is used outside taskflow)" },
        { WAIT_REASON_MEMORY, ram_is_short_and_will_be_kept,
          "needs 70G of RAM: 60G free, 10G missing (task 1 of chuck may take 40G), and 80G is kept for task 2 of bob" },
        { WAIT_REASON_MEMORY, room_is_kept_for_it,
          "needs 80G of RAM: 60G free, 20G missing (task 1 of chuck may take 40G); needs 12 cores: 8 of 16 free, 4 missing (task 1 of chuck has 8); room is kept for it, at most 59m more" },
        { WAIT_REASON_MEMORY, its_room_cannot_come,
          "needs 80G of RAM: 30G free, 50G missing (70G is used outside taskflow); no room is kept for it: all that running tasks hold would not be enough" },
        { WAIT_REASON_GPU_MEMORY, memory_of_a_gpu_is_short,
          "needs 20G on GPU 1: 4G free, 16G missing (task 1 of bob holds 20G)" },
        { WAIT_REASON_GPU_SHARED, a_whole_gpu_is_used_by_a_task,
          "needs GPU 0 alone: it is in use (task 1 of bob holds 5G); --gpu 0:SIZE would share it" },
        { WAIT_REASON_GPU_SHARED, a_whole_gpu_is_used_by_others,
          "needs GPU 0 alone: it is in use (2G is used outside taskflow: 2G by process 4711 of bob), 819.2M more than whole_gpu_used allows; --gpu 0:SIZE would share it" },
        { WAIT_REASON_GPU_WHOLE, another_has_the_whole_gpu,
          "needs 1G on GPU 0: task 1 of bob has it alone" },
        { WAIT_REASON_GPU_UNKNOWN, the_driver_is_silent,
          "needs 2G on GPU 0: the driver does not answer" },
        { WAIT_REASON_GPU_LOST, the_gpu_is_gone,
          "needs 2G on GPU 0: the driver says that it is gone" },
        { WAIT_REASON_GPU_KEPT, the_gpu_is_kept_back,
          "needs 2G on GPU 0: the settings (gpus) no longer give it out" },
        { WAIT_REASON_GPU_EXCLUSIVE, a_task_has_the_exclusive_gpu,
          "needs 2G on GPU 0: task 1 of bob has it, and its compute mode lets only one process use it" },
        { WAIT_REASON_GPU_EXCLUSIVE, a_program_has_the_exclusive_gpu,
          "needs 2G on GPU 0: a program outside taskflow (1G by process 4711 of bob) has it, and its compute mode lets only one process use it" },
        { WAIT_REASON_GPU_PROHIBITED, nobody_may_use_the_gpu,
          "needs 2G on GPU 0: its compute mode is 'prohibited'" },
        { WAIT_REASON_GPU_SPLIT, the_gpu_is_split,
          "needs 2G on GPU 0: it was split into instances (MIG)" },
        { WAIT_REASON_CPUS, cores_are_short,
          "needs 4 cores: 2 of 16 free, 2 missing (task 1 of bob has 14)" },
        { WAIT_REASON_CPUS, cores_are_short_and_will_be_kept,
          "needs 10 cores: 8 of 16 free, 2 missing (task 1 of chuck has 8), and 12 kept for task 2 of bob" },
        { WAIT_REASON_TOKENS, tokens_are_short,
          "needs 2 tokens of matlab: 1 of 3 free, 1 missing (task 1 of bob has 2)" },
        { WAIT_REASON_TOKENS, tokens_are_short_and_will_be_kept,
          "needs 3 tokens of matlab: 2 of 3 free, 1 missing (task 1 of chuck has 1), and 3 kept for task 2 of bob" },
        { WAIT_REASON_TOKENS, there_are_fewer_tokens_now,
          "needs 3 tokens of matlab: the settings have only 2 now, and it can't start before they have 1 more (task 1 of bob has 1)" },
        { WAIT_REASON_TOKENS_KEPT, tokens_are_kept,
          "needs 1 token of matlab: 2 of 3 free, but 3 kept for task 2 of bob (at most 59m more), 1 missing" },
        { WAIT_REASON_DELAY, a_delay_lasts,
          "needs 5G of RAM: kept for task 1 of bob until it has taken what it asked for, at most 45s more" },
        { WAIT_REASON_DELAY, a_delay_never_ends,
          "needs 5G of RAM: kept for task 1 of bob until it has taken what it asked for" },
        { WAIT_REASON_SETTLING, room_is_not_ample,
          "needs 50G of RAM: task 1 of bob just started and may take more than it asked for: 20G free beyond that, 30G missing, at most 1m more" },
        { WAIT_REASON_HELD, it_is_held, "held: it does not start before it is released" },
        { WAIT_REASON_HELD, it_is_held_for_not_answering,
          "held: it does not start before it is released; its taskflow does not answer (stopped?)" },
        { WAIT_REASON_AWAY, its_runner_is_stopped, "its taskflow does not answer (stopped?)" },
        { WAIT_REASON_OFFERS, too_many_are_about_to_start,
          "1 other task of alice is about to start, of at most 1 at once" },
        { WAIT_REASON_ACTIVE, too_many_run,
          "2 other tasks of alice run or are about to, of at most 2 at once" },
        { WAIT_REASON_LOOK, no_figures_yet, "needs 1G of RAM: about to be measured" },
        { WAIT_REASON_AFTER, others_must_succeed, "waits for task 1 and task 2 of bob to succeed" },
        { WAIT_REASON_AFTER_ANY, another_must_end, "waits for task 1 to end" },
        { WAIT_REASON_LIMIT, its_array_is_full,
          "2 elements of the array run, as many as --array allows" },
        { WAIT_REASON_ELEMENTS, nothing_waits_in_the_array,
          "no element waits in it any more, 3 are not over" },
        { WAIT_REASON_DRAINED, it_is_drained, "nothing starts: drained by bob (new kernel)" },
        { WAIT_REASON_PRESSURE, programs_wait_for_memory,
          "nothing starts: programs waited for memory in 34.5 % of the last 10 seconds, more than 20.0 % (pressure_limit)" },
        { WAIT_REASON_ROOM_KEPT, ram_is_kept,
          "needs 30G of RAM: 60G free, but 80G kept for task 2 of bob (at most 59m more), 30G missing" },
        { WAIT_REASON_ROOM_KEPT, the_gpu_is_kept,
          "needs GPU 1 alone: 24G free, but 10G kept for task 2 of bob (at most 59m more)" },
        { WAIT_REASON_ROOM_KEPT, a_delay_would_hold_it_up,
          "needs 1G on GPU 1: 24G free, but 10G kept for task 2 of bob (at most 59m more), which a delay (-d) would hold up" },
        { WAIT_REASON_CPUS_KEPT, cores_are_kept,
          "needs 6 cores: 8 of 16 free, but 12 kept for task 2 of bob (at most 59m more), 6 missing" },
        { WAIT_REASON_MAX_RUNNING, too_many_of_hers_run,
          "3 tasks of alice run or are about to, max_running_per_user allows 2 (task 1, task 3, task 4)" },
        { WAIT_REASON_MAX_MEMORY, she_has_her_ram,
          "needs 8G of RAM: max_memory_per_user allows alice 20G in all, 15G used, 3G missing (task 1 has 10G, task 2 has 5G)" },
        { WAIT_REASON_MAX_GPUS, she_has_her_gpus,
          "needs 1 GPU: max_gpus_per_user allows alice 1 in all, 1 used, 1 missing (task 1 has 1)" },
        { WAIT_REASON_MAX_GPU_MEMORY, she_has_her_memory_of_gpus,
          "needs 12G on GPUs: max_gpu_memory_per_user allows alice 30G in all, 20G used, 2G missing (task 1 has 20G)" },
};

static void test_each_is_told_in_numbers_and_names(_unused_ void **state) {
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                char line[2000];
                uint64_t id;
                WORLD(2);

                id = rows[i].happen(world);
                assert_int_equal(core_explain(world->core, id, world->now_us, &explain), 0);
                explain_sentence(&explain, world->now_us, user_name, NULL, line, sizeof(line));
                if (strcmp(line, rows[i].words) != 0)
                        print_error("row %zu, %s: %s\n", i, wait_reason_to_string(rows[i].reason),
                                    line);
                assert_string_equal(line, rows[i].words);
                assert_int_equal(explain.lacks[0].reason, rows[i].reason);
        }
}

/* But for the one that stands for what a newer daemon says. */
static void test_no_reason_is_left_out(_unused_ void **state) {
        for (int reason = 0; reason < N_WAIT_REASONS; reason++) {
                bool found = reason == WAIT_REASON_OTHER;

                for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                        found |= (int)rows[i].reason == reason;
                if (!found)
                        print_error("no row for '%s'\n", wait_reason_to_string((WaitReason)reason));
                assert_true(found);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_each_is_told_in_numbers_and_names),
                cmocka_unit_test(test_no_reason_is_left_out),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
