/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <errno.h>
#include <string.h>

#include "cli/opt.h"
#include "cli/run-options.h"
#include "core/task.h"

#include "check.h"

enum {
        WORDS_MAX = 12,
};

/* What the words in front of a command come to; an error is that of the words or of what they come to together. */
static int parse(const char *const *words, RunOptions *options, Error *error) {
        char *argv[WORDS_MAX + 2] = { (char[]){ "run" } };
        OptResult result;
        int argc = 1;
        int r;

        *options = (RunOptions){ 0 };
        for (size_t i = 0; words[i]; i++)
                argv[argc++] = (char *)(uintptr_t)words[i];
        r = opt_parse(run_opts, argc, argv, true, options, &result, error);
        return r < 0 ? r : run_options_check(options, error);
}

#define WORDS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void test_what_needs_to_be_detached_says_so(_unused_ void **state) {
        static const struct {
                const char *words[4];
                const char *says;
        } cases[] = {
                { { "-o", "log" }, "-o needs -D: " },
                { { "--array", "0-9" }, "--array needs -D: " },
                { { "--retry", "2" }, "--retry needs -D: " },
                { { "--requeue" }, "--requeue needs -D: " },
                { { "--json" }, "--json needs -D: " },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                RunOptions options;
                Error error = { 0 };

                assert_int_equal(parse(cases[i].words, &options, &error), -EINVAL);
                assert_memory_equal(error.text, cases[i].says, strlen(cases[i].says));
                options.detach.set = true;
                assert_int_equal(run_options_check(&options, &error), 0);
        }
}

static void test_waiting_for_others_needs_nothing(_unused_ void **state) {
        _cleanup_(task_freep) Task *task = task_new();
        RunOptions options;

        assert_int_equal(parse(WORDS("--after", "3,4", "--after-any", "5", "--after", "6"),
                               &options, NULL),
                         0);
        assert_int_equal(run_options_apply(&options, task, NULL), 0);
        assert_int_equal(task->n_after, 4);
        assert_int_equal(task->after[2].id, 6);
        assert_false(task->after[2].any);
        assert_int_equal(task->after[3].id, 5);
        assert_true(task->after[3].any);
        assert_false(task->detached);
}

static void test_many_do_not_write_to_one_file(_unused_ void **state) {
        static const struct {
                const char *words[8];
                bool refused;
        } cases[] = {
                { { "-D", "-o", "log" }, false },
                { { "-D", "-o", "log", "--retry", "0" }, false },
                { { "-D", "-o", "log", "--retry", "1" }, true },
                { { "-D", "-o", "log-{id}", "--retry", "1" }, false },
                { { "-D", "-o", "log", "--array", "0-9" }, true },
                { { "-D", "-o", "log.{index}", "--array", "0-9" }, false },
                { { "-D", "-o", "log.{what}", "--array", "0-9" }, true },
                { { "-D", "--array", "0-9", "--retry", "3" }, false },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                RunOptions options;
                Error error = { 0 };

                assert_int_equal(parse(cases[i].words, &options, &error),
                                 cases[i].refused ? -EINVAL : 0);
                if (cases[i].refused)
                        assert_non_null(strstr(error.text, "{id}, {index} or {name}"));
        }
}

static void test_a_detached_task_has_all_that_was_said(_unused_ void **state) {
        _cleanup_(task_freep) Task *task = task_new();
        RunOptions options;

        assert_int_equal(parse(WORDS("-D", "--array", "1-3%2", "--retry", "4", "--requeue"),
                               &options, NULL),
                         0);
        assert_int_equal(run_options_apply(&options, task, NULL), 0);
        assert_true(task->detached);
        assert_true(task->requeue);
        assert_int_equal(task->retry_max, 4);
        assert_int_equal(task->array->limit, 2);
        assert_int_equal(task->array->first, 1);
        assert_int_equal(task->array->last, 3);
}

static void test_numbers_of_tries_have_bounds(_unused_ void **state) {
        RunOptions options;

        assert_int_equal(parse(WORDS("-D", "--retry", "1000"), &options, NULL), 0);
        assert_true(parse(WORDS("-D", "--retry", "1001"), &options, NULL) < 0);
        assert_true(parse(WORDS("-D", "--retry", "-1"), &options, NULL) < 0);
        assert_true(parse(WORDS("-D", "-o", ""), &options, NULL) < 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_needs_to_be_detached_says_so),
                cmocka_unit_test(test_waiting_for_others_needs_nothing),
                cmocka_unit_test(test_many_do_not_write_to_one_file),
                cmocka_unit_test(test_a_detached_task_has_all_that_was_said),
                cmocka_unit_test(test_numbers_of_tries_have_bounds),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
