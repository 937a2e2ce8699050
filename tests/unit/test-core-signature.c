/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "core/signature.h"

#include "check.h"

enum {
        ARGS_MAX = 8,
};

/* Of words, ended by NULL; a single one is a line for a shell. */
static uint64_t of(const char *cwd, const char *const *words, char *label) {
        Task task = { .cwd = (char *)(uintptr_t)cwd, .argv = (char **)(uintptr_t)words };
        char buf[SIGNATURE_LABEL_MAX];
        uint64_t signature = signature_of(&task, label ? label : buf);

        assert_true(signature > 0 && signature <= INT64_MAX);
        return signature;
}

#define WORDS(...) ((const char *const[ARGS_MAX]){ __VA_ARGS__ })

#define assert_same(a, b)      assert_true(of("/p", a, NULL) == of("/p", b, NULL))
#define assert_different(a, b) assert_true(of("/p", a, NULL) != of("/p", b, NULL))

static void assert_label(const char *const *words, const char *want) {
        char label[SIGNATURE_LABEL_MAX];

        (void)of("/p", words, label);
        assert_string_equal(label, want);
}

static void test_what_is_said_to_a_script_makes_no_difference(_unused_ void **state) {
        assert_same(WORDS("python", "train.py", "--lr", "3"), WORDS("python", "-u", "train.py"));
        assert_same(WORDS("/usr/bin/python", "train.py"), WORDS("python", "train.py"));
        assert_same(WORDS("torchrun", "--nproc", "4", "train.py"),
                    WORDS("torchrun", "--nproc", "8", "train.py"));
        assert_different(WORDS("python", "train.py"), WORDS("python", "test.py"));
        assert_different(WORDS("python", "train.py"), WORDS("python3", "train.py"));
        assert_different(WORDS("make", "all"), WORDS("make", "check"));
}

static void test_a_line_of_words_is_these_words(_unused_ void **state) {
        assert_same(WORDS("python train.py --lr 3"), WORDS("python", "train.py"));
        assert_same(WORDS("CUDA_X=1 A= python  train.py"), WORDS("python", "train.py"));
        assert_different(WORDS("python train.py"), WORDS("python test.py"));
}

static void test_a_line_with_more_in_it_is_itself(_unused_ void **state) {
        assert_different(WORDS("cd a && python train.py"), WORDS("cd b && python train.py"));
        assert_different(WORDS("python train.py | tee a"), WORDS("python train.py"));
}

static void test_files_are_told_apart_by_their_folder(_unused_ void **state) {
        const char *const *relative = WORDS("python", "train.py");
        const char *const *absolute = WORDS("python", "/q/train.py");
        const char *const *here = WORDS("./train.sh");

        assert_true(of("/p", relative, NULL) != of("/q", relative, NULL));
        assert_true(of("/p", absolute, NULL) == of("/q", absolute, NULL));
        assert_true(of("/p", here, NULL) != of("/q", here, NULL));
        assert_true(of("/p", WORDS("hostname"), NULL) == of("/q", WORDS("hostname"), NULL));
}

static void test_words_cannot_be_put_together_differently(_unused_ void **state) {
        assert_different(WORDS("a", "bc"), WORDS("ab", "c"));
        assert_different(WORDS("ab", "--"), WORDS("a", "b"));
}

static void test_a_label_names_program_and_script(_unused_ void **state) {
        assert_label(WORDS("/usr/bin/python", "-u", "train.py", "x"), "python train.py");
        assert_label(WORDS("hostname"), "hostname");
        assert_label(WORDS("python -m pkg"), "python pkg");
        assert_label(WORDS("a && b"), "a && b");
}

static void test_the_command_counts_where_there_are_no_words(_unused_ void **state) {
        Task task = { .command = (char[]){ "python train.py" } }, nothing = { .argv = NULL };

        assert_true(signature_of(&task, NULL) != signature_of(&nothing, NULL));
        assert_true(signature_of(&nothing, NULL) != 0);
}

static void test_long_words_are_cut_in_the_label(_unused_ void **state) {
        char word[1000], label[SIGNATURE_LABEL_MAX];

        memset(word, 'x', sizeof(word) - 1);
        word[sizeof(word) - 1] = '\0';
        (void)of("/p", WORDS(word, word, word), label);
        assert_int_equal(strlen(label), 121);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_is_said_to_a_script_makes_no_difference),
                cmocka_unit_test(test_a_line_of_words_is_these_words),
                cmocka_unit_test(test_a_line_with_more_in_it_is_itself),
                cmocka_unit_test(test_files_are_told_apart_by_their_folder),
                cmocka_unit_test(test_words_cannot_be_put_together_differently),
                cmocka_unit_test(test_a_label_names_program_and_script),
                cmocka_unit_test(test_the_command_counts_where_there_are_no_words),
                cmocka_unit_test(test_long_words_are_cut_in_the_label),
        };

        return cmocka_run_group_tests_name("core-signature", tests, NULL, NULL);
}
