/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "util/cleanup.h"
#include "util/strv.h"

#include "check.h"

static void test_a_copy_is_its_own(_unused_ void **state) {
        char first[] = "a";
        char *v[] = { first, "b c", "", NULL };
        _cleanup_(strv_freep) char **copy = strv_dup(v);

        first[0] = 'x';
        assert_int_equal(strv_n(copy), 3);
        assert_string_equal(copy[0], "a");
        assert_string_equal(copy[1], "b c");
        assert_string_equal(copy[2], "");
        assert_null(copy[3]);
}

static void test_null_is_empty(_unused_ void **state) {
        _cleanup_(strv_freep) char **copy = strv_dup(NULL);

        assert_non_null(copy);
        assert_null(copy[0]);
        assert_int_equal(strv_n(NULL), 0);
        assert_null(strv_free(NULL));
        assert_string_freed(strv_join(NULL, ", "), "");
}

static void test_a_separator_stands_between_two(_unused_ void **state) {
        char *v[] = { "a", "", "c", NULL };

        assert_string_freed(strv_join(v, ", "), "a, , c");
        assert_string_freed(strv_join(v, ""), "ac");
        assert_string_freed(strv_join(v + 2, ", "), "c");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_copy_is_its_own),
                cmocka_unit_test(test_null_is_empty),
                cmocka_unit_test(test_a_separator_stands_between_two),
        };

        return cmocka_run_group_tests_name("util-strv", tests, NULL, NULL);
}
