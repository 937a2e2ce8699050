/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * What detached tasks, arrays and agents brought to the wire
 */

#include <errno.h>
#include <string.h>

#include "wire/frame.h"
#include "wire/message.h"
#include "wire/tables.h"

#include "check.h"
#include "wire-samples.h"

static Call pass_call(const Call *call) {
        Error error = { "" };
        char *bytes = NULL;
        Call ret;
        size_t n;

        assert_int_equal(call_encode(call, &bytes, &n), 0);
        if (call_decode(bytes, n, &ret, &error) != 0)
                fail_msg("%s: %s", bytes, error.text);
        free(bytes);
        return ret;
}

static Reply pass_reply(const Reply *reply) {
        Error error = { "" };
        char *bytes = NULL;
        Reply ret;
        size_t n;

        assert_int_equal(reply_encode(reply, &bytes, &n), 0);
        if (reply_decode(reply->to, bytes, n, &ret, &error) != 0)
                fail_msg("%s: %s", bytes, error.text);
        free(bytes);
        return ret;
}

static void assert_set(const IndexSet *set, const char *want) {
        assert_string_freed(index_set_format(set), want);
}

static void test_many_tasks_keep_each_field(_unused_ void **state) {
        static const CallType types[] = { CALL_SUBMIT_MANY, CALL_QUEUE };

        for (size_t i = 0; i < ELEMENTSOF(types); i++) {
                Call call = sample_call(types[i]), back = pass_call(&call);
                const TaskItem *items = back.submit_many.items;

                assert_int_equal(back.submit_many.n, 2);
                assert_string_equal(items[0].task->command,
                                    call.submit_many.items[0].task->command);
                assert_null(items[0].task->array);
                assert_non_null(items[1].task->array);
                assert_int_equal(items[0].immediate, types[i] == CALL_QUEUE);
                assert_false(items[1].immediate);
                assert_int_equal(items[0].wait_us, 0);
                assert_int_equal(items[1].wait_us, types[i] == CALL_QUEUE ? 10 * US_PER_SEC : 0);
                call_done(&call);
                call_done(&back);
        }
}

/* What waits decides; the submitter's own numbers are not even sent. */
static void test_where_an_array_begins_and_ends_follows_from_its_elements(_unused_ void **state) {
        Call call = sample_call(CALL_SUBMIT), back;
        const TaskArray *array;

        call.submit.task->array->first = 77;
        call.submit.task->array->n_done = 5;
        back = pass_call(&call);
        array = back.submit.task->array;
        assert_set(&array->waiting, "4-9,12,20-29");
        assert_true(array->first == 4 && array->last == 29 && array->limit == 3);
        assert_int_equal(array->n_done, 0);
        call_done(&call);
        call_done(&back);
}

static void test_a_shown_array_keeps_each_field(_unused_ void **state) {
        Reply reply = sample_reply(CALL_SHOW), back = pass_reply(&reply);
        const TaskArray *array = back.list.tasks[0].task->array;

        assert_set(&array->waiting, "4-9,12,20-29");
        assert_true(array->first == 4 && array->last == 29 && array->limit == 3);
        assert_true(array->n_active == 1 && array->n_apart == 2 && array->n_done == 3);
        assert_true(array->n_failed == 4 && array->n_cancelled == 5 && array->n_timeout == 6);
        assert_int_equal(array->n_lost, 7);
        reply_done(&back);

        index_set_done(&reply.list.tasks[0].task->array->waiting);
        back = pass_reply(&reply);
        assert_int_equal(back.list.tasks[0].task->array->waiting.n, 0);
        reply_done(&reply);
        reply_done(&back);
}

static void test_a_hidden_array_shows_its_elements_but_not_its_output(_unused_ void **state) {
        Reply reply = sample_reply(CALL_SHOW), back;

        reply.list.tasks[0].hidden = true;
        back = pass_reply(&reply);
        assert_non_null(back.list.tasks[0].task->array);
        assert_null(back.list.tasks[0].task->output);
        assert_int_equal(back.list.tasks[0].task->n_after, 2);
        reply_done(&reply);
        reply_done(&back);
}

/* Of so many pieces that nobody types them: every second one. */
static void test_a_set_of_very_many_pieces_is_cut_at_a_piece(_unused_ void **state) {
        Reply reply = sample_reply(CALL_SHOW), back;
        IndexSet *set = &reply.list.tasks[0].task->array->waiting;
        const IndexSet *have;

        index_set_done(set);
        set->n = 20000;
        set->ranges = sample_zeroed(set->n, sizeof(*set->ranges));
        for (uint32_t i = 0; i < set->n; i++)
                set->ranges[i] = (IndexRange){ 1000000 + 2 * i, 1000000 + 2 * i };

        back = pass_reply(&reply);
        have = &back.list.tasks[0].task->array->waiting;
        assert_int_equal(have->n, (WIRE_SET_BYTES_MAX + 1) / 8);
        assert_int_equal(have->ranges[have->n - 1].last, 1000000 + 2 * (have->n - 1));
        reply_done(&reply);
        reply_done(&back);
}

static void test_what_an_agent_has_to_mind_keeps_each_field(_unused_ void **state) {
        Reply reply = sample_reply(CALL_AGENT), back = pass_reply(&reply);

        assert_true(back.continues);
        assert_string_equal(back.agent.database, SAMPLE_DATABASE);
        assert_int_equal(back.agent.look_interval_us, 1000000);
        assert_true(back.agent.log_limit_bytes == GIB);
        assert_true(back.agent.log_keep_us == 30 * UINT64_C(86400) * US_PER_SEC);
        assert_int_equal(back.agent.n, 2);
        for (size_t i = 0; i < 2; i++) {
                const AgentTask *have = &back.agent.tasks[i], *want = &reply.agent.tasks[i];

                assert_int_equal(have->id, want->id);
                assert_memory_equal(have->key, want->key, sizeof(have->key));
                assert_int_equal(have->state, want->state);
                assert_int_equal(have->attempt, want->attempt);
        }
        reply_done(&back);

        reply.agent.log_limit_bytes = UINT64_MAX;
        reply.agent.log_keep_us = TASK_TIME_INF;
        back = pass_reply(&reply);
        assert_true(back.agent.log_limit_bytes == UINT64_MAX);
        assert_true(back.agent.log_keep_us == TASK_TIME_INF);
        reply_done(&reply);
        reply_done(&back);
}

static void test_what_an_agent_says_keeps_each_field(_unused_ void **state) {
        Call call = sample_call(CALL_RESUME), back_call = pass_call(&call);
        Reply reply = sample_reply(CALL_AGENT_STATUS), back = pass_reply(&reply);

        assert_int_equal(back_call.resume.id, task_ref(12, 0));
        assert_true(back_call.resume.attempt == 3 && back_call.resume.running);

        assert_true(back.agent_status.pid == 77 && back.agent_status.connected);
        assert_string_equal(back.agent_status.daemon, reply.agent_status.daemon);
        assert_string_equal(back.agent_status.state_dir, reply.agent_status.state_dir);
        assert_string_equal(back.agent_status.lives, "systemd");
        assert_string_equal(back.agent_status.text, reply.agent_status.text);
        assert_true(back.agent_status.n_waiting == 4 && back.agent_status.n_running == 5);
        assert_int_equal(back.agent_status.n_undelivered, 6);
        reply_done(&reply);
        reply_done(&back);

        reply = sample_reply(CALL_QUEUE);
        back = pass_reply(&reply);
        assert_int_equal(back.submit_many.ids.n, 3);
        assert_memory_equal(back.submit_many.ids.ids, reply.submit_many.ids.ids,
                            3 * sizeof(*reply.submit_many.ids.ids));
        assert_string_equal(back.submit_many.notices[0], "the delay was cut to 10m");
        reply_done(&reply);
        reply_done(&back);

        reply = sample_reply(CALL_RESUME);
        back = pass_reply(&reply);
        assert_int_equal(back.resume.state, TASK_STATE_RUNNING);
        reply_done(&reply);
        reply_done(&back);
}

#define KEY         "\"key\":\"000102030405060708090a0b0c0d0e0f\""
#define TASK(_rest) "{" KEY ",\"command\":\"c\",\"cwd\":\"/\"" _rest "}"
#define SUBMIT(_rest) \
        "{\"method\":\"io.taskflow.v1.Submit\",\"parameters\":{\"task\":" TASK(_rest) "}}"
#define MANY(_tasks) \
        "{\"method\":\"io.taskflow.v1.SubmitMany\",\"parameters\":{\"tasks\":[" _tasks "]}}"
#define SET "'task.array.waiting' must be numbers and ranges to 16777214, as 0-9,12"

static const struct {
        const char *bytes;
        const char *sentence;
} calls[] = {
        { SUBMIT(",\"array\":{}"), "'task.array.waiting' is missing" },
        { SUBMIT(",\"array\":{\"waiting\":null}"), "'task.array.waiting' must be a text" },
        { SUBMIT(",\"array\":{\"waiting\":3}"), "'task.array.waiting' must be a text" },
        { SUBMIT(",\"array\":{\"waiting\":\"\"}"), SET },
        { SUBMIT(",\"array\":{\"waiting\":\"1,\"}"), SET },
        { SUBMIT(",\"array\":{\"waiting\":\"9-0\"}"), SET },
        { SUBMIT(",\"array\":{\"waiting\":\"0-16777215\"}"), SET },
        { SUBMIT(",\"array\":{\"waiting\":\"1\",\"limit\":-1}"),
          "'task.array.limit' must be a whole number from 0 to 16777215" },
        { SUBMIT(",\"array\":{\"waiting\":\"1\",\"first\":1}"), "unknown key 'task.array.first'" },
        { SUBMIT(",\"after\":[{\"id\":0}]"),
          "'task.after[0].id' must be a whole number from 1 to 549755813887" },
        { SUBMIT(",\"after\":[{\"id\":\"1_2\"}]"),
          "'task.after[0].id' must be a whole number from 1 to 549755813887" },
        { SUBMIT(",\"after\":[{\"any\":true}]"), "'task.after[0].id' is missing" },
        { SUBMIT(",\"retry_max\":1001"), "'task.retry_max' must be a whole number from 0 to 1000" },
        { SUBMIT(",\"attempt\":1"), "unknown key 'task.attempt'" },
        { SUBMIT(",\"n_retries\":1"), "unknown key 'task.n_retries'" },
        { SUBMIT(",\"output\":1"), "'task.output' must be a text" },
        { MANY(""), "'parameters' have no task" },
        { MANY("{\"task\":" TASK("") "}"), "'parameters' have a task that is not detached" },
        { MANY("{}"), "'tasks[0].task' is missing" },
        { MANY("{\"task\":" TASK(",\"detached\":true") ",\"immediate\":true}"),
          "unknown key 'tasks[0].immediate'" },
        { MANY("{\"task\":" TASK(",\"detached\":true") "},{\"task\":{" KEY "}}"),
          "'tasks[1].task.command' is missing" },
        { "{\"method\":\"io.taskflow.v1.Resume\",\"parameters\":{\"id\":1,\"attempt\":0}}",
          "'attempt' must be a whole number from 1 to 2147483647" },
        { "{\"method\":\"io.taskflow.v1.Agent\",\"parameters\":{\"id\":1}}",
          "'Agent' takes no parameters" },
        { "{\"method\":\"io.taskflow.agent.v1.Stop\",\"parameters\":{\"id\":1}}",
          "'AgentStop' takes no parameters" },
};

static void test_each_bad_call_is_refused_with_its_sentence(_unused_ void **state) {
        for (size_t i = 0; i < ELEMENTSOF(calls); i++) {
                Error error = { "" };
                Call call;

                if (call_decode(calls[i].bytes, strlen(calls[i].bytes), &call, &error) !=
                    MESSAGE_E_BAD)
                        fail_msg("not refused: %s", calls[i].bytes);
                if (strcmp(error.text, calls[i].sentence) != 0)
                        fail_msg("%s:\n  %s\n  %s", calls[i].bytes, error.text, calls[i].sentence);
        }
}

static void test_after_and_sets_have_limits(_unused_ void **state) {
        Call call = sample_call(CALL_SUBMIT);
        Error error = { "" };
        char *bytes = NULL;
        size_t n;

        free(call.submit.task->after);
        call.submit.task->n_after = TASK_AFTER_MAX + 1;
        call.submit.task->after = sample_zeroed(TASK_AFTER_MAX + 1, sizeof(TaskAfter));
        for (unsigned i = 0; i < call.submit.task->n_after; i++)
                call.submit.task->after[i].id = i + 1;
        assert_int_equal(call_encode(&call, &bytes, &n), 0);
        assert_int_equal(call_decode(bytes, n, &(Call){}, &error), MESSAGE_E_BAD);
        assert_string_equal(error.text, "'task.after' has 257 elements, more than 256");
        free(bytes);
        call_done(&call);

        bytes = sample_zeroed(1, WIRE_SET_BYTES_MAX + 512);
        (void)strcpy(bytes, "{\"method\":\"io.taskflow.v1.Submit\",\"parameters\":{\"task\":{" KEY
                            ",\"command\":\"c\",\"cwd\":\"/\",\"array\":{\"waiting\":\"");
        n = strlen(bytes);
        for (size_t i = 0; i <= WIRE_SET_BYTES_MAX; i++)
                bytes[n + i] = i % 2 == 0 ? '1' : ',';
        (void)strcpy(bytes + n + WIRE_SET_BYTES_MAX + 1, "\"}}}}");
        assert_int_equal(call_decode(bytes, strlen(bytes), &call, &error), MESSAGE_E_BAD);
        assert_string_equal(error.text, "'task.array.waiting' is longer than 65536 bytes");
        free(bytes);
}

/* @n tasks like those of `submit FILE`, each with @n_words words. */
static Call many(size_t n, size_t n_words) {
        Call call = { .type = CALL_SUBMIT_MANY };

        call.submit_many.n = n;
        call.submit_many.items = sample_zeroed(n, sizeof(*call.submit_many.items));
        for (size_t i = 0; i < n; i++) {
                Task *task = task_new();

                assert_non_null(task);
                task->detached = true;
                task->command = sample_text("python train.py --lr 0.1 --epochs 10 --seed 4711");
                task->cwd = sample_text("/home/alice/projects/p");
                task->argv = sample_zeroed(n_words + 1, sizeof(char *));
                for (size_t k = 0; k < n_words; k++)
                        task->argv[k] = sample_text("x");
                task->needs.memory_bytes = 5 * GIB;
                assert_int_equal(needs_add_gpu(&task->needs, "any", 10 * GIB), 0);
                call.submit_many.items[i].task = task;
        }
        return call;
}

static void test_a_thousand_tasks_fit_a_call(_unused_ void **state) {
        Call call = many(WIRE_TASKS_MAX, 50), back = pass_call(&call);

        assert_int_equal(back.submit_many.n, WIRE_TASKS_MAX);
        assert_int_equal(back.submit_many.items[WIRE_TASKS_MAX - 1].task->needs.n_gpus, 1);
        call_done(&call);
        call_done(&back);
}

/* So that whoever has too many for one call finds out while writing it. */
static void test_what_would_be_refused_for_its_values_is_not_written(_unused_ void **state) {
        Call call = many(WIRE_TASKS_MAX, 150);
        char *bytes = NULL;

        assert_int_equal(call_encode(&call, &bytes, NULL), -E2BIG);
        assert_null(bytes);
        call_done(&call);
}

static void test_each_method_belongs_to_one_interface(_unused_ void **state) {
        for (int type = 0; type < N_CALL_TYPES; type++) {
                const CallSpec *spec = &call_specs[type];
                bool of_agent = strncmp(spec->method, WIRE_AGENT_INTERFACE ".",
                                        strlen(WIRE_AGENT_INTERFACE ".")) == 0;

                assert_int_equal(of_agent, spec->of_agent);
                assert_false(spec->of_agent && spec->from_daemon);
        }
        assert_string_equal(call_specs[CALL_QUEUE].fd, "memfd");
        assert_string_equal(call_specs[CALL_RESUME].fd, "pidfd");
        assert_null(call_specs[CALL_SUBMIT].fd);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_many_tasks_keep_each_field),
                cmocka_unit_test(test_where_an_array_begins_and_ends_follows_from_its_elements),
                cmocka_unit_test(test_a_shown_array_keeps_each_field),
                cmocka_unit_test(test_a_hidden_array_shows_its_elements_but_not_its_output),
                cmocka_unit_test(test_a_set_of_very_many_pieces_is_cut_at_a_piece),
                cmocka_unit_test(test_what_an_agent_has_to_mind_keeps_each_field),
                cmocka_unit_test(test_what_an_agent_says_keeps_each_field),
                cmocka_unit_test(test_each_bad_call_is_refused_with_its_sentence),
                cmocka_unit_test(test_after_and_sets_have_limits),
                cmocka_unit_test(test_a_thousand_tasks_fit_a_call),
                cmocka_unit_test(test_what_would_be_refused_for_its_values_is_not_written),
                cmocka_unit_test(test_each_method_belongs_to_one_interface),
        };

        return cmocka_run_group_tests_name("wire-detached", tests, NULL, NULL);
}
