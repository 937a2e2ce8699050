/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <errno.h>
#include <grp.h>
#include <sched.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runner/context.h"
#include "util/cleanup.h"

#include "check.h"

static Context *capture(char **ret_bytes) {
        Context *context = NULL;
        size_t n;

        assert_int_equal(context_capture(ret_bytes, &n, NULL), 0);
        assert_int_equal(context_parse(&context, *ret_bytes, n), 0);
        return context;
}

static void test_it_is_what_the_process_has(_unused_ void **state) {
        _cleanup_(context_freep) Context *context = NULL;
        _cleanup_free_ char *bytes = NULL;
        _cleanup_free_ char *cwd = getcwd(NULL, 0);
        mode_t before = umask(0123);
        struct rlimit limit;
        size_t n = 0;

        (void)setenv("ODD", "\xff=\xfe", 1);
        context = capture(&bytes);
        assert_int_equal(umask(before), 0123);
        assert_string_equal(context->cwd, cwd);
        assert_int_equal(context->umask, 0123);
        for (size_t i = 0; i < N_CONTEXT_LIMITS; i++) {
                assert_int_equal(getrlimit((__rlimit_resource_t)i, &limit), 0);
                assert_true(context->limits[i].rlim_cur == limit.rlim_cur);
                assert_true(context->limits[i].rlim_max == limit.rlim_max);
        }
        assert_int_equal(context->nice, getpriority(PRIO_PROCESS, 0));
        assert_true(context->n_cpus_bytes > 0);
        assert_int_equal(context->gid, getegid());
        while (environ[n]) {
                assert_string_equal(context->environment[n], environ[n]);
                n++;
        }
        assert_null(context->environment[n]);
}

static void test_equal_contexts_are_equal_bytes(_unused_ void **state) {
        _cleanup_free_ char *one = NULL;
        _cleanup_free_ char *two = NULL;
        size_t n_one, n_two;

        assert_int_equal(context_capture(&one, &n_one, NULL), 0);
        assert_int_equal(context_capture(&two, &n_two, NULL), 0);
        assert_int_equal(n_one, n_two);
        assert_memory_equal(one, two, n_one);
}

static void test_cut_or_longer_bytes_are_refused(_unused_ void **state) {
        _cleanup_free_ char *bytes = NULL;
        Context *context = NULL;
        size_t n;

        clear_test_environment();
        (void)setenv("A", "b", 1);
        assert_int_equal(context_capture(&bytes, &n, NULL), 0);
        for (size_t i = 0; i < n; i++) {
                _cleanup_free_ char *exact = malloc(i + 1);

                assert_int_equal(context_parse(&context, memcpy(exact, bytes, i), i), -EBADMSG);
        }
        bytes = realloc(bytes, n + 1);
        bytes[n] = '\0';
        assert_int_equal(context_parse(&context, bytes, n + 1), -EBADMSG);
        assert_null(context);
}

/* Runs in a child, as it changes the process. Return: its status. */
static int in_child(int (*fn)(const Context *), const Context *context) {
        int status;
        pid_t pid = fork();

        if (pid == 0)
                _exit(fn(context));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        return WEXITSTATUS(status);
}

static int apply_elsewhere(const Context *context) {
        struct rlimit limit = { 100, 100 };
        char cwd[4096];

        (void)umask(0);
        if (chdir("/") < 0 || nice(3) < 0)
                return 1;
        if (context_apply(context) != 0)
                return 2;
        if (!getcwd(cwd, sizeof(cwd)) || strcmp(cwd, context->cwd) != 0)
                return 3;
        if (umask(0) != context->umask)
                return 4;
        if (getrlimit(RLIMIT_CORE, &limit) < 0 ||
            limit.rlim_cur != context->limits[RLIMIT_CORE].rlim_cur)
                return 5;
        return 0;
}

static void test_it_can_be_had_again(_unused_ void **state) {
        _cleanup_free_ char *bytes = NULL;
        _cleanup_(context_freep) Context *context = capture(&bytes);

        context->umask = 0123;
        context->limits[RLIMIT_CORE].rlim_cur = 0;
        assert_int_equal(in_child(apply_elsewhere, context), 0);
        context->cwd = "/no/such/folder";
        assert_int_equal(context_apply(context), ENOENT);
}

/* With fewer rights, and without the limit that the submitter had. */
static int lose_rights(void) {
        gid_t group = 4242;

        if (setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 50, 60 }) < 0)
                return -1;
        if (geteuid() == 0 && (setgroups(1, &group) < 0 || setgid(4243) < 0 || setuid(4242) < 0))
                return -1;
        return 0;
}

static int apply_as_far_as_it_goes(const Context *context) {
        struct rlimit limit;

        if (lose_rights() < 0)
                return 1;
        if (context_apply(context) != 0)
                return 2;
        if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_max != 60 || limit.rlim_cur != 60)
                return 3;
        return 0;
}

static void test_a_limit_that_cannot_be_had_is_had_as_far_as_it_can(_unused_ void **state) {
        _cleanup_free_ char *bytes = NULL;
        _cleanup_(context_freep) Context *context = capture(&bytes);

        context->cwd = "/";
        context->limits[RLIMIT_NOFILE] = (struct rlimit){ 70, 80 };
        assert_int_equal(in_child(apply_as_far_as_it_goes, context), 0);
}

static void test_nothing_is_missing_in_the_same_process(_unused_ void **state) {
        _cleanup_free_ char *bytes = NULL;
        _cleanup_(context_freep) Context *context = capture(&bytes);
        char *missing = "";

        assert_int_equal(context_missing(context, &missing), 0);
        assert_null(missing);
}

static int miss(const Context *context) {
        char *missing = NULL;

        if (lose_rights() < 0)
                return 1;
        if (context_missing(context, &missing) < 0 || !missing)
                return 2;
        return strcmp(missing,
                      "the command will run without its limit of open files, group 7 as its own, "
                      "group 8, the host name of this place (another namespace): "
                      "the agent, which starts it, has it not") == 0 ?
                       0 :
                       3;
}

static void test_what_is_missing_is_named(_unused_ void **state) {
        _cleanup_free_ char *bytes = NULL;
        _cleanup_(context_freep) Context *context = capture(&bytes);
        gid_t groups[] = { 8 };

        context->limits[RLIMIT_NOFILE] = (struct rlimit){ 70, 80 };
        context->gid = 7;
        context_look_at(context, getpid());
        context->namespaces[5]++;
        free(context->groups);
        context->groups = groups;
        context->n_groups = 1;
        assert_int_equal(in_child(miss, context), 0);
        context->groups = NULL;
}

static int capture_without_a_folder(_unused_ const Context *context) {
        char path[64], *bytes;
        Error error = { 0 };
        size_t n;

        make_test_folder(path);
        if (chdir(path) < 0 || rmdir(path) < 0)
                return 1;
        if (context_capture(&bytes, &n, &error) != -ENOENT)
                return 2;
        return strcmp(error.text, "cannot find the current folder: No such file or directory") ==
                               0 ?
                       0 :
                       3;
}

static void test_a_folder_that_is_gone_cannot_be_captured(_unused_ void **state) {
        assert_int_equal(in_child(capture_without_a_folder, NULL), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_it_is_what_the_process_has),
                cmocka_unit_test(test_equal_contexts_are_equal_bytes),
                cmocka_unit_test(test_cut_or_longer_bytes_are_refused),
                cmocka_unit_test(test_it_can_be_had_again),
                cmocka_unit_test(test_a_limit_that_cannot_be_had_is_had_as_far_as_it_can),
                cmocka_unit_test(test_nothing_is_missing_in_the_same_process),
                cmocka_unit_test(test_what_is_missing_is_named),
                cmocka_unit_test(test_a_folder_that_is_gone_cannot_be_captured),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
