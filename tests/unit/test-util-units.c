/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <errno.h>
#include <string.h>

#include "util/units.h"

#include "check.h"

#define UNTOUCHED UINT64_C(0xdeadbeef)

typedef int (*parse_fn)(const char *s, uint64_t *ret, Error *error);

typedef struct Case {
        const char *word;
        uint64_t want;
} Case;

static void check_read(parse_fn parse, const Case *cases, size_t n) {
        for (size_t i = 0; i < n; i++) {
                uint64_t have = UNTOUCHED;
                Error error = {};
                int r = parse(cases[i].word, &have, &error);

                if (r != 0 || have != cases[i].want)
                        fail_msg("'%s': %d, %llu instead of %llu, %s", cases[i].word, r,
                                 (unsigned long long)have, (unsigned long long)cases[i].want,
                                 error.text);
        }
}

static void check_refused(parse_fn parse, const char *const *words, size_t n, int want) {
        for (size_t i = 0; i < n; i++) {
                uint64_t have = UNTOUCHED;
                Error error = {};
                int r = parse(words[i], &have, &error);
                char shown[64];

                (void)snprintf(shown, sizeof(shown), "'%s", words[i]);
                if (r != want || have != UNTOUCHED || !strstr(error.text, shown))
                        fail_msg("'%s': %d, %llu, %s", words[i], r, (unsigned long long)have,
                                 error.text);
                assert_int_equal(parse(words[i], &have, NULL), want);
        }
}

static void test_sizes_are_read(_unused_ void **state) {
        const Case cases[] = {
                { "0", 0 },
                { "4096", 4096 },
                { "100B", 100 },
                { "100b", 100 },
                { "1K", KIB },
                { "512M", 512 * MIB },
                { "512MiB", 512 * MIB },
                { "5G", 5 * GIB },
                { "5g", 5 * GIB },
                { "5GiB", 5 * GIB },
                { "5gib", 5 * GIB },
                { "1.5T", 1536 * GIB },
                { "2P", 2 * GIB * MIB },
                { "5GB", UINT64_C(5000000000) },
                { "5gb", UINT64_C(5000000000) },
                { "1KB", 1000 },
                { "1MB", 1000000 },
                { "1TB", UINT64_C(1000000000000) },
                { "1PB", UINT64_C(1000000000000000) },
                { "007K", 7 * KIB },
                { "0.1K", 102 },
                { "18446744073709551615", UINT64_MAX },
                { "16383.999999999999999999P", UINT64_MAX },
        };

        check_read(units_parse_bytes, cases, ELEMENTSOF(cases));
}

/* A double has 53 bits: these are the first numbers that one would get wrong. */
static void test_sizes_are_exact(_unused_ void **state) {
        const Case cases[] = {
                { "9007199254740993", UINT64_C(9007199254740993) },
                { "9007199254740.993KB", UINT64_C(9007199254740993) },
                { "0.3GB", UINT64_C(300000000) },
                { "0.000000000000000888P", 0 },
                { "0.000000000000000889P", 1 },
        };

        check_read(units_parse_bytes, cases, ELEMENTSOF(cases));
}

static void test_what_is_no_size_is_refused(_unused_ void **state) {
        const char *const words[] = {
                "",    " ",   " 5G", "5G ", "5 G",   "-1",     "+1",   "-5G",
                "G",   "5X",  "5GG", "5I",  "5iB",   "5Gi",    "5GBB", "5BG",
                "5BB", ".5G", "5.G", "1.5", "1.5B",  "1,5G",   "5G\n", "0x10",
                "1e9", "inf", "nan", "5Ki", "1..5G", "1.5.5G", "\xff", "5\xc3\xa9",
        };

        check_refused(units_parse_bytes, words, ELEMENTSOF(words), -EINVAL);
}

static void test_a_size_beyond_64_bits_is_refused(_unused_ void **state) {
        const char *const words[] = {
                "18446744073709551616",
                "99999999999999999999999999",
                "16384P",
                "16777216T",
                "18447PB",
                "0.1234567890123456789P", /* more decimals than we promise to read */
        };

        check_refused(units_parse_bytes, words, ELEMENTSOF(words), -ERANGE);
}

static void test_durations_are_read(_unused_ void **state) {
        const Case cases[] = {
                { "0", 0 },
                { "60", 60 * US_PER_SEC },
                { "1.5", 1500 * US_PER_MSEC },
                { "90s", 90 * US_PER_SEC },
                { "90S", 90 * US_PER_SEC },
                { "500ms", 500 * US_PER_MSEC },
                { "10m", 600 * US_PER_SEC },
                { "2h", 7200 * US_PER_SEC },
                { "1d", 86400 * US_PER_SEC },
                { "1h30m", 5400 * US_PER_SEC },
                { "1.5h", 5400 * US_PER_SEC },
                { "1d2h3m4s5ms", UINT64_C(93784005) * US_PER_MSEC },
                { "1m500ms", UINT64_C(60500) * US_PER_MSEC },
                { "0.1s", 100 * US_PER_MSEC },
                { "inf", UNITS_INF },
                { "INF", UNITS_INF },
        };

        check_read(units_parse_duration_us, cases, ELEMENTSOF(cases));
}

static void test_what_is_no_duration_is_refused(_unused_ void **state) {
        const char *const words[] = {
                "",         " ",    "-1",   "-1s",   "+1s",  " 1s",   "1s ",  "1 s",
                "s",        "1x",   "1h30", "30m1h", "1h1h", "1ms1s", "1mm",  "1min",
                "infinity", "inf1", "1inf", "never", "1.s",  ".5s",   "1:30", "1us",
        };

        check_refused(units_parse_duration_us, words, ELEMENTSOF(words), -EINVAL);
}

static void test_a_duration_beyond_64_bits_is_refused(_unused_ void **state) {
        const char *const words[] = {
                "18446744073709551616",      "18446744073710", "213503983d",
                "18446744073709.551615", /* would be read as inf */
                "18446744073709.551614s1ms",
        };

        check_refused(units_parse_duration_us, words, ELEMENTSOF(words), -ERANGE);
}

static void test_whole_numbers_have_bounds(_unused_ void **state) {
        uint64_t have = UNTOUCHED;
        Error error = {};

        assert_int_equal(units_parse_uint("200", 0, 200, &have, NULL), 0);
        assert_int_equal(have, 200);
        assert_int_equal(units_parse_uint("18446744073709551615", 0, UINT64_MAX, &have, NULL), 0);
        assert_true(have == UINT64_MAX);

        have = UNTOUCHED;
        assert_int_equal(units_parse_uint("201", 0, 200, &have, &error), -ERANGE);
        assert_non_null(strstr(error.text, "'201'"));
        assert_non_null(strstr(error.text, "from 0 to 200"));
        assert_int_equal(units_parse_uint("0", 1, 200, &have, NULL), -ERANGE);
        assert_int_equal(units_parse_uint("18446744073709551616", 0, UINT64_MAX, &have, NULL),
                         -ERANGE);
        assert_int_equal(units_parse_uint("", 0, 200, &have, &error), -EINVAL);
        assert_int_equal(units_parse_uint("1x", 0, 200, &have, NULL), -EINVAL);
        assert_int_equal(units_parse_uint("-1", 0, 200, &have, NULL), -EINVAL);
        assert_int_equal(units_parse_uint("1.5", 0, 200, &have, NULL), -EINVAL);
        assert_int_equal(units_parse_uint(" 1", 0, 200, &have, NULL), -EINVAL);
        assert_true(have == UNTOUCHED);
}

static void test_a_long_word_leaves_room_for_the_reason(_unused_ void **state) {
        char word[2000];
        uint64_t have;
        Error error = {};

        memset(word, '1', sizeof(word) - 1);
        word[sizeof(word) - 1] = '\0';
        assert_int_equal(units_parse_bytes(word, &have, &error), -ERANGE);
        assert_non_null(strstr(error.text, "too large"));
}

static void test_sizes_are_written_for_people(_unused_ void **state) {
        static const struct {
                uint64_t bytes;
                const char *want;
        } cases[] = {
                { 0, "0" },
                { 1, "1" },
                { 1023, "1023" },
                { KIB, "1K" },
                { 1536, "1.5K" },
                { 512 * MIB, "512M" },
                { 5 * GIB, "5G" },
                { 7 * GIB + 820 * MIB, "7.8G" },
                { 24564 * MIB, "24G" },
                { GIB - 1, "1G" },
                { 1023 * MIB + 900 * KIB, "1023.9M" },
                { UINT64_MAX, "16384P" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char buf[UNITS_FORMAT_MAX];

                assert_string_equal(units_format_bytes(buf, sizeof(buf), cases[i].bytes),
                                    cases[i].want);
        }
}

static void test_exact_sizes_come_back_the_same(_unused_ void **state) {
        const uint64_t sizes[] = { 0,
                                   1,
                                   1000,
                                   1023,
                                   KIB,
                                   1025,
                                   5 * GIB,
                                   3 * GIB / 2,
                                   GIB + 1,
                                   UINT64_MAX,
                                   UINT64_MAX - 1023 };
        char buf[UNITS_FORMAT_MAX];

        for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
                uint64_t have = UNTOUCHED;

                (void)units_format_bytes_exact(buf, sizeof(buf), sizes[i]);
                assert_int_equal(units_parse_bytes(buf, &have, NULL), 0);
                assert_true(have == sizes[i]);
        }
        assert_string_equal(units_format_bytes_exact(buf, sizeof(buf), 3 * GIB / 2), "1536M");
}

static void test_durations_are_written_for_people(_unused_ void **state) {
        static const struct {
                uint64_t us;
                const char *want;
        } cases[] = {
                { 0, "0s" },
                { US_PER_SEC - 1, "0s" },
                { 45 * US_PER_SEC, "45s" },
                { 60 * US_PER_SEC, "1m" },
                { 192 * US_PER_SEC, "3m12s" },
                { 61 * US_PER_SEC, "1m01s" },
                { 7500 * US_PER_SEC, "2h05m" },
                { 3600 * US_PER_SEC, "1h" },
                { 97200 * US_PER_SEC, "1d03h" },
                { UNITS_INF, "inf" },
                { UNITS_INF - 1, "213503982d08h" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char buf[UNITS_FORMAT_MAX];

                assert_string_equal(units_format_duration(buf, sizeof(buf), cases[i].us),
                                    cases[i].want);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_sizes_are_read),
                cmocka_unit_test(test_sizes_are_exact),
                cmocka_unit_test(test_what_is_no_size_is_refused),
                cmocka_unit_test(test_a_size_beyond_64_bits_is_refused),
                cmocka_unit_test(test_durations_are_read),
                cmocka_unit_test(test_what_is_no_duration_is_refused),
                cmocka_unit_test(test_a_duration_beyond_64_bits_is_refused),
                cmocka_unit_test(test_whole_numbers_have_bounds),
                cmocka_unit_test(test_a_long_word_leaves_room_for_the_reason),
                cmocka_unit_test(test_sizes_are_written_for_people),
                cmocka_unit_test(test_exact_sizes_come_back_the_same),
                cmocka_unit_test(test_durations_are_written_for_people),
        };

        return cmocka_run_group_tests_name("util-units", tests, NULL, NULL);
}
