/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/run-options.h"
#include "cli/task-file.h"
#include "util/cleanup.h"

#include "check.h"

static int parse(const char *text, TaskFile *file, Error *error) {
        return task_file_parse("file", text, strlen(text), file, error);
}

static void test_every_option_can_stand_in_a_file(_unused_ void **state) {
        _cleanup_(task_file_done) TaskFile file;
        Error error = { 0 };

        assert_int_equal(parse("# a comment\n"
                               "[task]\n"
                               "memory = 5G\n"
                               "gpu = 0:10G\n"
                               "gpu = any\n"
                               "cpus = 4\n"
                               "token = matlab:2\n"
                               "token = ansys\n"
                               "delay = inf\n"
                               "priority = high\n"
                               "name = a name; of sorts\n"
                               "time = 1h30m\n"
                               "wait = 0\n"
                               "pin = yes\n"
                               "quiet = no\n"
                               "detach = yes\n"
                               "output = out-{id}\n"
                               "after = 3,4\n"
                               "after = 5\n"
                               "after-any = 6\n"
                               "array = 0-9%2\n"
                               "retry = 3\n"
                               "requeue = yes\n"
                               "json = yes\n",
                               &file, &error),
                         0);
        assert_int_equal(file.options.memory.bytes, 5 * GIB);
        assert_int_equal(file.options.n_gpus, 2);
        assert_string_equal(file.options.gpus[0], "0:10G");
        assert_string_equal(file.options.gpus[1], "any");
        assert_int_equal(file.options.cpus.value, 4);
        assert_int_equal(file.options.n_tokens, 2);
        assert_string_equal(file.options.tokens[0], "matlab:2");
        assert_string_equal(file.options.tokens[1], "ansys");
        assert_int_equal(file.options.delay.us, TASK_TIME_INF);
        assert_int_equal(file.options.priority.value, 200);
        assert_string_equal(file.options.name, "a name; of sorts");
        assert_int_equal(file.options.time.us, 5400 * US_PER_SEC);
        assert_non_null(file.options.wait.word);
        assert_int_equal(file.options.wait.us, 0);
        assert_true(file.options.pin.word && file.options.pin.set);
        assert_true(file.options.quiet.word && !file.options.quiet.set);
        assert_true(file.options.detach.set);
        assert_string_equal(file.options.output, "out-{id}");
        assert_int_equal(file.options.after.n, 2);
        assert_string_equal(file.options.after.words[1], "5");
        assert_int_equal(file.options.after_any.n, 1);
        assert_string_equal(file.options.array, "0-9%2");
        assert_int_equal(file.options.retry.value, 3);
        assert_true(file.options.requeue.set);
        assert_true(file.options.json.set);
}

static void test_what_is_wrong_is_named_with_its_line(_unused_ void **state) {
        static const struct {
                const char *text;
                const char *says;
        } cases[] = {
                { "[task]\nmemroy = 5G\n",
                  "'file' line 2: 'memroy' is no option of 'taskflow run'" },
                { "[task]\n\nmemory = 5X\n", "'file' line 3: memory: " },
                { "memory = 5G\n", "'file' line 1: section []: a task file has [task] alone" },
                { "[taskflow]\nmemory = 5G\n", "'file' line 2: section [taskflow]" },
                { "[task]\nafter = 1_2\n", "'file' line 2: after: '1_2' is an element" },
                { "[task]\narray = 3-1\n", "'file' line 2: array: " },
                { "[task]\nretry = 1001\n", "'file' line 2: retry: " },
                { "[task]\noutput = \n", "'file' line 2: output: '' names no file" },
                { "[task]\noutput = {x}\n",
                  "'file' line 2: output: '{x}' is not known; use {id}, " },
                { "[task]\nfrom = x\n",
                  "'file' line 2: 'from' can stand on the command line alone" },
                { "[task]\ndry-run = yes\n",
                  "'file' line 2: 'dry-run' can stand on the command line alone" },
                { "[task]\npin = maybe\n", "'file' line 2: 'maybe' is neither yes nor no" },
                { "[task]\ngpu = 0:1G\ngpu = 0:2G\n",
                  "'file' line 3: gpu: GPU '0' is named twice" },
                { "[task]\ndelay = sleep\n", "'file' line 2: delay: 'sleep' is no TIME" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(task_file_done) TaskFile file;
                Error error = { 0 };

                assert_true(parse(cases[i].text, &file, &error) < 0);
                if (strncmp(error.text, cases[i].says, strlen(cases[i].says)) != 0)
                        fail_msg("'%s' is not '%s'", error.text, cases[i].says);
        }
}

static void test_both_names_of_a_flag_are_known(_unused_ void **state) {
        static const struct {
                const char *text;
                bool set;
        } cases[] = {
                { "[task]\npin = yes\n", true },
                { "[task]\npin = no\n", false },
                { "[task]\nno-pin = yes\n", false },
                { "[task]\nno-pin = off\n", true },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(task_file_done) TaskFile file;
                Error error = { 0 };

                assert_int_equal(parse(cases[i].text, &file, &error), 0);
                assert_non_null(file.options.pin.word);
                assert_int_equal(file.options.pin.set, cases[i].set);
        }
}

static void test_the_command_line_wins(_unused_ void **state) {
        _cleanup_(task_file_done) TaskFile file;
        RunOptions options = {
                .memory = { "1G", GIB },
                .n_gpus = 1,
                .gpus = { "1:2G" },
                .n_tokens = 1,
                .tokens = { "matlab:2" },
        };
        Error error = { 0 };

        assert_int_equal(parse("[task]\nmemory = 5G\ncpus = 2\ngpu = any\ngpu = any\npin = yes\n"
                               "token = ansys\ntoken = matlab\n",
                               &file, &error),
                         0);
        run_options_merge(&options, &file.options);
        assert_int_equal(options.memory.bytes, GIB);
        assert_int_equal(options.cpus.value, 2);
        assert_int_equal(options.n_gpus, 1);
        assert_string_equal(options.gpus[0], "1:2G");
        assert_int_equal(options.n_tokens, 1);
        assert_string_equal(options.tokens[0], "matlab:2");
        assert_true(options.pin.set);
}

static void test_what_is_saved_reads_back_to_the_same(_unused_ void **state) {
        _cleanup_(task_file_done) TaskFile file;
        const RunOptions options = {
                .memory = { "1.5g", GIB + GIB / 2 },
                .delay = { "1h30m", 5400 * US_PER_SEC },
                .name = "a = b; [c] # d",
                .pin = { "no", false },
                .n_gpus = 2,
                .gpus = { "any:all", "GPU-12ab:10GB" },
                .n_tokens = 1,
                .tokens = { "matlab:2" },
        };
        char folder[64];
        char path[128];
        Error error = { 0 };
        struct stat st;

        make_test_folder(folder);
        (void)snprintf(path, sizeof(path), "%s/task", folder);
        /* ` #` and `;` are fine unless the reader thinks otherwise: then it is refused, and the name goes */
        if (task_file_save(path, &options, &error) < 0)
                fail_msg("%s", error.text);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(task_file_load(path, &file, &error), 0);
        assert_int_equal(file.options.memory.bytes, options.memory.bytes);
        assert_string_equal(file.options.memory.word, "1.5g");
        assert_int_equal(file.options.delay.us, options.delay.us);
        assert_string_equal(file.options.name, options.name);
        assert_true(file.options.pin.word && !file.options.pin.set);
        assert_null(file.options.quiet.word);
        assert_int_equal(file.options.n_gpus, 2);
        assert_string_equal(file.options.gpus[1], "GPU-12ab:10GB");
        (void)unlink(path);
        (void)rmdir(folder);
}

static void test_what_would_not_read_back_is_not_saved(_unused_ void **state) {
        static const char *const names[] = { " blank before", "blank behind ", "line\nbreak",
                                             "comment ; here" };
        char folder[64];
        char path[128];

        make_test_folder(folder);
        (void)snprintf(path, sizeof(path), "%s/task", folder);
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                const RunOptions options = { .name = names[i] };
                Error error = { 0 };

                if (task_file_save(path, &options, &error) != -EINVAL)
                        fail_msg("'%s' was saved", names[i]);
                assert_true(strlen(error.text) > 0);
                assert_int_equal(access(path, F_OK), -1);
        }
        (void)rmdir(folder);
}

/* Options become the half of a task that its submitter says. */
static void test_options_become_a_task(_unused_ void **state) {
        _cleanup_(task_freep) Task *task = task_new();
        const RunOptions options = {
                .memory = { "1G", GIB },
                .cpus = { "3", 3 },
                .priority = { "high", 200 },
                .delay = { "5", 5 * US_PER_SEC },
                .time = { "9", 9 * US_PER_SEC },
                .pin = { "no", false },
                .name = "n\xff",
                .n_gpus = 2,
                .gpus = { "any", "1:2G" },
                .n_tokens = 2,
                .tokens = { "matlab:2", "ansys" },
        };
        Error error = { 0 };

        assert_non_null(task);
        assert_int_equal(run_options_apply(&options, task, &error), 0);
        assert_int_equal(task->needs.memory_bytes, GIB);
        assert_int_equal(task->needs.cpus, 3);
        assert_int_equal(task->needs.n_gpus, 2);
        assert_int_equal(task->needs.gpus[0].bytes, GPU_WHOLE);
        assert_int_equal(task->needs.gpus[1].bytes, 2 * GIB);
        assert_int_equal(task->needs.n_tokens, 2);
        assert_int_equal(needs_n_of_token(&task->needs, "matlab"), 2);
        assert_int_equal(task->priority, 200);
        assert_true(task->delay_given);
        assert_int_equal(task->delay_us, 5 * US_PER_SEC);
        assert_int_equal(task->time_limit_us, 9 * US_PER_SEC);
        assert_int_equal(task->pin, PIN_MODE_OFF);
        assert_string_equal(task->name, "n\xef\xbf\xbd");
}

static void test_without_options_a_task_has_the_defaults(_unused_ void **state) {
        _cleanup_(task_freep) Task *task = task_new();
        const RunOptions options = { 0 };
        Error error = { 0 };

        assert_non_null(task);
        assert_int_equal(run_options_apply(&options, task, &error), 0);
        assert_true(needs_is_empty(&task->needs));
        assert_int_equal(task->priority, TASK_PRIORITY_DEFAULT);
        assert_false(task->delay_given);
        assert_int_equal(task->time_limit_us, TASK_TIME_INF);
        assert_int_equal(task->pin, PIN_MODE_DEFAULT);
        assert_null(task->name);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_option_can_stand_in_a_file),
                cmocka_unit_test(test_what_is_wrong_is_named_with_its_line),
                cmocka_unit_test(test_both_names_of_a_flag_are_known),
                cmocka_unit_test(test_the_command_line_wins),
                cmocka_unit_test(test_what_is_saved_reads_back_to_the_same),
                cmocka_unit_test(test_what_would_not_read_back_is_not_saved),
                cmocka_unit_test(test_options_become_a_task),
                cmocka_unit_test(test_without_options_a_task_has_the_defaults),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
