/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "runner/bundle.h"
#include "runner/context.h"
#include "util/cleanup.h"
#include "util/fd.h"
#include "util/strv.h"

#include "check.h"

static char *words[] = { "/bin/sh", "-c", "echo \xff\xfe", "Gr\xc3\xbc\xc3\x9f\x65", "", NULL };
static char *plain[] = { "echo", NULL };

static int capture(const BundleTask *tasks, size_t n) {
        int fd = -1;

        assert_int_equal(bundle_capture(&fd, tasks, n, NULL), 0);
        assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        return fd;
}

static void assert_words(char *const *have, char *const *want) {
        assert_int_equal(strv_n(have), strv_n(want));
        for (size_t i = 0; want[i]; i++)
                assert_string_equal(have[i], want[i]);
}

static void test_tasks_arrive_byte_for_byte(_unused_ void **state) {
        const BundleTask tasks[] = {
                { .argv = words },
                { .argv = plain, .output = "/tmp/\xff{id}" },
                { .argv = words, .plain_argv = plain },
        };
        _cleanup_close_ int fd = capture(tasks, ELEMENTSOF(tasks));
        _cleanup_(bundle_freep) Bundle *bundle = NULL;

        assert_int_equal(bundle_open(&bundle, fd, NULL), 0);
        assert_int_equal(bundle_n_tasks(bundle), ELEMENTSOF(tasks));
        for (size_t i = 0; i < ELEMENTSOF(tasks); i++) {
                BundlePart part = bundle_task(bundle, i);
                BundleTask task;

                assert_int_equal(bundle_task_parse(&task, part.bytes, part.n), 0);
                assert_words(task.argv, tasks[i].argv);
                assert_int_equal(!task.plain_argv, !tasks[i].plain_argv);
                if (task.plain_argv)
                        assert_words(task.plain_argv, tasks[i].plain_argv);
                assert_int_equal(!task.output, !tasks[i].output);
                if (task.output)
                        assert_string_equal(task.output, tasks[i].output);
                bundle_task_done(&task);
        }
}

static void test_it_has_the_context(_unused_ void **state) {
        const BundleTask task = { .argv = words };
        _cleanup_close_ int fd = capture(&task, 1);
        _cleanup_(bundle_freep) Bundle *bundle = NULL;
        _cleanup_free_ char *bytes = NULL;
        BundlePart part;
        size_t n;

        assert_int_equal(bundle_open(&bundle, fd, NULL), 0);
        assert_int_equal(context_capture(&bytes, &n, NULL), 0);
        part = bundle_context(bundle);
        assert_int_equal(part.n, n);
        assert_memory_equal(part.bytes, bytes, n);
}

static void test_nobody_can_change_it_any_more(_unused_ void **state) {
        const BundleTask task = { .argv = words };
        _cleanup_close_ int fd = capture(&task, 1);

        assert_int_equal(ftruncate(fd, 10), -1);
        assert_int_equal(pwrite(fd, "x", 1, 0), -1);
        assert_int_equal(fcntl(fd, F_ADD_SEALS, 0), -1);
}

static void test_what_can_change_is_refused(_unused_ void **state) {
        const BundleTask task = { .argv = words };
        _cleanup_close_ int sealed = capture(&task, 1);
        _cleanup_close_ int open_fd = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        _cleanup_close_ int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        char bytes[65536];
        ssize_t n = pread(sealed, bytes, sizeof(bytes), 0);
        Bundle *bundle = NULL;
        Error error;

        assert_true(n > 0);
        assert_int_equal(fd_write_all(open_fd, bytes, (size_t)n), 0);
        assert_int_equal(bundle_open(&bundle, open_fd, &error), -EBADMSG);
        assert_string_equal(error.text, "what came is no sealed bundle");
        assert_int_equal(fcntl(open_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
        assert_int_equal(bundle_open(&bundle, open_fd, &error), -EBADMSG);
        assert_int_equal(bundle_open(&bundle, null_fd, &error), -EBADMSG);
        assert_int_equal(bundle_open(&bundle, -1, &error), -EBADMSG);
        assert_null(bundle);
}

static void test_large_ones_fit(_unused_ void **state) {
        enum {
                N = 100 * 1000,
        };
        _cleanup_free_ char *large = malloc(N + 1);
        char *argv[] = { "/bin/echo", large, NULL };
        _cleanup_free_ BundleTask *tasks = calloc(BUNDLE_TASKS_MAX, sizeof(*tasks));
        _cleanup_(bundle_freep) Bundle *bundle = NULL;
        _cleanup_close_ int fd = -1;
        char name[16];
        int r;

        (void)memset(large, 'x', N);
        large[N] = '\0';
        for (int i = 0; i < 10; i++) {
                (void)snprintf(name, sizeof(name), "LARGE_%d", i);
                (void)setenv(name, large, 1);
        }
        for (size_t i = 0; i < BUNDLE_TASKS_MAX; i++)
                tasks[i].argv = i == 0 ? argv : words;
        r = bundle_capture(&fd, tasks, BUNDLE_TASKS_MAX, NULL);
        for (int i = 0; i < 10; i++) {
                (void)snprintf(name, sizeof(name), "LARGE_%d", i);
                (void)unsetenv(name);
        }
        assert_int_equal(r, 0);
        assert_int_equal(bundle_open(&bundle, fd, NULL), 0);
        assert_int_equal(bundle_n_tasks(bundle), BUNDLE_TASKS_MAX);
        assert_true(bundle_context(bundle).n > (size_t)10 * N);
}

static void test_what_is_too_large_is_refused_with_the_limit(_unused_ void **state) {
        _cleanup_free_ char *large = malloc(BUNDLE_TASK_MAX + 1);
        char *argv[] = { "/bin/echo", large, NULL };
        BundleTask tasks[17] = { { .argv = argv } };
        Error error;
        int fd = -1;

        (void)memset(large, 'x', BUNDLE_TASK_MAX);
        large[BUNDLE_TASK_MAX] = '\0';
        assert_int_equal(bundle_capture(&fd, tasks, 1, &error), -E2BIG);
        assert_string_equal(error.text, "the command is too long: at most 4M of words can be kept");
        large[BUNDLE_TASK_MAX - 100] = '\0';
        for (size_t i = 0; i < ELEMENTSOF(tasks); i++)
                tasks[i].argv = argv;
        assert_int_equal(bundle_capture(&fd, tasks, ELEMENTSOF(tasks), &error), -E2BIG);
        assert_string_equal(error.text,
                            "the commands are too long: at most 64M can be submitted at once");
        assert_int_equal(fd, -1);
}

static void test_cut_or_changed_bytes_are_refused(_unused_ void **state) {
        const BundleTask tasks[] = { { .argv = words }, { .argv = words, .output = "/tmp/x" } };
        _cleanup_free_ char *bytes = malloc(65536);
        _cleanup_close_ int fd = -1;
        Bundle *bundle = NULL;
        ssize_t n;

        clear_test_environment();
        fd = capture(tasks, ELEMENTSOF(tasks));
        n = pread(fd, bytes, 65536, 0);
        assert_int_equal(bundle_parse(&bundle, bytes, (size_t)n), 0);
        bundle = bundle_free(bundle);
        for (ssize_t i = 0; i < n; i++) {
                _cleanup_free_ char *exact = malloc((size_t)i + 1);

                (void)memcpy(exact, bytes, (size_t)i);
                assert_int_equal(bundle_parse(&bundle, exact, (size_t)i), -EBADMSG);
        }
        bytes[n] = '\0';
        assert_int_equal(bundle_parse(&bundle, bytes, (size_t)n + 1), -EBADMSG);
        assert_null(bundle);
}

static void test_a_task_needs_a_word_and_an_absolute_output(_unused_ void **state) {
        static const struct {
                const char *bytes;
                size_t n;
                int r;
        } cases[] = {
                { "1\0a\0"
                  "0\0"
                  "\0",
                  7, 0 },
                { "1\0a\0"
                  "1\0b\0"
                  "/x\0",
                  11, 0 },
                { "0\0"
                  "0\0"
                  "\0",
                  5, -EBADMSG },
                { "1\0a\0"
                  "0\0"
                  "x\0",
                  8, -EBADMSG },
                { "1\0a\0"
                  "0\0"
                  "\0"
                  "\0",
                  8, -EBADMSG },
                { "1\0a\0"
                  "0\0",
                  6, -EBADMSG },
                { "", 0, -EBADMSG },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                BundleTask task = { 0 };

                assert_int_equal(bundle_task_parse(&task, cases[i].bytes, cases[i].n), cases[i].r);
                bundle_task_done(&task);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_tasks_arrive_byte_for_byte),
                cmocka_unit_test(test_it_has_the_context),
                cmocka_unit_test(test_nobody_can_change_it_any_more),
                cmocka_unit_test(test_what_can_change_is_refused),
                cmocka_unit_test(test_large_ones_fit),
                cmocka_unit_test(test_what_is_too_large_is_refused_with_the_limit),
                cmocka_unit_test(test_cut_or_changed_bytes_are_refused),
                cmocka_unit_test(test_a_task_needs_a_word_and_an_absolute_output),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
