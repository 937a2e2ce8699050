/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Tasks, machine and policy: values, their defaults and their words
 */

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "core/explain.h"
#include "core/gpu-word.h"
#include "core/policy.h"
#include "core/sat.h"
#include "core/task.h"

#include "check.h"

static void test_every_word_stands_for_its_value(_unused_ void **state) {
        assert_string_table(task_state, TaskState, N_TASK_STATES);
        assert_string_table(pin_mode, PinMode, N_PIN_MODES);
        assert_string_table(gpu_state, GpuState, N_GPU_STATES);
        assert_string_table(gpu_kind, GpuKind, N_GPU_KINDS);
        assert_string_table(wait_reason, WaitReason, N_WAIT_REASONS);
}

/* They are on the wire and in the database: a change is a migration. */
static void test_the_words_of_states_stay(_unused_ void **state) {
        const char *const words[N_TASK_STATES] = { "pending", "held",      "running", "done",
                                                   "failed",  "cancelled", "timeout", "lost" };

        for (unsigned i = 0; i < N_TASK_STATES; i++)
                assert_string_equal(task_state_to_string((TaskState)i), words[i]);
}

static void test_a_new_task_has_the_defaults(_unused_ void **state) {
        Task *task = task_new();

        assert_non_null(task);
        assert_int_equal(task->priority, TASK_PRIORITY_DEFAULT);
        assert_true(task->time_limit_us == TASK_TIME_INF);
        assert_int_equal(task->exit_status, -1);
        assert_int_equal(task->state, TASK_STATE_PENDING);
        assert_null(task_free(task));
        assert_null(task_free(NULL));
}

/* A task with something in each field that owns something. */
static Task *full_task(void) {
        Task *task = task_new();

        assert_non_null(task);
        task->id = task_ref(12, 3);
        task->name = strdup("name");
        task->command = strdup("command");
        task->argv = calloc(3, sizeof(char *));
        task->argv[0] = strdup("a");
        task->argv[1] = strdup("b");
        task->cwd = strdup("/cwd");
        task->output = strdup("/out/{id}");
        task->reason = strdup("reason");
        assert_int_equal(needs_add_gpu(&task->needs, "any", GIB), 0);
        task->gpus = calloc(1, sizeof(GpuGrant));
        task->gpus[0].index = 5;
        task->gpu_usage = calloc(1, sizeof(Usage));
        task->gpu_usage[0].peak_bytes = 6;
        task->n_after = 2;
        task->after = calloc(2, sizeof(TaskAfter));
        task->after[1] = (TaskAfter){ .id = 7, .any = true };
        task->array = calloc(1, sizeof(TaskArray));
        task->array->limit = 4;
        assert_int_equal(index_set_add(&task->array->waiting, 1, 9), 0);
        return task;
}

static void test_a_copy_of_a_task_owns_all_that_it_has(_unused_ void **state) {
        Task *task = full_task(), *copy = task_copy(task);

        assert_non_null(copy);
        assert_ptr_not_equal(copy->name, task->name);
        task_free(task); /* what the copy shared with it would be gone */
        assert_true(copy->id == task_ref(12, 3));
        assert_string_equal(copy->name, "name");
        assert_string_equal(copy->command, "command");
        assert_string_equal(copy->argv[1], "b");
        assert_null(copy->argv[2]);
        assert_string_equal(copy->cwd, "/cwd");
        assert_string_equal(copy->output, "/out/{id}");
        assert_string_equal(copy->reason, "reason");
        assert_int_equal(copy->needs.n_gpus, 1);
        assert_true(copy->needs.gpus[0].bytes == GIB);
        assert_int_equal(copy->gpus[0].index, 5);
        assert_true(copy->gpu_usage[0].peak_bytes == 6);
        assert_int_equal(copy->n_after, 2);
        assert_true(copy->after[1].id == 7 && copy->after[1].any);
        assert_int_equal(copy->array->limit, 4);
        assert_true(index_set_count(&copy->array->waiting) == 9);
        task_free(copy);
}

static void test_a_copy_of_nothing_is_nothing(_unused_ void **state) {
        Task *task = task_new(), *copy = task_copy(task);

        assert_non_null(copy);
        assert_memory_equal(task, copy, sizeof(*task));
        task_free(task);
        task_free(copy);
}

static void test_a_number_names_a_task_and_an_element_alike(_unused_ void **state) {
        assert_true(task_ref(12, -1) == 12);
        assert_int_equal(task_ref_index(12), -1);
        assert_true(task_ref_id(task_ref(12, 0)) == 12);
        assert_int_equal(task_ref_index(task_ref(12, 0)), 0);
        assert_true(task_ref_id(task_ref(TASK_ID_MAX, TASK_INDEX_MAX)) == TASK_ID_MAX);
        assert_int_equal(task_ref_index(task_ref(TASK_ID_MAX, TASK_INDEX_MAX)), TASK_INDEX_MAX);
        assert_true(task_ref(TASK_ID_MAX, TASK_INDEX_MAX) <= INT64_MAX);
}

static void test_an_array_comes_before_its_elements_and_after_smaller_ids(_unused_ void **state) {
        const uint64_t refs[] = {
                1, task_ref(1, 0), task_ref(1, 1), task_ref(1, TASK_INDEX_MAX),
                2, task_ref(2, 0), TASK_ID_MAX,    task_ref(TASK_ID_MAX, TASK_INDEX_MAX),
        };

        for (size_t i = 0; i < ELEMENTSOF(refs); i++) {
                assert_true(task_ref_from_order(task_ref_order(refs[i])) == refs[i]);
                assert_true(task_ref_order(refs[i]) <= INT64_MAX);
                if (i > 0)
                        assert_true(task_ref_order(refs[i - 1]) < task_ref_order(refs[i]));
        }
        assert_true(task_ref_order(UINT64_MAX) >= task_ref_order(refs[ELEMENTSOF(refs) - 1]));
}

static void test_final_is_what_does_not_change(_unused_ void **state) {
        assert_false(task_state_is_final(TASK_STATE_PENDING));
        assert_false(task_state_is_final(TASK_STATE_HELD));
        assert_false(task_state_is_final(TASK_STATE_RUNNING));
        for (unsigned i = TASK_STATE_DONE; i < N_TASK_STATES; i++)
                assert_true(task_state_is_final((TaskState)i));
}

static void test_status_zero_is_done(_unused_ void **state) {
        assert_int_equal(task_end_state(0), TASK_STATE_DONE);
        assert_int_equal(task_end_state(1), TASK_STATE_FAILED);
        assert_int_equal(task_end_state(255), TASK_STATE_FAILED);
        assert_int_equal(task_end_state(-1), TASK_STATE_FAILED);
}

static void test_the_default_policy_is_the_manual_s(_unused_ void **state) {
        Policy policy = policy_default();

        assert_true(policy.default_delay_us == 60 * US_PER_SEC);
        assert_false(policy.delay_strict);
        assert_int_equal(policy.ample_factor_permille, 2000);
        assert_false(policy.unfilled_delay);
        assert_true(policy.reserved_memory_bytes == 100 * MIB);
        assert_true(policy.reserved_gpu_memory_bytes == MIB);
        assert_int_equal(policy.whole_gpu_used_permyriad, 500);
        assert_false(policy.gpu_pick_pack);
        assert_int_equal(policy.priority_limit, 100);
        assert_true(policy.priority_age_us == 3600 * US_PER_SEC);
        assert_true(policy.max_delay_us == 600 * US_PER_SEC);
        assert_true(policy.sample_max_age_us > 0 && policy.sample_max_age_us < US_PER_SEC);
        assert_int_equal(policy.max_offers_per_uid, 64);
        assert_int_equal(policy.n_cpus, 1);
        assert_true(policy.gpus_all);
}

/* One of NVIDIA's, the first kind there. */
static GpuSample gpu_sample(const char *uuid, unsigned index) {
        GpuSample gpu = { .index = index };

        gpu_text_copy(gpu.uuid, uuid);
        return gpu;
}

static bool allows(const Policy *policy, const char *uuid, unsigned index) {
        GpuSample gpu = gpu_sample(uuid, index);

        return policy_allows_gpu(policy, &gpu, GPU_KIND_NVIDIA);
}

static void test_the_policy_gives_out_what_it_lists(_unused_ void **state) {
        Policy policy = policy_default();

        assert_true(allows(&policy, "GPU-12ab", 7));

        policy.gpus_all = false;
        assert_false(allows(&policy, "GPU-12ab", 7));

        policy.n_gpus = 2;
        strcpy(policy.gpus[0], "3");
        strcpy(policy.gpus[1], "GPU-12");
        assert_true(allows(&policy, "GPU-12ab", 7));
        assert_true(allows(&policy, "GPU-77", 3));
        assert_false(allows(&policy, "GPU-77", 33));
        assert_false(allows(&policy, "GPU-1", 7));
}

static void test_words_name_gpus(_unused_ void **state) {
        const struct {
                const char *word, *uuid;
                unsigned index;
                bool want;
        } cases[] = {
                { "0", "GPU-0", 0, true },         { "0", "GPU-0", 1, false },
                { "00", "GPU-0", 0, true },        { "10", "GPU-0", 1, false },
                { "GPU-", "GPU-0", 1, true },      { "GPU-0", "GPU-0", 1, true },
                { "GPU-01", "GPU-0", 1, false },   { "gpu-0", "GPU-0", 1, false },
                { "", "GPU-0", 0, false },         { "-1", "GPU-0", 1, false },
                { "1x", "GPU-0", 1, false },       { "99999999999", "GPU-0", 1, false },
                { "4294967296", "GPU", 0, false },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                GpuSample gpu = gpu_sample(cases[i].uuid, cases[i].index);

                if (gpu_word_matches(cases[i].word, &gpu, GPU_KIND_NVIDIA) != cases[i].want)
                        fail_msg("'%s' and %s, %u", cases[i].word, cases[i].uuid, cases[i].index);
        }
}

static void test_numbers_name_gpus_of_a_kind_and_parts_of_them(_unused_ void **state) {
        static const struct {
                const char *word;
                GpuKind kind;
                unsigned index, part;
                bool with_amd_first, with_nvidia_first;
        } cases[] = {
                { "0", GPU_KIND_AMD, 0, 0, true, false },
                { "0", GPU_KIND_NVIDIA, 0, 0, false, true },
                { "amd:0", GPU_KIND_AMD, 0, 0, true, true },
                { "amd:0", GPU_KIND_AMD, 1, 0, false, false },
                { "amd:0", GPU_KIND_NVIDIA, 0, 0, false, false },
                { "intel:3", GPU_KIND_INTEL, 3, 0, true, true },
                { "nvidia:0.1", GPU_KIND_NVIDIA, 0, 2, true, true },
                { "0.1", GPU_KIND_NVIDIA, 0, 2, false, true },
                { "0.1", GPU_KIND_NVIDIA, 0, 1, false, false },
                { "0.1", GPU_KIND_NVIDIA, 0, 0, false, false },
                { "0", GPU_KIND_NVIDIA, 0, 2, false, true },
                { "amd:", GPU_KIND_AMD, 0, 0, false, false },
                { "amd", GPU_KIND_AMD, 0, 0, false, false },
                { "other:0", GPU_KIND_OTHER, 0, 0, false, false },
                { "0.", GPU_KIND_NVIDIA, 0, 0, false, false },
                { "0.1.2", GPU_KIND_NVIDIA, 0, 2, false, false },
                { "0.999999999", GPU_KIND_NVIDIA, 0, 1000000000, false, false },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const GpuSample gpu = {
                        .uuid = "X",
                        .kind = cases[i].kind,
                        .index = cases[i].index,
                        .part = cases[i].part,
                };

                if (gpu_word_matches(cases[i].word, &gpu, GPU_KIND_AMD) !=
                            cases[i].with_amd_first ||
                    gpu_word_matches(cases[i].word, &gpu, GPU_KIND_NVIDIA) !=
                            cases[i].with_nvidia_first)
                        fail_msg("row %zu: '%s'", i, cases[i].word);
        }
}

static void test_a_gpu_is_called_by_its_number_with_its_kind_where_there_are_several(
        _unused_ void **state) {
        const GpuSample gpu = { .kind = GPU_KIND_AMD, .index = 3 };
        const GpuSample part = { .index = 1, .part = 3 };
        const GpuSample longest = { .index = UINT_MAX, .part = UINT_MAX };
        char buf[GPU_ID_MAX];

        assert_string_equal(gpu_id_format(buf, &gpu, false), "3");
        assert_string_equal(gpu_id_format(buf, &gpu, true), "amd:3");
        assert_string_equal(gpu_id_format(buf, &part, false), "1.2");
        assert_string_equal(gpu_id_format(buf, &part, true), "nvidia:1.2");
        assert_string_equal(gpu_id_format(buf, &longest, true), "nvidia:4294967295.4294967294");
        assert_string_equal(gpu_id_or_index("amd:3", 3, buf), "amd:3");
        assert_int_equal(gpu_word_length("amd:3:5G"), strlen("amd:3"));
        assert_int_equal(gpu_word_length("GPU-a:5G"), strlen("GPU-a"));
        assert_int_equal(gpu_word_length("any"), strlen("any"));
        assert_string_equal(gpu_id_or_index("", 7, buf), "7");
}

static void test_a_fixed_text_is_cut_and_filled_with_zeros(_unused_ void **state) {
        char text[GPU_UUID_MAX], source[GPU_UUID_MAX];

        memset(text, 'x', sizeof(text));
        gpu_text_copy(text, "ab");
        for (size_t i = 2; i < sizeof(text); i++)
                assert_int_equal(text[i], 0);

        memset(source, 'y', sizeof(source)); /* no NUL anywhere */
        gpu_text_copy(text, source);
        assert_int_equal(strlen(text), GPU_UUID_MAX - 1);
}

static void test_sums_stop_at_the_ends(_unused_ void **state) {
        assert_true(sat_add(UINT64_MAX, 1) == UINT64_MAX);
        assert_true(sat_add(UINT64_MAX - 1, 1) == UINT64_MAX);
        assert_true(sat_add(1, 2) == 3);
        assert_true(sat_sub(1, 2) == 0);
        assert_true(sat_sub(UINT64_MAX, UINT64_MAX) == 0);
        assert_true(sat_sub(3, 2) == 1);
        assert_true(sat_mul_div(UINT64_MAX, 2000, 1000) == UINT64_MAX);
        assert_true(sat_mul_div(UINT64_MAX, 1000, 1000) == UINT64_MAX);
        assert_true(sat_mul_div(UINT64_MAX, 103, 100) == UINT64_MAX);
        assert_true(sat_mul_div(5, 3, 2) == 7);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_word_stands_for_its_value),
                cmocka_unit_test(test_the_words_of_states_stay),
                cmocka_unit_test(test_a_new_task_has_the_defaults),
                cmocka_unit_test(test_a_copy_of_a_task_owns_all_that_it_has),
                cmocka_unit_test(test_a_copy_of_nothing_is_nothing),
                cmocka_unit_test(test_a_number_names_a_task_and_an_element_alike),
                cmocka_unit_test(test_an_array_comes_before_its_elements_and_after_smaller_ids),
                cmocka_unit_test(test_final_is_what_does_not_change),
                cmocka_unit_test(test_status_zero_is_done),
                cmocka_unit_test(test_the_default_policy_is_the_manual_s),
                cmocka_unit_test(test_the_policy_gives_out_what_it_lists),
                cmocka_unit_test(test_words_name_gpus),
                cmocka_unit_test(test_numbers_name_gpus_of_a_kind_and_parts_of_them),
                cmocka_unit_test(
                        test_a_gpu_is_called_by_its_number_with_its_kind_where_there_are_several),
                cmocka_unit_test(test_a_fixed_text_is_cut_and_filled_with_zeros),
                cmocka_unit_test(test_sums_stop_at_the_ends),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
