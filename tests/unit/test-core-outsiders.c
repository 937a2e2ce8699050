/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "core/outsiders.h"

#include "check.h"

static void add(Outsiders *outsiders, pid_t pid, uint64_t used_bytes) {
        outsiders_add(outsiders, &(OutsideProcess){ .pid = pid, .used_bytes = used_bytes });
}

/* "3:20 1:10 2:? +1", the pids with what they hold, and how many more there are. */
static const char *shown(const Outsiders *outsiders, char buf[static 256]) {
        size_t n = 0;

        buf[0] = '\0';
        for (size_t i = 0; i < outsiders->n; i++) {
                const OutsideProcess *outsider = &outsiders->items[i];

                n += (size_t)snprintf(buf + n, 256 - n, "%s%d:", i > 0 ? " " : "", outsider->pid);
                if (outsider->used_bytes == OUTSIDER_BYTES_UNKNOWN)
                        n += (size_t)snprintf(buf + n, 256 - n, "?");
                else
                        n += (size_t)snprintf(buf + n, 256 - n, "%d", (int)outsider->used_bytes);
        }
        if (outsiders->n_more > 0)
                (void)snprintf(buf + n, 256 - n, " +%zu", outsiders->n_more);
        return buf;
}

static void test_the_largest_comes_first_and_the_unknown_last(_unused_ void **state) {
        Outsiders outsiders = {};
        char buf[256];

        assert_string_equal(shown(&outsiders, buf), "");
        add(&outsiders, 1, 10);
        add(&outsiders, 2, OUTSIDER_BYTES_UNKNOWN);
        add(&outsiders, 3, 20);
        add(&outsiders, 4, 10);
        assert_string_equal(shown(&outsiders, buf), "3:20 1:10 4:10 2:?");
}

static void test_of_too_many_those_that_hold_least_are_counted(_unused_ void **state) {
        Outsiders outsiders = {};
        char buf[256];

        for (pid_t pid = 1; pid <= OUTSIDERS_MAX; pid++)
                add(&outsiders, pid, (uint64_t)pid);
        assert_string_equal(shown(&outsiders, buf), "8:8 7:7 6:6 5:5 4:4 3:3 2:2 1:1");
        add(&outsiders, 100, OUTSIDER_BYTES_UNKNOWN);
        add(&outsiders, 101, 1);
        assert_string_equal(shown(&outsiders, buf), "8:8 7:7 6:6 5:5 4:4 3:3 2:2 1:1 +2");
        add(&outsiders, 102, 4);
        assert_string_equal(shown(&outsiders, buf), "8:8 7:7 6:6 5:5 4:4 102:4 3:3 2:2 +3");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_largest_comes_first_and_the_unknown_last),
                cmocka_unit_test(test_of_too_many_those_that_hold_least_are_counted),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
