/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/macro.h"
#include "util/string-table.h"

#include "check.h"

typedef enum Fruit {
        FRUIT_APPLE,
        FRUIT_PEAR,
} Fruit;

enum {
        N_FRUITS = FRUIT_PEAR + 1,
};

DECLARE_STRING_TABLE(fruit, Fruit);

static const char *const fruit_table[] = {
        [FRUIT_APPLE] = "apple",
        [FRUIT_PEAR] = "pear",
};

DEFINE_STRING_TABLE(fruit, Fruit);

static void test_tables_go_both_ways(_unused_ void **state) {
        assert_string_table(fruit, Fruit, N_FRUITS);
}

static void test_min_and_max_evaluate_once(_unused_ void **state) {
        int i = 1;

        assert_int_equal(MIN(i++, 5), 1);
        assert_int_equal(MAX(i++, 1), 2);
        assert_int_equal(i, 3);
        assert_int_equal(MIN(MAX(1, 2), MIN(4, 3)), 2);
}

static void test_taking_leaves_nothing_behind(_unused_ void **state) {
        char text[] = "x";
        char *p = text;
        int fd = 7;

        assert_ptr_equal(TAKE_PTR(p), text);
        assert_null(p);
        assert_int_equal(TAKE_FD(fd), 7);
        assert_int_equal(fd, -1);
}

static int open_and_forget(void) {
        _cleanup_close_ int fd = -1;
        _cleanup_fclose_ FILE *file = NULL;
        _cleanup_free_ char *text = NULL;

        fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        file = fopen("/dev/null", "re");
        text = malloc(3);
        assert_true(fd >= 0 && file && text);
        errno = ENXIO;
        return fd;
}

static void test_leaving_a_scope_releases_and_keeps_errno(_unused_ void **state) {
        int fd = open_and_forget();

        assert_int_equal(errno, ENXIO);
        assert_int_equal(fcntl(fd, F_GETFD), -1);
        assert_int_equal(errno, EBADF);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_tables_go_both_ways),
                cmocka_unit_test(test_min_and_max_evaluate_once),
                cmocka_unit_test(test_taking_leaves_nothing_behind),
                cmocka_unit_test(test_leaving_a_scope_releases_and_keeps_errno),
        };

        return cmocka_run_group_tests_name("util-macro", tests, NULL, NULL);
}
