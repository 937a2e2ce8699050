/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * GPUs that are not simply shared by bytes: split ones and their instances, those that one process
 * or nobody may use, and those whose memory is RAM
 */

#include "test-core-fixture.h"

#define GIBS(n) ((uint64_t)(n)*GIB)

/* GPU 0 is split into two instances of 10 and 20 GiB, GPU 1 is whole. */
static void split_gpu(World *world) {
        world->n_gpus = 4;
        world->gpus[2] = world->gpus[3] = world->gpus[0];
        world->gpus[0].use = GPU_USE_SPLIT;
        world->gpus[0].total_bytes = world->gpus[0].free_bytes = 0;
        for (unsigned i = 0; i < 2; i++) {
                GpuSample *instance = &world->gpus[2 + i];

                instance->part = i + 1;
                instance->total_bytes = instance->free_bytes = GIBS(10 + 10 * i);
                (void)snprintf(instance->uuid, GPU_UUID_MAX, "MIG-%u", i);
        }
        look_at_gpus(world);
}

/* Why it can never be met: "" if it can. */
static const char *refusal(const World *world, const Ask *ask, Error *error) {
        Needs needs = { .memory_bytes = ask->memory_bytes };

        error->text[0] = '\0';
        for (size_t i = 0; i < ELEMENTSOF(ask->gpu) && ask->gpu[i]; i++)
                assert_int_equal(needs_add_gpu(&needs, ask->gpu[i],
                                               ask->gpu_bytes[i] ? ask->gpu_bytes[i] : GPU_WHOLE),
                                 0);
        if (core_resolve(world->core, &needs, error) == 0)
                error->text[0] = '\0';
        needs_done(&needs);
        return error->text;
}

static void assert_refused(const World *world, Ask ask, const char *words) {
        Error error = {};

        if (!strstr(refusal(world, &ask, &error), words))
                fail_msg("'%s' instead of '%s'", error.text, words);
}

static void assert_possible(const World *world, Ask ask) {
        Error error = {};

        assert_string_equal(refusal(world, &ask, &error), "");
}

static WaitReason reason_of(const World *world, uint64_t id) {
        Explain explain;

        assert_int_equal(core_explain(world->core, id, world->now_us, &explain), 0);
        assert_true(explain.n_lacks > 0);
        return explain.lacks[0].reason;
}

static unsigned first_grant(const World *world, uint64_t id) {
        return core_find(world->core, id)->gpus[0].index;
}

static const char *first_uuid(const World *world, uint64_t id) {
        return core_find(world->core, id)->gpus[0].uuid;
}

static void test_instances_are_given_and_what_they_are_part_of_is_not(_unused_ void **state) {
        WORLD(2);
        uint64_t id;

        split_gpu(world);
        assert_refused(world, (Ask){ .gpu = { "0" } },
                       "split into instances (MIG), which are asked for one by one; there is GPU "
                       "0.0 (Card, 10G), GPU 0.1 (Card, 20G)");
        assert_refused(world, (Ask){ .gpu = { "7" } },
                       "there is GPU 1 (Card, 24G), GPU 0.0 (Card, 10G), GPU 0.1 (Card, 20G)");
        assert_refused(world, (Ask){ .gpu = { "0.0" }, .gpu_bytes = { GIBS(11) } },
                       "it asks for 11G on GPU 0.0, which has 10G in all");

        id = start(world,
                   (Ask){ .gpu = { "0.1" }, .gpu_bytes = { GIBS(15) }, .delay_given = true });
        assert_string_equal(first_uuid(world, id), "MIG-1");
        id = start(world, (Ask){ .gpu = { "MIG-0" } });
        assert_string_equal(first_uuid(world, id), "MIG-0");
        id = start(world, (Ask){ .gpu = { "any" } });
        assert_int_equal(first_grant(world, id), 1);
        submit(world, (Ask){ .gpu = { "any" }, .gpu_bytes = { GIBS(6) } });
        assert_int_equal(start_next(world), 0);
}

static void test_a_task_gets_one_instance_and_then_nothing_else(_unused_ void **state) {
        WORLD(2);

        split_gpu(world);
        assert_refused(world, (Ask){ .gpu = { "0.0", "0.1" } },
                       "GPU 0.0 is an instance (MIG), of which a program can use one alone, and it "
                       "asks for 2 GPUs");
        assert_refused(world, (Ask){ .gpu = { "1", "0.1" } }, "GPU 0.1 is an instance");
        assert_refused(world, (Ask){ .gpu = { "any", "any" } }, "not 2 different GPUs");
        assert_possible(world, (Ask){ .gpu = { "any" }, .gpu_bytes = { GIBS(20) } });
}

static void test_one_that_is_split_under_a_waiting_task_says_so(_unused_ void **state) {
        WORLD(2);
        uint64_t id;

        start(world, (Ask){ .gpu = { "0" } });
        id = submit(world, (Ask){ .gpu = { "0" } });
        assert_int_equal(end(world, 1, TASK_STATE_DONE), 0);
        split_gpu(world);
        assert_int_equal(start_next(world), 0);
        assert_int_equal(reason_of(world, id), WAIT_REASON_GPU_SPLIT);
}

static void test_an_instance_that_was_destroyed_is_shown_no_more(_unused_ void **state) {
        WORLD(2);
        GpuView *views = NULL;

        split_gpu(world);
        start(world, (Ask){ .gpu = { "0.0" } });
        world->n_gpus = 2;
        look_at_gpus(world);
        assert_int_equal(core_view_gpus(world->core, world->now_us, &views), 3);
        assert_string_equal(views[1].sample.uuid, "MIG-0"); /* it is held */
        core_gpu_views_free(views, 3);

        assert_int_equal(end(world, 1, TASK_STATE_DONE), 0);
        assert_int_equal(core_view_gpus(world->core, world->now_us, &views), 2);
        core_gpu_views_free(views, 2);
}

static void test_an_exclusive_gpu_has_one_task(_unused_ void **state) {
        WORLD(1);
        uint64_t id;

        world->gpus[0].use = GPU_USE_EXCLUSIVE;
        look_at_gpus(world);
        start(world, (Ask){ .gpu = { "0" }, .gpu_bytes = { GIB }, .delay_given = true });
        id = submit(world, (Ask){ .gpu = { "any" }, .gpu_bytes = { GIB } });
        assert_int_equal(start_next(world), 0);
        assert_int_equal(reason_of(world, id), WAIT_REASON_GPU_EXCLUSIVE);
        assert_int_equal(end(world, 1, TASK_STATE_DONE), 0);
        assert_int_equal(start_next(world), id);
}

/* A start there would fail: "all CUDA-capable devices are busy". */
static void test_an_exclusive_gpu_that_a_stranger_has_is_waited_for(_unused_ void **state) {
        WORLD(1);
        uint64_t id;

        world->gpus[0].use = GPU_USE_EXCLUSIVE;
        world->gpus[0].n_processes = world->gpus[0].n_computing = 1;
        look_at_gpus(world);
        id = submit(world, (Ask){ .gpu = { "0" }, .gpu_bytes = { GIB } });
        assert_int_equal(start_next(world), 0);
        assert_int_equal(reason_of(world, id), WAIT_REASON_GPU_EXCLUSIVE);

        world->gpus[0].n_computing = 0; /* the one that draws the screen */
        assert_int_equal(start_next(world), id);
}

static void test_a_prohibited_gpu_has_none(_unused_ void **state) {
        WORLD(2);
        uint64_t id;

        id = start(world, (Ask){ .gpu = { "0" } });
        submit(world, (Ask){ .gpu = { "0" } });
        world->gpus[0].use = GPU_USE_PROHIBITED;
        look_at_gpus(world);
        assert_refused(world, (Ask){ .gpu = { "0" } }, "its compute mode is 'prohibited'");
        assert_refused(world, (Ask){ .gpu = { "any", "any" } }, "there is GPU 1 (Card, 24G)");
        assert_int_equal(end(world, id, TASK_STATE_DONE), 0);
        assert_int_equal(start_next(world), 0);
        assert_int_equal(reason_of(world, 2), WAIT_REASON_GPU_PROHIBITED);
        assert_int_equal(first_grant(world, start(world, (Ask){ .gpu = { "any" } })), 1);
}

/* One GPU without memory of its own, on a machine of 100 GiB. */
static void share_ram(World *world) {
        world->gpus[0].shares_ram = true;
        world->gpus[0].total_bytes = world->gpus[0].free_bytes = 0;
        look(world);
}

static void test_a_gpu_without_memory_has_that_of_the_machine(_unused_ void **state) {
        WORLD(1);
        GpuView *views = NULL;

        share_ram(world);
        world->ram_free_bytes = GIBS(70);
        look(world);
        assert_int_equal(core_view_gpus(world->core, world->now_us, &views), 1);
        assert_true(views[0].sample.total_bytes == GIBS(100));
        assert_true(views[0].sample.free_bytes == GIBS(70));
        assert_true(views[0].free_bytes == GIBS(70));
        core_gpu_views_free(views, 1);
}

static void test_what_is_asked_for_there_is_asked_for_of_ram(_unused_ void **state) {
        WORLD(1);
        RamView ram;

        share_ram(world);
        assert_refused(world, (Ask){ .gpu = { "0" }, .gpu_bytes = { GIBS(101) } }, "shares");
        assert_refused(world,
                       (Ask){ .memory_bytes = GIBS(50), .gpu = { "0" }, .gpu_bytes = { GIBS(51) } },
                       "shares");
        assert_refused(world,
                       (Ask){ .memory_bytes = GIBS(50),
                              .gpu = { "any" },
                              .gpu_bytes = { GIBS(51) } },
                       "none has that much");

        start(world, (Ask){ .memory_bytes = GIBS(20),
                            .gpu = { "0" },
                            .gpu_bytes = { GIBS(30) },
                            .delay_given = true });
        ram = core_view_ram(world->core, world->now_us);
        assert_true(ram.promised_bytes == GIBS(50) && ram.free_bytes == GIBS(50));

        submit(world, (Ask){ .memory_bytes = GIBS(51) });
        assert_int_equal(start_next(world), 0);
        submit(world, (Ask){ .gpu = { "any" }, .gpu_bytes = { GIBS(51) } });
        assert_int_equal(start_next(world), 0);
        submit(world,
               (Ask){ .memory_bytes = GIBS(26), .gpu = { "any" }, .gpu_bytes = { GIBS(25) } });
        assert_int_equal(start_next(world), 0);
        assert_int_equal(end(world, 1, TASK_STATE_DONE), 0);
        assert_true(start_next(world) > 0);
}

/* As any other whole GPU it is the task's alone; of RAM it takes what is asked for by that name. */
static void test_the_whole_of_it_leaves_the_ram_to_others(_unused_ void **state) {
        WORLD(1);

        share_ram(world);
        start(world, (Ask){ .gpu = { "0" }, .memory_bytes = GIBS(10), .delay_given = true });
        submit(world, (Ask){ .gpu = { "0" }, .gpu_bytes = { GIB } });
        assert_int_equal(start_next(world), 0);
        assert_int_equal(reason_of(world, 2), WAIT_REASON_GPU_WHOLE);
        start(world, (Ask){ .memory_bytes = GIBS(90) });
}

/* What was seen to be taken of it counts from the next look at RAM on, as all that is RAM's does. */
static void test_what_is_taken_there_is_not_counted_twice(_unused_ void **state) {
        WORLD(1);
        RamView ram;

        share_ram(world);
        start(world, (Ask){ .gpu = { "0" }, .gpu_bytes = { GIBS(60) }, .delay_given = true });
        world->uses[0] = (GpuTaskUse){ .task_id = 1, .used_bytes = GIBS(60) };
        memcpy(world->uses[0].uuid, world->gpus[0].uuid, GPU_UUID_MAX);
        world->n_uses = 1;
        look_at_gpus(world);
        ram = core_view_ram(world->core, world->now_us);
        assert_true(ram.free_bytes == GIBS(40)); /* RAM was looked at before it was taken */

        world->ram_free_bytes = GIBS(40);
        look_at_ram(world);
        ram = core_view_ram(world->core, world->now_us);
        assert_true(ram.promised_bytes == 0 && ram.free_bytes == GIBS(40));
}

static void test_while_its_driver_is_silent_ram_is_given_out(_unused_ void **state) {
        WORLD(1);
        Event event;

        share_ram(world);
        submit(world, (Ask){ .gpu = { "0" }, .gpu_bytes = { GIB } });
        event = world_event(world, EVENT_GPUS, 0);
        assert_int_equal(core_apply(world->core, &event), 0);
        pass_time(world, 5 * SEC);
        submit(world, (Ask){ .memory_bytes = GIB });
        look_at_ram(world);
        assert_int_equal(offer_next(world), 2);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_instances_are_given_and_what_they_are_part_of_is_not),
                cmocka_unit_test(test_a_task_gets_one_instance_and_then_nothing_else),
                cmocka_unit_test(test_one_that_is_split_under_a_waiting_task_says_so),
                cmocka_unit_test(test_an_instance_that_was_destroyed_is_shown_no_more),
                cmocka_unit_test(test_an_exclusive_gpu_has_one_task),
                cmocka_unit_test(test_an_exclusive_gpu_that_a_stranger_has_is_waited_for),
                cmocka_unit_test(test_a_prohibited_gpu_has_none),
                cmocka_unit_test(test_a_gpu_without_memory_has_that_of_the_machine),
                cmocka_unit_test(test_what_is_asked_for_there_is_asked_for_of_ram),
                cmocka_unit_test(test_the_whole_of_it_leaves_the_ram_to_others),
                cmocka_unit_test(test_what_is_taken_there_is_not_counted_twice),
                cmocka_unit_test(test_while_its_driver_is_silent_ram_is_given_out),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
