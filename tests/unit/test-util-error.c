/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <errno.h>
#include <string.h>

#include "util/error.h"

#include "check.h"

static void test_what_is_returned_is_what_was_given(_unused_ void **state) {
        Error error;

        assert_int_equal(error_set(&error, -EINVAL, "'%s' is no size", "x"), -EINVAL);
        assert_string_equal(error.text, "'x' is no size");
        assert_int_equal(error_set(NULL, 3, "nobody reads it"), 3);
}

static void test_a_prefix_stands_in_front(_unused_ void **state) {
        Error error;

        (void)error_set(&error, -EINVAL, "'x' is no size");
        error_prefix(&error, "'%s' line %d: ", "f.conf", 3);
        assert_string_equal(error.text, "'f.conf' line 3: 'x' is no size");
        error_prefix(NULL, "nobody reads it");
}

static void test_the_old_sentence_may_be_part_of_the_new(_unused_ void **state) {
        Error error;

        (void)error_set(&error, -EINVAL, "why");
        (void)error_set(&error, -EINVAL, "cannot: %s", error.text);
        assert_string_equal(error.text, "cannot: why");
}

static void test_what_is_too_long_is_cut(_unused_ void **state) {
        char longer[2 * sizeof(Error)];
        Error error;

        memset(longer, 'x', sizeof(longer) - 1);
        longer[sizeof(longer) - 1] = '\0';
        (void)error_set(&error, -EINVAL, "%s", longer);
        assert_int_equal(strlen(error.text), sizeof(error.text) - 1);
        error_prefix(&error, "%s", "front: ");
        assert_int_equal(strlen(error.text), sizeof(error.text) - 1);
        assert_memory_equal(error.text, "front: x", 8);
        error_prefix(&error, "%s", longer);
        assert_int_equal(strlen(error.text), sizeof(error.text) - 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_is_returned_is_what_was_given),
                cmocka_unit_test(test_a_prefix_stands_in_front),
                cmocka_unit_test(test_the_old_sentence_may_be_part_of_the_new),
                cmocka_unit_test(test_what_is_too_long_is_cut),
        };

        return cmocka_run_group_tests_name("util-error", tests, NULL, NULL);
}
