/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/proc-id.h"

#include "check.h"

#define AFTER_NAME " S 12 40 41 42 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1000 20 1 2 3 4\n"

static void test_the_name_may_hold_anything(_unused_ void **state) {
        static const char *const names[] = {
                "(sh)", "(a b)", "())", "() R 1 2 3 4)", "(\n)", "()"
        };

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                char text[256];
                uint64_t start = 0;
                pid_t ppid = 0;

                (void)snprintf(text, sizeof(text), "40 %s" AFTER_NAME, names[i]);
                assert_int_equal(proc_stat_parse(text, &start, &ppid), 0);
                assert_int_equal(start, 98765);
                assert_int_equal(ppid, 12);
        }
}

static void test_other_text_is_refused(_unused_ void **state) {
        static const char *const texts[] = {
                "",
                "40 (sh",
                "40 (sh)",
                "40 (sh) S 12 40 41",
                "40 (sh) S x 40 41 42 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1000",
                "40 (sh) S 1 40 41 42 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 -5 1000",
        };
        uint64_t start = 7;

        for (size_t i = 0; i < ELEMENTSOF(texts); i++)
                assert_int_equal(proc_stat_parse(texts[i], &start, NULL), -EBADMSG);
        assert_int_equal(start, 7);
}

static void test_a_child_is_known_until_it_is_collected(_unused_ void **state) {
        ProcId id = {};
        pid_t ppid = 0;
        uint64_t start = 0;
        siginfo_t info;
        pid_t child = fork();

        if (child == 0) {
                (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
                for (;;)
                        (void)pause();
        }
        assert_true(child > 0);

        assert_int_equal(proc_id_read(child, &id), 0);
        assert_int_equal(proc_start_ticks(child, &start, &ppid), 0);
        assert_true(start == id.start_ticks && start > 0);
        assert_int_equal(ppid, getpid());
        assert_true(proc_id_is_alive(&id));

        /* the same number, but another process */
        id.start_ticks++;
        assert_false(proc_id_is_alive(&id));
        id.start_ticks--;
        id.boot_id[0] = id.boot_id[0] == '0' ? '1' : '0';
        assert_false(proc_id_is_alive(&id));
        assert_int_equal(proc_id_read(child, &id), 0);

        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
        assert_true(proc_id_is_alive(&id));
        assert_int_equal(waitpid(child, NULL, 0), child);
        assert_false(proc_id_is_alive(&id));
        assert_int_equal(proc_start_ticks(child, &start, NULL), -ESRCH);
}

static void test_a_pid_that_cannot_be_is_nobody(_unused_ void **state) {
        uint64_t start;

        assert_int_equal(proc_start_ticks(0, &start, NULL), -ESRCH);
        assert_int_equal(proc_start_ticks(-1, &start, NULL), -ESRCH);
}

static void test_the_boot_is_the_same_twice(_unused_ void **state) {
        char one[BOOT_ID_SIZE];
        char two[BOOT_ID_SIZE];

        assert_int_equal(boot_id_read(one), 0);
        assert_int_equal(boot_id_read(two), 0);
        assert_string_equal(one, two);
        assert_int_equal(strlen(one), 36);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_name_may_hold_anything),
                cmocka_unit_test(test_other_text_is_refused),
                cmocka_unit_test(test_a_child_is_known_until_it_is_collected),
                cmocka_unit_test(test_a_pid_that_cannot_be_is_nobody),
                cmocka_unit_test(test_the_boot_is_the_same_twice),
        };

        return cmocka_run_group_tests_name("util-proc-id", tests, NULL, NULL);
}
