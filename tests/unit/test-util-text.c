/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <string.h>

#include "util/text.h"

#include "check.h"

#define FFFD "\xef\xbf\xbd"

/* Not in the table of strings, because it holds a NUL. */
static void test_a_nul_is_a_character(_unused_ void **state) {
        assert_true(text_is_utf8("a\0b", 3));
}

static void test_utf8_is_told_from_other_bytes(_unused_ void **state) {
        static const char *const good[] = {
                "",
                "plain",
                "\xc3\xa9",
                "\xe2\x82\xac",
                "\xed\x9f\xbf",
                "\xee\x80\x80",
                "\xf0\x9f\x98\x80",
                "\xf4\x8f\xbf\xbf",
                "\xc2\x80",
        };
        static const char *const bad[] = {
                "\x80",
                "\xff",
                "\xc3",
                "\xc3(",
                "\xc0\xaf",
                "\xc1\xbf",
                "\xe0\x80\xaf",
                "\xe0\x9f\xbf",
                "\xed\xa0\x80",
                "\xf0\x8f\xbf\xbf",
                "\xf4\x90\x80\x80",
                "\xf5\x80\x80\x80",
                "\xe2\x82",
                "a\xf0\x9f\x98",
        };

        for (size_t i = 0; i < ELEMENTSOF(good); i++)
                if (!text_is_utf8(good[i], strlen(good[i])))
                        fail_msg("good[%zu] is taken for bad", i);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                if (text_is_utf8(bad[i], strlen(bad[i])))
                        fail_msg("bad[%zu] is taken for good", i);
}

static char *repair(const char *s, size_t max) {
        return text_repair_utf8(s, strlen(s), max);
}

static void test_bad_bytes_become_the_replacement_character(_unused_ void **state) {
        assert_string_freed(repair("", 100), "");
        assert_string_freed(repair("h\xc3\xa9llo", 100), "h\xc3\xa9llo");
        assert_string_freed(repair("a\xff"
                                   "b",
                                   100),
                            "a" FFFD "b");
        assert_string_freed(repair("\xe2\x82", 100), FFFD);
        assert_string_freed(repair("\xe2\x82"
                                   "a",
                                   100),
                            FFFD "a");
        assert_string_freed(repair("\xed\xa0\x80", 100), FFFD FFFD FFFD);
        assert_string_freed(repair("\xf0\x9f\x98\xf0\x9f\x98\x80", 100), FFFD "\xf0\x9f\x98\x80");
        assert_string_freed(text_repair_utf8("ab\xc3\xa9", 3, 100), "ab" FFFD);
        assert_string_freed(text_repair_utf8("a\0b", 3, 100), "a");
        assert_string_freed(repair("abc", SIZE_MAX), "abc");
}

static void test_a_cut_never_splits_a_character(_unused_ void **state) {
        assert_string_freed(repair("abc", 2), "ab");
        assert_string_freed(repair("abc", 3), "abc");
        assert_string_freed(repair("abc", 0), "");
        assert_string_freed(repair("a\xe2\x82\xac", 3), "a");
        assert_string_freed(repair("a\xe2\x82\xac", 4), "a\xe2\x82\xac");
        assert_string_freed(repair("a\xff", 3), "a");
        assert_string_freed(repair("a\xff", 4), "a" FFFD);
}

/* Every string of two bytes and more: whatever goes in, UTF-8 comes out, within the bound. */
static void test_whatever_goes_in_utf8_comes_out(_unused_ void **state) {
        for (unsigned i = 0; i < 0x10000; i++) {
                const char in[] = { 'x', (char)(i >> 8), (char)i, '\xa0', 'y', '\0' };
                char *out = repair(in, 7);

                assert_non_null(out);
                assert_true(text_is_utf8(out, strlen(out)));
                assert_true(strlen(out) <= 7);
                free(out);
        }
}

static void test_nothing_reaches_the_terminal(_unused_ void **state) {
        assert_string_freed(text_visible(""), "");
        assert_string_freed(text_visible("plain h\xc3\xa9 \xf0\x9f\x98\x80"),
                            "plain h\xc3\xa9 \xf0\x9f\x98\x80");
        assert_string_freed(text_visible("\x1b[31m"), "^[[31m");
        assert_string_freed(text_visible("a\nb\tc\rd"), "a^Jb^Ic^Md");
        assert_string_freed(text_visible("\x7f"), "^?");
        assert_string_freed(text_visible("\xc2\x9b"), "\\u009b");
        assert_string_freed(text_visible("\x9b"), "\\x9b");
        assert_string_freed(text_visible("\xe2\x80\xae"), "\\u202e");
        assert_string_freed(text_visible("\xe2\x80\xa8"), "\\u2028");
        assert_string_freed(text_visible("\xe2\x81\xa6"), "\\u2066");
        assert_string_freed(text_visible("\xf3\xa0\x80\x81"), "\\U000e0001");
        assert_string_freed(text_visible("\xe2\x82"), "\\xe2\\x82");
}

static void test_the_longest_growth_fits(_unused_ void **state) {
        char in[201];
        char *out;

        memset(in, '\xff', 200);
        in[200] = '\0';
        out = text_visible(in);
        assert_non_null(out);
        assert_int_equal(strlen(out), 800);
        free(out);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_nul_is_a_character),
                cmocka_unit_test(test_utf8_is_told_from_other_bytes),
                cmocka_unit_test(test_bad_bytes_become_the_replacement_character),
                cmocka_unit_test(test_a_cut_never_splits_a_character),
                cmocka_unit_test(test_whatever_goes_in_utf8_comes_out),
                cmocka_unit_test(test_nothing_reaches_the_terminal),
                cmocka_unit_test(test_the_longest_growth_fits),
        };

        return cmocka_run_group_tests_name("util-text", tests, NULL, NULL);
}
