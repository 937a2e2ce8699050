/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <errno.h>
#include <string.h>

#include "core/needs.h"

#include "check.h"

static void test_a_gpu_is_added_as_typed(_unused_ void **state) {
        Needs needs = {};

        assert_int_equal(needs_add_gpu(&needs, "GPU-12ab", 5 * GIB), 0);
        assert_int_equal(needs_add_gpu(&needs, "any", GPU_WHOLE), 0);
        assert_int_equal(needs.n_gpus, 2);
        assert_string_equal(needs.gpus[0].want, "GPU-12ab");
        assert_string_equal(needs.gpus[0].uuid, "");
        assert_true(gpu_need_is_any(&needs.gpus[1]));
        assert_true(needs.gpus[1].bytes == GPU_WHOLE);
        needs_done(&needs);
        assert_int_equal(needs.n_gpus, 0);
        assert_null(needs.gpus);
}

static void test_a_word_that_does_not_fit_is_refused(_unused_ void **state) {
        char word[GPU_WANT_MAX + 1];
        Needs needs = {};

        memset(word, 'x', sizeof(word));
        word[GPU_WANT_MAX] = '\0';
        assert_int_equal(needs_add_gpu(&needs, word, 1), -EINVAL);
        assert_int_equal(needs_add_gpu(&needs, "", 1), -EINVAL);
        assert_int_equal(needs.n_gpus, 0);

        word[GPU_WANT_MAX - 1] = '\0';
        assert_int_equal(needs_add_gpu(&needs, word, 1), 0);
        assert_string_equal(needs.gpus[0].want, word);
        needs_done(&needs);
}

static void test_there_is_a_most_of_gpus(_unused_ void **state) {
        Needs needs = {};

        for (unsigned i = 0; i < NEEDS_GPUS_MAX; i++)
                assert_int_equal(needs_add_gpu(&needs, "any", 1), 0);
        assert_int_equal(needs_add_gpu(&needs, "any", 1), -E2BIG);
        assert_int_equal(needs.n_gpus, NEEDS_GPUS_MAX);
        needs_done(&needs);
}

static void test_a_copy_has_an_array_of_its_own(_unused_ void **state) {
        Needs needs = { .memory_bytes = 1, .cpus = 2 }, copy;

        assert_int_equal(needs_add_gpu(&needs, "0", 3), 0);
        assert_int_equal(needs_copy(&copy, &needs), 0);
        assert_ptr_not_equal(copy.gpus, needs.gpus);
        assert_true(needs_equal(&copy, &needs));
        needs_done(&needs);
        assert_string_equal(copy.gpus[0].want, "0");
        needs_done(&copy);

        assert_int_equal(needs_copy(&copy, &needs), 0);
        assert_null(copy.gpus);
}

static void test_equal_is_everything_but_the_words(_unused_ void **state) {
        Needs a = { .memory_bytes = 1, .cpus = 2 }, b;

        assert_int_equal(needs_add_gpu(&a, "0", 3), 0);
        assert_int_equal(needs_copy(&b, &a), 0);
        strcpy(b.gpus[0].want, "GPU-aa");
        assert_true(needs_equal(&a, &b));

        strcpy(b.gpus[0].uuid, "GPU-aa");
        assert_false(needs_equal(&a, &b));
        strcpy(a.gpus[0].uuid, "GPU-aa");
        assert_true(needs_equal(&a, &b));
        b.gpus[0].bytes = GPU_WHOLE;
        assert_false(needs_equal(&a, &b));
        b.gpus[0].bytes = 3;
        b.memory_bytes++;
        assert_false(needs_equal(&a, &b));
        b.memory_bytes--;
        b.cpus++;
        assert_false(needs_equal(&a, &b));
        b.cpus--;
        assert_int_equal(needs_add_gpu(&b, "any", 3), 0);
        assert_false(needs_equal(&a, &b));
        needs_done(&a);
        needs_done(&b);
}

static void test_empty_is_nothing_of_anything(_unused_ void **state) {
        Needs needs = {};

        assert_true(needs_is_empty(&needs));
        needs.memory_bytes = 1;
        assert_false(needs_is_empty(&needs));
        needs = (Needs){ .cpus = 1 };
        assert_false(needs_is_empty(&needs));
        needs = (Needs){};
        assert_int_equal(needs_add_gpu(&needs, "any", 0), 0);
        assert_false(needs_is_empty(&needs));
        needs_done(&needs);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_gpu_is_added_as_typed),
                cmocka_unit_test(test_a_word_that_does_not_fit_is_refused),
                cmocka_unit_test(test_there_is_a_most_of_gpus),
                cmocka_unit_test(test_a_copy_has_an_array_of_its_own),
                cmocka_unit_test(test_equal_is_everything_but_the_words),
                cmocka_unit_test(test_empty_is_nothing_of_anything),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
