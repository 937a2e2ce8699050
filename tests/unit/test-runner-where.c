/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runner/where.h"
#include "util/cleanup.h"

#include "check.h"

enum {
        NO_RIGHT = 77,
};

/* What @fn returns in a child of its own namespaces, which are @flags; NO_RIGHT without a right to them. */
static int elsewhere(int flags, int (*fn)(const void *arg), const void *arg) {
        int status;
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0)
                _exit(unshare(flags) < 0 ? NO_RIGHT : fn(arg));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        return WEXITSTATUS(status);
}

static int is_other(const void *arg) {
        char there[WHERE_MAX];

        if (sethostname("elsewhere", strlen("elsewhere")) < 0 && errno != EPERM)
                return 2;
        return where_write(there) && strcmp(there, arg) != 0 ? 0 : 1;
}

static void check_is_other(int flags) {
        char here[WHERE_MAX], again[WHERE_MAX];
        int r;

        if (!where_write(here))
                skip(); /* an old kernel */
        assert_string_equal(where_write(again), here);
        r = elsewhere(flags, is_other, here);
        if (r == NO_RIGHT)
                skip();
        assert_int_equal(r, 0);
        assert_string_equal(where_write(again), here);
}

static void test_other_mounts_are_another_place(_unused_ void **state) {
        check_is_other(CLONE_NEWNS | CLONE_NEWUTS);
}

static void test_another_host_name_is_another_place(_unused_ void **state) {
        check_is_other(CLONE_NEWUTS);
}

static int connect_to(const void *arg) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        /* A path, not an abstract name: those are of the network namespace. */
        return fd >= 0 && connect(fd, arg, sizeof(struct sockaddr_un)) == 0 ? 0 : 1;
}

static void test_a_caller_from_another_network_is_noticed(_unused_ void **state) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), near = -1,
                            far = -1;
        char folder[64];
        int r;

        make_test_folder(folder);
        (void)snprintf(address.sun_path, sizeof(address.sun_path), "%.60s/s", folder);
        assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        assert_int_equal(listen(fd, 2), 0);

        assert_int_equal(elsewhere(0, connect_to, &address), 0);
        near = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
        assert_true(near >= 0);
        r = elsewhere(CLONE_NEWNET, connect_to, &address);
        if (r == 0) {
                far = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
                assert_true(far >= 0);
                assert_false(where_is_same_net(far, fd));
                assert_true(where_is_same_net(near, fd));
        }
        assert_int_equal(unlink(address.sun_path), 0);
        assert_int_equal(rmdir(folder), 0);
        if (r != 0)
                skip();
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_other_mounts_are_another_place),
                cmocka_unit_test(test_another_host_name_is_another_place),
                cmocka_unit_test(test_a_caller_from_another_network_is_noticed),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
