/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <errno.h>
#include <string.h>

#include "cli/opt-task.h"
#include "core/needs.h"
#include "core/task.h"

#include "check.h"

static void test_gpus_are_read(_unused_ void **state) {
        const struct {
                const char *word;
                const char *want;
                uint64_t bytes;
        } cases[] = {
                { "0", "0", GPU_WHOLE },
                { "0:all", "0", GPU_WHOLE },
                { "0:10G", "0", 10 * GIB },
                { "any", "any", GPU_WHOLE },
                { "any:512M", "any", 512 * MIB },
                { "GPU-12ab-34:1.5G", "GPU-12ab-34", 1536 * MIB },
                { "MIG-GPU-12/1/0:4G", "MIG-GPU-12/1/0", 4 * GIB },
                { "amd:0", "amd:0", GPU_WHOLE },
                { "amd:1:4G", "amd:1", 4 * GIB },
                { "nvidia:0.1:all", "nvidia:0.1", GPU_WHOLE },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Needs needs = { 0 };

                assert_int_equal(opt_parse_gpu(NULL, cases[i].word, &needs, NULL), 0);
                assert_int_equal(needs.n_gpus, 1);
                assert_string_equal(needs.gpus[0].want, cases[i].want);
                assert_int_equal(needs.gpus[0].bytes, cases[i].bytes);
                assert_string_equal(needs.gpus[0].uuid, "");
                needs_done(&needs);
        }
}

static void test_what_is_no_gpu_is_refused(_unused_ void **state) {
        const char *const words[] = { "",         ":5G",    "0:",      "0:5X",      "0:-1",
                                      "0 1:5G",   "0,1:5G", "0:5G:1",  "a\033",     "g\u00fc",
                                      "0:all:5G", "amd:",   "amd::5G", "amd:0:5G:1" };

        for (size_t i = 0; i < ELEMENTSOF(words); i++) {
                Needs needs = { 0 };
                Error error = { 0 };

                assert_true(opt_parse_gpu(NULL, words[i], &needs, &error) < 0);
                assert_int_equal(needs.n_gpus, 0);
                assert_true(error.text[0] != '\0');
        }
}

static void test_a_word_too_long_for_a_gpu_is_refused(_unused_ void **state) {
        char word[GPU_WANT_MAX + 8];
        Needs needs = { 0 };

        (void)memset(word, 'a', sizeof(word));
        word[GPU_WANT_MAX] = '\0';
        assert_true(opt_parse_gpu(NULL, word, &needs, NULL) < 0);

        word[GPU_WANT_MAX - 1] = '\0';
        assert_int_equal(opt_parse_gpu(NULL, word, &needs, NULL), 0);
        needs_done(&needs);
}

static void test_each_gpu_is_named_once_but_any(_unused_ void **state) {
        Needs needs = { 0 };
        Error error = { 0 };

        assert_int_equal(opt_parse_gpu(NULL, "any:1G", &needs, NULL), 0);
        assert_int_equal(opt_parse_gpu(NULL, "any:1G", &needs, NULL), 0);
        assert_int_equal(opt_parse_gpu(NULL, "0:1G", &needs, NULL), 0);
        assert_int_equal(opt_parse_gpu(NULL, "0:2G", &needs, &error), -EINVAL);
        assert_string_equal(error.text, "GPU '0' is named twice");
        assert_int_equal(needs.n_gpus, 3);
        needs_done(&needs);
}

static void test_there_is_an_end_to_gpus(_unused_ void **state) {
        Needs needs = { 0 };
        Error error = { 0 };

        for (int i = 0; i < NEEDS_GPUS_MAX; i++)
                assert_int_equal(opt_parse_gpu(NULL, "any", &needs, NULL), 0);
        assert_int_equal(opt_parse_gpu(NULL, "any", &needs, &error), -E2BIG);
        assert_string_equal(error.text, "more than 64 GPUs");
        needs_done(&needs);
}

static void test_priorities_are_words_and_numbers(_unused_ void **state) {
        const struct {
                const char *word;
                unsigned priority;
        } cases[] = { { "low", 0 }, { "medium", 100 }, { "high", 200 },
                      { "0", 0 },   { "150", 150 },    { "200", 200 } };
        const char *const refused[] = {
                "", "201", "-1", "High", "highest", "1.5", "99999999999999999999"
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                unsigned priority = 7;

                assert_int_equal(opt_parse_priority(NULL, cases[i].word, &priority, NULL), 0);
                assert_int_equal(priority, cases[i].priority);
        }
        for (size_t i = 0; i < ELEMENTSOF(refused); i++) {
                unsigned priority = 7;
                Error error = { 0 };

                assert_true(opt_parse_priority(NULL, refused[i], &priority, &error) < 0);
                assert_int_equal(priority, 7);
                assert_non_null(strstr(error.text, "use low, medium, high or 0 to 200"));
        }
}

static void test_cores_are_whole_numbers(_unused_ void **state) {
        unsigned cpus = 7;

        assert_int_equal(opt_parse_cpus(NULL, "8", &cpus, NULL), 0);
        assert_int_equal(cpus, 8);
        assert_int_equal(opt_parse_cpus(NULL, "0", &cpus, NULL), 0);
        assert_int_equal(cpus, 0);
        assert_true(opt_parse_cpus(NULL, "-1", &cpus, NULL) < 0);
        assert_true(opt_parse_cpus(NULL, "1.5", &cpus, NULL) < 0);
        assert_true(opt_parse_cpus(NULL, "4294967296", &cpus, NULL) < 0);
        assert_int_equal(cpus, 0);
}

static void test_tokens_are_named_once(_unused_ void **state) {
        Needs needs = { 0 };
        Error error = { 0 };

        assert_int_equal(opt_parse_token(NULL, "matlab:2", &needs, NULL), 0);
        assert_int_equal(opt_parse_token(NULL, "ansys", &needs, NULL), 0);
        assert_int_equal(needs_n_of_token(&needs, "matlab"), 2);
        assert_int_equal(needs_n_of_token(&needs, "ansys"), 1);
        assert_true(opt_parse_token(NULL, "matlab", &needs, &error) < 0);
        assert_string_equal(error.text,
                            "token 'matlab' is named twice; 'matlab:N' asks for several");
        assert_true(opt_parse_token(NULL, "x:0", &needs, &error) < 0);
        assert_true(opt_parse_token(NULL, ":2", &needs, &error) < 0);
        assert_string_equal(error.text,
                            "':2' names no token; use a name of the settings, then ':N'");
        assert_int_equal(needs.n_tokens, 2);
        needs_done(&needs);
}

static void test_what_one_waits_for_is_a_list_of_ids(_unused_ void **state) {
        AfterList list = { 0 };

        assert_int_equal(opt_add_after("3,4", false, &list, NULL), 0);
        assert_int_equal(opt_add_after("5", true, &list, NULL), 0);
        assert_int_equal(list.n, 3);
        assert_int_equal(list.items[1].id, 4);
        assert_false(list.items[1].any);
        assert_true(list.items[2].any);

        /* Once each, and the stricter one. */
        assert_int_equal(opt_add_after("4,5,5", false, &list, NULL), 0);
        assert_int_equal(opt_add_after("3", true, &list, NULL), 0);
        assert_int_equal(list.n, 3);
        for (unsigned i = 0; i < 3; i++)
                assert_false(list.items[i].any);
}

static void test_what_is_no_list_of_ids_is_refused(_unused_ void **state) {
        static const char *const words[] = {
                "",     ",",   "1,",           ",1",
                "1,,2", "0",   "-1",           "1 2",
                "1, 2", "1_2", "1,2_3",        "abc",
                "1.",   "01",  "549755813888", "99999999999999999999999999"
        };

        for (size_t i = 0; i < ELEMENTSOF(words); i++) {
                AfterList list = { .n = 1, .items = { { .id = 7 } } };
                Error error = { 0 };

                assert_true(opt_add_after(words[i], false, &list, &error) < 0);
                assert_int_equal(list.n, 1);
                assert_true(error.text[0] != '\0');
        }
}

static void test_an_element_is_not_waited_for(_unused_ void **state) {
        AfterList list = { 0 };
        Error error = { 0 };

        assert_int_equal(opt_add_after("12_3", false, &list, &error), -EINVAL);
        assert_non_null(strstr(error.text, "--after 12"));
        assert_int_equal(opt_add_after("12_3", true, &list, &error), -EINVAL);
        assert_non_null(strstr(error.text, "--after-any 12"));
}

static void test_there_is_an_end_to_what_is_waited_for(_unused_ void **state) {
        AfterList list = { 0 };
        Error error = { 0 };
        char word[16];

        for (int i = 1; i <= TASK_AFTER_MAX; i++) {
                (void)snprintf(word, sizeof(word), "%d", i);
                assert_int_equal(opt_add_after(word, false, &list, NULL), 0);
        }
        assert_int_equal(opt_add_after("1", false, &list, NULL), 0);
        assert_int_equal(opt_add_after("1000", false, &list, &error), -E2BIG);
        assert_string_equal(error.text, "more than 256 tasks");
}

static void test_arrays_are_sets_with_a_limit(_unused_ void **state) {
        TaskArray *array = NULL;

        assert_int_equal(opt_make_array("1-3,7%2", &array, NULL), 0);
        assert_int_equal(array->first, 1);
        assert_int_equal(array->last, 7);
        assert_int_equal(array->limit, 2);
        assert_int_equal(index_set_count(&array->waiting), 4);
        array = task_array_free(array);

        assert_int_equal(opt_make_array("0-9", &array, NULL), 0);
        assert_int_equal(array->limit, 0);
        assert_int_equal(index_set_count(&array->waiting), 10);
        array = task_array_free(array);
}

static void test_what_is_no_array_is_refused(_unused_ void **state) {
        static const char *const words[] = { "",        "%2",         "0-9%", "0-9%0", "0-9%-1",
                                             "0-9%2%2", "0-9%x",      "3-1",  "a",     "-1",
                                             "1,,2",    "0-99999999", "1 ",   "0 - 9" };

        for (size_t i = 0; i < ELEMENTSOF(words); i++) {
                TaskArray *array = NULL;
                Error error = { 0 };

                assert_true(opt_make_array(words[i], &array, &error) < 0);
                assert_null(array);
                assert_true(error.text[0] != '\0');
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_gpus_are_read),
                cmocka_unit_test(test_what_is_no_gpu_is_refused),
                cmocka_unit_test(test_a_word_too_long_for_a_gpu_is_refused),
                cmocka_unit_test(test_each_gpu_is_named_once_but_any),
                cmocka_unit_test(test_there_is_an_end_to_gpus),
                cmocka_unit_test(test_priorities_are_words_and_numbers),
                cmocka_unit_test(test_cores_are_whole_numbers),
                cmocka_unit_test(test_tokens_are_named_once),
                cmocka_unit_test(test_what_one_waits_for_is_a_list_of_ids),
                cmocka_unit_test(test_what_is_no_list_of_ids_is_refused),
                cmocka_unit_test(test_an_element_is_not_waited_for),
                cmocka_unit_test(test_there_is_an_end_to_what_is_waited_for),
                cmocka_unit_test(test_arrays_are_sets_with_a_limit),
                cmocka_unit_test(test_what_is_no_array_is_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
