/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Sets of numbers
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/index-set.h"

#include "check.h"

static IndexSet parsed(const char *s) {
        IndexSet set;
        Error error = {};

        if (index_set_parse(s, UINT32_MAX, &set, &error) != 0)
                fail_msg("'%s': %s", s, error.text);
        return set;
}

#define assert_set(set, want)                          \
        do {                                           \
                char *_text = index_set_format((set)); \
                assert_non_null(_text);                \
                assert_string_equal(_text, want);      \
                free(_text);                           \
        } while (0)

static void test_ranges_are_read_in_any_order_and_joined(_unused_ void **state) {
        static const struct {
                const char *s, *want;
        } cases[] = {
                { "0", "0" },
                { "0-9,12,20-29", "0-9,12,20-29" },
                { "20-29,12,0-9", "0-9,12,20-29" },
                { "1,2,3", "1-3" },
                { "3,1,2,2", "1-3" },
                { "0-5,3-9", "0-9" },
                { "0-9,2-3", "0-9" },
                { "5-5", "5" },
                { "007", "7" },
                { "4294967295,0", "0,4294967295" },
                { "0-4294967295", "0-4294967295" },
                { "0-4294967294,4294967295", "0-4294967295" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                IndexSet set = parsed(cases[i].s);

                assert_set(&set, cases[i].want);
                index_set_done(&set);
        }
}

static void test_what_is_no_set_is_refused_with_its_word(_unused_ void **state) {
        static const struct {
                const char *s;
                int r;
                const char *word;
        } cases[] = {
                { "", -EINVAL, "''" },
                { ",", -EINVAL, "','" },
                { "1,", -EINVAL, "''" },
                { "1,,2", -EINVAL, "',2'" },
                { "x", -EINVAL, "'x'" },
                { "1x", -EINVAL, "'x'" },
                { "-1", -EINVAL, "'-1'" },
                { "1-", -EINVAL, "''" },
                { "1--2", -EINVAL, "'-2'" },
                { "1-2-3", -EINVAL, "'-3'" },
                { "5-4", -EINVAL, "'5-4'" },
                { " 1", -EINVAL, "' 1'" },
                { "1 ", -EINVAL, "' '" },
                { "+1", -EINVAL, "'+1'" },
                { "1001", -ERANGE, "'1001'" },
                { "0-1001", -ERANGE, "'1001'" },
                { "99999999999999999999999999999999999999999999", -ERANGE, "at most 1000" },
                { "18446744073709551617", -ERANGE, "'18446744073709551617'" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                IndexSet set = { .n = 77 };
                Error error = {};

                if (index_set_parse(cases[i].s, 1000, &set, &error) != cases[i].r ||
                    !strstr(error.text, cases[i].word))
                        fail_msg("'%s': %s", cases[i].s, error.text);
                assert_int_equal(set.n, 77);
                assert_int_equal(index_set_parse(cases[i].s, 1000, &set, NULL), cases[i].r);
        }
}

static void test_the_largest_number_allowed_is_taken(_unused_ void **state) {
        IndexSet set;

        assert_int_equal(index_set_parse("0-1000", 1000, &set, NULL), 0);
        assert_true(index_set_count(&set) == 1001);
        index_set_done(&set);
}

static void test_many_parts_in_the_worst_order_are_read_at_once(_unused_ void **state) {
        enum {
                N = 200000
        };
        char *s = malloc((size_t)N * 8);
        size_t at = 0;
        IndexSet set;

        assert_non_null(s);
        for (unsigned i = N; i > 0; i--)
                at += (size_t)sprintf(s + at, "%s%u", i < N ? "," : "", 2 * i);
        assert_int_equal(index_set_parse(s, UINT32_MAX, &set, NULL), 0);
        assert_int_equal(set.n, N);
        index_set_done(&set);
        free(s);
}

static void test_removing_splits_shrinks_and_empties(_unused_ void **state) {
        IndexSet set = parsed("0-9,12");

        assert_int_equal(index_set_remove(&set, 5), 0);
        assert_set(&set, "0-4,6-9,12");
        assert_int_equal(index_set_remove(&set, 5), -ENOENT);
        assert_int_equal(index_set_remove(&set, 13), -ENOENT);
        assert_int_equal(index_set_remove(&set, 0), 0);
        assert_int_equal(index_set_remove(&set, 9), 0);
        assert_int_equal(index_set_remove(&set, 12), 0);
        assert_set(&set, "1-4,6-8");
        for (uint32_t i = 1; i < 9; i++)
                assert_int_equal(index_set_remove(&set, i), i == 5 ? -ENOENT : 0);
        assert_set(&set, "");
        assert_null(set.ranges);
        assert_int_equal(index_set_remove(&set, 0), -ENOENT);
}

static void test_adding_joins_what_touches(_unused_ void **state) {
        IndexSet set = {};

        assert_int_equal(index_set_add(&set, 10, 19), 0);
        assert_int_equal(index_set_add(&set, 30, 39), 0);
        assert_set(&set, "10-19,30-39");
        assert_int_equal(index_set_add(&set, 20, 28), 0);
        assert_set(&set, "10-28,30-39");
        assert_int_equal(index_set_add(&set, 29, 29), 0);
        assert_set(&set, "10-39");
        assert_int_equal(index_set_add(&set, 0, 0), 0);
        assert_int_equal(index_set_add(&set, 50, 50), 0);
        assert_set(&set, "0,10-39,50");
        assert_int_equal(index_set_add(&set, 5, 60), 0);
        assert_set(&set, "0,5-60");
        assert_int_equal(index_set_add(&set, 0, UINT32_MAX), 0);
        assert_set(&set, "0-4294967295");
        assert_true(index_set_count(&set) == UINT64_C(1) << 32);
        index_set_done(&set);
}

static void test_the_next_is_the_smallest_from_there_on(_unused_ void **state) {
        IndexSet set = parsed("3-5,9");

        assert_int_equal(index_set_next(&set, 0), 3);
        assert_int_equal(index_set_next(&set, 4), 4);
        assert_int_equal(index_set_next(&set, 6), 9);
        assert_int_equal(index_set_next(&set, 9), 9);
        assert_int_equal(index_set_next(&set, 10), -1);
        assert_int_equal(index_set_next(&(IndexSet){}, 0), -1);
        assert_true(index_set_contains(&set, 9));
        assert_false(index_set_contains(&set, 8));
        assert_false(index_set_contains(&(IndexSet){}, 0));
        index_set_done(&set);
}

static void test_a_copy_is_its_own(_unused_ void **state) {
        IndexSet set = parsed("0-3"), copy, empty = { .n = 5 };

        assert_int_equal(index_set_copy(&copy, &set), 0);
        assert_int_equal(index_set_remove(&set, 0), 0);
        assert_set(&copy, "0-3");
        index_set_done(&set);
        index_set_done(&copy);
        assert_int_equal(index_set_copy(&empty, &set), 0);
        assert_int_equal(empty.n, 0);
        assert_null(empty.ranges);
}

/* Against a plain table of flags, with every small range. */
static void test_a_set_is_what_was_put_in_and_not_taken_out(_unused_ void **state) {
        enum {
                N = 64,
                STEPS = 20000
        };
        bool in[N] = {};
        IndexSet set = {};
        uint32_t dice = 12345;

        for (unsigned step = 0; step < STEPS; step++) {
                uint32_t a, b;

                dice = dice * 1664525 + 1013904223;
                a = dice >> 26;
                b = MIN(a + (dice >> 10) % 5, (uint32_t)N - 1);
                if ((dice >> 16) % 3 == 0) {
                        assert_int_equal(index_set_add(&set, a, b), 0);
                        for (uint32_t i = a; i <= b; i++)
                                in[i] = true;
                } else {
                        assert_int_equal(index_set_remove(&set, a), in[a] ? 0 : -ENOENT);
                        in[a] = false;
                }
                for (uint32_t i = 0; i < N; i++)
                        assert_int_equal(index_set_contains(&set, i), in[i]);
                for (size_t i = 1; i < set.n; i++)
                        assert_true(set.ranges[i - 1].last + 1 < set.ranges[i].first);
        }
        index_set_done(&set);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_ranges_are_read_in_any_order_and_joined),
                cmocka_unit_test(test_what_is_no_set_is_refused_with_its_word),
                cmocka_unit_test(test_the_largest_number_allowed_is_taken),
                cmocka_unit_test(test_many_parts_in_the_worst_order_are_read_at_once),
                cmocka_unit_test(test_removing_splits_shrinks_and_empties),
                cmocka_unit_test(test_adding_joins_what_touches),
                cmocka_unit_test(test_the_next_is_the_smallest_from_there_on),
                cmocka_unit_test(test_a_copy_is_its_own),
                cmocka_unit_test(test_a_set_is_what_was_put_in_and_not_taken_out),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
