/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * GPUs that a task uses and did not ask for, and those where it uses much more than it asked for
 */

#include "core/excess.h"

#include "test-core-fixture.h"

/* All of it as text: "9G on GPU 0, where it asked for 2G; 3G on …". */
static const char *excess_of(const World *world, uint64_t id, bool peak, char buf[static 512]) {
        char words[EXCESS_SENTENCE_MAX];
        unsigned at = 0;
        Excess excess;
        size_t n = 0;

        buf[0] = '\0';
        while (excess_next(core_find(world->core, id), &at, &excess))
                n += (size_t)snprintf(buf + n, 512 - n, "%s%s", n > 0 ? "; " : "",
                                      excess_sentence(&excess, peak, words, sizeof(words)));
        return buf;
}

#define assert_excess(world, id, want)                                       \
        do {                                                                 \
                char _buf[512];                                              \
                assert_string_equal(excess_of(world, id, true, _buf), want); \
        } while (0)

static GpuView view_of(const World *world, unsigned i) {
        GpuView *views;
        ssize_t n = core_view_gpus(world->core, world->now_us, &views);
        GpuView view;

        assert_true(n > (ssize_t)i);
        view = views[i];
        core_gpu_views_free(views, (size_t)n);
        view.task_ids = NULL;
        return view;
}

static void test_twice_what_was_asked_for_is_no_news_and_a_byte_more_is(_unused_ void **state) {
        WORLD(2);
        uint64_t id = start(world, (Ask){ .gpu = { "0" }, .gpu_bytes = { 2 * GIB } });

        take_gpu(world, id, 0, 4 * GIB);
        assert_excess(world, id, "");
        assert_int_equal(view_of(world, 0).n_excess, 0);

        take_gpu(world, id, 0, 4 * GIB + 1);
        assert_excess(world, id, "4G on GPU 0, where it asked for 2G");
        assert_int_equal(view_of(world, 0).n_excess, 1);
        assert_int_equal(view_of(world, 0).excess[0].task_id, id);
        assert_int_equal(view_of(world, 0).excess[0].uid, ALICE);
        assert_int_equal(view_of(world, 0).excess[0].asked_bytes, 2 * GIB);
        assert_int_equal(view_of(world, 0).excess[0].used_bytes, 4 * GIB + 1);
}

static void test_a_gpu_that_was_not_asked_for_is_known_by_its_uuid(_unused_ void **state) {
        WORLD(2);
        uint64_t id = start(world, (Ask){ .gpu = { "0" }, .gpu_bytes = { 2 * GIB } });

        take_gpu(world, id, 1, 3 * GIB);
        assert_excess(world, id, "3G on GPU 1, which it did not ask for");
        assert_int_equal(view_of(world, 0).n_excess, 0);
        assert_int_equal(view_of(world, 1).n_excess, 1);
        assert_int_equal(view_of(world, 1).n_tasks, 0);

        /* The numbers change places: it is the same GPU. */
        world->gpus[0].index = 1;
        world->gpus[1].index = 0;
        take_gpu(world, id, 1, 3 * GIB);
        assert_excess(world, id, "3G on GPU 0, which it did not ask for");
        assert_int_equal(core_find(world->core, id)->n_strays, 1);
}

static void test_what_was_used_once_is_remembered_but_not_now(_unused_ void **state) {
        WORLD(2);
        uint64_t id = start(world, (Ask){ .memory_bytes = GIB });
        char buf[512];

        take_gpu(world, id, 1, 3 * GIB);
        take_gpu(world, id, 1, GIB);
        assert_string_equal(excess_of(world, id, false, buf),
                            "1G on GPU 1, which it did not ask for");
        take_gpu(world, id, 1, 0);
        assert_excess(world, id, "3G on GPU 1, which it did not ask for");
        assert_int_equal(view_of(world, 1).n_excess, 0);

        assert_int_equal(end(world, id, TASK_STATE_DONE), 0);
        assert_excess(world, id, "3G on GPU 1, which it did not ask for");
}

static void test_a_whole_gpu_has_no_too_much(_unused_ void **state) {
        WORLD(1);
        uint64_t id = start(world, (Ask){ .gpu = { "0" } });

        take_gpu(world, id, 0, 24 * GIB);
        assert_excess(world, id, "");
}

static void test_what_is_not_measured_is_not_judged(_unused_ void **state) {
        WORLD(1);
        uint64_t id = start(world, (Ask){ .gpu = { "0" }, .gpu_bytes = { GIB } });

        world->gpus[0].processes_known = false;
        world->gpus[0].free_bytes = GIB;
        look(world);
        assert_excess(world, id, "");
}

static void test_memory_of_a_stray_is_no_outsiders(_unused_ void **state) {
        WORLD(1);
        uint64_t stray = start(world, (Ask){ .memory_bytes = GIB });
        uint64_t waiting;
        Explain explain;

        take_gpu(world, stray, 0, 20 * GIB);
        waiting = submit(world, (Ask){ .uid = BOB, .gpu = { "0" }, .gpu_bytes = { 10 * GIB } });
        assert_int_equal(core_explain(world->core, waiting, world->now_us, &explain), 0);
        assert_int_equal(explain.n_lacks, 1);
        assert_int_equal(explain.lacks[0].outside_bytes, 0);
        assert_int_equal(explain.lacks[0].n_holders, 1);
        assert_int_equal(explain.lacks[0].holders[0].task_id, stray);
        assert_int_equal(explain.lacks[0].holders[0].used_bytes, 20 * GIB);
}

static void test_a_task_that_is_tried_again_begins_anew(_unused_ void **state) {
        WORLD(1);
        uint64_t id = start(world, (Ask){ .memory_bytes = GIB, .retry_max = 1 });

        take_gpu(world, id, 0, GIB);
        assert_int_equal(end(world, id, TASK_STATE_FAILED), 0);
        assert_int_equal(state_of(world, id), TASK_STATE_PENDING);
        assert_excess(world, id, "");
}

static void test_of_many_those_that_hold_most_are_listed(_unused_ void **state) {
        WORLD(1);
        enum {
                N = GPU_VIEW_EXCESS_MAX + 2
        };
        GpuView view;

        for (unsigned i = 0; i < N; i++) {
                uint64_t id = start(world, (Ask){ .cpus = 1 });

                take_gpu(world, id, 0, (i + 1) * GIB / 4);
        }
        view = view_of(world, 0);
        assert_int_equal(view.n_excess, GPU_VIEW_EXCESS_MAX);
        assert_int_equal(view.n_more_excess, 2);
        for (unsigned i = 0; i < GPU_VIEW_EXCESS_MAX; i++)
                assert_int_equal(view.excess[i].used_bytes, (N - i) * GIB / 4);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_twice_what_was_asked_for_is_no_news_and_a_byte_more_is),
                cmocka_unit_test(test_a_gpu_that_was_not_asked_for_is_known_by_its_uuid),
                cmocka_unit_test(test_what_was_used_once_is_remembered_but_not_now),
                cmocka_unit_test(test_a_whole_gpu_has_no_too_much),
                cmocka_unit_test(test_what_is_not_measured_is_not_judged),
                cmocka_unit_test(test_memory_of_a_stray_is_no_outsiders),
                cmocka_unit_test(test_a_task_that_is_tried_again_begins_anew),
                cmocka_unit_test(test_of_many_those_that_hold_most_are_listed),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
