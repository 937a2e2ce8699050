/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <signal.h>
#include <string.h>
#include <time.h>

#include "cli/format.h"
#include "core/core.h"
#include "core/needs.h"
#include "core/task.h"
#include "util/units.h"

#include "check.h"

static Task *new_task(void) {
        Task *task = task_new();

        assert_non_null(task);
        return task;
}

/* As it is once it runs: with GPUs 3 and 1, of which the first is given whole. */
static Task *new_gpu_task(void) {
        Task *task = new_task();

        task->needs.memory_bytes = 5 * GIB;
        task->needs.cpus = 4;
        assert_int_equal(needs_add_gpu(&task->needs, "any", GPU_WHOLE), 0);
        assert_int_equal(needs_add_gpu(&task->needs, "1", 10 * GIB), 0);
        task->gpus = calloc(2, sizeof(*task->gpus));
        task->gpu_usage = calloc(2, sizeof(*task->gpu_usage));
        assert_non_null(task->gpus);
        assert_non_null(task->gpu_usage);
        task->gpus[0] = (GpuGrant){ .uuid = "GPU-c", .index = 3, .bytes = GPU_WHOLE };
        task->gpus[1] = (GpuGrant){ .uuid = "GPU-a", .index = 1, .bytes = 10 * GIB };
        return task;
}

static void test_needs_are_short(_unused_ void **state) {
        _cleanup_(task_freep) Task *task = new_task();

        assert_string_freed(format_needs(task), "");
        task->needs.memory_bytes = 1536 * MIB;
        assert_string_freed(format_needs(task), "1.5G");
        assert_int_equal(needs_add_gpu(&task->needs, "0", 10 * GIB), 0);
        assert_int_equal(needs_add_gpu(&task->needs, "any", GPU_WHOLE), 0);
        assert_int_equal(needs_add_gpu(&task->needs, "GPU-12", 512 * MIB), 0);
        task->needs.cpus = 8;
        assert_string_freed(format_needs(task), "1.5G,gpu0:10G,any:all,GPU-12:512M,8c");
        assert_int_equal(needs_add_tokens(&task->needs, "matlab:2 ansys"), 0);
        assert_string_freed(format_needs(task),
                            "1.5G,gpu0:10G,any:all,GPU-12:512M,8c,ansys:1,matlab:2");
}

static void test_granted_gpus_are_shown_by_number(_unused_ void **state) {
        _cleanup_(task_freep) Task *task = new_gpu_task();

        assert_string_freed(format_needs(task), "5G,gpu3:all,gpu1:10G,4c");
        assert_string_freed(format_gpus(task), "3 (GPU-c, all), 1 (GPU-a, 10G)");
}

static void test_needs_in_words(_unused_ void **state) {
        _cleanup_(task_freep) Task *task = new_gpu_task();
        Needs none = { 0 };
        Needs one_core = { .cpus = 1 };

        assert_string_freed(format_needs_words(&task->needs),
                            "5G of RAM, a whole GPU (any), 10G on GPU 1, 4 cores");
        assert_int_equal(needs_add_tokens(&task->needs, "matlab:2 ansys"), 0);
        assert_string_freed(format_needs_words(&task->needs),
                            "5G of RAM, a whole GPU (any), 10G on GPU 1, 4 cores, 1 token of "
                            "ansys, 2 tokens of matlab");
        assert_string_freed(format_needs_words(&none), "nothing");
        assert_string_freed(format_needs_words(&one_core), "1 core");
}

static void test_use_is_left_out_where_it_is_not_known(_unused_ void **state) {
        _cleanup_(task_freep) Task *task = new_gpu_task();

        assert_string_freed(format_used(task, false), "");
        assert_string_freed(format_used_words(task, true), "not known");

        task->memory = (Usage){ .known = true, .used_bytes = GIB, .peak_bytes = 2 * GIB };
        task->gpu_usage[1] = (Usage){ .known = true, .used_bytes = 0, .peak_bytes = 9 * GIB };
        assert_string_freed(format_used(task, false), "1G,gpu1:0");
        assert_string_freed(format_used(task, true), "2G,gpu1:9G");
        assert_string_freed(format_used_words(task, true), "2G of RAM, 9G on GPU 1");
}

static void test_time_counts_from_the_start_or_from_the_submission(_unused_ void **state) {
        _cleanup_(task_freep) Task *task = new_task();
        const uint64_t t_us = UINT64_C(1700000000) * US_PER_SEC;
        char buf[UNITS_FORMAT_MAX];

        task->submitted_at_us = t_us;
        assert_string_equal(format_time(task, t_us + 90 * US_PER_SEC, 0, buf, sizeof(buf)),
                            "1m30s");

        task->started_at_us = t_us + 60 * US_PER_SEC;
        assert_string_equal(format_time(task, t_us + 90 * US_PER_SEC, 0, buf, sizeof(buf)), "30s");

        task->ended_at_us = t_us + 65 * US_PER_SEC;
        assert_string_equal(format_time(task, t_us + 90 * US_PER_SEC, 0, buf, sizeof(buf)), "5s");

        /* Somebody has set the clock back. */
        task->ended_at_us = 0;
        assert_string_equal(format_time(task, t_us, 0, buf, sizeof(buf)), "0s");
        task->state = TASK_STATE_RUNNING;
        task->started_boot_us = 100 * US_PER_SEC;
        assert_string_equal(format_time(task, t_us, 130 * US_PER_SEC, buf, sizeof(buf)), "30s");
}

static void test_a_task_that_never_started_waited_until_its_end(_unused_ void **state) {
        _cleanup_(task_freep) Task *task = new_task();
        char buf[UNITS_FORMAT_MAX];

        task->submitted_at_us = 10 * US_PER_SEC;
        task->ended_at_us = 17 * US_PER_SEC;
        assert_string_equal(format_time(task, 1000 * US_PER_SEC, 0, buf, sizeof(buf)), "7s");
}

static void test_instants_are_local(_unused_ void **state) {
        char buf[FORMAT_INSTANT_MAX];

        assert_int_equal(setenv("TZ", "UTC-2", 1), 0);
        tzset();
        assert_string_equal(format_instant(UINT64_C(1700000000) * US_PER_SEC + 999999, buf),
                            "2023-11-15 00:13:20");
        assert_string_equal(format_instant(0, buf), "-");
}

static void test_how_it_ended(_unused_ void **state) {
        const struct {
                TaskState state;
                int exit_status;
                int signal;
                int status;
                const char *shown;
        } cases[] = {
                { TASK_STATE_DONE, 0, 0, 0, "0" },
                { TASK_STATE_FAILED, 3, 0, 3, "3" },
                { TASK_STATE_FAILED, -1, SIGSEGV, 139, "SIGSEGV" },
                { TASK_STATE_FAILED, -1, 40, 168, "signal 40" },
                { TASK_STATE_CANCELLED, -1, SIGTERM, 143, "SIGTERM" },
                { TASK_STATE_CANCELLED, -1, 0, 125, "-" },
                { TASK_STATE_TIMEOUT, -1, SIGKILL, 124, "SIGKILL" },
                { TASK_STATE_LOST, -1, 0, 125, "-" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(task_freep) Task *task = new_task();
                char buf[FORMAT_STATUS_MAX];

                task->state = cases[i].state;
                task->exit_status = cases[i].exit_status;
                task->signal = cases[i].signal;
                assert_string_equal(format_status(task, buf), cases[i].shown);
                assert_int_equal(format_exit_status(task), cases[i].status);
        }
}

static void test_priorities_have_words(_unused_ void **state) {
        char buf[16];

        assert_string_equal(format_priority(0, buf, sizeof(buf)), "low");
        assert_string_equal(format_priority(100, buf, sizeof(buf)), "medium");
        assert_string_equal(format_priority(200, buf, sizeof(buf)), "high");
        assert_string_equal(format_priority(150, buf, sizeof(buf)), "150");
}

static Task *new_array(const char *waiting) {
        Task *task = new_task();

        task->id = 12;
        task->array = calloc(1, sizeof(*task->array));
        assert_non_null(task->array);
        task->array->last = 99;
        if (waiting)
                assert_int_equal(index_set_parse(waiting, TASK_INDEX_MAX, &task->array->waiting,
                                                 NULL),
                                 0);
        return task;
}

static void test_ids_of_elements_and_of_those_that_wait(_unused_ void **state) {
        _cleanup_(task_freep) Task *array = new_array("4-9");
        _cleanup_(task_freep) Task *holey = new_array("0-9,12,20-29,41,43");
        _cleanup_(task_freep) Task *empty = new_array(NULL);
        _cleanup_(task_freep) Task *element = new_task();

        element->id = task_ref(12, 3);
        assert_string_freed(format_id(element, 16), "12_3");
        assert_string_freed(format_id(empty, 16), "12");
        assert_string_freed(format_id(array, 16), "12_[4-9]");
        array->array->limit = 2;
        assert_string_freed(format_id(array, 16), "12_[4-9%2]");
        assert_string_freed(format_id(holey, 16), "12_[0-9,12,20-29,41,…]");
        assert_string_freed(format_id(holey, 18), "12_[0-9,12,20-29,41,43]");
        assert_string_freed(format_id(holey, 2), "12_[…]");
        holey->array->limit = 4;
        assert_string_freed(format_id(holey, 5), "12_[0-9,…%4]");
}

static void test_how_far_an_array_is(_unused_ void **state) {
        _cleanup_(task_freep) Task *task = new_array("10-99");
        _cleanup_(task_freep) Task *plain = new_task();

        assert_string_freed(format_array(plain), "");
        assert_string_freed(format_array(task), "0-99: 90 waiting");
        task->array->limit = 4;
        task->array->n_apart = 3; /* one of them is held */
        task->array->n_active = 2;
        task->array->n_done = 5;
        task->array->n_failed = 1;
        task->array->n_timeout = 1;
        assert_string_freed(format_array(task),
                            "0-99, at most 4 at once: 91 waiting, 2 running, 5 done, "
                            "1 failed, 1 timeout");
}

static void test_what_it_waits_for_in_words(_unused_ void **state) {
        _cleanup_(task_freep) Task *task = new_task();
        const TaskAfter after[] = { { 3, false }, { 5, true }, { 4, false } };

        assert_string_freed(format_after(task), "");
        task->after = calloc(ELEMENTSOF(after), sizeof(*task->after));
        assert_non_null(task->after);
        (void)memcpy(task->after, after, sizeof(after));
        task->n_after = 1;
        assert_string_freed(format_after(task), "3 (must succeed)");
        task->n_after = 3;
        assert_string_freed(format_after(task), "3, 4 (must succeed); 5 (must end)");
}

static void test_shares_are_percentages(_unused_ void **state) {
        char buf[UNITS_FORMAT_MAX];

        assert_string_equal(format_share(CORE_WHOLE / 8, buf, sizeof(buf)), "12.5%");
        assert_string_equal(format_share(1, buf, sizeof(buf)), "0.0%");
        assert_string_equal(format_share(INT64_MAX, buf, sizeof(buf)), "838860799.9%");
}

static void test_the_status_of_an_array_says_whether_all_succeeded(_unused_ void **state) {
        _cleanup_(task_freep) Task *task = new_array(NULL);

        task->state = TASK_STATE_DONE;
        assert_int_equal(format_exit_status(task), 0);
        task->state = TASK_STATE_FAILED;
        assert_int_equal(format_exit_status(task), 1);
        task->state = TASK_STATE_CANCELLED;
        assert_int_equal(format_exit_status(task), 1);
        task->state = TASK_STATE_FAILED;
        task->exit_status = 3;
        assert_int_equal(format_exit_status(task), 3);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_needs_are_short),
                cmocka_unit_test(test_granted_gpus_are_shown_by_number),
                cmocka_unit_test(test_needs_in_words),
                cmocka_unit_test(test_use_is_left_out_where_it_is_not_known),
                cmocka_unit_test(test_time_counts_from_the_start_or_from_the_submission),
                cmocka_unit_test(test_a_task_that_never_started_waited_until_its_end),
                cmocka_unit_test(test_instants_are_local),
                cmocka_unit_test(test_how_it_ended),
                cmocka_unit_test(test_priorities_have_words),
                cmocka_unit_test(test_shares_are_percentages),
                cmocka_unit_test(test_ids_of_elements_and_of_those_that_wait),
                cmocka_unit_test(test_how_far_an_array_is),
                cmocka_unit_test(test_what_it_waits_for_in_words),
                cmocka_unit_test(test_the_status_of_an_array_says_whether_all_succeeded),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
