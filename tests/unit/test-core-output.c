/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Where a detached task's output goes
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/output.h"
#include "core/task.h"
#include "util/macro.h"

#include "check.h"

#define assert_expands(pattern, ref, name, want)                   \
        do {                                                       \
                char *_path = output_expand((pattern), ref, name); \
                assert_non_null(_path);                            \
                assert_string_equal(_path, want);                  \
                free(_path);                                       \
        } while (0)

static void test_the_places_are_filled(_unused_ void **state) {
        assert_expands("/a/{id}.log", 12, NULL, "/a/12.log");
        assert_expands("/a/{id}_{index}.log", task_ref(12, 3), NULL, "/a/12_3.log");
        assert_expands("/a/{index}.log", 12, "x", "/a/.log");
        assert_expands("{name}{name}-{id}{id}", 7, "ab", "abab-77");
        assert_expands("{name}", 7, NULL, "");
        assert_expands("", 7, "x", "");
        assert_expands("{id}", task_ref(TASK_ID_MAX, TASK_INDEX_MAX), NULL, "549755813887");
        assert_expands("{index}", task_ref(TASK_ID_MAX, TASK_INDEX_MAX), NULL, "16777214");
}

static void test_other_braces_stay(_unused_ void **state) {
        assert_expands("/a/{ID}{}{{id}}{id", 12, NULL, "/a/{ID}{}{12}{id");
        assert_expands("%s{x}%n", 12, NULL, "%s{x}%n");
        assert_expands("{", 12, NULL, "{");
}

static void test_a_name_leads_into_no_other_folder(_unused_ void **state) {
        assert_expands("/a/{name}", 1, "../../etc/passwd", "/a/.._.._etc_passwd");
        assert_expands("/a/{name}", 1, "..", "/a/__");
        assert_expands("/a/{name}", 1, ".", "/a/_");
        assert_expands("/a/{name}", 1, "...", "/a/___");
        assert_expands("/a/{name}", 1, "a.b", "/a/a.b");
        assert_expands("/a/{name}", 1, "/", "/a/_");
        assert_expands("/a/{name}", 1, "{id}", "/a/{id}"); /* filled once */
}

static void test_a_pattern_with_a_place_is_told_from_one_without(_unused_ void **state) {
        assert_true(output_has_place("{id}"));
        assert_true(output_has_place("/a/b-{index}"));
        assert_true(output_has_place("{{name}"));
        assert_false(output_has_place(""));
        assert_false(output_has_place("/a/{i}"));
        assert_false(output_has_place("/a/id"));
        assert_false(output_has_place("{id"));
}

static const char *refusal(const char *pattern) {
        static Error error;

        error.text[0] = '\0';
        assert_int_equal(output_check(pattern, NULL), output_check(pattern, &error));
        assert_int_equal(output_check(pattern, &error), error.text[0] ? -EINVAL : 0);
        return error.text;
}

static void test_a_word_that_is_no_place_is_refused(_unused_ void **state) {
        static const char *const fine[] = {
                "",     "{id}{name}", "{{id}}", "{",        "}",  "{id",
                "a{}b", "{a b}",      "{1,2}",  "{name}{x", "x}", "{%s}"
        };
        static const char *const bad[] = { "{x}", "/a/{id}/{ID}", "{{jobid}}",
                                           "{0}", "{task-id}",    "{index_}" };

        for (size_t i = 0; i < ELEMENTSOF(fine); i++)
                assert_string_equal(refusal(fine[i]), "");
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_non_null(
                        strstr(refusal(bad[i]), "' is not known; use {id}, {index} or {name}"));
        assert_string_equal(refusal("/a/{id}/{ID}-{x}"),
                            "'{ID}' is not known; use {id}, {index} or {name}, or no braces");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_places_are_filled),
                cmocka_unit_test(test_other_braces_stay),
                cmocka_unit_test(test_a_name_leads_into_no_other_folder),
                cmocka_unit_test(test_a_pattern_with_a_place_is_told_from_one_without),
                cmocka_unit_test(test_a_word_that_is_no_place_is_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
