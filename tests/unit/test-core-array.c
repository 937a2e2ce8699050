/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Arrays: one task in line, and elements that become tasks of their own
 */

#include "test-core-fixture.h"

static const TaskArray *array_of(const World *world, uint64_t id) {
        return core_find(world->core, id)->array;
}

static const char *waits(const World *world, uint64_t id) {
        static char text[200];
        char *set = index_set_format(&array_of(world, id)->waiting);

        assert_non_null(set);
        (void)snprintf(text, sizeof(text), "%s", set);
        free(set);
        return text;
}

/* What a plan offers, in order: "1_0 1_1 2". */
static const char *offers(const World *world) {
        static char text[2000];
        Plan plan = plan_now(world);
        size_t at = 0;

        text[0] = '\0';
        for (size_t i = 0; i < plan.n_offers; i++) {
                const PlanOffer *offer = &plan.offers[i];

                at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%llu", i > 0 ? " " : "",
                                       (unsigned long long)task_ref_id(offer->task_id));
                if (task_ref_index(offer->task_id) >= 0)
                        at += (size_t)snprintf(text + at, sizeof(text) - at, "-%lld",
                                               (long long)task_ref_index(offer->task_id));
                if (offer->index >= 0)
                        at += (size_t)snprintf(text + at, sizeof(text) - at, "_%lld",
                                               (long long)offer->index);
        }
        plan_done(&plan);
        return text;
}

static void test_an_element_is_offered_in_its_array_s_place(_unused_ void **state) {
        WORLD(0);
        uint64_t id = submit(world, (Ask){ .array = "3,7-9", .memory_bytes = GIB });
        uint64_t other = submit(world, (Ask){ .memory_bytes = GIB });
        const Task *element;

        look(world);
        assert_string_equal(offers(world), "1_3");
        assert_true(offer_next(world) == task_ref(id, 3));
        assert_string_equal(waits(world, id), "7-9");
        element = core_find(world->core, task_ref(id, 3));
        assert_non_null(element);
        assert_true(core_is_offered(world->core, element->id));
        assert_int_equal(array_of(world, id)->n_active, 1);
        assert_int_equal(array_of(world, id)->n_apart, 1);
        for (int64_t i = 7; i <= 9; i++)
                assert_true(start_next(world) == task_ref(id, i));
        assert_string_equal(waits(world, id), "");
        assert_true(start_next(world) == other);
}

static void test_an_element_has_all_that_was_asked_for(_unused_ void **state) {
        WORLD(1);
        Event event = world_event(world, EVENT_SUBMITTED, 0);
        Ask ask = { .array = "0-3", .gpu = { "any" }, .gpu_bytes = { GIB }, .retry_max = 2 };
        Task *task = event.submitted = task_of(world, &ask);
        const Task *element;

        task->name = strdup("job");
        task->output = strdup("/o/{index}");
        task->detached = true;
        task->queued_boot_us = 77;
        assert_int_equal(core_apply(world->core, &event), 0);
        pass_time(world, SEC);
        assert_int_equal(split(world, 1, 2), 0);
        element = core_find(world->core, task_ref(1, 2));
        assert_string_equal(element->name, "job");
        assert_string_equal(element->output, "/o/{index}");
        assert_true(element->detached);
        assert_int_equal(element->retry_max, 2);
        assert_null(element->array);
        assert_int_equal(element->state, TASK_STATE_PENDING);
        assert_true(element->queued_boot_us == 77);
        assert_true(element->submitted_at_us == task->submitted_at_us);
        assert_ptr_equal(element->needs.gpus, task->needs.gpus); /* their class's */
        for (size_t i = 0; i < TASK_KEY_BYTES; i++)
                assert_int_equal(element->key[i], 0);
        assert_ptr_equal(core_find_key(world->core, ALICE, task->key), task);
}

static void test_only_what_waits_is_split_off(_unused_ void **state) {
        WORLD(0);
        uint64_t id = submit(world, (Ask){ .array = "1-2" }), plain = submit(world, (Ask){});
        Event event = world_event(world, EVENT_OFFERED, id);

        assert_int_equal(split(world, id, 0), CORE_E_ILLEGAL);
        assert_int_equal(split(world, id, 1), 0);
        assert_int_equal(split(world, id, 1), CORE_E_ILLEGAL);
        assert_int_equal(split(world, plain, 1), CORE_E_ILLEGAL);
        assert_int_equal(split(world, task_ref(id, 1), 1), CORE_E_ILLEGAL);
        assert_int_equal(split(world, 99, 1), CORE_E_NO_TASK);
        assert_int_equal(core_apply(world->core, &event), CORE_E_ILLEGAL); /* the array itself */
}

static void test_elements_that_ask_for_nothing_measured_leave_together(_unused_ void **state) {
        Policy policy = world_policy();
        WORLD(0);

        submit(world, (Ask){ .array = "0-2", .cpus = 5 });
        submit(world, (Ask){ .uid = BOB, .cpus = 1 });
        submit(world, (Ask){ .array = "5-9", .limit = 2 });
        submit(world, (Ask){ .uid = BOB });
        assert_string_equal(offers(world), "1_0 2 4 1_1 1_2 3_5 3_6"); /* by turns */
        policy.order_fifo = true;
        core_set_policy(world->core, &policy);
        assert_string_equal(offers(world), "1_0 1_1 1_2 2 3_5 3_6 4");
}

static void test_the_user_s_open_offers_bound_an_array_too(_unused_ void **state) {
        Policy policy = world_policy();
        _cleanup_(world_done) World own_world = {};
        World *world = &own_world;

        policy.max_offers_per_uid = 3;
        world_init(world, &policy, 0);
        submit(world, (Ask){ .array = "0-99" });
        submit(world, (Ask){ .uid = BOB, .array = "0-1" });
        assert_string_equal(offers(world), "1_0 1_1 1_2 2_0 2_1");
        assert_true(offer_next(world) == task_ref(1, 0));
        assert_string_equal(offers(world), "1_1 1_2 2_0 2_1");
}

static void test_one_plan_has_a_largest_number_of_offers(_unused_ void **state) {
        Policy policy = world_policy();
        _cleanup_(world_done) World own_world = {};
        World *world = &own_world;
        Plan plan;

        policy.max_offers_per_uid = 1000;
        world_init(world, &policy, 0);
        submit(world, (Ask){ .array = "0-999" });
        plan = plan_now(world);
        assert_int_equal(plan.n_offers, PLAN_OFFERS_MAX);
        assert_int_equal(plan.offers[PLAN_OFFERS_MAX - 1].index, PLAN_OFFERS_MAX - 1);
        plan_done(&plan);
}

static void test_no_more_are_active_than_the_limit_allows(_unused_ void **state) {
        WORLD(0);
        uint64_t id = submit(world, (Ask){ .array = "0-9", .limit = 2, .memory_bytes = GIB });
        Event event = world_event(world, EVENT_OFFERED, task_ref(id, 9));

        assert_int_equal(start_all(world), 2);
        assert_false(core_is_waiting(world->core)); /* nothing to look for */
        assert_string_equal(waits(world, id), "2-9");
        assert_int_equal(split(world, id, 9), 0);
        assert_int_equal(core_apply(world->core, &event), CORE_E_ILLEGAL);
        assert_false(core_is_waiting(world->core));

        assert_int_equal(end(world, task_ref(id, 0), TASK_STATE_DONE), 0);
        assert_true(core_is_waiting(world->core));
        assert_int_equal(start_all(world), 1);
        assert_null(core_find(world->core, task_ref(id, 2)));
        assert_int_equal(core_find(world->core, task_ref(id, 9))->state, TASK_STATE_RUNNING);
        assert_false(core_is_waiting(world->core));
        assert_int_equal(array_of(world, id)->n_active, 2);
}

static void test_a_returned_element_comes_before_the_rest_of_its_array(_unused_ void **state) {
        WORLD(0);
        uint64_t id = submit(world, (Ask){ .array = "0-3", .memory_bytes = GIB });
        uint64_t other = submit(world, (Ask){ .memory_bytes = GIB });
        uint64_t first, second;

        look(world);
        first = offer_next(world);
        look(world);
        second = offer_next(world);
        assert_int_equal(apply(world, EVENT_OFFER_RETURNED, second), 0);
        assert_int_equal(apply(world, EVENT_OFFER_RETURNED, first), 0);
        assert_true(start_next(world) == first);
        assert_true(start_next(world) == second);
        assert_true(start_next(world) == task_ref(id, 2));
        assert_true(start_next(world) == task_ref(id, 3));
        assert_true(start_next(world) == other);
}

static void test_an_array_that_is_full_holds_up_nobody(_unused_ void **state) {
        WORLD(0);
        uint64_t id = submit(world, (Ask){ .array = "0-3", .limit = 1, .retry_max = 1 });
        uint64_t other;

        assert_true(start_next(world) == task_ref(id, 0));
        assert_int_equal(end(world, task_ref(id, 0), TASK_STATE_FAILED), 0);
        assert_true(start_next(world) == task_ref(id, 0)); /* tried again */
        assert_false(core_is_waiting(world->core));
        other = submit(world, (Ask){});
        assert_true(core_is_waiting(world->core));
        assert_string_equal(offers(world), "2");
        assert_true(start_next(world) == other);
        assert_int_equal(end(world, task_ref(id, 0), TASK_STATE_DONE), 0);
        assert_true(start_next(world) == task_ref(id, 1));
}

static void test_counts_are_those_of_elements(_unused_ void **state) {
        WORLD(1);
        uint64_t id = submit(world, (Ask){ .array = "0-9", .limit = 1, .gpu = { "0" } });

        assert_int_equal(core_counts(world->core).pending, 10);
        assert_int_equal(core_n_waiting_of(world->core, ALICE), 1);
        assert_true(core_uses_gpus(world->core));

        assert_int_equal(split(world, id, 4), 0);
        assert_int_equal(apply(world, EVENT_HELD, task_ref(id, 4)), 0);
        assert_int_equal(core_counts(world->core).pending, 9);
        assert_int_equal(core_counts(world->core).held, 1);
        assert_int_equal(core_n_waiting_of(world->core, ALICE), 2);

        assert_int_equal(apply(world, EVENT_HELD, id), 0);
        assert_int_equal(core_counts(world->core).pending, 0);
        assert_int_equal(core_counts(world->core).held, 10);
        assert_false(core_is_waiting(world->core));
        assert_false(core_uses_gpus(world->core));

        assert_int_equal(apply(world, EVENT_RELEASED, id), 0);
        assert_true(start_next(world) == task_ref(id, 0));
        assert_int_equal(core_counts(world->core).pending, 8);
        assert_int_equal(core_counts(world->core).running, 1);

        assert_int_equal(apply(world, EVENT_WITHDRAWN, id), 0);
        assert_int_equal(core_counts(world->core).pending, 0);
        assert_int_equal(core_n_waiting_of(world->core, ALICE), 1); /* the held one */
}

static void end_all(World *world, uint64_t id, const TaskState *states, unsigned n) {
        for (unsigned i = 0; i < n; i++) {
                assert_true(start_next(world) == task_ref(id, i));
                assert_int_equal(state_of(world, id), TASK_STATE_PENDING);
                pass_time(world, SEC);
                assert_int_equal(end(world, task_ref(id, i), states[i]), 0);
                core_forget(world->core, task_ref(id, i));
                assert_null(core_find(world->core, task_ref(id, i)));
        }
}

static void test_an_array_ends_with_its_last_element(_unused_ void **state) {
        static const struct {
                TaskState states[3];
                TaskState want;
                const char *reason;
        } cases[] = {
                { { TASK_STATE_DONE, TASK_STATE_DONE, TASK_STATE_DONE }, TASK_STATE_DONE, NULL },
                { { TASK_STATE_DONE, TASK_STATE_FAILED, TASK_STATE_DONE },
                  TASK_STATE_FAILED,
                  "1 of 3 failed" },
                { { TASK_STATE_CANCELLED, TASK_STATE_CANCELLED, TASK_STATE_CANCELLED },
                  TASK_STATE_CANCELLED,
                  NULL },
                { { TASK_STATE_DONE, TASK_STATE_CANCELLED, TASK_STATE_CANCELLED },
                  TASK_STATE_FAILED,
                  "2 of 3 were cancelled" },
                { { TASK_STATE_FAILED, TASK_STATE_TIMEOUT, TASK_STATE_LOST },
                  TASK_STATE_FAILED,
                  "1 of 3 failed, 1 ran out of time, 1 was lost" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                WORLD(0);
                uint64_t id = submit(world, (Ask){ .array = "0-2" });
                uint64_t began = world_event(world, EVENT_RAM, 0).at_us;
                const Task *task = core_find(world->core, id);

                end_all(world, id, cases[i].states, 3);
                assert_int_equal(task->state, cases[i].want);
                assert_int_equal(task->exit_status, cases[i].want == TASK_STATE_DONE ? 0 : -1);
                assert_true(task->started_at_us == began);
                assert_true(task->ended_at_us == began + 3 * SEC);
                if (cases[i].reason)
                        assert_string_equal(task->reason, cases[i].reason);
                else
                        assert_null(task->reason);
                assert_int_equal(core_counts(world->core).pending, 0);
                core_forget(world->core, id);
                assert_null(core_find(world->core, id));
        }
}

static void test_a_withdrawn_array_lasts_as_long_as_its_elements(_unused_ void **state) {
        WORLD(0);
        uint64_t id = submit(world, (Ask){ .array = "0-9" });
        Event event = world_event(world, EVENT_WITHDRAWN, id);
        const Task *task = core_find(world->core, id);

        event.reason = "cancelled by alice";
        assert_true(start_next(world) == task_ref(id, 0));
        assert_int_equal(core_apply(world->core, &event), 0);
        assert_int_equal(task->state, TASK_STATE_PENDING);
        assert_int_equal(task->array->n_cancelled, 9);
        assert_false(core_is_waiting(world->core));
        core_forget(world->core, id);
        assert_non_null(core_find(world->core, id));

        assert_int_equal(end(world, task_ref(id, 0), TASK_STATE_CANCELLED), 0);
        assert_int_equal(task->state, TASK_STATE_CANCELLED);
        assert_string_equal(task->reason, "cancelled by alice");
}

/* Whatever its elements came to before, and after; a status that comes late corrects only how they are counted. */
static void test_a_withdrawn_array_is_cancelled_however_its_elements_end(_unused_ void **state) {
        WORLD(0);
        uint64_t id = submit(world, (Ask){ .array = "0-9" });
        Event event = world_event(world, EVENT_WITHDRAWN, id);
        const Task *task = core_find(world->core, id);

        for (unsigned i = 0; i < 5; i++)
                assert_true(start_next(world) == task_ref(id, i));
        assert_int_equal(end(world, task_ref(id, 0), TASK_STATE_DONE), 0);
        assert_int_equal(end(world, task_ref(id, 1), TASK_STATE_FAILED), 0);
        assert_int_equal(end(world, task_ref(id, 2), TASK_STATE_LOST), 0);
        event.reason = "cancelled by alice";
        assert_int_equal(core_apply(world->core, &event), 0);
        assert_int_equal(end(world, task_ref(id, 3), TASK_STATE_DONE), 0);
        assert_int_equal(task->state, TASK_STATE_PENDING);
        assert_int_equal(end(world, task_ref(id, 4), TASK_STATE_CANCELLED), 0);
        assert_int_equal(task->state, TASK_STATE_CANCELLED);
        assert_int_equal(task->exit_status, -1);
        assert_string_equal(task->reason,
                            "cancelled by alice; 2 of 10 were done, 1 failed, 1 was lost");

        assert_int_equal(end(world, task_ref(id, 2), TASK_STATE_TIMEOUT), 0);
        assert_int_equal(task->state, TASK_STATE_CANCELLED);
        assert_string_equal(task->reason,
                            "cancelled by alice; 2 of 10 were done, 1 failed, 1 ran out of time");
}

/* It waits in none, and is over only with those that run. */
static void test_an_array_that_is_withdrawn_with_all_started_is_cancelled(_unused_ void **state) {
        WORLD(0);
        uint64_t id = submit(world, (Ask){ .array = "0-1" });
        const Task *task = core_find(world->core, id);

        assert_int_equal(start_all(world), 2);
        assert_int_equal(end(world, task_ref(id, 0), TASK_STATE_DONE), 0);
        assert_int_equal(apply(world, EVENT_WITHDRAWN, id), 0);
        assert_int_equal(end(world, task_ref(id, 1), TASK_STATE_CANCELLED), 0);
        assert_int_equal(task->state, TASK_STATE_CANCELLED);
        assert_string_equal(task->reason, "cancelled; 1 of 2 was done");
}

static void test_an_array_of_which_nothing_ran_is_withdrawn_at_once(_unused_ void **state) {
        WORLD(0);
        uint64_t id = submit(world, (Ask){ .array = "0-9", .state = TASK_STATE_HELD });
        Event event = world_event(world, EVENT_WITHDRAWN, id);
        const Task *task = core_find(world->core, id);

        event.reason = "cancelled by alice";
        assert_int_equal(core_apply(world->core, &event), 0);
        assert_int_equal(task->state, TASK_STATE_CANCELLED);
        assert_int_equal(task->array->n_cancelled, 10);
        assert_string_equal(task->reason, "cancelled by alice");
        assert_true(task->ended_at_us == event.at_us);
        core_forget(world->core, id);
        assert_null(core_find(world->core, id));
}

static void test_a_late_status_corrects_the_array_too(_unused_ void **state) {
        WORLD(0);
        uint64_t id = submit(world, (Ask){ .array = "0-1" });
        const Task *task = core_find(world->core, id);

        assert_int_equal(start_all(world), 2);
        assert_int_equal(end(world, task_ref(id, 0), TASK_STATE_DONE), 0);
        assert_int_equal(end(world, task_ref(id, 1), TASK_STATE_LOST), 0);
        assert_int_equal(task->state, TASK_STATE_FAILED);
        assert_string_equal(task->reason, "1 of 2 was lost");
        assert_int_equal(end(world, task_ref(id, 1), TASK_STATE_DONE), 0);
        assert_int_equal(task->state, TASK_STATE_DONE);
        assert_null(task->reason);
        assert_int_equal(task->array->n_lost, 0);
        assert_int_equal(task->array->n_done, 2);
}

static void test_a_status_that_comes_after_the_array_is_forgotten_is_taken(_unused_ void **state) {
        WORLD(0);
        uint64_t id = submit(world, (Ask){ .array = "0" });

        assert_int_equal(start_all(world), 1);
        assert_int_equal(end(world, task_ref(id, 0), TASK_STATE_LOST), 0);
        core_forget(world->core, id);
        assert_null(core_find(world->core, id));
        assert_int_equal(end(world, task_ref(id, 0), TASK_STATE_DONE), 0);
        assert_int_equal(state_of(world, task_ref(id, 0)), TASK_STATE_DONE);
}

static void test_hold_and_update_are_for_those_that_wait_in_it(_unused_ void **state) {
        WORLD(0);
        Needs needs = { .memory_bytes = 5 * GIB };
        uint64_t id = submit(world, (Ask){ .array = "0-3", .memory_bytes = GIB });
        Event event = world_event(world, EVENT_UPDATED, id);

        assert_true(start_next(world) == task_ref(id, 0));
        assert_int_equal(split(world, id, 1), 0);
        event.updated = (TaskUpdate){ .priority = 150, .needs = &needs };
        assert_int_equal(core_apply(world->core, &event), 0);
        assert_true(core_find(world->core, task_ref(id, 1))->needs.memory_bytes == GIB);
        assert_int_equal(apply(world, EVENT_HELD, id), 0);
        assert_int_equal(state_of(world, task_ref(id, 0)), TASK_STATE_RUNNING);
        assert_int_equal(state_of(world, task_ref(id, 1)), TASK_STATE_PENDING);
        assert_int_equal(split(world, id, 2), 0);
        assert_int_equal(state_of(world, task_ref(id, 2)), TASK_STATE_HELD);
        assert_true(core_find(world->core, task_ref(id, 2))->needs.memory_bytes == 5 * GIB);
        assert_true(start_next(world) == task_ref(id, 1));
        assert_int_equal(start_all(world), 0);
}

static void test_an_element_of_an_array_whose_runner_is_away_is_passed_over(_unused_ void **state) {
        WORLD(0);
        uint64_t id = submit(world, (Ask){ .array = "0-3" });

        assert_int_equal(apply(world, EVENT_RUNNER_AWAY, id), 0);
        assert_false(core_is_waiting(world->core));
        assert_int_equal(split(world, id, 0), 0);
        assert_int_equal(start_all(world), 0);
        assert_int_equal(apply(world, EVENT_RUNNER_BACK, task_ref(id, 0)), 0);
        assert_int_equal(start_all(world), 1);
}

/* -- after a restart -- */

static Task *element_of(World *world, uint64_t id, int64_t index, TaskState task_state) {
        Task *task = task_of(world, &(Ask){ .state = task_state });

        memset(task->key, 0, sizeof(task->key));
        task->id = task_ref(id, index);
        return task;
}

static void test_an_array_comes_back_with_its_elements(_unused_ void **state) {
        WORLD(0);
        Event event = world_event(world, EVENT_SUBMITTED, 0);
        Ask ask = { .array = "5-9", .limit = 2 };
        Task *task = event.submitted = task_of(world, &ask);

        task->array->n_active = task->array->n_apart = 7; /* as it was written once */
        task->array->n_done = 1;
        assert_int_equal(core_apply(world->core, &event), 0);
        assert_int_equal(task->array->n_active, 0);
        assert_int_equal(task->array->n_apart, 0);
        assert_int_equal(task->array->n_done, 1);

        event.submitted = element_of(world, 1, 0, TASK_STATE_RUNNING);
        assert_int_equal(core_apply(world->core, &event), 0);
        assert_true(core_is_waiting(world->core));
        event.submitted = element_of(world, 1, 1, TASK_STATE_RUNNING);
        assert_int_equal(core_apply(world->core, &event), 0);
        event.submitted = element_of(world, 1, 2, TASK_STATE_PENDING);
        assert_int_equal(core_apply(world->core, &event), 0);
        assert_int_equal(task->array->n_active, 2);
        assert_int_equal(task->array->n_apart, 3);
        assert_false(core_is_waiting(world->core));
        assert_int_equal(core_counts(world->core).pending, 6);
        assert_int_equal(end(world, task_ref(1, 0), TASK_STATE_DONE), 0);
        assert_true(start_next(world) == task_ref(1, 2));
        assert_int_equal(end(world, task_ref(1, 1), TASK_STATE_DONE), 0);
        assert_true(start_next(world) == task_ref(1, 5));
}

static void test_a_withdrawn_array_that_comes_back_is_cancelled(_unused_ void **state) {
        WORLD(0);
        Event event = world_event(world, EVENT_SUBMITTED, 0);
        Task *task = event.submitted = task_of(world, &(Ask){ .array = "0-3" });
        uint64_t id = task->id;

        index_set_done(&task->array->waiting);
        task->array->n_done = 1;
        task->array->n_cancelled = 2;
        task->cancelled = true;
        task->reason = strdup("cancelled");
        assert_int_equal(core_apply(world->core, &event), 0);
        event = world_event(world, EVENT_SUBMITTED, 0);
        event.submitted = element_of(world, id, 3, TASK_STATE_RUNNING);
        assert_int_equal(core_apply(world->core, &event), 0);
        assert_int_equal(end(world, task_ref(id, 3), TASK_STATE_CANCELLED), 0);
        assert_int_equal(state_of(world, id), TASK_STATE_CANCELLED);
        assert_string_equal(core_find(world->core, id)->reason, "cancelled; 1 of 4 was done");
}

static void test_an_element_without_its_place_is_refused(_unused_ void **state) {
        WORLD(0);
        Event event = world_event(world, EVENT_SUBMITTED, 0);
        uint64_t id = submit(world, (Ask){ .array = "5-9" }), plain = submit(world, (Ask){});
        Task *task = event.submitted = element_of(world, id, 5, TASK_STATE_PENDING);

        assert_int_equal(core_apply(world->core, &event), CORE_E_ILLEGAL); /* it waits there */
        task->id = task_ref(99, 0);
        assert_int_equal(core_apply(world->core, &event), CORE_E_ILLEGAL); /* no array */
        task->id = task_ref(plain, 0);
        assert_int_equal(core_apply(world->core, &event), CORE_E_ILLEGAL);
        task->id = task_ref(id, 0);
        task->uid = BOB;
        assert_int_equal(core_apply(world->core, &event), CORE_E_ILLEGAL);
        task->uid = ALICE;
        task->array = calloc(1, sizeof(*task->array));
        assert_int_equal(core_apply(world->core, &event), CORE_E_ILLEGAL);
        task->array = task_array_free(task->array);
        assert_int_equal(core_apply(world->core, &event), 0);
        assert_int_equal(array_of(world, id)->n_apart, 1);
}

static void test_an_array_that_makes_no_sense_is_refused(_unused_ void **state) {
        WORLD(0);
        Event event = world_event(world, EVENT_SUBMITTED, 0);
        Task *task = event.submitted = task_of(world, &(Ask){ .array = "0-3" });

        task->state = TASK_STATE_RUNNING;
        assert_int_equal(core_apply(world->core, &event), CORE_E_ILLEGAL);
        task->state = TASK_STATE_PENDING;
        assert_int_equal(index_set_add(&task->array->waiting, TASK_INDEX_MAX + 1,
                                       TASK_INDEX_MAX + 1),
                         0);
        assert_int_equal(core_apply(world->core, &event), CORE_E_ILLEGAL);
        assert_int_equal(index_set_remove(&task->array->waiting, TASK_INDEX_MAX + 1), 0);
        assert_int_equal(core_apply(world->core, &event), 0);
}

/* -- what is shown -- */

static const char *why(const World *world, uint64_t id) {
        static Explain explain;
        static char line[500];

        assert_int_equal(core_explain(world->core, id, world->now_us, &explain), 0);
        explain_sentence(&explain, world->now_us, NULL, NULL, line, sizeof(line));
        return line;
}

static void test_the_limit_is_named_as_a_reason(_unused_ void **state) {
        WORLD(0);
        uint64_t id = submit(world, (Ask){ .array = "0-4", .limit = 2 }), one;

        assert_string_equal(why(world, id), "nothing is missing: it can start now");
        assert_int_equal(start_all(world), 2);
        assert_string_equal(why(world, id),
                            "2 elements of the array run, as many as --array allows");
        assert_int_equal(split(world, id, 4), 0);
        assert_string_equal(why(world, task_ref(id, 4)),
                            "2 elements of the array run, as many as --array allows");
        assert_int_equal(apply(world, EVENT_RUNNER_AWAY, id), 0);
        assert_non_null(strstr(why(world, id), "allows; its taskflow does not answer"));
        one = submit(world, (Ask){ .array = "0-1", .limit = 1 });
        assert_int_equal(start_all(world), 1);
        assert_string_equal(why(world, one),
                            "1 element of the array runs, as many as --array allows");
}

static void test_an_array_without_waiting_elements_says_so(_unused_ void **state) {
        WORLD(0);
        uint64_t id = submit(world, (Ask){ .array = "0-1" });

        assert_int_equal(start_all(world), 2);
        assert_string_equal(why(world, id), "no element waits in it any more, 2 are not over");
        assert_int_equal(end(world, task_ref(id, 0), TASK_STATE_DONE), 0);
        assert_string_equal(why(world, id), "no element waits in it any more, 1 is not over");
}

static void test_a_holder_is_named_with_its_index(_unused_ void **state) {
        WORLD(0);
        uint64_t id = submit(world, (Ask){ .array = "3", .memory_bytes = 60 * GIB });

        assert_true(start_next(world) == task_ref(id, 3));
        submit(world, (Ask){ .memory_bytes = 60 * GIB });
        assert_non_null(strstr(why(world, 2), "(task 1_3 of uid 1000 may take 60G)"));
}

static void test_the_list_shows_what_can_start_first_and_hollow_arrays_last(_unused_ void **state) {
        WORLD(0);
        uint64_t hollow = submit(world, (Ask){ .array = "0" });
        uint64_t full = submit(world, (Ask){ .array = "0-1", .limit = 1 });
        uint64_t apart[2] = { task_ref(hollow, 0), task_ref(full, 0) };
        uint64_t plain, away, held;
        const Task **tasks;

        assert_int_equal(start_all(world), 2);
        plain = submit(world, (Ask){ .priority = LOWEST });
        away = submit(world, (Ask){});
        held = submit(world, (Ask){ .state = TASK_STATE_HELD });
        assert_int_equal(apply(world, EVENT_RUNNER_AWAY, away), 0);
        assert_int_equal(core_list(world->core, &tasks), 7);
        assert_true(tasks[0]->id == apart[0]);
        assert_true(tasks[1]->id == apart[1]);
        assert_true(tasks[2]->id == plain);
        assert_true(tasks[3]->id == full);
        assert_true(tasks[4]->id == away);
        assert_true(tasks[5]->id == held);
        assert_true(tasks[6]->id == hollow);
        free(tasks);
}

/* Many elements that wait again for a full array are stepped over at once. */
static void test_a_large_array_whose_elements_all_fail_is_no_burden(_unused_ void **state) {
        enum {
                N = 20000
        };
        WORLD(0);
        uint64_t id = submit(world, (Ask){ .array = "0-19999", .limit = 4, .retry_max = 1 });

        for (unsigned i = 0; i < N; i++) {
                assert_int_equal(split(world, id, i), 0);
                assert_int_equal(offer(world,
                                       &(PlanOffer){ .task_id = task_ref(id, i), .index = -1 }),
                                 0);
                assert_int_equal(apply(world, EVENT_ACCEPTED, task_ref(id, i)), 0);
                assert_int_equal(end(world, task_ref(id, i), TASK_STATE_FAILED), 0);
        }
        assert_int_equal(start_all(world), 4);
        for (unsigned i = 0; i < N; i++) {
                assert_int_equal(end(world, task_ref(id, i), TASK_STATE_FAILED), 0);
                core_forget(world->core, task_ref(id, i));
                if (i + 4 < N)
                        assert_true(start_next(world) == task_ref(id, i + 4));
        }
        assert_string_equal(core_find(world->core, id)->reason, "20000 of 20000 failed");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_an_element_is_offered_in_its_array_s_place),
                cmocka_unit_test(test_an_element_has_all_that_was_asked_for),
                cmocka_unit_test(test_only_what_waits_is_split_off),
                cmocka_unit_test(test_elements_that_ask_for_nothing_measured_leave_together),
                cmocka_unit_test(test_the_user_s_open_offers_bound_an_array_too),
                cmocka_unit_test(test_one_plan_has_a_largest_number_of_offers),
                cmocka_unit_test(test_no_more_are_active_than_the_limit_allows),
                cmocka_unit_test(test_a_returned_element_comes_before_the_rest_of_its_array),
                cmocka_unit_test(test_an_array_that_is_full_holds_up_nobody),
                cmocka_unit_test(test_counts_are_those_of_elements),
                cmocka_unit_test(test_an_array_ends_with_its_last_element),
                cmocka_unit_test(test_a_withdrawn_array_lasts_as_long_as_its_elements),
                cmocka_unit_test(test_a_withdrawn_array_is_cancelled_however_its_elements_end),
                cmocka_unit_test(test_an_array_that_is_withdrawn_with_all_started_is_cancelled),
                cmocka_unit_test(test_an_array_of_which_nothing_ran_is_withdrawn_at_once),
                cmocka_unit_test(test_a_late_status_corrects_the_array_too),
                cmocka_unit_test(test_a_status_that_comes_after_the_array_is_forgotten_is_taken),
                cmocka_unit_test(test_hold_and_update_are_for_those_that_wait_in_it),
                cmocka_unit_test(test_an_element_of_an_array_whose_runner_is_away_is_passed_over),
                cmocka_unit_test(test_an_array_comes_back_with_its_elements),
                cmocka_unit_test(test_a_withdrawn_array_that_comes_back_is_cancelled),
                cmocka_unit_test(test_an_element_without_its_place_is_refused),
                cmocka_unit_test(test_an_array_that_makes_no_sense_is_refused),
                cmocka_unit_test(test_the_limit_is_named_as_a_reason),
                cmocka_unit_test(test_an_array_without_waiting_elements_says_so),
                cmocka_unit_test(test_a_holder_is_named_with_its_index),
                cmocka_unit_test(test_the_list_shows_what_can_start_first_and_hollow_arrays_last),
                cmocka_unit_test(test_a_large_array_whose_elements_all_fail_is_no_burden),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
