/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cli/shell-line.h"
#include "util/macro.h"
#include "util/strv.h"

static char *no_environment[] = { "HOME=/", "PATH=/bin", NULL };

static char **split_with(const char *line, const char *shell, char **envp) {
        char **words = NULL;

        assert_int_equal(shell_line_split(line, shell, envp, &words), 0);
        return words;
}

static void test_plain_words_are_split(_unused_ void **state) {
        _cleanup_(strv_freep) char **words =
                split_with(" python3  train.py\t--lr=0.1 ", "/bin/sh", no_environment);

        assert_non_null(words);
        assert_int_equal(strv_n(words), 3);
        assert_string_equal(words[0], "python3");
        assert_string_equal(words[1], "train.py");
        assert_string_equal(words[2], "--lr=0.1");
}

static void test_whatever_a_shell_might_change_needs_it(_unused_ void **state) {
        static const char *const lines[] = {
                "",          "   ",       "a b;c",   "a|b",    "a&",     "a>b",    "a $HOME",
                "a *.py",    "a 'b'",     "a \"b\"", "a \\b",  "a `b`",  "(a)",    "a ~",
                "a {b,c}",   "a # b",     "a\nb",    "A=1 b",  "cd /",   "exit 3", "echo a",
                "ulimit -v", "test -f a", "time a",  "! a",    "if a",   "%1",     "a [b]",
                "a ?",       "a !b",      "wait",    "kill 1", "exec a", "eval a", "a^b",
        };

        for (size_t i = 0; i < ELEMENTSOF(lines); i++)
                if (split_with(lines[i], "/bin/bash", no_environment))
                        fail_msg("'%s' was taken for plain words", lines[i]);
}

static void test_a_shell_that_reads_files_is_asked(_unused_ void **state) {
        assert_null(split_with("a b", "/usr/bin/zsh", no_environment));
        assert_null(split_with("a b", "/usr/bin/fish", no_environment));
        assert_null(split_with("a b", "/opt/bash5", no_environment));
}

static void test_what_comes_through_the_environment_is_heard(_unused_ void **state) {
        static char *const ways[] = { "BASH_ENV=/x", "BASH_FUNC_a%%=() { :; }", "SHELLOPTS=xtrace",
                                      "BASHOPTS=x" };

        for (size_t i = 0; i < ELEMENTSOF(ways); i++) {
                char *envp[] = { "HOME=/", ways[i], NULL };

                assert_null(split_with("a b", "/bin/bash", envp));
        }
}

static void test_true_is_a_word_like_others(_unused_ void **state) {
        _cleanup_(strv_freep) char **words = split_with("true", "/bin/bash", no_environment);

        assert_non_null(words);
        assert_string_equal(words[0], "true");
        assert_null(words[1]);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_plain_words_are_split),
                cmocka_unit_test(test_whatever_a_shell_might_change_needs_it),
                cmocka_unit_test(test_a_shell_that_reads_files_is_asked),
                cmocka_unit_test(test_what_comes_through_the_environment_is_heard),
                cmocka_unit_test(test_true_is_a_word_like_others),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
