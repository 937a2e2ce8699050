/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The life of a task: every event in every state
 */

#include "test-core-fixture.h"

typedef enum Stage {
        STAGE_WAITING,
        STAGE_AWAY,
        STAGE_HELD,
        STAGE_OFFERED,
        STAGE_RUNNING,
        STAGE_LOST,
        STAGE_DONE,
        STAGE_CANCELLED,
        N_STAGES,
} Stage;

/* A task that got that far. */
static uint64_t bring_to(World *world, Stage stage) {
        Ask ask = { .memory_bytes = 10 * GIB, .gpu = { "any" }, .gpu_bytes = { GIB } };
        uint64_t id = submit(world, ask);

        switch (stage) {
        case STAGE_WAITING:
        case N_STAGES:
                break;
        case STAGE_AWAY:
                assert_int_equal(apply(world, EVENT_RUNNER_AWAY, id), 0);
                break;
        case STAGE_HELD:
                assert_int_equal(apply(world, EVENT_HELD, id), 0);
                break;
        case STAGE_CANCELLED:
                assert_int_equal(apply(world, EVENT_WITHDRAWN, id), 0);
                break;
        case STAGE_OFFERED:
                look(world);
                assert_int_equal(offer_next(world), id);
                break;
        case STAGE_RUNNING:
        case STAGE_LOST:
        case STAGE_DONE:
                assert_int_equal(start_next(world), id);
                if (stage != STAGE_RUNNING)
                        assert_int_equal(end(world, id,
                                             stage == STAGE_LOST ? TASK_STATE_LOST :
                                                                   TASK_STATE_DONE),
                                         0);
                break;
        }
        return id;
}

static int apply_any(World *world, EventType type, uint64_t id) {
        Event event = world_event(world, type, id);
        GpuGrant grant = { .uuid = "GPU-aa", .bytes = GIB };

        if (type == EVENT_OFFERED)
                event.offered.gpus = &grant;
        if (type == EVENT_KEPT)
                event.kept.gpus = &grant;
        if (type == EVENT_UPDATED)
                event.updated.priority = -1;
        if (type == EVENT_ENDED)
                event.ended.state = TASK_STATE_FAILED;
        if (type == EVENT_STARTED)
                event.started.pid = 77;
        return core_apply(world->core, &event);
}

enum {
        NO = -1,
        WAIT = TASK_STATE_PENDING,
        HOLD = TASK_STATE_HELD,
        RUN = TASK_STATE_RUNNING,
        FAIL = TASK_STATE_FAILED,
        GONE = TASK_STATE_CANCELLED,
};

/* clang-format off */
static const int expected[N_EVENT_TYPES][N_STAGES] = {
        /*                         waiting away    held    offered running lost    done    gone */
        [EVENT_WITHDRAWN]      = { GONE,   GONE,   GONE,   GONE,   NO,     NO,     NO,     NO },
        [EVENT_HELD]           = { HOLD,   HOLD,   NO,     HOLD,   NO,     NO,     NO,     NO },
        [EVENT_RELEASED]       = { NO,     NO,     WAIT,   NO,     NO,     NO,     NO,     NO },
        [EVENT_UPDATED]        = { WAIT,   WAIT,   HOLD,   NO,     NO,     NO,     NO,     NO },
        [EVENT_RUNNER_AWAY]    = { WAIT,   WAIT,   HOLD,   WAIT,   NO,     NO,     NO,     NO },
        [EVENT_RUNNER_BACK]    = { WAIT,   WAIT,   HOLD,   WAIT,   NO,     NO,     NO,     NO },
        [EVENT_OFFERED]        = { WAIT,   NO,     NO,     NO,     NO,     NO,     NO,     NO },
        [EVENT_OFFER_RETURNED] = { NO,     NO,     NO,     WAIT,   WAIT,   NO,     NO,     NO },
        [EVENT_OFFER_EXPIRED]  = { NO,     NO,     NO,     WAIT,   NO,     NO,     NO,     NO },
        [EVENT_ACCEPTED]       = { NO,     NO,     NO,     RUN,    NO,     NO,     NO,     NO },
        [EVENT_STARTED]        = { NO,     NO,     NO,     NO,     RUN,    NO,     NO,     NO },
        [EVENT_USED]           = { NO,     NO,     NO,     NO,     RUN,    NO,     NO,     NO },
        [EVENT_ENDED]          = { NO,     NO,     NO,     FAIL,   FAIL,   FAIL,   NO,     NO },
        [EVENT_SPLIT]          = { NO,     NO,     NO,     NO,     NO,     NO,     NO,     NO },
        [EVENT_REQUEUED]       = { NO,     NO,     NO,     NO,     NO,     NO,     NO,     NO },
        [EVENT_CANCELLED]      = { NO,     NO,     NO,     NO,     RUN,    NO,     NO,     NO },
        [EVENT_KEPT]           = { WAIT,   NO,     NO,     NO,     NO,     NO,     NO,     NO },
};
/* clang-format on */

static bool is_of_task(EventType type) {
        return type != EVENT_SUBMITTED && type != EVENT_RAM && type != EVENT_GPUS &&
               type != EVENT_DRAINED && type != EVENT_USER && type != EVENT_HISTORY &&
               type != EVENT_LEARNED;
}

static void test_an_event_leads_where_the_table_says(_unused_ void **state) {
        for (EventType type = 0; (int)type < N_EVENT_TYPES; type++)
                for (Stage stage = 0; is_of_task(type) && stage < N_STAGES; stage++) {
                        WORLD(1);
                        uint64_t id = bring_to(world, stage);
                        TaskState before = state_of(world, id);
                        int want = expected[type][stage];
                        int r = apply_any(world, type, id);

                        if (r != (want == NO ? CORE_E_ILLEGAL : 0) ||
                            state_of(world, id) != (want == NO ? before : (TaskState)want))
                                fail_msg("event %d in stage %d: %d, %s", type, stage, r,
                                         task_state_to_string(state_of(world, id)));
                }
}

typedef struct Snapshot {
        Task task;
        CoreCounts counts;
        uint64_t ram_free_bytes, gpu_free_bytes, n_offers;
        size_t n_waiting;
        bool waiting, uses_gpus, offered;
} Snapshot;

static Snapshot snapshot(const World *world, uint64_t id) {
        return (Snapshot){
                .task = *core_find(world->core, id),
                .counts = core_counts(world->core),
                .ram_free_bytes = ram_free(world),
                .gpu_free_bytes = gpu_free(world, 0),
                .n_offers = core_n_offers(world->core),
                .n_waiting = core_n_waiting_of(world->core, ALICE),
                .waiting = core_is_waiting(world->core),
                .uses_gpus = core_uses_gpus(world->core),
                .offered = core_is_offered(world->core, id),
        };
}

static void test_a_refused_event_changes_nothing(_unused_ void **state) {
        for (EventType type = 0; (int)type < N_EVENT_TYPES; type++)
                for (Stage stage = 0; is_of_task(type) && stage < N_STAGES; stage++) {
                        WORLD(1);
                        uint64_t id = bring_to(world, stage);
                        Snapshot before = snapshot(world, id), after;

                        if (expected[type][stage] != NO)
                                continue;
                        assert_int_equal(apply_any(world, type, id), CORE_E_ILLEGAL);
                        after = snapshot(world, id);
                        assert_memory_equal(&before.task, &after.task, sizeof(Task));
                        assert_int_equal(before.counts.pending, after.counts.pending);
                        assert_int_equal(before.counts.held, after.counts.held);
                        assert_int_equal(before.counts.running, after.counts.running);
                        assert_true(before.ram_free_bytes == after.ram_free_bytes);
                        assert_true(before.gpu_free_bytes == after.gpu_free_bytes);
                        assert_true(before.n_offers == after.n_offers);
                        assert_int_equal(before.n_waiting, after.n_waiting);
                        assert_int_equal(before.waiting, after.waiting);
                        assert_int_equal(before.uses_gpus, after.uses_gpus);
                        assert_int_equal(before.offered, after.offered);
                }
}

static void test_an_unknown_task_is_named_as_such(_unused_ void **state) {
        WORLD(1);

        for (EventType type = 0; (int)type < N_EVENT_TYPES; type++)
                if (is_of_task(type))
                        assert_int_equal(apply_any(world, type, 4711), CORE_E_NO_TASK);
        assert_null(core_find(world->core, 4711));
        core_forget(world->core, 4711);
}

static void test_counts_follow_the_stage(_unused_ void **state) {
        static const struct {
                size_t pending, held, running, n_waiting;
                bool waiting, uses_gpus, offered;
        } want[N_STAGES] = {
                [STAGE_WAITING] = { 1, 0, 0, 1, true, true, false },
                [STAGE_AWAY] = { 1, 0, 0, 1, false, false, false },
                [STAGE_HELD] = { 0, 1, 0, 1, false, false, false },
                [STAGE_OFFERED] = { 1, 0, 0, 1, false, true, true },
                [STAGE_RUNNING] = { 0, 0, 1, 0, false, true, false },
                [STAGE_LOST] = { 0, 0, 0, 0, false, false, false },
                [STAGE_DONE] = { 0, 0, 0, 0, false, false, false },
                [STAGE_CANCELLED] = { 0, 0, 0, 0, false, false, false },
        };

        for (Stage stage = 0; stage < N_STAGES; stage++) {
                WORLD(1);
                Snapshot have = snapshot(world, bring_to(world, stage));

                if (have.counts.pending != want[stage].pending ||
                    have.counts.held != want[stage].held ||
                    have.counts.running != want[stage].running ||
                    have.n_waiting != want[stage].n_waiting ||
                    have.waiting != want[stage].waiting ||
                    have.uses_gpus != want[stage].uses_gpus || have.offered != want[stage].offered)
                        fail_msg("stage %d", stage);
                assert_int_equal(core_n_waiting_of(world->core, BOB), 0);
        }
}

static void test_a_taken_id_is_refused(_unused_ void **state) {
        WORLD(0);
        Event event;
        uint64_t id = submit(world, (Ask){});

        world->last_id = id - 1;
        event = world_event(world, EVENT_SUBMITTED, 0);
        event.submitted = task_of(world, &(Ask){});
        assert_int_equal(core_apply(world->core, &event), CORE_E_EXISTS);
        task_free(event.submitted);
        assert_int_equal(core_counts(world->core).pending, 1);
}

static void test_a_task_that_makes_no_sense_is_refused(_unused_ void **state) {
        WORLD(1);
        Ask ask = { .gpu = { "0" } };
        Event event = world_event(world, EVENT_SUBMITTED, 0);
        Task *task = event.submitted = task_of(world, &ask);
        uint64_t id = task->id;

        task->state = TASK_STATE_DONE;
        assert_int_equal(core_apply(world->core, &event), CORE_E_ILLEGAL);
        task->state = TASK_STATE_RUNNING; /* without its GPUs */
        assert_int_equal(core_apply(world->core, &event), CORE_E_ILLEGAL);
        task->state = TASK_STATE_PENDING;
        task->priority = TASK_PRIORITY_MAX + 1;
        assert_int_equal(core_apply(world->core, &event), CORE_E_ILLEGAL);
        task->priority = TASK_PRIORITY_MAX;
        task->id = 0;
        assert_int_equal(core_apply(world->core, &event), CORE_E_ILLEGAL);
        task->needs.n_gpus = NEEDS_GPUS_MAX + 1;
        task->id = id;
        assert_int_equal(core_apply(world->core, &event), CORE_E_ILLEGAL);
        task->needs.n_gpus = 1;
        assert_int_equal(core_apply(world->core, &event), 0);
}

static void test_submission_sets_the_times_that_were_not_set(_unused_ void **state) {
        WORLD(0);
        const Task *task = core_find(world->core, submit(world, (Ask){}));
        Event event = world_event(world, EVENT_SUBMITTED, 0);

        assert_true(task->submitted_at_us == event.at_us);
        assert_true(task->queued_boot_us == event.boot_us);

        event.submitted = task_of(world, &(Ask){});
        event.submitted->submitted_at_us = 5;
        event.submitted->queued_boot_us = 7;
        assert_int_equal(core_apply(world->core, &event), 0);
        task = core_find(world->core, world->last_id);
        assert_true(task->submitted_at_us == 5);
        assert_true(task->queued_boot_us == 7);
}

static void test_without_d_the_delay_is_the_default(_unused_ void **state) {
        WORLD(0);
        Policy policy = world_policy();
        uint64_t plain = submit(world, (Ask){});
        uint64_t given = submit(world, (Ask){ .delay_given = true, .delay_us = 5 * SEC });

        assert_true(core_find(world->core, plain)->delay_us == 60 * SEC);
        assert_true(core_find(world->core, given)->delay_us == 5 * SEC);

        /* What counts is the setting at the start. */
        policy.default_delay_us = 10 * SEC;
        core_set_policy(world->core, &policy);
        assert_int_equal(start_all(world), 2);
        assert_true(core_find(world->core, plain)->delay_us == 10 * SEC);
        assert_true(core_find(world->core, given)->delay_us == 5 * SEC);
}

static void test_a_task_is_found_by_its_submitter_s_key(_unused_ void **state) {
        WORLD(0);
        uint64_t id = submit(world, (Ask){ .uid = BOB });
        const Task *task = core_find(world->core, id);
        uint8_t key[TASK_KEY_BYTES];

        memcpy(key, task->key, sizeof(key));
        assert_ptr_equal(core_find_key(world->core, BOB, key), task);
        assert_null(core_find_key(world->core, ALICE, key));
        key[15]++;
        assert_null(core_find_key(world->core, BOB, key));
        key[15]--;
        assert_int_equal(apply(world, EVENT_WITHDRAWN, id), 0);
        assert_ptr_equal(core_find_key(world->core, BOB, key), task);
        core_forget(world->core, id);
        assert_null(core_find_key(world->core, BOB, key));
}

static void test_what_has_ended_stays_until_it_is_forgotten(_unused_ void **state) {
        WORLD(1);

        for (Stage stage = 0; stage < N_STAGES; stage++) {
                uint64_t id = bring_to(world, stage);
                bool over = task_state_is_final(state_of(world, id));

                core_forget(world->core, id);
                assert_int_equal(core_find(world->core, id) == NULL, over);
                if (!over && apply(world, EVENT_WITHDRAWN, id) != 0)
                        assert_int_equal(end(world, id, TASK_STATE_DONE), 0);
                core_forget(world->core, id);
                assert_null(core_find(world->core, id));
        }
}

static void test_a_withdrawn_task_keeps_the_reason(_unused_ void **state) {
        WORLD(0);
        uint64_t id = submit(world, (Ask){});
        Event event = world_event(world, EVENT_WITHDRAWN, id);
        const Task *task = core_find(world->core, id);

        event.reason = "withdrawn by its user";
        assert_int_equal(core_apply(world->core, &event), 0);
        assert_string_equal(task->reason, "withdrawn by its user");
        assert_true(task->ended_at_us == event.at_us);
        assert_int_equal(task->exit_status, -1);
}

static void test_a_released_task_waits_from_then_on(_unused_ void **state) {
        WORLD(0);
        uint64_t id = submit(world, (Ask){ .state = TASK_STATE_HELD });
        Event event = world_event(world, EVENT_HELD, id);

        assert_false(core_is_waiting(world->core));
        pass_time(world, 50 * SEC);
        assert_int_equal(apply(world, EVENT_RELEASED, id), 0);
        assert_true(core_find(world->core, id)->queued_boot_us == world->now_us);

        event.reason = "for lunch";
        assert_int_equal(core_apply(world->core, &event), 0);
        assert_string_equal(core_find(world->core, id)->reason, "for lunch");
        assert_int_equal(apply(world, EVENT_RELEASED, id), 0);
        assert_null(core_find(world->core, id)->reason);
}

static void test_an_offer_puts_the_share_in_the_ledger(_unused_ void **state) {
        WORLD(1);
        uint64_t id = bring_to(world, STAGE_OFFERED);
        const Task *task = core_find(world->core, id);

        assert_int_equal(core_n_offers(world->core), 1);
        assert_true(ram_free(world) == 90 * GIB);
        assert_true(gpu_free(world, 0) == 23 * GIB);
        assert_true(task->started_boot_us == world->now_us);
        assert_string_equal(task->gpus[0].uuid, "GPU-aa");
        assert_true(task->gpus[0].bytes == GIB);
        assert_non_null(task->gpu_usage);
        assert_int_equal(task->state, TASK_STATE_PENDING);
}

static void test_what_ends_an_offer_takes_the_share_back(_unused_ void **state) {
        static const EventType ends[] = { EVENT_OFFER_RETURNED, EVENT_OFFER_EXPIRED,
                                          EVENT_WITHDRAWN, EVENT_HELD };

        for (size_t i = 0; i < ELEMENTSOF(ends); i++) {
                WORLD(1);
                uint64_t id = bring_to(world, STAGE_OFFERED);
                const Task *task = core_find(world->core, id);

                assert_int_equal(apply(world, ends[i], id), 0);
                assert_true(ram_free(world) == 100 * GIB);
                assert_true(gpu_free(world, 0) == 24 * GIB);
                assert_null(task->gpus);
                assert_null(task->gpu_usage);
                assert_true(task->started_boot_us == 0);
                assert_int_equal(core_n_offers(world->core), 1);
        }
}

static void test_a_returned_offer_is_made_again_in_its_place(_unused_ void **state) {
        WORLD(0);
        uint64_t first = submit(world, (Ask){ .memory_bytes = 60 * GIB });

        submit(world, (Ask){ .memory_bytes = 60 * GIB });
        look(world);
        assert_int_equal(offer_next(world), first);
        assert_int_equal(apply(world, EVENT_OFFER_RETURNED, first), 0);
        look(world);
        assert_int_equal(offer_next(world), first);
}

static void test_an_expired_offer_is_not_repeated_before_the_runner_speaks(_unused_ void **state) {
        WORLD(0);
        uint64_t first = submit(world, (Ask){ .memory_bytes = GIB });
        uint64_t second = submit(world, (Ask){ .memory_bytes = GIB });

        look(world);
        assert_int_equal(offer_next(world), first);
        assert_int_equal(apply(world, EVENT_OFFER_EXPIRED, first), 0);
        assert_int_equal(start_next(world), second);
        assert_int_equal(start_next(world), 0);
        assert_false(core_is_waiting(world->core));
        assert_int_equal(apply(world, EVENT_RUNNER_BACK, first), 0);
        assert_int_equal(start_next(world), first);
}

/* Offer, no answer, the runner speaks again. */
static void miss(World *world, uint64_t id) {
        look(world);
        assert_int_equal(offer_next(world), id);
        assert_int_equal(apply(world, EVENT_OFFER_EXPIRED, id), 0);
}

static void test_after_three_expired_offers_in_a_row_it_is_held(_unused_ void **state) {
        WORLD(0);
        uint64_t id = submit(world, (Ask){ .memory_bytes = GIB });

        for (int i = 0; i < CORE_OFFERS_MISSED_MAX; i++) {
                assert_int_equal(state_of(world, id), TASK_STATE_PENDING);
                miss(world, id);
                assert_int_equal(apply(world, EVENT_RUNNER_BACK, id), 0);
        }
        assert_int_equal(state_of(world, id), TASK_STATE_HELD);
        assert_non_null(core_find(world->core, id)->reason);
        assert_true(ram_free(world) == 100 * GIB);

        /* A release begins anew. */
        assert_int_equal(apply(world, EVENT_RELEASED, id), 0);
        miss(world, id);
        assert_int_equal(state_of(world, id), TASK_STATE_PENDING);
}

static void test_an_answer_ends_the_row(_unused_ void **state) {
        WORLD(0);
        uint64_t id = submit(world, (Ask){ .memory_bytes = GIB });

        for (int i = 0; i < 3 * CORE_OFFERS_MISSED_MAX; i++) {
                miss(world, id);
                assert_int_equal(apply(world, EVENT_RUNNER_BACK, id), 0);
                look(world);
                assert_int_equal(offer_next(world), id);
                assert_int_equal(apply(world, EVENT_OFFER_RETURNED, id), 0);
        }
        assert_int_equal(state_of(world, id), TASK_STATE_PENDING);
}

static void test_a_held_task_of_an_away_runner_is_passed_over_when_released(_unused_ void **state) {
        WORLD(0);
        uint64_t id = submit(world, (Ask){ .memory_bytes = GIB });

        assert_int_equal(apply(world, EVENT_RUNNER_AWAY, id), 0);
        assert_int_equal(apply(world, EVENT_HELD, id), 0);
        assert_int_equal(apply(world, EVENT_RELEASED, id), 0);
        assert_false(core_is_waiting(world->core));
        assert_int_equal(apply(world, EVENT_RUNNER_BACK, id), 0);
        assert_true(core_is_waiting(world->core));
}

static void test_a_runner_that_stops_with_an_offer_open_is_passed_over_after_it(
        _unused_ void **state) {
        WORLD(1);
        uint64_t id = bring_to(world, STAGE_OFFERED);

        assert_int_equal(apply(world, EVENT_RUNNER_AWAY, id), 0);
        assert_true(core_is_offered(world->core, id));
        assert_int_equal(apply(world, EVENT_OFFER_RETURNED, id), 0);
        assert_false(core_is_waiting(world->core));
        assert_int_equal(core_counts(world->core).pending, 1);
}

static void test_a_start_is_recorded(_unused_ void **state) {
        WORLD(1);
        uint64_t id = bring_to(world, STAGE_OFFERED);
        const Task *task = core_find(world->core, id);
        Event event = world_event(world, EVENT_STARTED, id);

        assert_true(task->started_at_us == 0);
        assert_int_equal(apply(world, EVENT_ACCEPTED, id), 0);
        assert_true(task->started_at_us == event.at_us);
        event.started.pid = 4711;
        event.started.start_ticks = 99;
        assert_int_equal(core_apply(world->core, &event), 0);
        assert_int_equal(task->pid, 4711);
        assert_true(task->pid_start_ticks == 99);
}

static void test_a_grant_that_never_arrived_is_taken_back_before_the_start_only(
        _unused_ void **state) {
        WORLD(1);
        uint64_t id = bring_to(world, STAGE_RUNNING);
        const Task *task = core_find(world->core, id);

        assert_int_equal(report(world, id, true, GIB), 0);
        assert_int_equal(apply(world, EVENT_OFFER_RETURNED, id), 0);
        assert_int_equal(task->state, TASK_STATE_PENDING);
        assert_false(task->memory.known);
        assert_true(task->started_at_us == 0);
        assert_true(ram_free(world) == 100 * GIB);
        assert_int_equal(core_counts(world->core).running, 0);

        assert_int_equal(start_next(world), id);
        assert_int_equal(apply_any(world, EVENT_STARTED, id), 0);
        assert_int_equal(apply(world, EVENT_OFFER_RETURNED, id), CORE_E_ILLEGAL);
        assert_int_equal(task->state, TASK_STATE_RUNNING);
}

static void test_an_end_is_recorded_with_its_status(_unused_ void **state) {
        WORLD(1);
        uint64_t id = bring_to(world, STAGE_RUNNING);
        const Task *task = core_find(world->core, id);
        Event event = world_event(world, EVENT_ENDED, id);

        event.ended.state = TASK_STATE_RUNNING;
        assert_int_equal(core_apply(world->core, &event), CORE_E_ILLEGAL);
        event.ended.state = TASK_STATE_TIMEOUT;
        event.ended.exit_status = -1;
        event.ended.signal = 15;
        event.ended.reason = "time limit";
        assert_int_equal(core_apply(world->core, &event), 0);
        assert_int_equal(task->state, TASK_STATE_TIMEOUT);
        assert_int_equal(task->signal, 15);
        assert_int_equal(task->exit_status, -1);
        assert_string_equal(task->reason, "time limit");
        assert_true(task->ended_at_us == event.at_us);
        assert_string_equal(task->gpus[0].uuid, "GPU-aa"); /* for the record */
        assert_true(ram_free(world) == 100 * GIB);
}

/* What a try leaves behind is its reason only. */
static void assert_waits_again(const World *world, const Task *task, const char *reason) {
        assert_int_equal(task->state, TASK_STATE_PENDING);
        assert_string_equal(task->reason, reason);
        assert_true(task->queued_boot_us == world->now_us);
        assert_true(task->started_at_us == 0);
        assert_true(task->ended_at_us == 0);
        assert_int_equal(task->pid, 0);
        assert_true(task->pid_start_ticks == 0);
        assert_int_equal(task->exit_status, -1);
        assert_int_equal(task->signal, 0);
        assert_null(task->gpus);
        assert_null(task->gpu_usage);
        assert_false(task->memory.known);
        assert_true(ram_free(world) == 100 * GIB);
        assert_true(core_is_waiting(world->core));
}

static void run_once(World *world, uint64_t id) {
        Event event = world_event(world, EVENT_STARTED, id);

        assert_int_equal(start_next(world), id);
        event.started.pid = 77;
        event.started.start_ticks = 88;
        assert_int_equal(core_apply(world->core, &event), 0);
        assert_int_equal(report(world, id, true, GIB), 0);
        pass_time(world, SEC);
}

static void test_what_fails_is_tried_again_as_often_as_was_asked_for(_unused_ void **state) {
        static const struct {
                TaskState end;
                int status, signal;
                const char *reason, *want;
        } cases[] = {
                { TASK_STATE_FAILED, 3, 0, NULL, "try 1 failed with status 3" },
                { TASK_STATE_FAILED, -1, 9, NULL, "try 2 was ended by signal 9" },
                { TASK_STATE_TIMEOUT, -1, 15, NULL, "try 3 ran out of time" },
                { TASK_STATE_FAILED, 127, 0, "could not be started",
                  "try 4: could not be started" },
        };
        WORLD(1);
        Ask ask = { .memory_bytes = 9 * GIB, .gpu = { "0" }, .retry_max = 4 };
        uint64_t id = submit(world, ask);
        const Task *task = core_find(world->core, id);

        for (unsigned i = 0; i < ELEMENTSOF(cases); i++) {
                Event event;

                run_once(world, id);
                event = world_event(world, EVENT_ENDED, id);
                event.ended.state = cases[i].end;
                event.ended.exit_status = cases[i].status;
                event.ended.signal = cases[i].signal;
                event.ended.reason = cases[i].reason;
                assert_int_equal(core_apply(world->core, &event), 0);
                assert_waits_again(world, task, cases[i].want);
                assert_int_equal(task->n_retries, i + 1);
                assert_int_equal(task->attempt, i + 1);
        }

        run_once(world, id);
        assert_string_equal(task->reason, "try 4: could not be started");
        assert_int_equal(end(world, id, TASK_STATE_FAILED), 0);
        assert_int_equal(task->state, TASK_STATE_FAILED);
        assert_null(task->reason);
        assert_int_equal(task->n_retries, 4);
        assert_int_equal(task->attempt, 5);
}

static void test_only_failures_are_tried_again(_unused_ void **state) {
        static const TaskState ends[] = { TASK_STATE_DONE, TASK_STATE_CANCELLED, TASK_STATE_LOST };

        for (size_t i = 0; i < ELEMENTSOF(ends); i++) {
                WORLD(0);
                uint64_t id = start(world, (Ask){ .retry_max = 5 });

                assert_int_equal(end(world, id, ends[i]), 0);
                assert_int_equal(state_of(world, id), ends[i]);
                if (ends[i] != TASK_STATE_LOST)
                        continue;
                assert_int_equal(end(world, id, TASK_STATE_FAILED), 0); /* all have heard of it */
                assert_int_equal(state_of(world, id), TASK_STATE_FAILED);
        }
}

static void test_a_try_keeps_its_place_in_line(_unused_ void **state) {
        WORLD(0);
        uint64_t id = start(world, (Ask){ .memory_bytes = GIB, .retry_max = 1 });
        uint64_t later = submit(world, (Ask){ .memory_bytes = GIB });

        assert_int_equal(end(world, id, TASK_STATE_TIMEOUT), 0);
        assert_int_equal(start_next(world), id);
        assert_int_equal(start_next(world), later);
}

static void test_what_the_machine_took_along_runs_again_if_that_was_asked_for(
        _unused_ void **state) {
        WORLD(1);
        uint64_t id = submit(world, (Ask){ .memory_bytes = GIB, .gpu = { "0" }, .requeue = true });
        uint64_t other = submit(world, (Ask){ .memory_bytes = GIB });
        const Task *task = core_find(world->core, id);

        assert_int_equal(apply(world, EVENT_REQUEUED, id), CORE_E_ILLEGAL);
        run_once(world, id);
        assert_int_equal(apply(world, EVENT_REQUEUED, id), 0);
        assert_waits_again(world, task, "the machine went down");
        assert_int_equal(task->n_retries, 0);
        assert_int_equal(task->attempt, 1);

        run_once(world, id);
        assert_int_equal(task->attempt, 2);
        assert_int_equal(start_next(world), other);
        assert_int_equal(apply(world, EVENT_REQUEUED, other), CORE_E_ILLEGAL);
}

static void test_one_that_was_cancelled_while_it_ran_does_not_run_again(_unused_ void **state) {
        static const TaskState ends[] = { TASK_STATE_DONE, TASK_STATE_FAILED, TASK_STATE_TIMEOUT,
                                          TASK_STATE_LOST };

        for (size_t i = 0; i < ELEMENTSOF(ends); i++) {
                WORLD(0);
                uint64_t id = start(world, (Ask){ .retry_max = 5, .requeue = true });

                assert_int_equal(apply(world, EVENT_CANCELLED, id), 0);
                assert_int_equal(apply(world, EVENT_REQUEUED, id), CORE_E_ILLEGAL);
                assert_int_equal(end(world, id, ends[i]), 0);
                assert_int_equal(state_of(world, id), TASK_STATE_CANCELLED);
                assert_string_equal(core_find(world->core, id)->reason, "cancelled");
        }
}

static void test_a_task_tried_again_is_passed_over_while_its_runner_is_away(_unused_ void **state) {
        WORLD(0);
        Event event = world_event(world, EVENT_SUBMITTED, 0);
        Ask ask = { .retry_max = 1 };
        uint64_t id;

        event.submitted = task_of(world, &ask);
        assert_int_equal(core_apply(world->core, &event), 0);
        id = world->last_id;
        assert_int_equal(offer_next(world), id);
        assert_int_equal(apply(world, EVENT_RUNNER_AWAY, id), 0);
        assert_int_equal(apply(world, EVENT_ACCEPTED, id), 0);
        assert_int_equal(end(world, id, TASK_STATE_FAILED), 0);
        assert_int_equal(state_of(world, id), TASK_STATE_PENDING);
        assert_false(core_is_waiting(world->core));
        assert_int_equal(apply(world, EVENT_RUNNER_BACK, id), 0);
        assert_int_equal(start_next(world), id);
}

static void test_lost_is_corrected_by_a_late_status(_unused_ void **state) {
        WORLD(1);
        uint64_t id = bring_to(world, STAGE_LOST);

        assert_int_equal(end(world, id, TASK_STATE_DONE), 0);
        assert_int_equal(state_of(world, id), TASK_STATE_DONE);
        assert_int_equal(core_find(world->core, id)->exit_status, 0);
        assert_int_equal(end(world, id, TASK_STATE_FAILED), CORE_E_ILLEGAL);
        core_forget(world->core, id);
        assert_null(core_find(world->core, id));
}

static void test_a_running_task_comes_back_with_its_share(_unused_ void **state) {
        WORLD(2);
        Ask ask = { .memory_bytes = 30 * GIB, .gpu = { "1" }, .gpu_bytes = { 10 * GIB } };
        Event event = world_event(world, EVENT_SUBMITTED, 0);
        Task *task = event.submitted = task_of(world, &ask);

        task->state = TASK_STATE_RUNNING;
        task->delay_us = 60 * SEC;
        task->started_boot_us = world->now_us - 90 * SEC;
        task->memory = (Usage){ .known = true, .used_bytes = 2 * GIB, .peak_bytes = 12 * GIB };
        task->gpus = calloc(1, sizeof(GpuGrant));
        task->gpus[0] = (GpuGrant){ .uuid = "GPU-bb", .index = 1, .bytes = 10 * GIB };
        assert_int_equal(core_apply(world->core, &event), 0);

        assert_int_equal(core_counts(world->core).running, 1);
        assert_true(ram_free(world) == 82 * GIB); /* 30 asked, 12 seen */
        assert_true(gpu_free(world, 1) == 14 * GIB);
        assert_non_null(task->gpu_usage);
        assert_int_equal(end(world, task->id, TASK_STATE_DONE), 0);
        assert_true(ram_free(world) == 100 * GIB);
}

static void test_what_was_let_go_stays_so_when_a_task_comes_back(_unused_ void **state) {
        WORLD(0);
        Event event = world_event(world, EVENT_SUBMITTED, 0);
        Task *task = event.submitted = task_of(world, &(Ask){ .memory_bytes = 30 * GIB });

        task->state = TASK_STATE_RUNNING;
        task->started_boot_us = world->now_us - 90 * SEC;
        task->memory =
                (Usage){ .known = true, .used_bytes = GIB, .peak_bytes = GIB, .let_go = true };
        assert_int_equal(core_apply(world->core, &event), 0);
        assert_true(ram_free(world) == 100 * GIB);
}

static void test_a_waiting_task_comes_without_its_former_grants(_unused_ void **state) {
        WORLD(1);
        Ask ask = { .gpu = { "0" } };
        Event event = world_event(world, EVENT_SUBMITTED, 0);
        Task *task = event.submitted = task_of(world, &ask);

        task->gpus = calloc(1, sizeof(GpuGrant));
        task->gpu_usage = calloc(1, sizeof(Usage));
        task->started_boot_us = 5;
        task->memory.known = true;
        assert_int_equal(core_apply(world->core, &event), 0);
        assert_null(task->gpus);
        assert_null(task->gpu_usage);
        assert_true(task->started_boot_us == 0);
        assert_false(task->memory.known);
        assert_int_equal(start_next(world), 1);
}

static void test_an_update_changes_what_it_names_only(_unused_ void **state) {
        WORLD(1);
        Needs needs = { .memory_bytes = 50 * GIB };
        uint64_t id = submit(world, (Ask){ .memory_bytes = 200, .cpus = 3 });
        const Task *task = core_find(world->core, id);
        Event event = world_event(world, EVENT_UPDATED, id);

        event.updated = (TaskUpdate){ .priority = 7, .name = "new" };
        assert_int_equal(core_apply(world->core, &event), 0);
        assert_int_equal(task->priority, 7);
        assert_string_equal(task->name, "new");
        assert_true(task->needs.memory_bytes == 200);
        assert_int_equal(task->needs.cpus, 3);
        assert_true(task->time_limit_us == TASK_TIME_INF);

        event.updated = (TaskUpdate){
                .priority = -1, .needs = &needs, .set_time_limit = true, .time_limit_us = 5
        };
        assert_int_equal(core_apply(world->core, &event), 0);
        assert_int_equal(task->priority, 7);
        assert_string_equal(task->name, "new");
        assert_true(task->needs.memory_bytes == 50 * GIB);
        assert_int_equal(task->needs.cpus, 0);
        assert_true(task->time_limit_us == 5);

        event.updated = (TaskUpdate){ .priority = TASK_PRIORITY_MAX + 1 };
        assert_int_equal(core_apply(world->core, &event), CORE_E_ILLEGAL);
        assert_int_equal(task->priority, 7);
}

static void test_an_update_to_gpus_counts_as_using_them(_unused_ void **state) {
        WORLD(1);
        uint64_t id = submit(world, (Ask){ .memory_bytes = 200 });
        Event event = world_event(world, EVENT_UPDATED, id);
        Ask ask = { .gpu = { "0" } };
        Needs needs;

        assert_false(core_uses_gpus(world->core));
        needs_of(world, &ask, &needs);
        event.updated = (TaskUpdate){ .priority = -1, .needs = &needs };
        assert_int_equal(core_apply(world->core, &event), 0);
        needs_done(&needs);
        assert_true(core_uses_gpus(world->core));
        assert_string_equal(core_find(world->core, id)->needs.gpus[0].uuid, "GPU-aa");
}

static void test_equal_tasks_share_what_they_ask_for(_unused_ void **state) {
        WORLD(1);
        Ask ask = { .gpu = { "0" } }, other = { .gpu = { "GPU-aa" } };
        const Task *a = core_find(world->core, submit(world, ask));
        const Task *b = core_find(world->core, submit(world, ask));
        const Task *c = core_find(world->core, submit(world, other));

        assert_ptr_equal(a->needs.gpus, b->needs.gpus);
        assert_ptr_not_equal(a->needs.gpus, c->needs.gpus);
        assert_string_equal(a->needs.gpus[0].want, "0"); /* each as it was typed */
        assert_string_equal(c->needs.gpus[0].want, "GPU-aa");
        assert_true(needs_equal(&a->needs, &c->needs));
}

static void test_an_empty_core_is_asleep(_unused_ void **state) {
        _cleanup_(core_freep) Core *core = NULL;
        Policy policy = policy_default();
        const Task **tasks;
        GpuView *views;
        Plan plan;

        assert_int_equal(core_new(&core, &policy), 0);
        assert_false(core_is_waiting(core));
        assert_false(core_uses_gpus(core));
        assert_int_equal(core_list(core, &tasks), 0);
        assert_null(tasks);
        assert_int_equal(core_view_gpus(core, 0, &views), 0);
        assert_false(core_view_ram(core, 0).known);
        assert_int_equal(core_plan(core, 5, &plan), 0);
        assert_int_equal(plan.n_offers, 0);
        assert_false(plan.want_ram);
        assert_false(plan.want_gpus);
        assert_true(plan.wake_boot_us == TASK_TIME_INF);
        plan_done(&plan);
        assert_null(core_free(NULL));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_an_event_leads_where_the_table_says),
                cmocka_unit_test(test_a_refused_event_changes_nothing),
                cmocka_unit_test(test_an_unknown_task_is_named_as_such),
                cmocka_unit_test(test_counts_follow_the_stage),
                cmocka_unit_test(test_a_taken_id_is_refused),
                cmocka_unit_test(test_a_task_that_makes_no_sense_is_refused),
                cmocka_unit_test(test_submission_sets_the_times_that_were_not_set),
                cmocka_unit_test(test_without_d_the_delay_is_the_default),
                cmocka_unit_test(test_a_task_is_found_by_its_submitter_s_key),
                cmocka_unit_test(test_what_has_ended_stays_until_it_is_forgotten),
                cmocka_unit_test(test_a_withdrawn_task_keeps_the_reason),
                cmocka_unit_test(test_a_released_task_waits_from_then_on),
                cmocka_unit_test(test_an_offer_puts_the_share_in_the_ledger),
                cmocka_unit_test(test_what_ends_an_offer_takes_the_share_back),
                cmocka_unit_test(test_a_returned_offer_is_made_again_in_its_place),
                cmocka_unit_test(test_an_expired_offer_is_not_repeated_before_the_runner_speaks),
                cmocka_unit_test(test_after_three_expired_offers_in_a_row_it_is_held),
                cmocka_unit_test(test_an_answer_ends_the_row),
                cmocka_unit_test(test_a_held_task_of_an_away_runner_is_passed_over_when_released),
                cmocka_unit_test(
                        test_a_runner_that_stops_with_an_offer_open_is_passed_over_after_it),
                cmocka_unit_test(test_a_start_is_recorded),
                cmocka_unit_test(
                        test_a_grant_that_never_arrived_is_taken_back_before_the_start_only),
                cmocka_unit_test(test_an_end_is_recorded_with_its_status),
                cmocka_unit_test(test_what_fails_is_tried_again_as_often_as_was_asked_for),
                cmocka_unit_test(test_only_failures_are_tried_again),
                cmocka_unit_test(test_a_try_keeps_its_place_in_line),
                cmocka_unit_test(test_what_the_machine_took_along_runs_again_if_that_was_asked_for),
                cmocka_unit_test(test_one_that_was_cancelled_while_it_ran_does_not_run_again),
                cmocka_unit_test(test_a_task_tried_again_is_passed_over_while_its_runner_is_away),
                cmocka_unit_test(test_lost_is_corrected_by_a_late_status),
                cmocka_unit_test(test_a_running_task_comes_back_with_its_share),
                cmocka_unit_test(test_what_was_let_go_stays_so_when_a_task_comes_back),
                cmocka_unit_test(test_a_waiting_task_comes_without_its_former_grants),
                cmocka_unit_test(test_an_update_changes_what_it_names_only),
                cmocka_unit_test(test_an_update_to_gpus_counts_as_using_them),
                cmocka_unit_test(test_equal_tasks_share_what_they_ask_for),
                cmocka_unit_test(test_an_empty_core_is_asleep),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
