#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * What the tests of keepers share: an agent's folder, orders, and waiting for what must come
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/epoch.h"
#include "agent/keeper-order.h"
#include "agent/record-file.h"
#include "runner/bundle.h"
#include "runner/context.h"
#include "util/cleanup.h"
#include "util/fd.h"
#include "util/units.h"

#include "check.h"

enum {
        DEADLINE_MS = 20000,
};

static char folder[64];
static uint64_t epoch;

static inline char *in_folder(const char *name) {
        char *path;

        assert_true(asprintf(&path, "%s/%s", folder, name) > 0);
        return path;
}

static inline void remove_all(void) {
        pid_t pid = fork();

        if (pid == 0) {
                (void)execl("/bin/rm", "rm", "-rf", folder, NULL);
                _exit(1);
        }
        (void)waitpid(pid, NULL, 0);
}

/* Orphans of keepers come to us, so that none is left behind unseen. */
static inline int make_agent_folder(_unused_ void **state) {
        static const char *const names[] = { "run", "logs", "cwd" };

        (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
        (void)signal(SIGPIPE, SIG_IGN);
        make_test_folder(folder);
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                _cleanup_free_ char *path = in_folder(names[i]);

                assert_int_equal(mkdir(path, 0700), 0);
        }
        assert_int_equal(epoch_begin(folder, 0, &epoch, NULL), 0);
        return 0;
}

/* All processes that a test has made are over, or it fails by the alarm. */
static inline int leave_agent_folder(_unused_ void **state) {
        (void)alarm(DEADLINE_MS / 1000);
        while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
                ;
        (void)alarm(0);
        remove_all();
        return 0;
}

/* An order, and what it borrows. */
typedef struct TestOrder {
        KeeperOrder order;
        char *context;
        char *task;
        char *log;
} TestOrder;

/* In the context of the calling process. */
static inline TestOrder make_order(uint64_t ref, char *const *argv) {
        TestOrder test = { 0 };
        const BundleTask task = { .argv = (char **)(uintptr_t)argv };
        char name[64];
        size_t n;

        assert_int_equal(context_capture(&test.context, &n, NULL), 0);
        test.order.n_context = n;
        assert_int_equal(bundle_task_compose(&task, &test.task, &n), 0);
        test.order.n_task = n;
        (void)snprintf(name, sizeof(name), "logs/%u.log", (unsigned)task_ref_id(ref));
        test.log = in_folder(name);
        test.order.ref = ref;
        test.order.attempt = 1;
        test.order.time_limit_us = TASK_TIME_INF;
        test.order.context = test.context;
        test.order.task = test.task;
        test.order.log = test.log;
        test.order.log_is_own = true;
        test.order.folder = folder;
        test.order.epoch = epoch;
        return test;
}

static inline TestOrder make_shell_order(uint64_t ref, const char *line) {
        char *argv[] = { "/bin/sh", "-c", (char *)(uintptr_t)line, NULL };

        return make_order(ref, argv);
}

static inline void order_done(TestOrder *test) {
        free(test->context);
        free(test->task);
        free(test->log);
}

static inline void wait_readable(int fd) {
        struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
        int n;

        do
                n = poll(&poll_fd, 1, DEADLINE_MS);
        while (n < 0 && errno == EINTR);
        assert_int_equal(n, 1);
}

static inline char *read_whole(const char *path) {
        char *text = NULL;

        assert_int_equal(fd_read_file(AT_FDCWD, path, &text, NULL, 16 * MIB), 0);
        return text;
}

/* The number at the beginning of what a command wrote. */
static inline pid_t read_pid(const char *text) {
        _cleanup_free_ char *word = strndup(text, strspn(text, "0123456789"));
        uint64_t pid = 0;

        assert_int_equal(units_parse_uint(word, 2, INT32_MAX, &pid, NULL), 0);
        return (pid_t)pid;
}

static inline void assert_log(const TestOrder *test, const char *want) {
        assert_string_freed(read_whole(test->order.log), want);
}

static inline Record read_record(const TestOrder *test) {
        _cleanup_free_ char *path = in_folder("run");
        _cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        char name[RECORD_NAME_MAX];
        Record record;

        record_file_name(test->order.ref, test->order.attempt, name);
        assert_int_equal(record_file_read(fd, name, &record), 0);
        return record;
}

static inline void assert_end(const RecordEnd *end, TaskState state, int exit_status, int signal) {
        assert_string_equal(task_state_to_string(end->state), task_state_to_string(state));
        assert_int_equal(end->exit_status, exit_status);
        assert_int_equal(end->signal, signal);
        assert_true(end->ended_at_us > 0);
}

/* A FIFO by which a command says how far it is, and is told to go on: both ends wait for each other. */
static inline char *make_fifo(const char *name) {
        char *path = in_folder(name);

        assert_int_equal(mkfifo(path, 0600), 0);
        return path;
}

/* What the command writes into it, a line without its end. */
static inline void hear(const char *path, char *buf, size_t n) {
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        size_t used = 0;
        ssize_t r;

        assert_true(fd >= 0);
        while (used < n - 1 && (r = read(fd, buf + used, n - 1 - used)) > 0)
                used += (size_t)r;
        buf[used] = '\0';
        buf[strcspn(buf, "\n")] = '\0';
}

static inline void tell(const char *path) {
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

        assert_int_equal(write(fd, "\n", 1), 1);
}
