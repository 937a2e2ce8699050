/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>

#include "cli/opt.h"
#include "cli/suggest.h"

#include "check.h"

typedef struct Values {
        bool all;
        bool quiet;
        const char *name;
        uint64_t size_bytes;
        uint64_t time_us;
        int signal;
        const char *user;
        bool user_given;
} Values;

/* Optional argument: NULL if there was none. */
static int parse_user(_unused_ const Opt *opt,
                      const char *word,
                      void *target,
                      _unused_ Error *error) {
        Values *values = target;

        values->user = word;
        values->user_given = true;
        return 0;
}

static const Opt opts[] = {
        { 'a', "all", NULL, "all", opt_parse_flag, offsetof(Values, all), NULL },
        { 'q', "quiet", NULL, "quiet", opt_parse_flag, offsetof(Values, quiet), NULL },
        { 'n', "name", "NAME", "name", opt_parse_string, offsetof(Values, name), NULL },
        { 'm', "memory", "SIZE", "size", opt_parse_bytes, offsetof(Values, size_bytes), NULL },
        { 0, "message", "TEXT", "text", opt_parse_string, offsetof(Values, name), NULL },
        { 't', "time", "TIME", "time", opt_parse_duration, offsetof(Values, time_us), NULL },
        { 's', "signal", "SIGNAL", "signal", opt_parse_signal, offsetof(Values, signal), NULL },
        { 'u', "user", "[USER]", "user", parse_user, 0, NULL },
        { 'D', "detach", NULL, "not there yet", NULL, 0, NULL },
        { 'o', "output", "FILE", "not there yet", NULL, 0, NULL },
        { 0 },
};

enum {
        WORDS_MAX = 8,
};

/* getopt_long() sorts the words that it is given, so each call gets its own copy. */
static int parse(const char *const *words,
                 bool stop,
                 Values *values,
                 OptResult *result,
                 Error *error) {
        static char copies[WORDS_MAX][64];
        static char *argv[WORDS_MAX + 1];
        int argc = 0;

        (void)snprintf(copies[argc], sizeof(copies[argc]), "command");
        argv[argc] = copies[argc];
        argc++;
        for (; *words; words++, argc++) {
                (void)snprintf(copies[argc], sizeof(copies[argc]), "%s", *words);
                argv[argc] = copies[argc];
        }
        argv[argc] = NULL;
        return opt_parse(opts, argc, argv, stop, values, result, error);
}

#define WORDS(...)                \
        (const char *const[]) {   \
                __VA_ARGS__, NULL \
        }

static void test_every_way_to_write_an_argument_is_the_same(_unused_ void **state) {
        const char *const *const ways[] = {
                WORDS("-m", "5G"),    WORDS("-m5G"),         WORDS("--memory", "5G"),
                WORDS("--memory=5G"), WORDS("--mem", "5G"),  WORDS("--mem=5G"),
                WORDS("-qm5G"),       WORDS("-m1K", "-m5G"),
        };

        for (size_t i = 0; i < ELEMENTSOF(ways); i++) {
                Values values = { 0 };
                OptResult result;
                Error error = { 0 };

                assert_int_equal(parse(ways[i], false, &values, &result, &error), 0);
                assert_int_equal(values.size_bytes, 5 * GIB);
                assert_int_equal(result.n_operands, 0);
                assert_false(result.help);
        }
}

static void test_options_and_operands_mix(_unused_ void **state) {
        Values values = { 0 };
        OptResult result;

        assert_int_equal(parse(WORDS("12", "-q", "13", "-t", "1m"), false, &values, &result, NULL),
                         0);
        assert_true(values.quiet);
        assert_int_equal(values.time_us, 60 * US_PER_SEC);
        assert_int_equal(result.n_operands, 2);
        assert_string_equal(result.operands[0], "12");
        assert_string_equal(result.operands[1], "13");
}

static void test_options_end_at_the_command_to_run(_unused_ void **state) {
        Values values = { 0 };
        OptResult result;

        assert_int_equal(parse(WORDS("-q", "ls", "-a", "--nonsense"), true, &values, &result, NULL),
                         0);
        assert_true(values.quiet);
        assert_false(values.all);
        assert_int_equal(result.n_operands, 3);
        assert_string_equal(result.operands[0], "ls");
        assert_string_equal(result.operands[2], "--nonsense");
}

static void test_two_dashes_end_the_options(_unused_ void **state) {
        Values values = { 0 };
        OptResult result;

        assert_int_equal(parse(WORDS("-q", "--", "-a"), false, &values, &result, NULL), 0);
        assert_false(values.all);
        assert_int_equal(result.n_operands, 1);
        assert_string_equal(result.operands[0], "-a");
}

static void test_an_optional_argument_is_attached(_unused_ void **state) {
        Values values = { 0 };
        OptResult result;

        assert_int_equal(parse(WORDS("-ubob"), false, &values, &result, NULL), 0);
        assert_string_equal(values.user, "bob");

        assert_int_equal(parse(WORDS("--user=carol"), false, &values, &result, NULL), 0);
        assert_string_equal(values.user, "carol");

        /* The next word is an operand: whoever has such an option takes it from there. */
        values = (Values){ 0 };
        assert_int_equal(parse(WORDS("-u", "bob"), false, &values, &result, NULL), 0);
        assert_true(values.user_given);
        assert_null(values.user);
        assert_int_equal(result.n_operands, 1);
}

static void test_help_is_always_known(_unused_ void **state) {
        const char *const *const ways[] = { WORDS("-h"), WORDS("--help"), WORDS("12", "--help") };

        for (size_t i = 0; i < ELEMENTSOF(ways); i++) {
                Values values = { 0 };
                OptResult result;

                assert_int_equal(parse(ways[i], false, &values, &result, NULL), 0);
                assert_true(result.help);
        }
}

static void test_what_is_wrong_is_said(_unused_ void **state) {
        const struct {
                const char *const *words;
                const char *sentence;
        } cases[] = {
                { WORDS("-z"), "unknown option '-z'" },
                { WORDS("-qz"), "unknown option '-z'" },
                { WORDS("--zzz"), "unknown option '--zzz'" },
                { WORDS("--zzz=1"), "unknown option '--zzz'" },
                { WORDS("--quite"), "unknown option '--quite'; did you mean '--quiet'?" },
                { WORDS("--memroy", "5G"), "unknown option '--memroy'; did you mean '--memory'?" },
                { WORDS("--me", "5G"), "option '--me' may be any of --memory, --message" },
                { WORDS("-m"), "-m needs a SIZE" },
                { WORDS("--memory"), "--memory needs a SIZE" },
                { WORDS("--all=1"), "--all takes no argument" },
                { WORDS("-s", "NOPE"), "-s: 'NOPE' is no signal; try TERM, INT, KILL or a number" },
                { WORDS("-D"), "-D is not available yet" },
                { WORDS("--detach"), "--detach is not available yet" },
                { WORDS("--detach=1"), "--detach is not available yet" },
                { WORDS("-o"), "-o is not available yet" },
                { WORDS("-o", "file"), "-o is not available yet" },
                { WORDS("--out=file"), "--output is not available yet" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Values values = { 0 };
                OptResult result;
                Error error = { 0 };

                assert_int_equal(parse(cases[i].words, false, &values, &result, &error), -EINVAL);
                assert_string_equal(error.text, cases[i].sentence);
        }
}

/* The words of util/units, with the option in front in the form in which it was typed. */
static void test_a_bad_size_names_the_option(_unused_ void **state) {
        Values values = { .size_bytes = 7 };
        OptResult result;
        Error error = { 0 };

        assert_int_equal(parse(WORDS("-m", "5X"), false, &values, &result, &error), -EINVAL);
        assert_memory_equal(error.text, "-m: '5X'", 8);
        assert_int_equal(values.size_bytes, 7);

        assert_int_equal(parse(WORDS("--mem", "-1"), false, &values, &result, &error), -EINVAL);
        assert_memory_equal(error.text, "--memory: '-1'", 14);
        assert_int_equal(values.size_bytes, 7);
}

static void test_signals_have_names_and_numbers(_unused_ void **state) {
        const struct {
                const char *word;
                int signal;
        } cases[] = {
                { "TERM", SIGTERM },  { "SIGTERM", SIGTERM }, { "term", SIGTERM }, { "15", 15 },
                { "sigint", SIGINT }, { "KILL", SIGKILL },    { "USR1", SIGUSR1 }, { "64", 64 },
        };
        const char *const refused[] = {
                "", "0", "65", "-9", "SIG", "TERMINATE", "9x", "SIGSIGTERM"
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                int signal = 0;

                assert_int_equal(opt_parse_signal(NULL, cases[i].word, &signal, NULL), 0);
                assert_int_equal(signal, cases[i].signal);
        }
        for (size_t i = 0; i < ELEMENTSOF(refused); i++) {
                int signal = 77;

                assert_true(opt_parse_signal(NULL, refused[i], &signal, NULL) < 0);
                assert_int_equal(signal, 77);
        }
}

static void test_an_option_is_found_by_its_name(_unused_ void **state) {
        assert_ptr_equal(opt_find(opts, "all"), &opts[0]);
        assert_null(opt_find(opts, "al"));
        assert_null(opt_find(NULL, "all"));
}

static const char *nearest(const char *word) {
        const char *const names[] = { "run", "ps", "show", "status", "cancel", "release" };
        Suggestion suggestion = { 0 };

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                suggestion_consider(&suggestion, word, names[i]);
        return suggestion.name ? suggestion.name : "";
}

static void test_a_slip_of_the_fingers_is_recognised(_unused_ void **state) {
        assert_string_equal(nearest("cancle"), "cancel");
        assert_string_equal(nearest("canel"), "cancel");
        assert_string_equal(nearest("cacnel"), "cancel");
        assert_string_equal(nearest("statuss"), "status");
        assert_string_equal(nearest("stat"), "status");
        assert_string_equal(nearest("rnu"), "run");
        assert_string_equal(nearest("psa"), "ps");

        /* Too far away to mean anything, or too long to be looked at. */
        assert_string_equal(nearest("python"), "");
        assert_string_equal(nearest("x"), "");
        assert_string_equal(nearest("./a-very-long-name-of-a-program.sh"), "");
        assert_string_equal(nearest(""), "");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_way_to_write_an_argument_is_the_same),
                cmocka_unit_test(test_options_and_operands_mix),
                cmocka_unit_test(test_options_end_at_the_command_to_run),
                cmocka_unit_test(test_two_dashes_end_the_options),
                cmocka_unit_test(test_an_optional_argument_is_attached),
                cmocka_unit_test(test_help_is_always_known),
                cmocka_unit_test(test_what_is_wrong_is_said),
                cmocka_unit_test(test_a_bad_size_names_the_option),
                cmocka_unit_test(test_signals_have_names_and_numbers),
                cmocka_unit_test(test_an_option_is_found_by_its_name),
                cmocka_unit_test(test_a_slip_of_the_fingers_is_recognised),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
