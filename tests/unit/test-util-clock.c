/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <errno.h>

#include "util/clock.h"

#include "check.h"

static void test_instants_are_written_in_utc(_unused_ void **state) {
        char buf[CLOCK_ISO_MAX];

        assert_int_equal(clock_format_iso(buf, sizeof(buf), 0), 0);
        assert_string_equal(buf, "1970-01-01T00:00:00.000Z");
        assert_int_equal(clock_format_iso(buf, sizeof(buf), UINT64_C(1769853600123999)), 0);
        assert_string_equal(buf, "2026-01-31T10:00:00.123Z");
}

static void test_what_does_not_fit_is_refused(_unused_ void **state) {
        char buf[CLOCK_ISO_MAX];

        assert_int_equal(clock_format_iso(buf, 24, 0), -ENOBUFS);
        assert_int_equal(clock_format_iso(buf, 25, 0), 0);
        assert_int_equal(clock_format_iso(buf, sizeof(buf), UINT64_MAX), 0);
}

static void test_clocks_go_forward(_unused_ void **state) {
        uint64_t before_us = clock_boottime_us();

        assert_true(before_us > 0);
        assert_true(clock_boottime_us() >= before_us);
        assert_true(clock_realtime_us() > UINT64_C(1600000000) * US_PER_SEC);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_instants_are_written_in_utc),
                cmocka_unit_test(test_what_does_not_fit_is_refused),
                cmocka_unit_test(test_clocks_go_forward),
        };

        return cmocka_run_group_tests_name("util-clock", tests, NULL, NULL);
}
