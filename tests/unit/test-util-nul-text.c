/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <string.h>

#include "util/cleanup.h"
#include "util/nul-text.h"
#include "util/strv.h"

#include "check.h"

static void test_what_is_written_is_read(_unused_ void **state) {
        char *v[] = { "a", "", "\xff\xfe", NULL };
        _cleanup_free_ char *bytes = NULL;
        _cleanup_free_ char **list = NULL;
        _cleanup_free_ char **none = NULL;
        NulWriter writer = { 0 };
        const char *text, *raw;
        uint64_t number;
        NulReader reader;
        size_t n, n_raw;

        nul_put_text(&writer, "text");
        nul_put_number(&writer, UINT64_MAX);
        nul_put_vector(&writer, v);
        nul_put_vector(&writer, NULL);
        nul_put_bytes(&writer, "\0x\0", 3);
        nul_put_bytes(&writer, NULL, 0);
        assert_int_equal(nul_writer_take(&writer, &bytes, &n), 0);

        reader = nul_reader(bytes, n);
        assert_true(nul_get_text(&reader, &text));
        assert_string_equal(text, "text");
        assert_true(nul_get_number(&reader, 0, UINT64_MAX, &number));
        assert_true(number == UINT64_MAX);
        assert_true(nul_get_vector(&reader, 3, &list));
        assert_int_equal(strv_n(list), 3);
        for (size_t i = 0; i < 3; i++)
                assert_string_equal(list[i], v[i]);
        assert_true(nul_get_vector(&reader, 0, &none));
        assert_null(none[0]);
        assert_true(nul_get_bytes(&reader, &raw, &n_raw));
        assert_int_equal(n_raw, 3);
        assert_memory_equal(raw, "\0x\0", 3);
        assert_true(nul_get_bytes(&reader, &raw, &n_raw));
        assert_int_equal(n_raw, 0);
        assert_true(nul_reader_is_over(&reader));
        assert_false(nul_get_text(&reader, &text));
}

static void test_large_things_fit(_unused_ void **state) {
        enum {
                N = 3 << 20
        };
        _cleanup_free_ char *large = calloc(1, N);
        _cleanup_free_ char *bytes = NULL;
        NulWriter writer = { 0 };
        size_t n;

        for (int i = 0; i < 3; i++)
                nul_put_bytes(&writer, large, N);
        assert_int_equal(nul_writer_take(&writer, &bytes, &n), 0);
        assert_int_equal(n, 3 * (N + strlen("3145728") + 1));
}

static void test_nothing_is_empty_bytes(_unused_ void **state) {
        _cleanup_free_ char *bytes = NULL;
        NulWriter writer = { 0 };
        size_t n = 1;

        assert_int_equal(nul_writer_take(&writer, &bytes, &n), 0);
        assert_non_null(bytes);
        assert_int_equal(n, 0);
}

/* Each at the very beginning; what is refused is not consumed. */
static void test_what_is_not_there_is_not_read(_unused_ void **state) {
        static const struct {
                const char *bytes;
                size_t n;
                char what; /* n: number up to 9, v: vector of up to 9, b: bytes, t: text */
        } cases[] = {
                { "", 0, 't' },      { "abc", 3, 't' },
                { "", 0, 'n' },      { "1", 1, 'n' },
                { "x\0", 2, 'n' },   { "\0", 1, 'n' },
                { "10\0", 3, 'n' },  { "-1\0", 3, 'n' },
                { "1\0", 2, 'v' },   { "2\0a\0", 4, 'v' },
                { "1\0a", 3, 'v' },  { "10\0a\0", 5, 'v' },
                { "1\0", 2, 'b' },   { "3\0ab", 4, 'b' },
                { "x\0ab", 4, 'b' }, { "18446744073709551615\0a", 22, 'b' },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *exact = malloc(cases[i].n + 1);
                NulReader reader =
                        nul_reader(memcpy(exact, cases[i].bytes, cases[i].n), cases[i].n);
                const char *text;
                char **v = NULL;
                uint64_t number;
                size_t n;

                assert_false(cases[i].what == 't' ? nul_get_text(&reader, &text) :
                             cases[i].what == 'n' ? nul_get_number(&reader, 0, 9, &number) :
                             cases[i].what == 'v' ? nul_get_vector(&reader, 9, &v) :
                                                    nul_get_bytes(&reader, &text, &n));
                assert_ptr_equal(reader.at, exact);
                assert_null(v);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_is_written_is_read),
                cmocka_unit_test(test_large_things_fit),
                cmocka_unit_test(test_nothing_is_empty_bytes),
                cmocka_unit_test(test_what_is_not_there_is_not_read),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
