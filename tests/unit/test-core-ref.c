/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Tasks and elements as words
 */

#include <errno.h>

#include "core/ref.h"
#include "core/task.h"

#include "check.h"

static const struct {
        const char *word;
        uint64_t id;
        int64_t index;
} good[] = {
        { "1", 1, -1 },
        { "12", 12, -1 },
        { "12_0", 12, 0 },
        { "12_3", 12, 3 },
        { "10_10", 10, 10 },
        { "549755813887", TASK_ID_MAX, -1 },
        { "549755813887_16777214", TASK_ID_MAX, TASK_INDEX_MAX },
};

static void test_a_word_names_its_task(_unused_ void **state) {
        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                uint64_t ref = 0;

                assert_int_equal(task_ref_parse(good[i].word, &ref, NULL), 0);
                assert_int_equal(task_ref_id(ref), good[i].id);
                assert_int_equal(task_ref_index(ref), good[i].index);
                assert_int_equal(ref, task_ref(good[i].id, good[i].index));
        }
}

static void test_a_task_is_written_as_it_is_read(_unused_ void **state) {
        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                char buf[TASK_REF_FORMAT_MAX];
                uint64_t ref = task_ref(good[i].id, good[i].index);

                assert_ptr_equal(task_ref_format(buf, sizeof(buf), ref), buf);
                assert_string_equal(buf, good[i].word);
        }
}

static void test_each_other_word_is_refused(_unused_ void **state) {
        static const struct {
                const char *word;
                int r;
                const char *sentence;
        } cases[] = {
                { "", -EINVAL, "'' is no task: they are written 12, or 12_3" },
                { "0", -EINVAL, "'0' is no task: they are written 12, or 12_3" },
                { "0_1", -EINVAL, "'0_1' is no task: they are written 12, or 12_3" },
                { "012", -EINVAL, "'012' is no task: they are written 12, or 12_3" },
                { "12_03", -EINVAL, "'12_03' is no task: they are written 12, or 12_3" },
                { "12_", -EINVAL, "'12_' is no task: they are written 12, or 12_3" },
                { "_3", -EINVAL, "'_3' is no task: they are written 12, or 12_3" },
                { "12_3_4", -EINVAL, "'12_3_4' is no task: they are written 12, or 12_3" },
                { "12_-1", -EINVAL, "'12_-1' is no task: they are written 12, or 12_3" },
                { "-1", -EINVAL, "'-1' is no task: they are written 12, or 12_3" },
                { "+1", -EINVAL, "'+1' is no task: they are written 12, or 12_3" },
                { " 1", -EINVAL, "' 1' is no task: they are written 12, or 12_3" },
                { "1 ", -EINVAL, "'1 ' is no task: they are written 12, or 12_3" },
                { "12-3", -EINVAL, "'12-3' is no task: they are written 12, or 12_3" },
                { "99999999999999999999999999x", -EINVAL,
                  "'99999999999999999999999999x' is no task: they are written 12, or 12_3" },
                { "549755813888", -ERANGE, "'549755813888': no task has an id above 549755813887" },
                { "99999999999999999999999999", -ERANGE,
                  "'99999999999999999999999999': no task has an id above 549755813887" },
                { "1_16777215", -ERANGE, "'1_16777215': no element has an index above 16777214" },
                { "1_99999999999999999999999999", -ERANGE,
                  "'1_99999999999999999999999999': no element has an index above 16777214" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Error error = { "" };
                uint64_t ref = 4711;

                assert_int_equal(task_ref_parse(cases[i].word, &ref, &error), cases[i].r);
                assert_string_equal(error.text, cases[i].sentence);
                assert_int_equal(ref, 4711);
                assert_int_equal(task_ref_parse(cases[i].word, &ref, NULL), cases[i].r);
        }
}

static void test_order_is_by_task_and_then_by_element(_unused_ void **state) {
        const uint64_t refs[] = {
                task_ref(1, -1),
                task_ref(2, -1),
                task_ref(2, 0),
                task_ref(2, 1),
                task_ref(2, TASK_INDEX_MAX),
                task_ref(3, -1),
                task_ref(TASK_ID_MAX, TASK_INDEX_MAX),
        };

        for (size_t i = 0; i < ELEMENTSOF(refs); i++) {
                uint64_t order = task_ref_order(refs[i]);

                assert_true(order <= INT64_MAX);
                assert_int_equal(task_ref_from_order(order), refs[i]);
                if (i > 0)
                        assert_true(order > task_ref_order(refs[i - 1]));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_word_names_its_task),
                cmocka_unit_test(test_a_task_is_written_as_it_is_read),
                cmocka_unit_test(test_each_other_word_is_refused),
                cmocka_unit_test(test_order_is_by_task_and_then_by_element),
        };

        return cmocka_run_group_tests_name("core-ref", tests, NULL, NULL);
}
