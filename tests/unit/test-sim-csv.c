/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <errno.h>
#include <string.h>

#include "sim/csv.h"

#include "check.h"

static void expect_refused(const char *text, const char *why) {
        Error error = { "" };
        Csv csv;
        int r = csv_open(&csv, "x.csv", text, strlen(text), &error);

        while (r == 0)
                r = csv_next(&csv, &error);
        csv_done(&csv);
        assert_int_equal(r, -EINVAL);
        assert_string_equal(error.text, why);
}

static void expect_field(const Csv *csv, const char *column, const char *want) {
        assert_string_equal(csv_field(csv, csv_column(csv, column)), want);
}

static void test_fields_are_found_by_the_name_of_their_column(_unused_ void **state) {
        static const char text[] = "a,b,c\n1,2,3\n\r\n\nx,,z\n";
        Csv csv;

        assert_int_equal(csv_open(&csv, "x.csv", text, strlen(text), NULL), 0);
        assert_int_equal(csv_column(&csv, "b"), 1);
        assert_int_equal(csv_column(&csv, "d"), -1);
        assert_int_equal(csv_next(&csv, NULL), 0);
        expect_field(&csv, "c", "3");
        expect_field(&csv, "d", "");
        assert_int_equal(csv_next(&csv, NULL), 0);
        assert_int_equal(csv.line, 5);
        expect_field(&csv, "b", "");
        expect_field(&csv, "c", "z");
        assert_int_equal(csv_next(&csv, NULL), CSV_E_END);
        assert_int_equal(csv_next(&csv, NULL), CSV_E_END);
        csv_done(&csv);
}

static void test_a_quoted_field_may_hold_anything(_unused_ void **state) {
        static const char text[] = "\"a\",\"b, and\nmore\"\r\n\"say \"\"so\"\"\",\"\"";
        Csv csv;

        assert_int_equal(csv_open(&csv, "x.csv", text, strlen(text), NULL), 0);
        assert_int_equal(csv_column(&csv, "b, and\nmore"), 1);
        assert_int_equal(csv_next(&csv, NULL), 0);
        assert_int_equal(csv.line, 3);
        expect_field(&csv, "a", "say \"so\"");
        expect_field(&csv, "b, and\nmore", "");
        csv_done(&csv);
}

static void test_a_row_may_have_fewer_or_more_fields_than_names(_unused_ void **state) {
        static const char text[] = "a,b\n1\n1,2,3\n";
        Csv csv;

        assert_int_equal(csv_open(&csv, "x.csv", text, strlen(text), NULL), 0);
        assert_int_equal(csv_next(&csv, NULL), 0);
        expect_field(&csv, "b", "");
        assert_int_equal(csv_next(&csv, NULL), 0);
        expect_field(&csv, "b", "2");
        csv_done(&csv);
}

static void test_what_is_no_table_is_refused_with_its_line(_unused_ void **state) {
        expect_refused("", "'x.csv' is empty");
        expect_refused("\n\n", "'x.csv' is empty");
        expect_refused("a\n\"b", "'x.csv' line 2: a quote is not closed");
        expect_refused("a\n\"b\"c\n", "'x.csv' line 2: something stands behind a closed quote");
        expect_refused("a\n\nb\"c\n",
                       "'x.csv' line 3: a quote within a field that begins without one");
}

static void test_a_line_without_bounds_is_refused(_unused_ void **state) {
        size_t n = CSV_ROW_MAX + 2;
        char *text = malloc(n + 1);

        assert_non_null(text);
        memset(text, 'x', n);
        text[n] = '\0';
        expect_refused(text, "'x.csv' line 1: the line is too long");
        memset(text, ',', n);
        expect_refused(text, "'x.csv' line 1: there are too many columns");
        free(text);
}

static void test_a_nul_is_no_text(_unused_ void **state) {
        Error error;
        Csv csv;

        assert_int_equal(csv_open(&csv, "x.csv", "a\0b\n", 4, &error), -EINVAL);
        csv_done(&csv);
        assert_string_equal(error.text, "'x.csv' is no text");
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_fields_are_found_by_the_name_of_their_column),
                cmocka_unit_test(test_a_quoted_field_may_hold_anything),
                cmocka_unit_test(test_a_row_may_have_fewer_or_more_fields_than_names),
                cmocka_unit_test(test_what_is_no_table_is_refused_with_its_line),
                cmocka_unit_test(test_a_line_without_bounds_is_refused),
                cmocka_unit_test(test_a_nul_is_no_text),
        };

        return cmocka_run_group_tests_name("sim-csv", tests, NULL, NULL);
}
