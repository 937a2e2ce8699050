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
        const char *const words[] = { "",       ":5G",    "0:",    "0:5X",    "0:-1",    "0 1:5G",
                                      "0,1:5G", "0:5G:1", "a\033", "g\u00fc", "0:all:5G" };

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

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_gpus_are_read),
                cmocka_unit_test(test_what_is_no_gpu_is_refused),
                cmocka_unit_test(test_a_word_too_long_for_a_gpu_is_refused),
                cmocka_unit_test(test_each_gpu_is_named_once_but_any),
                cmocka_unit_test(test_there_is_an_end_to_gpus),
                cmocka_unit_test(test_priorities_are_words_and_numbers),
                cmocka_unit_test(test_cores_are_whole_numbers),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
