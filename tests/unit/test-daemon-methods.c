/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/methods.h"
#include "wire/tables.h"

static const Method *find(CallType type, size_t *ret_n) {
        const Method *found = NULL;

        *ret_n = 0;
        for (size_t i = 0; i < n_methods; i++)
                if (methods[i].type == type) {
                        found = &methods[i];
                        (*ret_n)++;
                }
        return found;
}

/* What the daemon says itself, and what agents serve on their own sockets. */
static bool is_of_others(int type) {
        return call_specs[type].from_daemon || call_specs[type].of_agent;
}

static void test_every_call_of_a_client_has_one_method(_unused_ void **state) {
        for (int type = 0; type < N_CALL_TYPES; type++) {
                size_t n;

                (void)find((CallType)type, &n);
                if (n != 1 && !is_of_others(type))
                        fail_msg("%s has %zu methods", call_type_to_string((CallType)type), n);
        }
}

static void test_what_the_daemon_does_not_serve_has_no_method(_unused_ void **state) {
        for (int type = 0; type < N_CALL_TYPES; type++) {
                size_t n;

                (void)find((CallType)type, &n);
                if (is_of_others(type))
                        assert_int_equal(n, 0);
        }
}

/* What a runner says of a task must come from the connection that has it: no other access fits. */
static void test_what_runners_say_is_for_runners_alone(_unused_ void **state) {
        static const CallType of_runners[] = { CALL_ACCEPT, CALL_DECLINE, CALL_STARTED,
                                               CALL_USED,   CALL_AWAY,    CALL_WITHDRAW };
        static const CallType of_late_ones[] = { CALL_ENDED, CALL_RESUME };

        for (size_t i = 0; i < ELEMENTSOF(of_runners); i++) {
                size_t n;

                const Method *method = find(of_runners[i], &n);

                assert_non_null(method);
                assert_int_equal(method ? method->access : ACCESS_ANYONE, ACCESS_RUNNER);
        }
        for (size_t i = 0; i < ELEMENTSOF(of_late_ones); i++) {
                size_t n;

                const Method *method = find(of_late_ones[i], &n);

                assert_non_null(method);
                assert_int_equal(method ? method->access : ACCESS_ANYONE, ACCESS_RUNNER_LATE);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_call_of_a_client_has_one_method),
                cmocka_unit_test(test_what_the_daemon_does_not_serve_has_no_method),
                cmocka_unit_test(test_what_runners_say_is_for_runners_alone),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
