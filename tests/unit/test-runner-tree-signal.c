/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "probe/tree.h"
#include "runner/tree-signal.h"
#include "util/cleanup.h"

#include "check.h"

static int proc_fd = -1;

static int set_up(_unused_ void **state) {
        proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return proc_fd < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0;
}

static int tear_down(_unused_ void **state) {
        proc_fd = fd_close(proc_fd);
        return 0;
}

/* All children, however they ended; how many by @signal. */
static unsigned reap(int signal) {
        unsigned n = 0;
        int status;

        while (waitpid(-1, &status, 0) > 0)
                n += WIFSIGNALED(status) && WTERMSIG(status) == signal;
        return n;
}

static void wait_for_byte(int fd) {
        char byte;

        assert_int_equal(read(fd, &byte, 1), 1);
}

/* A child in a session of its own, whose child has lost its parent, too. */
static void make_family(bool ignore_term) {
        int fds[2];
        pid_t pid;

        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        pid = fork();
        if (pid == 0) {
                (void)setsid();
                if (ignore_term)
                        (void)signal(SIGTERM, SIG_IGN);
                if (fork() == 0) {
                        if (fork() > 0)
                                _exit(0);
                }
                if (write(fds[1], "x", 1) != 1)
                        _exit(1);
                for (;;)
                        (void)pause();
        }
        wait_for_byte(fds[0]);
        wait_for_byte(fds[0]);
        (void)fd_close(fds[0]);
        (void)fd_close(fds[1]);
}

static void test_it_reaches_those_that_left_the_session(_unused_ void **state) {
        make_family(false);
        assert_int_equal(tree_signal(proc_fd, SIGTERM, true), 0);
        assert_int_equal(reap(SIGTERM), 2);
}

static void test_kill_ends_those_that_do_not_listen(_unused_ void **state) {
        _cleanup_free_ pid_t *pids = NULL;

        make_family(true);
        assert_int_equal(tree_signal(proc_fd, SIGTERM, true), 0);
        assert_true(tree_pids(proc_fd, getpid(), getuid(), &pids) >= 2);
        assert_int_equal(tree_signal(proc_fd, SIGKILL, false), 0);
        assert_int_equal(reap(SIGKILL), 2);
}

static void test_a_stopped_one_is_woken_to_obey(_unused_ void **state) {
        int status;
        pid_t pid;

        pid = fork();
        if (pid == 0) {
                (void)raise(SIGSTOP);
                for (;;)
                        (void)pause();
        }
        assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
        assert_int_equal(tree_signal(proc_fd, SIGTERM, true), 0);
        assert_int_equal(reap(SIGTERM), 1);
}

/* More than the descriptors that it holds at once. */
static void test_many_are_reached(_unused_ void **state) {
        enum {
                N = 450
        };

        for (size_t i = 0; i < N; i++)
                if (fork() == 0)
                        for (;;)
                                (void)pause();
        assert_int_equal(tree_signal(proc_fd, SIGTERM, true), 0);
        assert_int_equal(reap(SIGTERM), N);
}

static void test_without_descendants_nothing_happens(_unused_ void **state) {
        assert_int_equal(tree_signal(proc_fd, SIGKILL, false), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_it_reaches_those_that_left_the_session),
                cmocka_unit_test(test_kill_ends_those_that_do_not_listen),
                cmocka_unit_test(test_a_stopped_one_is_woken_to_obey),
                cmocka_unit_test(test_many_are_reached),
                cmocka_unit_test(test_without_descendants_nothing_happens),
        };

        return cmocka_run_group_tests(tests, set_up, tear_down);
}
