/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Every cell of the table, as words; and what must hold for all of them: nothing that may have run is started again, and no end
 * that the daemon has not had is thrown away.
 */

#include <string.h>

#include "agent/life.h"
#include "util/macro.h"

#include "check.h"

#define ATTEMPT 5

/* The actions for a record of an older attempt than the daemon speaks of, the same, and a newer one. */
typedef struct Row {
        LifeSaid said;
        LifeRecord record;
        const char *older, *same, *newer;
} Row;

/* clang-format off */
static const Row rows[] = {
        { LIFE_SAID_NOTHING, LIFE_RECORD_STARTING, "watch",          "watch",          "watch" },
        { LIFE_SAID_NOTHING, LIFE_RECORD_RUNNING,  "resume-running", "resume-running", "resume-running" },
        { LIFE_SAID_NOTHING, LIFE_RECORD_DEAD,     "say-lost",       "say-lost",       "say-lost" },
        { LIFE_SAID_NOTHING, LIFE_RECORD_ENDED,    "say-ended",      "say-ended",      "say-ended" },

        { LIFE_SAID_WAITING, LIFE_RECORD_STARTING, "watch",          "watch",          "watch" },
        { LIFE_SAID_WAITING, LIFE_RECORD_RUNNING,  "resume-running", "resume-running", "resume-running" },
        { LIFE_SAID_WAITING, LIFE_RECORD_DEAD,     "drop-record",    "drop-record",    "withdraw" },
        { LIFE_SAID_WAITING, LIFE_RECORD_ENDED,    "drop-record",    "drop-record",    "withdraw" },

        { LIFE_SAID_RUNNING, LIFE_RECORD_STARTING, "watch",          "watch",          "watch" },
        { LIFE_SAID_RUNNING, LIFE_RECORD_RUNNING,  "watch",          "resume-running", "resume-running" },
        { LIFE_SAID_RUNNING, LIFE_RECORD_DEAD,     "drop-record",    "say-lost",       "say-lost" },
        { LIFE_SAID_RUNNING, LIFE_RECORD_ENDED,    "drop-record",    "say-ended",      "say-ended" },

        { LIFE_SAID_OFFERED, LIFE_RECORD_STARTING, "decline",        "decline",        "decline" },
        { LIFE_SAID_OFFERED, LIFE_RECORD_RUNNING,  "decline",        "decline",        "decline" },
        { LIFE_SAID_OFFERED, LIFE_RECORD_DEAD,     "drop-record",    "withdraw",       "withdraw" },
        { LIFE_SAID_OFFERED, LIFE_RECORD_ENDED,    "drop-record",    "withdraw",       "withdraw" },

        { LIFE_SAID_GRANTED, LIFE_RECORD_STARTING, "watch",          "watch",          "watch" },
        { LIFE_SAID_GRANTED, LIFE_RECORD_RUNNING,  "watch",          "resume-running", "resume-running" },
        { LIFE_SAID_GRANTED, LIFE_RECORD_DEAD,     "drop-record",    "say-lost",       "say-lost" },
        { LIFE_SAID_GRANTED, LIFE_RECORD_ENDED,    "drop-record",    "say-ended",      "say-ended" },
};
/* clang-format on */

static void assert_action(const Row *row, unsigned record_attempt, bool bundle, const char *want) {
        const LifeView view = {
                .said = row->said,
                .said_attempt = ATTEMPT,
                .record = row->record,
                .record_attempt = record_attempt,
                .has_bundle = bundle,
        };

        assert_string_equal(life_action_to_string(life_decide(&view)), want);
}

static void test_a_record_decides_whether_there_is_a_bundle_or_not(_unused_ void **state) {
        assert_int_equal(ELEMENTSOF(rows), N_LIFE_SAID * (N_LIFE_RECORDS - 1));
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                for (int bundle = 0; bundle < 2; bundle++) {
                        assert_action(&rows[i], 1, bundle, rows[i].older);
                        assert_action(&rows[i], ATTEMPT - 1, bundle, rows[i].older);
                        assert_action(&rows[i], ATTEMPT, bundle, rows[i].same);
                        assert_action(&rows[i], ATTEMPT + 1, bundle, rows[i].newer);
                }
}

static void test_without_a_record_it_depends_on_the_bundle(_unused_ void **state) {
        static const struct {
                LifeSaid said;
                const char *without, *with;
        } cases[] = {
                { LIFE_SAID_NOTHING, "nothing", "ask" },
                { LIFE_SAID_WAITING, "withdraw", "nothing" },
                { LIFE_SAID_RUNNING, "resume-not-started", "resume-not-started" },
                { LIFE_SAID_OFFERED, "withdraw", "accept" },
                { LIFE_SAID_GRANTED, "resume-not-started", "start" },
        };

        assert_int_equal(ELEMENTSOF(cases), N_LIFE_SAID);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const Row row = { cases[i].said, LIFE_RECORD_NONE, NULL, NULL, NULL };

                assert_action(&row, 0, false, cases[i].without);
                assert_action(&row, 0, true, cases[i].with);
        }
}

static void check_both(void (*check)(const LifeView *view), LifeView view) {
        view.has_bundle = false;
        check(&view);
        view.has_bundle = true;
        check(&view);
}

/* Calls @check for every view there is. */
static void for_each_view(void (*check)(const LifeView *view)) {
        for (unsigned said = 0; said < N_LIFE_SAID; said++)
                for (unsigned record = 0; record < N_LIFE_RECORDS; record++)
                        for (unsigned attempt = ATTEMPT - 1; attempt <= ATTEMPT + 1; attempt++)
                                check_both(check, (LifeView){ .said = (LifeSaid)said,
                                                              .said_attempt = ATTEMPT,
                                                              .record = (LifeRecord)record,
                                                              .record_attempt = attempt });
}

static void check_start(const LifeView *view) {
        LifeAction action = life_decide(view);

        if (action == LIFE_START)
                assert_true(view->said == LIFE_SAID_GRANTED && view->has_bundle &&
                            view->record == LIFE_RECORD_NONE);
        if (action == LIFE_ACCEPT)
                assert_true(view->said == LIFE_SAID_OFFERED && view->has_bundle &&
                            view->record == LIFE_RECORD_NONE);
        if (action == LIFE_RESUME_NOT_STARTED)
                assert_true(view->record == LIFE_RECORD_NONE);
}

static void test_nothing_that_has_a_record_is_started(_unused_ void **state) {
        for_each_view(check_start);
}

static void check_end(const LifeView *view) {
        LifeAction action = life_decide(view);

        if (view->record == LIFE_RECORD_ENDED && view->record_attempt > view->said_attempt)
                assert_true(action == LIFE_SAY_ENDED || action == LIFE_WITHDRAW);
        if (view->record == LIFE_RECORD_ENDED && view->said == LIFE_SAID_RUNNING &&
            view->record_attempt == view->said_attempt)
                assert_true(action == LIFE_SAY_ENDED);
        if (action == LIFE_DROP_RECORD)
                assert_true(view->record == LIFE_RECORD_DEAD || view->record == LIFE_RECORD_ENDED);
}

static void test_no_end_that_is_wanted_is_dropped(_unused_ void **state) {
        for_each_view(check_end);
}

static void check_alive(const LifeView *view) {
        LifeAction action = life_decide(view);

        if (view->record != LIFE_RECORD_STARTING && view->record != LIFE_RECORD_RUNNING)
                return;
        assert_true(action == LIFE_WATCH || action == LIFE_RESUME_RUNNING ||
                    action == LIFE_DECLINE);
        assert_true(life_record_stands(view));
}

static void test_what_lives_is_never_given_up(_unused_ void **state) {
        for_each_view(check_alive);
}

static void test_a_record_that_is_dropped_leaves_the_task_to_ask_about(_unused_ void **state) {
        LifeView view = {
                .said = LIFE_SAID_RUNNING,
                .said_attempt = ATTEMPT,
                .record = LIFE_RECORD_ENDED,
                .record_attempt = ATTEMPT - 1,
        };

        assert_false(life_record_stands(&view));
        view.record_attempt = ATTEMPT;
        assert_true(life_record_stands(&view));
        view.record = LIFE_RECORD_NONE;
        assert_false(life_record_stands(&view));
}

static void test_every_action_has_a_word(_unused_ void **state) {
        for (unsigned i = 0; i < N_LIFE_ACTIONS; i++) {
                const char *word = life_action_to_string((LifeAction)i);

                assert_non_null(word);
                assert_int_equal(life_action_from_string(word), i);
        }
        assert_null(life_action_to_string((LifeAction)N_LIFE_ACTIONS));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_record_decides_whether_there_is_a_bundle_or_not),
                cmocka_unit_test(test_without_a_record_it_depends_on_the_bundle),
                cmocka_unit_test(test_nothing_that_has_a_record_is_started),
                cmocka_unit_test(test_no_end_that_is_wanted_is_dropped),
                cmocka_unit_test(test_what_lives_is_never_given_up),
                cmocka_unit_test(test_a_record_that_is_dropped_leaves_the_task_to_ask_about),
                cmocka_unit_test(test_every_action_has_a_word),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
