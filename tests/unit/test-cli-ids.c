/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "cli/commands.h"
#include "cli/ids.h"
#include "core/task.h"

#include "check.h"

static void test_tasks_and_elements_are_kept_in_order_each_once(_unused_ void **state) {
        _cleanup_(ids_done) IdList ids = { 0 };
        char *words[] = { (char[]){ "12_3" }, (char[]){ "12" },   (char[]){ "7" },
                          (char[]){ "12_3" }, (char[]){ "12_0" }, NULL };

        assert_int_equal(ids_parse(&command_cancel, 5, words, &ids), 0);
        assert_int_equal(ids.n, 4);
        assert_int_equal(ids.ids[0], task_ref(12, 3));
        assert_int_equal(ids.ids[1], 12);
        assert_int_equal(ids.ids[2], 7);
        assert_int_equal(ids.ids[3], task_ref(12, 0));
}

static void test_one_that_is_none_refuses_all(_unused_ void **state) {
        IdList ids = { 0 };
        char *words[] = { (char[]){ "12" }, (char[]){ "12_" }, NULL };

        assert_int_equal(ids_parse(&command_cancel, 2, words, &ids), CLI_STATUS_USAGE);
        assert_int_equal(ids.n, 0);
        assert_null(ids.ids);
}

static void test_what_was_done_is_no_news(_unused_ void **state) {
        const IdResult done = { .id = task_ref(12, 3), .outcome = ID_OUTCOME_DONE };
        const IdResult not_yours = { .id = task_ref(12, 3), .outcome = ID_OUTCOME_NOT_YOURS };

        assert_false(ids_report(&done, "cancel"));
        assert_true(ids_report(&not_yours, "cancel"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_tasks_and_elements_are_kept_in_order_each_once),
                cmocka_unit_test(test_one_that_is_none_refuses_all),
                cmocka_unit_test(test_what_was_done_is_no_news),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
