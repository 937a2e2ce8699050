/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/epoch.h"
#include "util/cleanup.h"
#include "util/fd.h"

#include "check.h"

#define LONG_US (60 * US_PER_SEC)

static char folder[64];
static char path[80];
static int folder_fd = -1;

static int set_up(_unused_ void **state) {
        make_test_folder(folder);
        (void)snprintf(path, sizeof(path), "%s/epoch", folder);
        folder_fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
        return folder_fd < 0;
}

static int tear_down(_unused_ void **state) {
        folder_fd = fd_close(folder_fd);
        (void)unlink(path);
        return rmdir(folder);
}

static uint64_t begin(void) {
        Error error = { 0 };
        uint64_t epoch = 0;

        if (epoch_begin(folder, LONG_US, &epoch, &error) < 0)
                fail_msg("%s", error.text);
        return epoch;
}

static int enter(uint64_t epoch) {
        int fd = -1;

        assert_int_equal(epoch_enter(&fd, folder_fd, epoch), 0);
        assert_true(fd >= 0);
        return fd;
}

static void test_one_ends_when_the_next_begins(_unused_ void **state) {
        uint64_t first = begin(), second;
        int fd = -1;

        (void)fd_close(enter(first));
        second = begin();
        assert_int_equal(epoch_enter(&fd, folder_fd, first), EPOCH_E_OVER);
        assert_int_equal(fd, -1);
        (void)fd_close(enter(second));
}

static void test_several_are_in_one_at_once(_unused_ void **state) {
        uint64_t epoch = begin();
        int first = enter(epoch), second = enter(epoch);

        (void)fd_close(first);
        (void)fd_close(second);
}

static bool has_it_open(pid_t pid) {
        char link[64], target[sizeof(path)];

        for (int fd = 0; fd < 64; fd++) {
                ssize_t n;

                (void)snprintf(link, sizeof(link), "/proc/%d/fd/%d", (int)pid, fd);
                n = readlink(link, target, sizeof(target) - 1);
                if (n < 0)
                        continue;
                target[n] = '\0';
                if (strcmp(target, path) == 0)
                        return true;
        }
        return false;
}

/* What it leaves behind is there when the next one has begun. */
static void test_who_is_in_one_is_waited_for(_unused_ void **state) {
        _cleanup_close_ int fd = enter(begin());
        char mark[sizeof(path) + 8];
        int status;
        pid_t pid;

        (void)snprintf(mark, sizeof(mark), "%s/claimed", folder);
        pid = fork();
        if (pid == 0) {
                uint64_t epoch;

                (void)fd_close(fd);
                if (epoch_begin(folder, LONG_US, &epoch, NULL) < 0)
                        _exit(2);
                _exit(access(mark, F_OK) == 0 ? 0 : 1);
        }
        assert_true(pid > 0);
        while (!has_it_open(pid)) {
                assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
                (void)poll(NULL, 0, 1);
        }
        (void)close(open(mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
        fd = fd_close(fd);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(unlink(mark), 0);
        assert_int_equal(status, 0);
}

static void test_who_stays_in_one_is_told_of(_unused_ void **state) {
        uint64_t epoch = begin(), next;
        int fd = enter(epoch);
        Error error = { 0 };

        assert_int_equal(epoch_begin(folder, 0, &next, &error), -ETIMEDOUT);
        assert_non_null(strstr(error.text, path));
        (void)fd_close(enter(epoch)); /* it goes on */
        (void)fd_close(fd);
}

static void test_what_is_no_number_is_no_epoch(_unused_ void **state) {
        static const char *const contents[] = { "", "1234567", "12345678", "123456789abcdef" };
        uint64_t epoch = begin();
        int fd = -1;

        for (size_t i = 0; i < ELEMENTSOF(contents); i++) {
                assert_int_equal(fd_write_file_atomic(AT_FDCWD, path, contents[i],
                                                      strlen(contents[i]), 0600),
                                 0);
                assert_int_equal(epoch_enter(&fd, folder_fd, epoch), EPOCH_E_OVER);
        }
        epoch = begin();
        (void)fd_close(enter(epoch));
        assert_int_equal(unlink(path), 0);
        assert_int_equal(epoch_enter(&fd, folder_fd, epoch), -ENOENT);
        assert_int_equal(fd, -1);
}

static void test_a_folder_that_takes_none_is_named(_unused_ void **state) {
        Error error = { 0 };
        uint64_t epoch;

        assert_int_equal(epoch_begin("/no/such/folder", 0, &epoch, &error), -ENOENT);
        assert_string_equal(error.text,
                            "cannot write '/no/such/folder/epoch': No such file or directory");

        /* nor is it put where a link leads to */
        (void)unlink(path);
        assert_int_equal(symlink("elsewhere", path), 0);
        assert_int_equal(epoch_begin(folder, 0, &epoch, &error), -ELOOP);
        assert_int_equal(unlink(path), 0);
}

#define epoch_test(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                epoch_test(test_one_ends_when_the_next_begins),
                epoch_test(test_several_are_in_one_at_once),
                epoch_test(test_who_is_in_one_is_waited_for),
                epoch_test(test_who_stays_in_one_is_told_of),
                epoch_test(test_what_is_no_number_is_no_epoch),
                epoch_test(test_a_folder_that_takes_none_is_named),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
