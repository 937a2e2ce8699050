/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "util/fd.h"
#include "util/ini-file.h"

#include "check.h"

typedef struct Seen {
        char text[2048];
        size_t n;
} Seen;

/* Writes down what came; the key `bad` is refused with a sentence, `worse` without. */
static int take(void *userdata,
                const char *section,
                const char *key,
                const char *value,
                unsigned line,
                Error *error) {
        Seen *seen = userdata;

        if (strcmp(key, "bad") == 0)
                return error_set(error, -EDOM, "'%s' is not allowed", value);
        if (strcmp(key, "worse") == 0)
                return -ENXIO;

        seen->n += (size_t)snprintf(seen->text + seen->n, sizeof(seen->text) - seen->n,
                                    "%u:[%s]%s=%s|", line, section, key, value);
        return 0;
}

static int parse(const char *text, Seen *seen, Error *error) {
        return ini_file_parse("f.conf", text, strlen(text), take, seen, error);
}

static void test_every_value_comes_with_its_line(_unused_ void **state) {
        Seen seen = {};
        Error error = {};

        assert_int_equal(parse("top = 1\n"
                               "\n"
                               "# a comment = 2\n"
                               "; another ; one\n"
                               "[taskflow]\n"
                               "  \t\n"
                               "a=1\n"
                               "b  =  two words  \r\n"
                               "c =\n"
                               "[other]\n"
                               "gpu = 0:10G\n"
                               "gpu = a=b;c\n"
                               "last = x",
                               &seen, &error),
                         0);
        assert_string_equal(seen.text, "1:[]top=1|7:[taskflow]a=1|8:[taskflow]b=two words|"
                                       "9:[taskflow]c=|11:[other]gpu=0:10G|12:[other]gpu=a=b;c|"
                                       "13:[other]last=x|");
        assert_string_equal(error.text, "");
}

static void test_a_byte_order_mark_is_skipped(_unused_ void **state) {
        Seen seen = {};

        assert_int_equal(parse("\xef\xbb\xbf[s]\nk = v\n", &seen, NULL), 0);
        assert_string_equal(seen.text, "2:[s]k=v|");
        assert_int_equal(parse("\xef\xbb\xbf\xef\xbb\xbfk = v\n", &seen, NULL), -EINVAL);
}

static void test_an_empty_file_is_fine(_unused_ void **state) {
        Seen seen = {};

        assert_int_equal(parse("", &seen, NULL), 0);
        assert_int_equal(parse("\n\n", &seen, NULL), 0);
        assert_int_equal(parse("# only this", &seen, NULL), 0);
        assert_string_equal(seen.text, "");
}

static void test_what_is_not_plain_is_refused_with_its_line(_unused_ void **state) {
        static const struct {
                const char *line;
                const char *why;
        } cases[] = {
                { "word", "neither" },
                { "[section", "']' is missing" },
                { "[a] b", "behind the ']'" },
                { "[a] # b", "behind the ']'" },
                { "= 1", "no key" },
                { "  = 1", "starts with a space" },
                { "  k = v", "starts with a space" },
                { "\tcontinued", "starts with a space" },
                { "k = v ; comment", "behind a space" },
                { "k ; = v", "behind a space" },
                { "k : v", "neither" },
                { "gpu 0:10G = 1", "':' in the key" },
                { "k = a\x1b[31m", "control character (0x1b)" },
                { "k = a\rb", "control character (0x0d)" },
                { "k = a\x7f", "control character (0x7f)" },
                { "[a234567890123456789012345678901234567890123456789_]", "longer than" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Seen seen = {};
                Error error = {};
                char text[256];

                (void)snprintf(text, sizeof(text), "a = 1\n\n%s\nb = 2\n", cases[i].line);
                if (parse(text, &seen, &error) != -EINVAL || !strstr(error.text, cases[i].why) ||
                    strncmp(error.text, "'f.conf' line 3: ", 17) != 0)
                        fail_msg("'%s': %s", cases[i].line, error.text);
                /* what stands before has been seen, what stands behind has not */
                assert_string_equal(seen.text, "1:[]a=1|");
                assert_int_equal(parse(text, &seen, NULL), -EINVAL);
        }
}

static void test_a_nul_byte_is_refused_everywhere(_unused_ void **state) {
        static const char *const texts[] = { "k = a!b\n", "!\n", "#!\nk = v\n", "[s!]\n",
                                             "k = v!" };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                Seen seen = {};
                Error error = {};
                char text[32];
                size_t n = strlen(texts[i]);

                (void)snprintf(text, sizeof(text), "%s", texts[i]);
                *strchr(text, '!') = '\0';
                assert_int_equal(ini_file_parse("f", text, n, take, &seen, &error), -EINVAL);
                assert_non_null(strstr(error.text, "'f' line 1: there is a NUL byte"));
                assert_string_equal(seen.text, "");
        }
}

/* The longest section that is not refused arrives whole. */
static void test_a_long_section_is_not_cut(_unused_ void **state) {
        Seen seen = {};

        assert_int_equal(parse("[a234567890123456789012345678901234567890123456789]\nk = v\n",
                               &seen, NULL),
                         0);
        assert_string_equal(seen.text, "2:[a234567890123456789012345678901234567890123456789]k=v|");
}

/* Whatever inih's buffer is: a line arrives whole or not at all. */
static void test_a_long_line_is_whole_or_refused(_unused_ void **state) {
        size_t n_refused = 0;

        for (size_t n = 1; n < 1000; n++) {
                char text[1100] = "k = ";
                char want[1100];
                Seen seen = {};
                Error error = {};

                memset(text + 4, 'x', n);
                (void)snprintf(want, sizeof(want), "1:[]k=%s|", text + 4);
                if (parse(text, &seen, &error) == 0) {
                        assert_string_equal(seen.text, want);
                        assert_int_equal(n_refused, 0);
                        continue;
                }
                assert_non_null(strstr(error.text, "'f.conf' line 1: it is longer than"));
                assert_string_equal(seen.text, "");
                n_refused++;
        }
        assert_true(n_refused > 0);
}

static void test_a_refused_value_ends_the_reading(_unused_ void **state) {
        Seen seen = {};
        Error error = {};

        assert_int_equal(parse("a = 1\nbad = x\nb = 2\nnonsense\n", &seen, &error), -EDOM);
        assert_string_equal(error.text, "'f.conf' line 2: 'x' is not allowed");
        assert_string_equal(seen.text, "1:[]a=1|");
        assert_int_equal(parse("worse = x\n", &seen, &error), -ENXIO);
        assert_string_equal(error.text, "'f.conf' line 1: No such device or address");
}

static void test_files_are_loaded(_unused_ void **state) {
        char folder[64];
        char path[80];
        Seen seen = {};
        Error error = {};
        char want[128];

        make_test_folder(folder);
        (void)snprintf(path, sizeof(path), "%s/f.conf", folder);
        assert_int_equal(ini_file_load(path, take, &seen, &error), -ENOENT);
        (void)snprintf(want, sizeof(want), "cannot read '%s': No such file or directory", path);
        assert_string_equal(error.text, want);

        assert_int_equal(fd_write_file_atomic(AT_FDCWD, path, "[s]\nk = v\nx\n", 12, 0600), 0);
        assert_int_equal(ini_file_load(path, take, &seen, &error), -EINVAL);
        (void)snprintf(want, sizeof(want), "'%s' line 3: ", path);
        assert_memory_equal(error.text, want, strlen(want));
        assert_string_equal(seen.text, "2:[s]k=v|");

        assert_int_equal(unlink(path), 0);
        assert_int_equal(ini_file_load(folder, take, &seen, &error), -EISDIR);
        assert_int_equal(rmdir(folder), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_value_comes_with_its_line),
                cmocka_unit_test(test_a_byte_order_mark_is_skipped),
                cmocka_unit_test(test_an_empty_file_is_fine),
                cmocka_unit_test(test_what_is_not_plain_is_refused_with_its_line),
                cmocka_unit_test(test_a_nul_byte_is_refused_everywhere),
                cmocka_unit_test(test_a_long_section_is_not_cut),
                cmocka_unit_test(test_a_long_line_is_whole_or_refused),
                cmocka_unit_test(test_a_refused_value_ends_the_reading),
                cmocka_unit_test(test_files_are_loaded),
        };

        return cmocka_run_group_tests_name("util-ini-file", tests, NULL, NULL);
}
