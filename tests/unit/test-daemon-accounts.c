/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "daemon/accounts.h"
#include "util/units.h"

#include "check.h"

static void test_each_user_has_one_account(void **state) {
        Accounts accounts = {};
        Account *one = accounts_get(&accounts, 0), *two = accounts_get(&accounts, 4294967294);

        assert_non_null(one);
        assert_ptr_equal(accounts_get(&accounts, 0), one);
        assert_ptr_not_equal(one, two);
        assert_int_equal(one->uid, 0);
        assert_int_equal(two->uid, 4294967294);
        accounts_done(&accounts);
}

/* So many at once, one a second after that, and never more than so many at once again. */
static void test_refusals_fill_no_log(void **state) {
        Accounts accounts = {};
        Account *account = accounts_get(&accounts, 1000);
        uint64_t now_us = 5 * US_PER_SEC, n_unsaid = 7;
        unsigned n_said = 0;

        for (unsigned i = 0; i < 100; i++)
                n_said += account_may_log(account, now_us, &n_unsaid);
        assert_int_equal(n_said, ACCOUNT_LINES_MAX);

        assert_false(account_may_log(account, now_us + US_PER_SEC - 1, &n_unsaid));
        assert_int_equal(n_unsaid, 0);
        assert_true(account_may_log(account, now_us + US_PER_SEC, &n_unsaid));
        assert_int_equal(n_unsaid, 100 - ACCOUNT_LINES_MAX + 1);
        assert_false(account_may_log(account, now_us + US_PER_SEC, &n_unsaid));

        now_us += 3600 * US_PER_SEC;
        assert_true(account_may_log(account, now_us, &n_unsaid));
        assert_int_equal(n_unsaid, 1);
        for (n_said = 1; account_may_log(account, now_us, &n_unsaid); n_said++)
                assert_int_equal(n_unsaid, 0);
        assert_int_equal(n_said, ACCOUNT_LINES_MAX);
        accounts_done(&accounts);
}

/* What docs/security.md reckons with: it grows with each text, and never says less than there is. */
static void test_a_task_is_as_large_as_its_words(void **state) {
        char *argv[] = { (char[]){ "make" }, (char[]){ "all" }, NULL };
        TaskAfter after[3] = {};
        IndexRange ranges[5] = {};
        TaskArray array = { .waiting = { .n = 5, .ranges = ranges } };
        Task task = {};
        size_t before, after_words;

        before = account_task_size(&task);
        assert_true(before >= sizeof(Task));
        task.command = (char[]){ "0123456789" };
        assert_int_equal(account_task_size(&task), before + 11);
        task.name = task.cwd = task.output = task.reason = task.command;
        after_words = account_task_size(&task);
        assert_int_equal(after_words, before + (size_t)5 * 11);
        task.argv = argv;
        assert_int_equal(account_task_size(&task), after_words + 2 * sizeof(char *) + 5 + 4);
        task.argv = NULL;
        task.after = after;
        task.n_after = 3;
        assert_int_equal(account_task_size(&task), after_words + 3 * sizeof(TaskAfter));
        task.array = &array;
        assert_true(account_task_size(&task) >=
                    after_words + 3 * sizeof(TaskAfter) + sizeof(array) + 5 * sizeof(IndexRange));
        task.array = NULL;
        task.needs.n_gpus = 64;
        assert_true(account_task_size(&task) >= after_words + 64 * sizeof(GpuNeed));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_each_user_has_one_account),
                cmocka_unit_test(test_refusals_fill_no_log),
                cmocka_unit_test(test_a_task_is_as_large_as_its_words),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
