/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <string.h>
#include <unistd.h>

#include "cli/new-task.h"
#include "cli/queue-tasks.h"
#include "util/cleanup.h"
#include "util/strv.h"
#include "wire/message.h"

#include "check.h"

static void make(const RunOptions *options, const char *line, NewTask *ret) {
        char *words[] = { (char *)(uintptr_t)line, NULL };

        assert_int_equal(new_task_make(options, words, ret, NULL), 0);
}

static void test_a_line_is_what_the_shell_gets(_unused_ void **state) {
        const RunOptions options = { .detach = { "yes", true } };
        _cleanup_(new_task_done) NewTask task = { 0 };
        _cleanup_(new_task_done) NewTask plain = { 0 };

        make(&options, "echo 'a  b' | cat", &task);
        assert_int_equal(strv_n(task.argv), 3);
        assert_string_equal(task.argv[1], "-c");
        assert_string_equal(task.argv[2], "echo 'a  b' | cat");
        assert_null(task.plain_argv);
        assert_null(task.output);
        assert_string_equal(task.task->command, "echo 'a  b' | cat");

        assert_int_equal(setenv("SHELL", "/bin/sh", 1), 0);
        make(&options, "make all", &plain);
        assert_int_equal(strv_n(plain.plain_argv), 2);
        assert_string_equal(plain.plain_argv[1], "all");
        assert_memory_not_equal(plain.task->key, task.task->key, TASK_KEY_BYTES);
}

static void test_an_output_is_beside_whoever_asks(_unused_ void **state) {
        const RunOptions here = { .detach = { "yes", true }, .output = "a/{id}\xff" };
        const RunOptions there = { .detach = { "yes", true }, .output = "/tmp/log" };
        _cleanup_free_ char *cwd = getcwd(NULL, 0);
        _cleanup_(new_task_done) NewTask task = { 0 };
        _cleanup_(new_task_done) NewTask absolute = { 0 };
        char path[4096];

        make(&here, "true", &task);
        (void)snprintf(path, sizeof(path), "%s/a/{id}\xff", cwd);
        assert_string_equal(task.output, path);
        (void)snprintf(path, sizeof(path), "%s/a/{id}\xef\xbf\xbd", cwd);
        assert_string_equal(task.task->output, path);
        make(&there, "true", &absolute);
        assert_string_equal(absolute.output, "/tmp/log");
}

/* As many as are sent at once, as the agent has them and with the longest pattern of its own. */
static void check_fits(const RunOptions *options, const char *line) {
        NewTask tasks[QUEUE_TASKS_MAX] = { 0 };
        TaskItem items[QUEUE_TASKS_MAX] = { 0 };
        Call call = { .type = CALL_QUEUE };
        _cleanup_free_ char *bytes = NULL;
        size_t n_bytes = 0, n = 0;

        while (n < QUEUE_TASKS_MAX) {
                make(options, line, &tasks[n]);
                n_bytes += queue_tasks_bytes(&tasks[n]);
                if (n > 0 && n_bytes > QUEUE_BYTES_MAX)
                        break;
                items[n].task = tasks[n].task;
                items[n].wait_us = UINT64_C(1) << 60;
                n++;
        }
        call.submit_many.items = items;
        call.submit_many.n = n;
        assert_int_equal(call_encode(&call, &bytes, &n_bytes), 0);
        assert_true(n_bytes < QUEUE_BYTES_MAX + 128 * KIB);
        for (size_t i = 0; i < QUEUE_TASKS_MAX; i++)
                if (tasks[i].task)
                        new_task_done(&tasks[i]);
}

static void test_what_is_sent_at_once_fits_a_message(_unused_ void **state) {
        _cleanup_free_ char *long_line = calloc(1, 128 * KIB);
        RunOptions options = { .detach = { "yes", true }, .after.n = 1, .after.words = { "1,2" } };

        assert_non_null(long_line);
        check_fits(&options, "true");
        (void)memset(long_line, '\1', 128 * KIB - 1);
        check_fits(&options, long_line);
        (void)memset(long_line, 'x', 128 * KIB - 1);
        check_fits(&options, long_line);
        long_line[3000] = '\0';
        options.output = long_line;
        options.name = long_line;
        check_fits(&options, "true");
        for (size_t i = 0; i < NEEDS_GPUS_MAX; i++)
                options.gpus[options.n_gpus++] = "any:1G";
        check_fits(&options, "true");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_line_is_what_the_shell_gets),
                cmocka_unit_test(test_an_output_is_beside_whoever_asks),
                cmocka_unit_test(test_what_is_sent_at_once_fits_a_message),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
