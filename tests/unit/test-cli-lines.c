/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cli/lines.h"
#include "util/cleanup.h"
#include "util/fd.h"

#include "check.h"

/* A descriptor that these bytes can be read from. */
static int file_of(const char *bytes, size_t n) {
        int fd = memfd_create("lines", MFD_CLOEXEC);

        assert_true(fd >= 0);
        assert_int_equal(fd_write_all(fd, bytes, n), 0);
        assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
        return fd;
}

static void expect(Lines *lines, const char *line, uint64_t number) {
        const char *have;
        uint64_t at;

        assert_int_equal(lines_next(lines, &have, &at, NULL), 0);
        assert_string_equal(have, line);
        assert_int_equal(at, number);
}

static void expect_end(Lines *lines) {
        const char *line;
        uint64_t number;

        assert_int_equal(lines_next(lines, &line, &number, NULL), LINES_E_END);
        assert_int_equal(lines_next(lines, &line, &number, NULL), LINES_E_END);
}

static void test_commands_come_with_their_numbers(_unused_ void **state) {
        static const char text[] = "one\n"
                                   "\n"
                                   "# not this\n"
                                   "  two  \n"
                                   " \t \n"
                                   "  # nor this\n"
                                   "three # with a comment of the shell's\n"
                                   "four without an end";
        _cleanup_close_ int fd = file_of(text, strlen(text));
        _cleanup_(lines_freep) Lines *lines = NULL;

        assert_int_equal(lines_new(&lines, fd), 0);
        expect(lines, "one", 1);
        expect(lines, "  two  ", 4);
        expect(lines, "three # with a comment of the shell's", 7);
        expect(lines, "four without an end", 8);
        expect_end(lines);
}

static void test_nothing_is_no_line(_unused_ void **state) {
        static const char *const texts[] = { "", "\n", "\n\n", "#", "# x\n", " \n#" };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                _cleanup_close_ int fd = file_of(texts[i], strlen(texts[i]));
                _cleanup_(lines_freep) Lines *lines = NULL;

                assert_int_equal(lines_new(&lines, fd), 0);
                expect_end(lines);
        }
}

/* More than fits any buffer, in lines of all lengths. */
static void test_a_file_may_be_as_long_as_one_likes(_unused_ void **state) {
        _cleanup_(lines_freep) Lines *lines = NULL;
        _cleanup_close_ int fd = memfd_create("lines", MFD_CLOEXEC);
        _cleanup_free_ char *line = malloc(LINES_BYTES_MAX + 1);

        assert_non_null(line);
        assert_true(fd >= 0);
        (void)memset(line, 'x', LINES_BYTES_MAX);
        for (size_t i = 0; i < 200; i++) {
                assert_int_equal(fd_write_all(fd, line, 1 + i * 7919 % LINES_BYTES_MAX), 0);
                assert_int_equal(fd_write_all(fd, "\n", 1), 0);
        }
        assert_int_equal(lseek(fd, 0, SEEK_SET), 0);

        assert_int_equal(lines_new(&lines, fd), 0);
        for (size_t i = 0; i < 200; i++) {
                const char *have;
                uint64_t number;

                assert_int_equal(lines_next(lines, &have, &number, NULL), 0);
                assert_int_equal(number, i + 1);
                assert_int_equal(strlen(have), 1 + i * 7919 % LINES_BYTES_MAX);
        }
        expect_end(lines);
}

static void test_the_longest_line_is_taken_and_one_byte_more_is_not(_unused_ void **state) {
        for (size_t more = 0; more < 2; more++)
                for (size_t newline = 0; newline < 2; newline++) {
                        size_t n = LINES_BYTES_MAX + more;
                        _cleanup_free_ char *text = malloc(n + 6);
                        _cleanup_(lines_freep) Lines *lines = NULL;
                        _cleanup_close_ int fd = -1;
                        Error error = { 0 };
                        uint64_t number;
                        const char *line;

                        assert_non_null(text);
                        (void)snprintf(text, n, "true\n");
                        (void)memset(text + 5, 'x', n);
                        text[n + 5] = '\n';
                        fd = file_of(text, n + 5 + newline);
                        assert_int_equal(lines_new(&lines, fd), 0);
                        expect(lines, "true", 1);
                        assert_int_equal(lines_next(lines, &line, &number, &error),
                                         more ? -EINVAL : 0);
                        assert_int_equal(number, 2);
                        if (more)
                                assert_non_null(strstr(error.text, "128 KiB"));
                        else
                                assert_int_equal(strlen(line), n);
                }
}

static void test_a_nul_byte_is_refused_with_its_line(_unused_ void **state) {
        static const char text[] = "one\ntw\0o\nthree\n";
        _cleanup_close_ int fd = file_of(text, sizeof(text) - 1);
        _cleanup_(lines_freep) Lines *lines = NULL;
        Error error = { 0 };
        const char *line;
        uint64_t number;

        assert_int_equal(lines_new(&lines, fd), 0);
        expect(lines, "one", 1);
        assert_int_equal(lines_next(lines, &line, &number, &error), -EINVAL);
        assert_int_equal(number, 2);
        assert_string_equal(error.text, "has a NUL byte");
}

static void test_what_cannot_be_read_says_why(_unused_ void **state) {
        _cleanup_close_ int fd = open("/", O_RDONLY | O_CLOEXEC);
        _cleanup_(lines_freep) Lines *lines = NULL;
        Error error = { 0 };
        const char *line;
        uint64_t number;

        assert_int_equal(lines_new(&lines, fd), 0);
        assert_int_equal(lines_next(lines, &line, &number, &error), -EISDIR);
        assert_string_equal(error.text, "Is a directory");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_commands_come_with_their_numbers),
                cmocka_unit_test(test_nothing_is_no_line),
                cmocka_unit_test(test_a_file_may_be_as_long_as_one_likes),
                cmocka_unit_test(test_the_longest_line_is_taken_and_one_byte_more_is_not),
                cmocka_unit_test(test_a_nul_byte_is_refused_with_its_line),
                cmocka_unit_test(test_what_cannot_be_read_says_why),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
