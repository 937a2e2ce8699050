/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "util/macro.h"
#include "util/steady-clock.h"

#include "check.h"

#define T    (UINT64_C(1769853600) * US_PER_SEC)
#define HOUR (3600 * US_PER_SEC)
#define DAY  (24 * HOUR)

static void test_it_shows_the_time(_unused_ void **state) {
        SteadyClock clock = {};

        assert_int_equal(steady_clock_us(&clock, T, 5), T);
        assert_int_equal(steady_clock_us(&clock, T + DAY, 5 + DAY), T + DAY);
}

static void test_it_follows_a_clock_that_is_a_little_fast_or_slow(_unused_ void **state) {
        SteadyClock clock = {};
        uint64_t off = 0;

        for (uint64_t i = 0; i < 100; i++, off += 50 * US_PER_SEC)
                assert_int_equal(steady_clock_us(&clock, T + i * HOUR + off, i * HOUR),
                                 T + i * HOUR + off);
        for (uint64_t i = 100; i < 300; i++, off -= 50 * US_PER_SEC)
                assert_int_equal(steady_clock_us(&clock, T + i * HOUR + off, i * HOUR),
                                 T + i * HOUR + off);
}

static void test_a_jump_on_is_believed_after_a_day(_unused_ void **state) {
        SteadyClock clock = {};

        assert_int_equal(steady_clock_us(&clock, T, DAY), T);
        for (uint64_t at = HOUR; at < DAY; at += HOUR)
                assert_int_equal(steady_clock_us(&clock, T + 2 * DAY + at, DAY + at), T + at);
        assert_int_equal(steady_clock_us(&clock, T + 3 * DAY + HOUR, 2 * DAY + HOUR),
                         T + 3 * DAY + HOUR);
        assert_int_equal(steady_clock_us(&clock, T + 3 * DAY + 2 * HOUR, 2 * DAY + 2 * HOUR),
                         T + 3 * DAY + 2 * HOUR);
}

static void test_after_a_jump_back_nothing_is_older_than_it_looks(_unused_ void **state) {
        SteadyClock clock = {};

        assert_int_equal(steady_clock_us(&clock, T, DAY), T);
        assert_int_equal(steady_clock_us(&clock, T - 2 * HOUR, DAY), T - 2 * HOUR);
        assert_int_equal(steady_clock_us(&clock, T + HOUR, DAY + HOUR), T + HOUR);
}

static void test_a_jump_that_is_put_right_is_forgotten(_unused_ void **state) {
        SteadyClock clock = {};

        assert_int_equal(steady_clock_us(&clock, T, DAY), T);
        assert_int_equal(steady_clock_us(&clock, T + 900 * DAY, DAY), T);
        assert_int_equal(steady_clock_us(&clock, T + HOUR, DAY + HOUR), T + HOUR);
        assert_int_equal(steady_clock_us(&clock, T + 903 * DAY, 4 * DAY), T + 3 * DAY);
        assert_int_equal(steady_clock_us(&clock, T + 903 * DAY + HOUR, 4 * DAY + HOUR),
                         T + 3 * DAY + HOUR);
}

static void test_another_jump_begins_anew(_unused_ void **state) {
        SteadyClock clock = {};

        assert_int_equal(steady_clock_us(&clock, T, DAY), T);
        assert_int_equal(steady_clock_us(&clock, T + 10 * DAY, DAY), T);
        assert_int_equal(steady_clock_us(&clock, T + 21 * DAY - HOUR, 2 * DAY - HOUR),
                         T + DAY - HOUR);
        assert_int_equal(steady_clock_us(&clock, T + 21 * DAY, 2 * DAY), T + DAY);
        assert_int_equal(steady_clock_us(&clock, T + 22 * DAY, 3 * DAY), T + 22 * DAY);
}

static void test_a_clock_near_its_ends_is_no_matter(_unused_ void **state) {
        SteadyClock clock = {};

        assert_int_equal(steady_clock_us(&clock, 0, 9 * DAY), 0);
        assert_int_equal(steady_clock_us(&clock, INT64_MAX - 2 * DAY, 9 * DAY), 0);
        assert_int_equal(steady_clock_us(&clock, INT64_MAX, 11 * DAY), INT64_MAX);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_it_shows_the_time),
                cmocka_unit_test(test_it_follows_a_clock_that_is_a_little_fast_or_slow),
                cmocka_unit_test(test_a_jump_on_is_believed_after_a_day),
                cmocka_unit_test(test_after_a_jump_back_nothing_is_older_than_it_looks),
                cmocka_unit_test(test_a_jump_that_is_put_right_is_forgotten),
                cmocka_unit_test(test_another_jump_begins_anew),
                cmocka_unit_test(test_a_clock_near_its_ends_is_no_matter),
        };

        return cmocka_run_group_tests_name("util-steady-clock", tests, NULL, NULL);
}
