/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * JSON that is written is JSON, whatever the strings hold
 */

#include <errno.h>
#include <string.h>

#include <jansson.h>

#include "wire/json-text.h"

#include "check.h"

static JsonText new_text(void) {
        return JSON_TEXT_NULL(MIB);
}

static void assert_text(JsonText *text, const char *want) {
        char *have = NULL;
        size_t n;

        assert_int_equal(json_text_take(text, &have, &n), 0);
        assert_int_equal(n, strlen(want));
        assert_string_freed(have, want);
}

static void test_commas_stand_between(_unused_ void **state) {
        JsonText text = new_text();

        json_text_open(&text, '{');
        json_text_key(&text, "a");
        json_text_open(&text, '[');
        json_text_null(&text);
        json_text_open(&text, '[');
        json_text_close(&text, ']');
        json_text_bool(&text, true);
        json_text_bool(&text, false);
        json_text_open(&text, '{');
        json_text_close(&text, '}');
        json_text_close(&text, ']');
        json_text_key(&text, "b");
        json_text_raw(&text, "1.5");
        json_text_key(&text, "c");
        json_text_string(&text, "", 10);
        json_text_close(&text, '}');
        assert_text(&text, "{\"a\":[null,[],true,false,{}],\"b\":1.5,\"c\":\"\"}");
}

static void test_numbers_are_written_whole(_unused_ void **state) {
        JsonText text = new_text();

        json_text_open(&text, '[');
        json_text_uint(&text, 0);
        json_text_uint(&text, 10);
        json_text_uint(&text, INT64_MAX);
        json_text_uint(&text, UINT64_MAX);
        json_text_int(&text, -1);
        json_text_int(&text, INT64_MIN);
        json_text_int(&text, INT64_MAX);
        json_text_close(&text, ']');
        assert_text(&text, "[0,10,9223372036854775807,9223372036854775807,-1,-9223372036854775808,"
                           "9223372036854775807]");
}

static void test_strings_are_escaped_repaired_and_cut(_unused_ void **state) {
        static const struct {
                const char *s;
                size_t max;
                const char *want;
        } cases[] = {
                { "plain", 100, "\"plain\"" },
                { "a\"b\\c/", 100, "\"a\\\"b\\\\c/\"" },
                { "\b\t\n\f\r\x01\x1f\x7f", 100, "\"\\b\\t\\n\\f\\r\\u0001\\u001f\x7f\"" },
                { "h\xc3\xa9\xf0\x9f\x98\x80", 100, "\"h\xc3\xa9\xf0\x9f\x98\x80\"" },
                { "\xff", 100, "\"\xef\xbf\xbd\"" },
                { "a\xc3", 100, "\"a\xef\xbf\xbd\"" },
                { "abc", 3, "\"abc\"" },
                { "abcd", 3, "\"abc\"" },
                { "ab\xc3\xa9", 3, "\"ab\"" },
                { "ab\xc3\xa9", 4, "\"ab\xc3\xa9\"" },
                { "abc\xf0\x9f\x98\x80", 4, "\"abc\"" },
                { "abc", 0, "\"\"" },
                { "\"\"\"\"", 2, "\"\\\"\\\"\"" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                JsonText text = new_text();

                print_message("# case %zu\n", i);
                json_text_string(&text, cases[i].s, cases[i].max);
                assert_text(&text, cases[i].want);
        }
}

/* Every byte, alone and before another, as a JSON reader sees it. */
static void test_any_bytes_become_what_a_reader_takes(_unused_ void **state) {
        for (int a = 1; a < 256; a++)
                for (int b = 1; b < 256; b++) {
                        const char s[] = { (char)a, (char)b, '\0' };
                        JsonText text = new_text();
                        char *bytes = NULL;
                        json_t *json;
                        size_t n;

                        json_text_open(&text, '[');
                        json_text_string(&text, s, 100);
                        json_text_close(&text, ']');
                        assert_int_equal(json_text_take(&text, &bytes, &n), 0);
                        json = json_loadb(bytes, n, JSON_REJECT_DUPLICATES, NULL);
                        assert_non_null(json);
                        if (a < 0x80 && b < 0x80)
                                assert_string_equal(json_string_value(json_array_get(json, 0)), s);
                        json_decref(json);
                        free(bytes);
                }
}

static void test_too_much_is_refused(_unused_ void **state) {
        JsonText text = JSON_TEXT_NULL(6);
        char *bytes = NULL;

        json_text_string(&text, "abc", 10);
        assert_text(&text, "\"abc\"");

        text = JSON_TEXT_NULL(6);
        json_text_string(&text, "abcd", 10);
        assert_int_equal(json_text_take(&text, &bytes, NULL), -E2BIG);
        assert_null(bytes);
}

static void test_first_failure_stays(_unused_ void **state) {
        JsonText text = new_text();
        char *bytes = NULL;

        json_text_open(&text, '[');
        json_text_fail(&text, -ENOMEM);
        json_text_fail(&text, -E2BIG);
        json_text_close(&text, ']');
        assert_int_equal(json_text_take(&text, &bytes, NULL), -ENOMEM);
        assert_null(bytes);
}

static void test_long_texts_grow(_unused_ void **state) {
        JsonText text = new_text();
        char *bytes = NULL;
        size_t n;

        json_text_open(&text, '[');
        for (int i = 0; i < 100000; i++)
                json_text_uint(&text, 7);
        json_text_close(&text, ']');
        assert_int_equal(json_text_take(&text, &bytes, &n), 0);
        assert_int_equal(n, 200001);
        free(bytes);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_commas_stand_between),
                cmocka_unit_test(test_numbers_are_written_whole),
                cmocka_unit_test(test_strings_are_escaped_repaired_and_cut),
                cmocka_unit_test(test_any_bytes_become_what_a_reader_takes),
                cmocka_unit_test(test_too_much_is_refused),
                cmocka_unit_test(test_first_failure_stays),
                cmocka_unit_test(test_long_texts_grow),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
