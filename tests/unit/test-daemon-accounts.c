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

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_each_user_has_one_account),
                cmocka_unit_test(test_refusals_fill_no_log),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
