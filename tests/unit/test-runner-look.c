/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runner/look.h"

#include "check.h"

#define SECOND US_PER_SEC

static void test_the_first_looks_come_early(_unused_ void **state) {
        Look look = look_make();

        look_set_interval(&look, 10 * SECOND);
        look_start(&look, 100 * SECOND);
        assert_int_equal(look_due_boot_us(&look), 100 * SECOND + SECOND / 5);

        look.n_taken = 1;
        look.last_boot_us = 100 * SECOND + SECOND / 4;
        assert_int_equal(look_due_boot_us(&look), 101 * SECOND);

        look.n_taken = 2;
        look.last_boot_us = 101 * SECOND;
        assert_int_equal(look_due_boot_us(&look), 111 * SECOND);
        look_set_interval(&look, SECOND);
        assert_int_equal(look_due_boot_us(&look), 102 * SECOND);
}

/* Half a second for one look, at most a fiftieth of the time. */
static void test_expensive_looks_come_seldom(_unused_ void **state) {
        Look look = look_make();

        look_set_interval(&look, SECOND);
        look_start(&look, 100 * SECOND);
        look.n_taken = 5;
        look.last_boot_us = 200 * SECOND;
        look.cost_us = SECOND / 2;
        assert_int_equal(look_due_boot_us(&look), 225 * SECOND);
}

static void test_intervals_that_make_no_sense_are_bounded(_unused_ void **state) {
        Look look = look_make();

        look_set_interval(&look, 0);
        assert_int_equal(look.interval_us, SECOND / 10);
        look_set_interval(&look, UINT64_MAX);
        assert_int_equal(look.interval_us, 3600 * SECOND);
}

static void test_a_look_sees_the_children(_unused_ void **state) {
        Look look = look_make();
        TreeUse use = { 0 };
        pid_t pid;

        look_start(&look, 1);
        assert_int_equal(look_take(&look, &use), -ESRCH);
        assert_int_equal(look.n_taken, 1);

        pid = fork();
        if (pid == 0) {
                (void)pause();
                _exit(0);
        }
        assert_int_equal(look_take(&look, &use), 0);
        assert_int_equal(use.n_processes, 1);
        assert_true(use.memory_bytes > 0);
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        look_done(&look);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_first_looks_come_early),
                cmocka_unit_test(test_expensive_looks_come_seldom),
                cmocka_unit_test(test_intervals_that_make_no_sense_are_bounded),
                cmocka_unit_test(test_a_look_sees_the_children),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
