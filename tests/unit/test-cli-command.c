/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <ctype.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/completion.h"
#include "core/task.h"

#include "check.h"

enum {
        WORDS_MAX = 10,
        TEXT_MAX = 64 * 1024,
        HELP_WIDTH = 80,
};

/* Redirects a descriptor into memory until captured() is called. */
typedef struct Capture {
        FILE *stream;
        int saved_fd;
        int memory_fd;
} Capture;

static Capture capture(FILE *stream) {
        Capture c = { .stream = stream };

        (void)fflush(stream);
        c.saved_fd = dup(fileno(stream));
        c.memory_fd = memfd_create("captured", MFD_CLOEXEC);
        assert_true(c.saved_fd >= 0 && c.memory_fd >= 0);
        assert_true(dup2(c.memory_fd, fileno(stream)) >= 0);
        return c;
}

static const char *captured(Capture *c) {
        static char text[TEXT_MAX];
        ssize_t n;

        (void)fflush(c->stream);
        assert_true(dup2(c->saved_fd, fileno(c->stream)) >= 0);
        n = pread(c->memory_fd, text, sizeof(text) - 1, 0);
        assert_true(n >= 0);
        text[n] = '\0';
        (void)close(c->saved_fd);
        (void)close(c->memory_fd);
        return text;
}

static int run_words(const char *const *words) {
        char copies[WORDS_MAX][64];
        char *argv[WORDS_MAX + 1];
        int argc = 0;

        for (; words[argc]; argc++) {
                (void)snprintf(copies[argc], sizeof(copies[argc]), "%s", words[argc]);
                argv[argc] = copies[argc];
        }
        argv[argc] = NULL;
        return cli_main(argc, argv);
}

static void test_every_command_is_whole(_unused_ void **state) {
        for (const Command *const *c = commands; *c; c++) {
                const Command *command = *c;

                assert_non_null(command->name);
                assert_non_null(command->summary);
                assert_non_null(command->operands);
                assert_true(command->usage_status > 0);
                assert_ptr_equal(command_find(command->name), command);
                if (command->not_available)
                        continue;
                assert_non_null(command->run);
                assert_true(command->max_operands < 0 ||
                            command->min_operands <= command->max_operands);
                assert_true(command->min_operands == 0 || command->operands[0] != '\0');
        }
}

/* Two options of one letter, or one without a sentence, would be found by nobody else. */
static void test_every_option_is_whole(_unused_ void **state) {
        for (const Command *const *c = commands; *c; c++)
                for (const Opt *opt = (*c)->opts; opt && opt->name; opt++) {
                        assert_true(strlen(opt->name) > 1);
                        assert_true(!opt->parse || opt->help);
                        assert_true(opt->letter != 'h' && strcmp(opt->name, "help") != 0);
                        assert_ptr_equal(opt_find((*c)->opts, opt->name), opt);
                        for (const Opt *other = opt + 1; other->name; other++)
                                assert_true(opt->letter == 0 || opt->letter != other->letter);
                }
}

static void assert_fits(const char *text) {
        while (*text) {
                size_t n = strcspn(text, "\n");

                if (n > HELP_WIDTH)
                        fail_msg("too wide: %.*s", (int)n, text);
                text += n + (text[n] == '\n');
        }
}

static void check_help(const Command *command) {
        Capture out = capture(stdout);
        char usage[128];
        const char *text;

        assert_int_equal(run_words((const char *const[]){ "taskflow", command->name, "--help",
                                                          NULL }),
                         0);
        text = captured(&out);

        (void)snprintf(usage, sizeof(usage), "Usage: taskflow %s", command->name);
        assert_memory_equal(text, usage, strlen(usage));
        assert_non_null(strstr(text, "  -h, --help"));
        assert_fits(text);
        for (const Opt *opt = command->opts; opt && opt->name; opt++) {
                char name[64];

                (void)snprintf(name, sizeof(name), "--%s", opt->name);
                if (opt->parse)
                        assert_non_null(strstr(text, name));
        }
}

static void test_help_has_every_option(_unused_ void **state) {
        for (const Command *const *command = commands; *command; command++)
                if (!(*command)->not_available)
                        check_help(*command);
}

static void test_help_lists_what_is_there(_unused_ void **state) {
        Capture out = capture(stdout);
        const char *text;

        assert_int_equal(run_words((const char *const[]){ "taskflow", "--help", NULL }), 0);
        text = captured(&out);
        assert_fits(text);
        for (const Command *const *command = commands; *command; command++) {
                char row[64];

                (void)snprintf(row, sizeof(row), "\n  %s ", (*command)->name);
                assert_int_equal(strstr(text, row) != NULL, !(*command)->not_available);
        }
}

static const struct {
        const char *const words[WORDS_MAX];
        int status;
        const char *line;
} wrong_lines[] = {
        { { "taskflow" }, 2, "taskflow: no command given; see 'taskflow --help'\n" },
        { { "taskflow", "cancle" },
          2,
          "taskflow: there is no command 'cancle'; did you mean 'cancel'?\n" },
        { { "taskflow", "kill" },
          2,
          "taskflow: there is no command 'kill'; did you mean 'cancel'?\n" },
        { { "taskflow", "python" },
          2,
          "taskflow: there is no command 'python'; to run one of your own: taskflow run ...; "
          "see 'taskflow --help'\n" },
        { { "taskflow", "a\033b" },
          2,
          "taskflow: there is no command 'a^[b'; to run one of your own: taskflow run ...; see "
          "'taskflow --help'\n" },
        { { "taskflow", "-m", "5G" },
          2,
          "taskflow: unknown option '-m'; a command comes first: taskflow run -m ...; see "
          "'taskflow --help'\n" },
        { { "taskflow", "top" }, 1, "taskflow: 'top' is not available yet in version 0.1.0\n" },
        { { "taskflow", "help", "top" },
          1,
          "taskflow: 'top' is not available yet in version 0.1.0\n" },
        { { "taskflow", "help", "cancle" },
          2,
          "taskflow: there is no command 'cancle'; did you mean 'cancel'?\n" },
        { { "taskflow", "ps", "-z" },
          2,
          "taskflow: ps: unknown option '-z'; see 'taskflow ps --help'\n" },
        { { "taskflow", "ps", "--jsno" },
          2,
          "taskflow: ps: unknown option '--jsno'; did you mean '--json'?\n" },
        { { "taskflow", "ps", "bob" },
          2,
          "taskflow: ps: unexpected 'bob'; for the tasks of a user: -u bob\n" },
        { { "taskflow", "ps", "-u", "no such user" },
          2,
          "taskflow: ps: -u: there is no user 'no such user'\n" },
        { { "taskflow", "ps", "-q", "--json" },
          2,
          "taskflow: ps: of --quiet, --verbose and --json only one can be had\n" },
        { { "taskflow", "show" },
          2,
          "taskflow: show: ID is missing; see 'taskflow show --help'\n" },
        { { "taskflow", "show", "1", "2" },
          2,
          "taskflow: show: unexpected '2'; see 'taskflow show --help'\n" },
        { { "taskflow", "show", "abc" },
          2,
          "taskflow: show: 'abc' is no task id; 'taskflow ps' shows them\n" },
        { { "taskflow", "cancel" },
          2,
          "taskflow: cancel: ID... is missing; see 'taskflow cancel --help'\n" },
        { { "taskflow", "cancel", "1", "0" },
          2,
          "taskflow: cancel: '0' is no task id; 'taskflow ps' shows them\n" },
        { { "taskflow", "cancel", "-s", "FOO", "1" },
          2,
          "taskflow: cancel: -s: 'FOO' is no signal; try TERM, INT, KILL or a number; see "
          "'taskflow cancel --help'\n" },
        { { "taskflow", "update", "1" },
          2,
          "taskflow: update: nothing to change was given; see 'taskflow update --help'\n" },
        { { "taskflow", "update", "1", "--gpu", "none", "--gpu", "0" },
          2,
          "taskflow: update: '--gpu none' and other GPUs exclude each other\n" },
        { { "taskflow", "completion", "tcsh" },
          2,
          "taskflow: completion: there is none for 'tcsh', but for bash, zsh and fish\n" },
        { { "taskflow", "run" },
          125,
          "taskflow: run: COMMAND [ARG]... is missing; see 'taskflow run --help'\n" },
        { { "taskflow", "run", "-o", "log", "true" },
          125,
          "taskflow: run: -o needs -D: a command that runs here writes to this terminal\n" },
        { { "taskflow", "run", "-D", "--array", "0-9", "-o", "log", "true" },
          125,
          "taskflow: run: all elements would write to the one file 'log'; name {id}, {index} or {name} "
          "in it\n" },
        { { "taskflow", "run", "--after", "12_3", "true" },
          125,
          "taskflow: run: --after: '12_3' is an element, and an array is waited for as a whole: --after "
          "12; see 'taskflow run --help'\n" },
        { { "taskflow", "submit", "/no/such/file" },
          125,
          "taskflow: submit: cannot open '/no/such/file': No such file or directory\n" },
        { { "taskflow", "logs", "-n", "x", "12" },
          2,
          "taskflow: logs: -n: 'x' is no whole number; see 'taskflow logs --help'\n" },
        { { "taskflow", "agent", "start" },
          2,
          "taskflow: agent: unexpected 'start'; it is one of status, stop, enable\n" },
        { { "taskflow", "agent", "stop", "--linger" },
          2,
          "taskflow: agent: --linger goes with 'enable' alone\n" },
};

static void test_what_is_wrong_gets_one_line(_unused_ void **state) {
        for (size_t i = 0; i < ELEMENTSOF(wrong_lines); i++) {
                Capture err = capture(stderr);
                int status = run_words(wrong_lines[i].words);

                assert_string_equal(captured(&err), wrong_lines[i].line);
                assert_int_equal(status, wrong_lines[i].status);
        }
}

static void test_ids_are_those_of_tasks_and_elements(_unused_ void **state) {
        const char *const refused[] = { "",       "0",  "-1",   "+1",
                                        "1.0",    "1 ", "0x10", "9223372036854775808",
                                        "1_",     "_1", "1_-1", "1_2_3",
                                        "1_[2-3]" };
        uint64_t id = 7;

        for (size_t i = 0; i < ELEMENTSOF(refused); i++) {
                assert_true(cli_parse_id(refused[i], &id, NULL) < 0);
                assert_int_equal(id, 7);
        }
        assert_int_equal(cli_parse_id("12", &id, NULL), 0);
        assert_int_equal(id, 12);
        assert_int_equal(cli_parse_id("12_3", &id, NULL), 0);
        assert_int_equal(id, task_ref(12, 3));
}

static void test_users_have_names_or_numbers(_unused_ void **state) {
        char buf[64];

        assert_string_equal(cli_user_name(0, buf, sizeof(buf), NULL), "root");
        assert_string_equal(cli_user_name(0, buf, sizeof(buf), NULL), "root");
        assert_string_equal(cli_user_name(3999999999, buf, sizeof(buf), NULL), "3999999999");
        /* The same place in the table of remembered names. */
        assert_string_equal(cli_user_name(256, buf, sizeof(buf), NULL), "256");
        assert_string_equal(cli_user_name(0, buf, sizeof(buf), NULL), "root");
        assert_string_equal(cli_user_name(0, buf, 3, NULL), "ro");
}

static void test_stdout_that_takes_nothing_is_a_failure(_unused_ void **state) {
        Capture err = capture(stderr);
        Capture out = capture(stdout);
        FILE *full = fopen("/dev/full", "we");
        int status;

        assert_non_null(full);
        assert_true(dup2(fileno(full), STDOUT_FILENO) >= 0);
        status = run_words((const char *const[]){ "taskflow", "--version", NULL });
        (void)fclose(full);
        clearerr(stdout);
        (void)captured(&out);
        assert_string_equal(captured(&err),
                            "taskflow: cannot write to stdout: No space left on device\n");
        assert_int_equal(status, 1);
}

static char *script(void (*generate)(FILE *out)) {
        char *text = NULL;
        size_t n = 0;
        FILE *out = open_memstream(&text, &n);

        assert_non_null(out);
        generate(out);
        assert_int_equal(fclose(out), 0);
        return text;
}

/* "stop" has no "top" in it. */
static bool has_word(const char *text, const char *word) {
        for (const char *at = text; (at = strstr(at, word)); at++)
                if ((at == text || !isalpha((unsigned char)at[-1])) &&
                    !isalpha((unsigned char)at[strlen(word)]))
                        return true;
        return false;
}

static void test_completions_know_every_command_and_option(_unused_ void **state) {
        void (*const generators[])(FILE *) = { completion_bash, completion_zsh, completion_fish };

        for (size_t i = 0; i < ELEMENTSOF(generators); i++) {
                char *text = script(generators[i]);

                for (const Command *const *command = commands; *command; command++) {
                        assert_int_equal(has_word(text, (*command)->name),
                                         !(*command)->not_available);
                        for (const Opt *opt = (*command)->opts; opt && opt->name; opt++)
                                assert_true(!opt->parse || strstr(text, opt->name));
                }
                free(text);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_command_is_whole),
                cmocka_unit_test(test_every_option_is_whole),
                cmocka_unit_test(test_help_has_every_option),
                cmocka_unit_test(test_help_lists_what_is_there),
                cmocka_unit_test(test_what_is_wrong_gets_one_line),
                cmocka_unit_test(test_ids_are_those_of_tasks_and_elements),
                cmocka_unit_test(test_users_have_names_or_numbers),
                cmocka_unit_test(test_stdout_that_takes_nothing_is_a_failure),
                cmocka_unit_test(test_completions_know_every_command_and_option),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
