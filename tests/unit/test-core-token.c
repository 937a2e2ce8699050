/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Tokens: their names, and who gets them
 */

#include <stdlib.h>
#include <string.h>

#include "core/explain.h"
#include "core/token.h"

#include "check.h"
#include "test-core-fixture.h"

#define PATIENCE (600 * SEC)

static Policy policy_with(const char *list) {
        Policy policy = world_policy();
        Needs needs = {};

        assert_int_equal(needs_add_tokens(&needs, list), 0);
        policy.n_tokens = needs.n_tokens;
        for (unsigned i = 0; i < needs.n_tokens; i++)
                policy.tokens[i] = needs.tokens[i];
        needs_done(&needs);
        return policy;
}

#define TOKEN_WORLD(list)                           \
        _cleanup_(world_done) World own_world = {}; \
        World *world = &own_world;                  \
        Policy policy = policy_with(list);          \
        world_init(world, &policy, 0)

/* Other settings: how many there are of the first name. */
static void reload(World *world, unsigned n) {
        Policy policy = *core_policy(world->core);

        policy.tokens[0].n = n;
        core_set_policy(world->core, &policy);
}

static const TokenView *view_of(const TokenView *views, ssize_t n, const char *name) {
        for (ssize_t i = 0; i < n; i++)
                if (strcmp(views[i].name, name) == 0)
                        return &views[i];
        return NULL;
}

static uint64_t taken(const World *world, const char *name) {
        TokenView *views;
        ssize_t n = core_view_tokens(world->core, &views);
        const TokenView *view = view_of(views, n, name);
        uint64_t n_taken = view ? view->taken : 0;

        free(views);
        return n_taken;
}

static void test_a_name_is_a_word(_unused_ void **state) {
        static const char *const good[] = { "matlab", "m", "Ansys_2023.R1-hpc",
                                            "a234567890123456789012345678901" };
        static const char *const bad[] = { "",        "2d",
                                           "-x",      "mat lab",
                                           "mat:lab", "h\xc3\xa9",
                                           "matlab,", "a2345678901234567890123456789012" };
        Error error;

        for (size_t i = 0; i < ELEMENTSOF(good); i++)
                assert_int_equal(token_check_name(good[i], NULL), 0);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_true(token_check_name(bad[i], NULL) < 0);
        assert_true(token_check_name("GPU", &error) < 0);
        assert_string_equal(error.text, "'GPU' is no name of tokens: it means something else");
        assert_true(token_check_name("memory", NULL) < 0);
        assert_true(token_check_name("none", NULL) < 0);
}

static void test_a_word_names_one_or_several(_unused_ void **state) {
        static const char *const bad[] = {
                "",
                ":2",
                "matlab:",
                "matlab:0",
                "matlab:-1",
                "matlab:1.5",
                "matlab:2:3",
                "matlab:1000001",
                "matlab:x",
                "matlab 2",
                "a2345678901234567890123456789012",
                "a23456789012345678901234567890123:2",
        };
        Token token = { .n = 77 };

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                Error error = {};

                assert_true(token_parse(bad[i], &token, &error) < 0);
                assert_true(error.text[0] != '\0');
        }
        assert_int_equal(token.n, 77);
        assert_int_equal(token_parse("matlab", &token, NULL), 0);
        assert_string_equal(token.name, "matlab");
        assert_int_equal(token.n, 1);
        assert_int_equal(token_parse("matlab:1000000", &token, NULL), 0);
        assert_int_equal(token.n, 1000000);
        assert_int_equal(token_parse("a234567890123456789012345678901:2", &token, NULL), 0);
        assert_string_equal(token.name, "a234567890123456789012345678901");
        assert_int_equal(token.n, 2);
}

static void test_a_name_is_not_one_that_begins_with_it(_unused_ void **state) {
        static const Token tokens[] = { { "matlab-hpc", 1 }, { "matlab", 2 } };

        assert_int_equal(token_find(tokens, ELEMENTSOF(tokens), "matlab"), 1);
        assert_int_equal(token_find(tokens, ELEMENTSOF(tokens), "matlab-hpc"), 0);
        assert_int_equal(token_find(tokens, ELEMENTSOF(tokens), "mat"), -1);
        assert_int_equal(token_find(tokens, ELEMENTSOF(tokens), "matlab-hpc-2"), -1);
}

static void test_needs_have_each_name_once_in_order(_unused_ void **state) {
        static const char *const bad[] = { "matlab:1 matlab:2", " matlab", "matlab  ansys", "x:0" };
        Needs needs = {}, copy;
        Token more = { .name = "ansys", .n = 2 };
        char *list;

        assert_true(needs_is_empty(&needs));
        assert_int_equal(needs_add_tokens(&needs, "matlab:3 ansys b:2"), 0);
        list = token_format_list(needs.tokens, needs.n_tokens);
        assert_string_equal(list, "ansys:1 b:2 matlab:3");
        free(list);
        assert_int_equal(needs_add_token(&needs, &more), -EEXIST);
        assert_int_equal(needs_n_of_token(&needs, "matlab"), 3);
        assert_int_equal(needs_n_of_token(&needs, "c"), 0);
        assert_false(needs_is_empty(&needs));
        assert_false(needs_are_measured(&needs));

        assert_int_equal(needs_copy(&copy, &needs), 0);
        assert_true(needs_equal(&copy, &needs));
        copy.tokens[1].name[0]++;
        assert_false(needs_equal(&copy, &needs));
        copy.tokens[1].name[0]--;
        copy.tokens[2].n--;
        assert_false(needs_equal(&copy, &needs));
        needs_drop_tokens(&copy);
        assert_true(needs_is_empty(&copy));

        for (unsigned i = 3; i < NEEDS_TOKENS_MAX; i++) {
                (void)snprintf(more.name, sizeof(more.name), "n%u", i);
                assert_int_equal(needs_add_token(&needs, &more), 0);
        }
        (void)snprintf(more.name, sizeof(more.name), "last");
        assert_int_equal(needs_add_token(&needs, &more), -E2BIG);
        needs_done(&needs);

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                assert_int_equal(needs_add_tokens(&needs, bad[i]), -EINVAL);
                needs_done(&needs);
        }
}

static void test_what_there_is_not_is_refused(_unused_ void **state) {
        TOKEN_WORLD("matlab:3 ansys:1");
        Needs needs = {};
        Error error;

        assert_int_equal(needs_add_tokens(&needs, "matlab:3 ansys"), 0);
        assert_int_equal(core_resolve(world->core, &needs, &error), 0);
        needs_drop_tokens(&needs);
        assert_int_equal(needs_add_tokens(&needs, "matlab:4"), 0);
        assert_int_equal(core_resolve(world->core, &needs, &error), CORE_E_IMPOSSIBLE);
        assert_string_equal(error.text, "it asks for 4 tokens of 'matlab', but there are 3");
        needs_drop_tokens(&needs);
        assert_int_equal(needs_add_tokens(&needs, "mathlab"), 0);
        assert_int_equal(core_resolve(world->core, &needs, &error), CORE_E_IMPOSSIBLE);
        assert_string_equal(error.text,
                            "there are no tokens 'mathlab' here; there are ansys (1), matlab (3)");

        policy.n_tokens = 0;
        core_set_policy(world->core, &policy);
        assert_int_equal(core_resolve(world->core, &needs, &error), CORE_E_IMPOSSIBLE);
        assert_string_equal(error.text,
                            "there are no tokens 'mathlab' here: the settings name none "
                            "([tokens] in taskflow.conf)");
        needs_done(&needs);
}

static void test_no_more_are_taken_than_there_are(_unused_ void **state) {
        TOKEN_WORLD("matlab:3 ansys:1");
        uint64_t two = submit(world, (Ask){ .tokens = "matlab:2" });
        uint64_t both = submit(world, (Ask){ .uid = BOB, .tokens = "ansys:1 matlab:2" });
        uint64_t one = submit(world, (Ask){ .uid = CHUCK, .tokens = "matlab:1" });
        uint64_t last = submit(world, (Ask){ .tokens = "matlab:1" });

        /* one pass gives them to those that they are enough for */
        assert_int_equal(settle(world), 2);
        assert_int_equal(taken(world, "matlab"), 3);
        assert_int_equal(taken(world, "ansys"), 0);
        assert_int_equal(state_of(world, two), TASK_STATE_RUNNING);
        assert_int_equal(state_of(world, one), TASK_STATE_RUNNING);
        assert_why(world, both, WAIT_REASON_TOKENS,
                   "needs 2 tokens of matlab: 0 of 3 free, 2 missing (task 1 of uid 1000 has 2, "
                   "task 3 of uid 1002 has 1)");
        assert_why(world, last, WAIT_REASON_TOKENS,
                   "needs 1 token of matlab: 0 of 3 free, 1 missing (task 1 of uid 1000 has 2, "
                   "task 3 of uid 1002 has 1)");

        assert_int_equal(end(world, one, TASK_STATE_FAILED), 0);
        assert_int_equal(settle(world), 1);
        assert_int_equal(state_of(world, last), TASK_STATE_RUNNING);
        assert_int_equal(end(world, two, TASK_STATE_DONE), 0);
        assert_int_equal(settle(world), 1);
        assert_int_equal(state_of(world, both), TASK_STATE_RUNNING);
        assert_int_equal(taken(world, "matlab"), 3);
        assert_int_equal(taken(world, "ansys"), 1);
}

/* The figures of RAM are old: another look could find room, but not tokens. */
static void assert_no_look(const World *world) {
        Plan plan = plan_now(world);

        assert_int_equal(plan.n_offers, 1);
        assert_false(plan.want_ram);
        plan_done(&plan);
}

static void test_nobody_looks_for_one_whose_tokens_are_given_away(_unused_ void **state) {
        TOKEN_WORLD("matlab:1");

        pass_time(world, 1000 * SEC);
        submit(world, (Ask){ .tokens = "matlab" });
        submit(world, (Ask){ .memory_bytes = GIB, .tokens = "matlab" });
        assert_no_look(world);
}

static void test_nor_if_a_look_was_thought_of_before(_unused_ void **state) {
        TOKEN_WORLD("matlab:1");

        start(world, (Ask){ .cpus = 16 });
        pass_time(world, 1000 * SEC);
        submit(world, (Ask){ .memory_bytes = GIB, .cpus = 1 }); /* waits for cores */
        submit(world, (Ask){ .tokens = "matlab" });
        submit(world, (Ask){ .memory_bytes = GIB, .tokens = "matlab" });
        assert_no_look(world);
}

static void test_an_offer_has_them_until_it_comes_back(_unused_ void **state) {
        TOKEN_WORLD("matlab:1");
        uint64_t first = submit(world, (Ask){ .tokens = "matlab" }), second;

        look(world);
        assert_int_equal(offer_next(world), first);
        assert_int_equal(taken(world, "matlab"), 1);
        second = submit(world, (Ask){ .uid = BOB, .tokens = "matlab" });
        assert_int_equal(offer_next(world), 0);
        assert_int_equal(apply(world, EVENT_OFFER_EXPIRED, first), 0);
        assert_int_equal(taken(world, "matlab"), 0);
        assert_int_equal(start_next(world), second);
}

static void test_one_that_is_tried_again_lets_them_go_meanwhile(_unused_ void **state) {
        TOKEN_WORLD("matlab:1");
        uint64_t first = start(world, (Ask){ .tokens = "matlab", .retry_max = 1 });

        assert_int_equal(end(world, first, TASK_STATE_FAILED), 0);
        assert_int_equal(state_of(world, first), TASK_STATE_PENDING);
        assert_int_equal(taken(world, "matlab"), 0);
        assert_int_equal(start_next(world), first);
        assert_int_equal(taken(world, "matlab"), 1);
}

static void test_elements_of_an_array_have_their_own(_unused_ void **state) {
        TOKEN_WORLD("matlab:3");
        uint64_t array = submit(world, (Ask){ .tokens = "matlab", .array = "0-9" });

        assert_int_equal(settle(world), 3);
        assert_int_equal(taken(world, "matlab"), 3);
        assert_int_equal(end(world, task_ref(array, 1), TASK_STATE_DONE), 0);
        assert_int_equal(settle(world), 1);
        assert_int_equal(state_of(world, task_ref(array, 3)), TASK_STATE_RUNNING);
}

static void test_they_are_not_handed_on_in_a_row(_unused_ void **state) {
        TOKEN_WORLD("matlab:1");
        uint64_t first = start(world, (Ask){ .tokens = "matlab" });
        PlanOffer next;

        submit(world, (Ask){ .tokens = "matlab" });
        assert_false(core_next_in_row(world->core, first, &next));
}

static void test_what_runs_already_counts_after_a_restart(_unused_ void **state) {
        TOKEN_WORLD("matlab:2");
        uint64_t waits;

        submit(world, (Ask){ .tokens = "matlab:2", .state = TASK_STATE_RUNNING });
        waits = submit(world, (Ask){ .tokens = "matlab:1" });
        assert_int_equal(settle(world), 0);
        assert_int_equal(taken(world, "matlab"), 2);
        assert_int_equal(state_of(world, waits), TASK_STATE_PENDING);
}

static void test_with_fewer_settings_nobody_starts_before_enough_came_back(_unused_ void **state) {
        TOKEN_WORLD("matlab:3");
        uint64_t a = start(world, (Ask){ .tokens = "matlab:2" });
        uint64_t b = start(world, (Ask){ .uid = BOB, .tokens = "matlab:1" });
        uint64_t c = submit(world, (Ask){ .uid = CHUCK, .tokens = "matlab:1" });

        reload(world, 1);
        assert_int_equal(settle(world), 0);
        assert_int_equal(state_of(world, a), TASK_STATE_RUNNING);
        assert_why(world, c, WAIT_REASON_TOKENS,
                   "needs 1 token of matlab: 0 of 1 free, 3 missing (task 1 of uid 1000 has 2, "
                   "task 2 of uid 1001 has 1)");
        assert_int_equal(end(world, b, TASK_STATE_DONE), 0);
        assert_int_equal(settle(world), 0);
        assert_int_equal(end(world, a, TASK_STATE_DONE), 0);
        assert_int_equal(settle(world), 1);
        assert_int_equal(state_of(world, c), TASK_STATE_RUNNING);
}

static void test_one_that_can_not_start_any_more_says_so(_unused_ void **state) {
        TOKEN_WORLD("matlab:3");
        uint64_t large, holder = start(world, (Ask){ .tokens = "matlab" });
        TokenView *views;
        ssize_t n;

        large = submit(world, (Ask){ .uid = BOB, .tokens = "matlab:3" });
        reload(world, 2);
        assert_why(world, large, WAIT_REASON_TOKENS,
                   "needs 3 tokens of matlab: the settings have only 2 now, and it can't start "
                   "before they have 1 more (task 1 of uid 1000 has 1)");
        policy.n_tokens = 0;
        core_set_policy(world->core, &policy);
        assert_why(world, large, WAIT_REASON_TOKENS,
                   "needs 3 tokens of matlab: the settings have none any more, and it can't start "
                   "before they have (task 1 of uid 1000 has 1)");
        assert_int_equal(settle(world), 0);

        /* what is still taken is shown */
        n = core_view_tokens(world->core, &views);
        assert_int_equal(n, 1);
        assert_string_equal(views[0].name, "matlab");
        assert_true(views[0].total == 0 && views[0].taken == 1);
        free(views);

        policy = policy_with("matlab:3");
        core_set_policy(world->core, &policy);
        assert_int_equal(end(world, holder, TASK_STATE_DONE), 0);
        assert_int_equal(settle(world), 1);
        assert_int_equal(state_of(world, large), TASK_STATE_RUNNING);
}

static void test_tasks_that_differ_in_tokens_are_not_alike(_unused_ void **state) {
        TOKEN_WORLD("matlab:2");
        uint64_t next;

        start(world, (Ask){ .tokens = "matlab:1" });
        submit(world, (Ask){ .tokens = "matlab:2" });
        next = submit(world, (Ask){ .tokens = "matlab:1" });
        assert_int_equal(start_next(world), next);
}

static void test_nor_are_those_that_differ_in_their_names(_unused_ void **state) {
        TOKEN_WORLD("comsol:1 matlab:1");
        uint64_t next;

        start(world, (Ask){ .tokens = "comsol" });
        submit(world, (Ask){ .tokens = "comsol" });
        next = submit(world, (Ask){ .tokens = "matlab" });
        assert_int_equal(start_next(world), next);
}

static void test_they_can_be_changed_while_it_waits(_unused_ void **state) {
        TOKEN_WORLD("matlab:2");
        uint64_t waits;
        Needs less = {};
        Event event;

        start(world, (Ask){ .tokens = "matlab:1" });
        waits = submit(world, (Ask){ .tokens = "matlab:2" });
        assert_int_equal(settle(world), 0);
        assert_int_equal(needs_add_tokens(&less, "matlab"), 0);
        event = world_event(world, EVENT_UPDATED, waits);
        event.updated.priority = -1;
        event.updated.needs = &less;
        assert_int_equal(core_apply(world->core, &event), 0);
        needs_done(&less);
        assert_int_equal(settle(world), 1);
        assert_int_equal(taken(world, "matlab"), 2);
}

static void test_after_patience_they_are_kept(_unused_ void **state) {
        TOKEN_WORLD("matlab:3");
        uint64_t holder, large, small;
        KeepView view;

        policy.patience_us = PATIENCE;
        core_set_policy(world->core, &policy);
        holder = start(world, (Ask){ .tokens = "matlab:1", .time_limit_us = 3600 * SEC });
        large = submit(world, (Ask){ .uid = BOB, .tokens = "matlab:3" });
        small = submit(world, (Ask){ .uid = CHUCK, .tokens = "matlab:1" });
        assert_int_equal(settle(world), 1);
        assert_int_equal(end(world, small, TASK_STATE_DONE), 0);

        pass_time(world, PATIENCE);
        small = submit(world, (Ask){ .uid = CHUCK, .tokens = "matlab:1" });
        assert_int_equal(settle(world), 0);
        assert_int_equal(core_view_keep(world->core, world->now_us, &view), 1);
        assert_int_equal(view.task_id, large);
        assert_int_equal(view.n_tokens, 1);
        assert_string_equal(view.tokens[0].name, "matlab");
        assert_int_equal(view.tokens[0].n, 3);
        core_keep_view_done(&view);
        assert_why(
                world, small, WAIT_REASON_TOKENS_KEPT,
                "needs 1 token of matlab: 2 of 3 free, but 3 kept for task 2 of uid 1001 (at most ");

        /* who has ended before they can be there goes ahead; who has not, does not */
        submit(world, (Ask){ .uid = CHUCK, .tokens = "matlab:1", .time_limit_us = 3600 * SEC });
        assert_int_equal(settle(world), 0);
        submit(world, (Ask){ .uid = CHUCK, .tokens = "matlab:1", .time_limit_us = 60 * SEC });
        assert_int_equal(settle(world), 1);
        assert_int_equal(kept_for(world), large);

        assert_int_equal(end(world, holder, TASK_STATE_DONE), 0);
        assert_int_equal(end(world, world->last_id, TASK_STATE_DONE), 0);
        assert_int_equal(settle(world), 1);
        assert_int_equal(state_of(world, large), TASK_STATE_RUNNING);
}

static void test_what_is_not_kept_others_may_have(_unused_ void **state) {
        TOKEN_WORLD("matlab:5");
        static Explain explain;
        uint64_t large, three;

        policy.patience_us = PATIENCE;
        core_set_policy(world->core, &policy);
        start(world, (Ask){ .memory_bytes = 60 * GIB, .tokens = "matlab:1" });
        large = submit(world, (Ask){ .uid = BOB, .memory_bytes = 60 * GIB, .tokens = "matlab:2" });
        pass_time(world, PATIENCE);
        assert_int_equal(settle(world), 0);
        assert_int_equal(kept_for(world), large);

        three = submit(world, (Ask){ .uid = CHUCK, .tokens = "matlab:3" });
        assert_int_equal(settle(world), 0);
        assert_int_equal(core_explain(world->core, three, world->now_us, &explain), 0);
        assert_int_equal(explain.lacks[0].reason, WAIT_REASON_TOKENS_KEPT);
        assert_int_equal(explain.lacks[0].free_bytes, 4);
        assert_int_equal(explain.lacks[0].missing_bytes, 1);
        submit(world, (Ask){ .uid = CHUCK, .tokens = "matlab:2" });
        assert_int_equal(settle(world), 1);
}

static void test_nothing_is_kept_for_one_that_can_not_start_any_more(_unused_ void **state) {
        TOKEN_WORLD("matlab:3");
        uint64_t large;

        policy.patience_us = PATIENCE;
        core_set_policy(world->core, &policy);
        start(world, (Ask){ .memory_bytes = 60 * GIB, .tokens = "matlab:1" });
        large = submit(world, (Ask){ .uid = BOB, .memory_bytes = 60 * GIB, .tokens = "matlab:3" });
        pass_time(world, PATIENCE);
        (void)settle(world);
        assert_int_equal(kept_for(world), large);
        reload(world, 2);
        (void)settle(world);
        assert_int_equal(kept_for(world), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_name_is_a_word),
                cmocka_unit_test(test_a_word_names_one_or_several),
                cmocka_unit_test(test_a_name_is_not_one_that_begins_with_it),
                cmocka_unit_test(test_needs_have_each_name_once_in_order),
                cmocka_unit_test(test_what_there_is_not_is_refused),
                cmocka_unit_test(test_no_more_are_taken_than_there_are),
                cmocka_unit_test(test_nobody_looks_for_one_whose_tokens_are_given_away),
                cmocka_unit_test(test_nor_if_a_look_was_thought_of_before),
                cmocka_unit_test(test_an_offer_has_them_until_it_comes_back),
                cmocka_unit_test(test_one_that_is_tried_again_lets_them_go_meanwhile),
                cmocka_unit_test(test_elements_of_an_array_have_their_own),
                cmocka_unit_test(test_they_are_not_handed_on_in_a_row),
                cmocka_unit_test(test_what_runs_already_counts_after_a_restart),
                cmocka_unit_test(test_with_fewer_settings_nobody_starts_before_enough_came_back),
                cmocka_unit_test(test_one_that_can_not_start_any_more_says_so),
                cmocka_unit_test(test_tasks_that_differ_in_tokens_are_not_alike),
                cmocka_unit_test(test_nor_are_those_that_differ_in_their_names),
                cmocka_unit_test(test_they_can_be_changed_while_it_waits),
                cmocka_unit_test(test_after_patience_they_are_kept),
                cmocka_unit_test(test_what_is_not_kept_others_may_have),
                cmocka_unit_test(test_nothing_is_kept_for_one_that_can_not_start_any_more),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
