/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/fd.h"

#include "check.h"

typedef struct Folder {
        char path[64];
        int fd;
} Folder;

static int set_up(void **state) {
        Folder *folder = calloc(1, sizeof(*folder));

        make_test_folder(folder->path);
        folder->fd = open(folder->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(folder->fd >= 0);
        *state = folder;
        return 0;
}

static int tear_down(void **state) {
        static const char *const files[] = { "file", "large", "fifo", "a/b/file" };
        static const char *const folders[] = { "a/b/c", "a/b", "a" };
        Folder *folder = *state;

        for (size_t i = 0; i < ELEMENTSOF(files); i++)
                (void)unlinkat(folder->fd, files[i], 0);
        for (size_t i = 0; i < ELEMENTSOF(folders); i++)
                (void)unlinkat(folder->fd, folders[i], AT_REMOVEDIR);
        folder->fd = fd_close(folder->fd);
        /* fails, and the test with it, if anything was left behind */
        assert_int_equal(rmdir(folder->path), 0);
        free(folder);
        return 0;
}

static void test_closing_keeps_errno(_unused_ void **state) {
        errno = ENXIO;
        assert_int_equal(fd_close(-1), -1);
        assert_int_equal(fd_close(1 << 20), -1);
        assert_int_equal(errno, ENXIO);
}

static void test_what_was_written_is_read(void **state) {
        const Folder *folder = *state;
        _cleanup_free_ char *data = NULL;
        struct stat st;
        size_t n = 0;

        assert_int_equal(fd_write_file_atomic(folder->fd, "file", "a\0b", 3, 0640), 0);
        assert_int_equal(fd_read_file(folder->fd, "file", &data, &n, 100), 0);
        assert_int_equal(n, 3);
        assert_memory_equal(data, "a\0b\0", 4);
        assert_int_equal(fstatat(folder->fd, "file", &st, 0), 0);
        assert_int_equal(st.st_mode & 07777, 0640);
}

static void test_a_file_is_replaced_whole(void **state) {
        const Folder *folder = *state;
        _cleanup_free_ char *data = NULL;

        assert_int_equal(fd_write_file_atomic(folder->fd, "file", "long content", 12, 0600), 0);
        assert_int_equal(fd_write_file_atomic(folder->fd, "file", "new", 3, 0600), 0);
        assert_int_equal(fd_read_file(folder->fd, "file", &data, NULL, 100), 0);
        assert_string_equal(data, "new");
}

/* tear_down() finds whatever would be left behind. */
static void test_a_failure_leaves_nothing_behind(void **state) {
        const Folder *folder = *state;

        assert_int_equal(mkdirat(folder->fd, "a", 0700), 0);
        assert_int_equal(fd_write_file_atomic(folder->fd, "a", "x", 1, 0600), -EISDIR);
        assert_int_equal(fd_write_file_atomic(folder->fd, "no/file", "x", 1, 0600), -ENOENT);
}

static void test_the_bound_is_kept(void **state) {
        const Folder *folder = *state;
        char *data = NULL;
        size_t n = 0;
        char large[10000];

        memset(large, 'x', sizeof(large));
        assert_int_equal(fd_write_file_atomic(folder->fd, "large", large, sizeof(large), 0600), 0);
        assert_int_equal(fd_read_file(folder->fd, "large", &data, &n, sizeof(large) - 1), -EFBIG);
        assert_int_equal(fd_read_file(folder->fd, "large", &data, &n, 0), -EFBIG);
        assert_null(data);
        assert_int_equal(n, 0);
        assert_int_equal(fd_read_file(folder->fd, "large", &data, &n, sizeof(large)), 0);
        assert_int_equal(n, sizeof(large));
        free(data);
}

static void test_what_is_no_file_is_refused(void **state) {
        const Folder *folder = *state;
        char *data = NULL;

        assert_int_equal(fd_read_file(folder->fd, "none", &data, NULL, 10), -ENOENT);
        assert_int_equal(fd_read_file(folder->fd, ".", &data, NULL, 10), -EISDIR);
        assert_null(data);
}

/* A FIFO without a writer would make open() wait for ever. */
static void test_a_fifo_holds_nobody_up(void **state) {
        const Folder *folder = *state;
        char *data = NULL;

        assert_int_equal(mkfifoat(folder->fd, "fifo", 0600), 0);
        assert_int_equal(fd_read_file(folder->fd, "fifo", &data, NULL, 10), 0);
        assert_string_freed(data, "");
}

static void test_files_of_proc_are_read(_unused_ void **state) {
        _cleanup_free_ char *data = NULL;
        size_t n = 0;

        assert_int_equal(fd_read_file(AT_FDCWD, "/proc/self/status", &data, &n, 1 << 20), 0);
        assert_true(n > 0);
        assert_memory_equal(data, "Name:", 5);
}

static void test_folders_are_made_on_the_way(void **state) {
        const Folder *folder = *state;
        char path[128];
        struct stat st;

        (void)snprintf(path, sizeof(path), "%s//a/b///c/", folder->path);
        assert_int_equal(fd_mkdir_p(path, 0700), 0);
        assert_int_equal(fd_mkdir_p(path, 0755), 0);
        assert_int_equal(fstatat(folder->fd, "a/b", &st, 0), 0);
        assert_true(S_ISDIR(st.st_mode));
        assert_int_equal(st.st_mode & 07777, 0700);

        assert_int_equal(fd_write_file_atomic(folder->fd, "a/b/file", "", 0, 0600), 0);
        (void)snprintf(path, sizeof(path), "%s/a/b/file/d", folder->path);
        assert_int_equal(fd_mkdir_p(path, 0700), -ENOTDIR);
        (void)snprintf(path, sizeof(path), "%s/a/b/file", folder->path);
        assert_int_equal(fd_mkdir_p(path, 0700), -ENOTDIR);
        assert_int_equal(fd_mkdir_p("", 0700), -ENOENT);
        assert_int_equal(fd_mkdir_p("/", 0700), 0);
}

static void test_not_waiting_can_be_chosen(_unused_ void **state) {
        int fds[2];
        char c;

        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        assert_int_equal(fd_set_nonblock(fds[0], true), 0);
        assert_int_equal(read(fds[0], &c, 1), -1);
        assert_int_equal(errno, EAGAIN);
        assert_int_equal(fd_write_all(fds[1], "x", 1), 0);
        assert_int_equal(fd_set_nonblock(fds[0], false), 0);
        assert_int_equal(fcntl(fds[0], F_GETFL) & O_NONBLOCK, 0);
        assert_int_equal(read(fds[0], &c, 1), 1);
        (void)fd_close(fds[0]);
        (void)fd_close(fds[1]);
        assert_int_equal(fd_set_nonblock(fds[1], true), -EBADF);
        assert_int_equal(fd_write_all(fds[1], "x", 1), -EBADF);
}

static void test_what_is_written_at_a_place_is_there_whole(void **state) {
        const struct rlimit small = { .rlim_cur = 6, .rlim_max = RLIM_INFINITY };
        _cleanup_free_ char *text = NULL;
        struct rlimit before;
        Folder *folder = *state;
        int fd = openat(folder->fd, "file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

        assert_int_equal(fd_write_at(fd, "abcd", 4, 0), 0);
        assert_int_equal(fd_write_at(fd, "xy", 2, 1), 0);

        (void)signal(SIGXFSZ, SIG_IGN);
        assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        assert_int_equal(fd_write_at(fd, "1234", 4, 4), -ENOSPC); /* there is room for two */
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);

        assert_int_equal(fd_read_file(folder->fd, "file", &text, NULL, 16), 0);
        assert_string_equal(text, "axyd12");
        fd = fd_close(fd);
        assert_int_equal(fd_write_at(fd, "x", 1, 0), -EBADF);
}

static void test_a_limit_counts_as_it_is_now(_unused_ void **state) {
        struct rlimit before, low;
        int fd = dup(0);

        assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
        assert_false(fd_is_short_of(fd, 4));
        low = before;
        low.rlim_cur = (rlim_t)fd + 6; /* numbers fd + 1 to fd + 5 are free */
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
        assert_false(fd_is_short_of(fd, 4));
        assert_true(fd_is_short_of(fd, 5));
        low.rlim_cur = (rlim_t)fd;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
        assert_true(fd_is_short_of(fd, 0));
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        (void)fd_close(fd);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_closing_keeps_errno),
                cmocka_unit_test_setup_teardown(test_what_was_written_is_read, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_a_file_is_replaced_whole, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_a_failure_leaves_nothing_behind, set_up,
                                                tear_down),
                cmocka_unit_test_setup_teardown(test_the_bound_is_kept, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_what_is_no_file_is_refused, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_a_fifo_holds_nobody_up, set_up, tear_down),
                cmocka_unit_test(test_files_of_proc_are_read),
                cmocka_unit_test_setup_teardown(test_folders_are_made_on_the_way, set_up,
                                                tear_down),
                cmocka_unit_test(test_not_waiting_can_be_chosen),
                cmocka_unit_test_setup_teardown(test_what_is_written_at_a_place_is_there_whole,
                                                set_up, tear_down),
                cmocka_unit_test(test_a_limit_counts_as_it_is_now),
        };

        return cmocka_run_group_tests_name("util-fd", tests, NULL, NULL);
}
