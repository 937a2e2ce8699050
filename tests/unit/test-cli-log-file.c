/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/log-file.h"
#include "util/cleanup.h"
#include "util/fd.h"

#include "check.h"

/* A file in a folder of its own. */
typedef struct Fixture {
        char folder[64];
        char path[96];
        LogFile file;
} Fixture;

static void fixture_init(Fixture *fixture) {
        make_test_folder(fixture->folder);
        (void)snprintf(fixture->path, sizeof(fixture->path), "%s/log", fixture->folder);
        fixture->file = (LogFile)LOG_FILE_NULL;
}

static void fixture_done(Fixture *fixture) {
        log_file_done(&fixture->file);
        (void)unlink(fixture->path);
        (void)rmdir(fixture->folder);
}

static void append(const Fixture *fixture, const char *bytes, size_t n) {
        _cleanup_close_ int fd =
                open(fixture->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        assert_int_equal(fd_write_all(fd, bytes, n), 0);
}

static void append_text(const Fixture *fixture, const char *text) {
        append(fixture, text, strlen(text));
}

/* What log_file_print() writes to stdout, to be freed; *@ret_n may be NULL. */
static char *printed(LogFile *file, bool last, size_t *ret_n) {
        int out = memfd_create("out", MFD_CLOEXEC);
        int saved = dup(STDOUT_FILENO);
        struct stat st;
        char *text;
        int r;

        assert_true(out >= 0 && saved >= 0);
        (void)fflush(stdout);
        assert_true(dup2(out, STDOUT_FILENO) >= 0);
        r = log_file_print(file, last, NULL);
        assert_true(dup2(saved, STDOUT_FILENO) >= 0);
        (void)close(saved);
        assert_int_equal(r, 0);

        assert_int_equal(fstat(out, &st), 0);
        text = calloc(1, (size_t)st.st_size + 1);
        assert_non_null(text);
        assert_int_equal(pread(out, text, (size_t)st.st_size, 0), st.st_size);
        (void)close(out);
        if (ret_n)
                *ret_n = (size_t)st.st_size;
        return text;
}

static void test_bytes_come_as_they_are_and_once(_unused_ void **state) {
        static const char bytes[] = "a\0b\033[31m\xff\n";
        _cleanup_(fixture_done) Fixture fixture;
        _cleanup_free_ char *have = NULL;
        size_t n;

        fixture_init(&fixture);
        append(&fixture, bytes, sizeof(bytes) - 1);
        assert_int_equal(log_file_open(&fixture.file, fixture.path, NULL), 0);
        have = printed(&fixture.file, false, &n);
        assert_int_equal(n, sizeof(bytes) - 1);
        assert_memory_equal(have, bytes, n);

        assert_string_freed(printed(&fixture.file, false, NULL), "");
        append_text(&fixture, "more");
        assert_string_freed(printed(&fixture.file, true, NULL), "more");
}

static void test_the_last_lines_are_counted_from_the_end(_unused_ void **state) {
        static const struct {
                const char *text;
                uint64_t n_lines;
                const char *have;
        } cases[] = {
                { "1\n2\n3\n", 0, "" },
                { "1\n2\n3\n", 1, "3\n" },
                { "1\n2\n3\n", 2, "2\n3\n" },
                { "1\n2\n3\n", 3, "1\n2\n3\n" },
                { "1\n2\n3\n", 4, "1\n2\n3\n" },
                { "1\n2\n3", 1, "3" },
                { "1\n2\n3", 2, "2\n3" },
                { "1\n\n\n", 1, "\n" },
                { "1\n\n\n", 2, "\n\n" },
                { "", 5, "" },
                { "\n", 1, "\n" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(fixture_done) Fixture fixture;

                fixture_init(&fixture);
                append_text(&fixture, cases[i].text);
                assert_int_equal(log_file_open(&fixture.file, fixture.path, NULL), 0);
                assert_int_equal(log_file_skip_to_last(&fixture.file, cases[i].n_lines), 0);
                assert_string_freed(printed(&fixture.file, true, NULL), cases[i].have);
        }
}

static void test_the_last_lines_of_a_long_file(_unused_ void **state) {
        _cleanup_(fixture_done) Fixture fixture;
        _cleanup_free_ char *have = NULL;
        const char *at;
        char *end;

        fixture_init(&fixture);
        for (int i = 0; i < 50000; i++) {
                char line[16];

                (void)snprintf(line, sizeof(line), "%d\n", i);
                append_text(&fixture, line);
        }
        assert_int_equal(log_file_open(&fixture.file, fixture.path, NULL), 0);
        assert_int_equal(log_file_skip_to_last(&fixture.file, 40000), 0);
        have = printed(&fixture.file, true, NULL);
        at = have;
        for (int i = 10000; i < 50000; i++) {
                assert_int_equal(strtol(at, &end, 10), i);
                at = end;
        }
        assert_string_equal(at, "\n");
}

/* As log_limit does it. */
static bool cut_front(const Fixture *fixture, off_t n) {
        _cleanup_close_ int fd = open(fixture->path, O_RDWR | O_CLOEXEC);

        assert_true(fd >= 0);
        return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, n) == 0;
}

static void fill(const Fixture *fixture, char c, size_t n) {
        _cleanup_free_ char *bytes = malloc(n);

        assert_non_null(bytes);
        (void)memset(bytes, c, n);
        append(fixture, bytes, n);
}

static void test_a_front_that_was_cut_off_is_passed_over(_unused_ void **state) {
        _cleanup_(fixture_done) Fixture fixture;
        _cleanup_free_ char *have = NULL;
        size_t n;

        fixture_init(&fixture);
        fill(&fixture, 'x', 100000);
        if (!cut_front(&fixture, 99990))
                skip();
        assert_int_equal(log_file_open(&fixture.file, fixture.path, NULL), 0);
        assert_string_freed(printed(&fixture.file, false, NULL), "xxxxxxxxxx");

        /* And one that is cut off while it is read. */
        fill(&fixture, 'y', 200000);
        assert_true(cut_front(&fixture, 299995));
        have = printed(&fixture.file, true, &n);
        assert_int_equal(n, 5);
        assert_string_equal(have, "yyyyy");
}

static void test_nul_bytes_of_the_command_are_no_hole(_unused_ void **state) {
        _cleanup_(fixture_done) Fixture fixture;
        _cleanup_free_ char *have = NULL;
        size_t n;

        fixture_init(&fixture);
        fill(&fixture, '\0', 70000);
        append_text(&fixture, "x");
        assert_int_equal(log_file_open(&fixture.file, fixture.path, NULL), 0);
        have = printed(&fixture.file, true, &n);
        assert_int_equal(n, 70001);
        assert_int_equal(have[70000], 'x');
}

static void test_one_that_became_shorter_is_read_again(_unused_ void **state) {
        _cleanup_(fixture_done) Fixture fixture;

        fixture_init(&fixture);
        append_text(&fixture, "long enough\n");
        assert_int_equal(log_file_open(&fixture.file, fixture.path, NULL), 0);
        free(printed(&fixture.file, false, NULL));
        assert_int_equal(truncate(fixture.path, 0), 0);
        append_text(&fixture, "new\n");
        assert_string_freed(printed(&fixture.file, true, NULL), "new\n");
}

static void test_the_output_of_others_is_made_visible(_unused_ void **state) {
        _cleanup_(fixture_done) Fixture fixture;

        fixture_init(&fixture);
        append(&fixture, "a\tb\n\033[2J\0\xc3", 10);
        assert_int_equal(log_file_open(&fixture.file, fixture.path, NULL), 0);
        fixture.file.visible = true;
        /* The start of a character waits for the rest of it. */
        assert_string_freed(printed(&fixture.file, false, NULL), "a\tb\n^[[2J^@");
        append(&fixture, "\xbc\n\xe2\x80", 4);
        assert_string_freed(printed(&fixture.file, false, NULL), "\xc3\xbc\n");
        assert_string_freed(printed(&fixture.file, true, NULL), "\\xe2\\x80");
}

static void test_what_keeps_nothing_is_refused(_unused_ void **state) {
        LogFile file = LOG_FILE_NULL;
        Error error = { 0 };

        assert_int_equal(log_file_open(&file, "/dev/null", &error), -EINVAL);
        assert_non_null(strstr(error.text, "'/dev/null' is no regular file"));
        assert_int_equal(log_file_open(&file, "/no/such/file", &error), -ENOENT);
        assert_string_equal(error.text, "cannot read '/no/such/file': No such file or directory");
        assert_int_equal(file.fd, -1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_bytes_come_as_they_are_and_once),
                cmocka_unit_test(test_the_last_lines_are_counted_from_the_end),
                cmocka_unit_test(test_the_last_lines_of_a_long_file),
                cmocka_unit_test(test_a_front_that_was_cut_off_is_passed_over),
                cmocka_unit_test(test_nul_bytes_of_the_command_are_no_hole),
                cmocka_unit_test(test_one_that_became_shorter_is_read_again),
                cmocka_unit_test(test_the_output_of_others_is_made_visible),
                cmocka_unit_test(test_what_keeps_nothing_is_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
