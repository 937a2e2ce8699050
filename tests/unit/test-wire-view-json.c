/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * What `--json` prints is what interface.md says, key by key
 */

#include <string.h>

#include <jansson.h>

#include "wire/message.h"

#include "check.h"
#include "wire-samples.h"

static json_t *parse(char *text) {
        json_t *json;

        json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(json);
        free(text);
        return json;
}

static json_t *task_json(const TaskView *view, const char *user, const char *reason) {
        char *text = NULL;

        assert_int_equal(task_view_json(view, user, reason, &text), 0);
        return parse(text);
}

/* The keys of an object, in order and with commas. */
static void assert_keys(json_t *json, const char *want) {
        char have[1024] = "";
        void *i;

        for (i = json_object_iter(json); i; i = json_object_iter_next(json, i)) {
                size_t n = strlen(have);

                (void)snprintf(have + n, sizeof(have) - n, "%s%s", n > 0 ? "," : "",
                               json_object_iter_key(i));
        }
        assert_string_equal(have, want);
}

static json_t *get(const json_t *json, const char *key) {
        json_t *value = json_object_get(json, key);

        if (!value)
                fail_msg("no key '%s'", key);
        return value;
}

static void assert_text(const json_t *json, const char *key, const char *want) {
        assert_true(json_is_string(get(json, key)));
        assert_string_equal(json_string_value(get(json, key)), want);
}

static void assert_number(const json_t *json, const char *key, json_int_t want) {
        assert_true(json_is_integer(get(json, key)));
        assert_int_equal(json_integer_value(get(json, key)), want);
}

static void assert_null_value(const json_t *json, const char *key) {
        assert_true(json_is_null(get(json, key)));
}

#define TASK_KEYS                                                                                         \
        "id,index,name,user,uid,state,command,argv,cwd,priority,detached,pid,needs,gpus,delay_seconds,"   \
        "time_limit_seconds,submitted_at,started_at,ended_at,exit_status,signal,used,peak,excess,reason," \
        "output,array,after,requeue,retries,start"

static void test_task_has_every_key_and_value(_unused_ void **state) {
        TaskView view = { .task = sample_task() };
        json_t *json;

        view.task->uid = 1000;
        json = task_json(&view, "alice", NULL);
        assert_keys(json, TASK_KEYS);
        assert_number(json, "id", 4711);
        assert_text(json, "name", "nightly \"run\"");
        assert_text(json, "user", "alice");
        assert_number(json, "uid", 1000);
        assert_text(json, "state", "timeout");
        assert_text(json, "command", "python train.py --lr 0.1 # h\xc3\xa9");
        assert_int_equal(json_array_size(get(json, "argv")), 3);
        assert_text(json, "cwd", "/home/alice/p");
        assert_number(json, "priority", 42);
        assert_true(json_is_true(get(json, "detached")));
        assert_number(json, "pid", 12345);
        assert_number(json, "delay_seconds", 61);
        assert_number(json, "time_limit_seconds", 3600);
        assert_text(json, "submitted_at", "2026-01-31T10:00:00.123Z");
        assert_text(json, "started_at", "2026-01-31T10:00:01.123Z");
        assert_text(json, "ended_at", "2026-01-31T10:00:02.123Z");
        assert_number(json, "exit_status", 0);
        assert_number(json, "signal", 15);
        assert_text(json, "reason", "time limit of 1h");
        assert_text(json, "output", "/home/alice/nightly \"run\"-4711.log");
        assert_null_value(json, "index");
        assert_null_value(json, "array");
        assert_true(json_is_true(get(json, "requeue")));
        assert_keys(get(json, "retries"), "max,used");
        assert_number(get(json, "retries"), "max", 6);
        assert_number(get(json, "retries"), "used", 4);
        assert_int_equal(json_array_size(get(json, "after")), 2);
        assert_keys(json_array_get(get(json, "after"), 1), "id,any");
        assert_number(json_array_get(get(json, "after"), 0), "id", 10);
        assert_true(json_is_false(get(json_array_get(get(json, "after"), 0), "any")));
        assert_true(json_is_true(get(json_array_get(get(json, "after"), 1), "any")));
        json_decref(json);
        task_free(view.task);
}

static void test_task_has_all_of_its_sizes(_unused_ void **state) {
        TaskView view = { .task = sample_task() };
        json_t *json = task_json(&view, "alice", NULL), *gpu;

        assert_keys(get(json, "needs"), "memory_bytes,cpus,gpus,tokens");
        assert_int_equal(json_array_size(get(get(json, "needs"), "tokens")), 2);
        gpu = json_array_get(get(get(json, "needs"), "tokens"), 1);
        assert_keys(gpu, "name,count");
        assert_text(gpu, "name", "matlab");
        assert_number(gpu, "count", 2);
        assert_number(get(json, "needs"), "memory_bytes", 5 * GIB);
        assert_number(get(json, "needs"), "cpus", 7);
        gpu = json_array_get(get(get(json, "needs"), "gpus"), 0);
        assert_keys(gpu, "want,bytes");
        assert_text(gpu, "want", "any");
        assert_number(gpu, "bytes", 10 * GIB);
        assert_null_value(json_array_get(get(get(json, "needs"), "gpus"), 1), "bytes");

        gpu = json_array_get(get(json, "gpus"), 0);
        assert_keys(gpu, "index,uuid,bytes");
        assert_number(gpu, "index", 3);
        assert_text(gpu, "uuid", "GPU-aaaa0000-1111");
        assert_null_value(json_array_get(get(json, "gpus"), 1), "bytes");

        assert_keys(get(json, "used"), "memory_bytes,gpus");
        assert_number(get(json, "used"), "memory_bytes", 3 * GIB);
        assert_number(get(json, "peak"), "memory_bytes", 4 * GIB);
        gpu = json_array_get(get(get(json, "peak"), "gpus"), 0);
        assert_keys(gpu, "index,bytes");
        assert_number(gpu, "index", 3);
        assert_number(gpu, "bytes", 18);
        assert_null_value(json_array_get(get(get(json, "used"), "gpus"), 1), "bytes");

        assert_int_equal(json_array_size(get(json, "excess")), 1);
        gpu = json_array_get(get(json, "excess"), 0);
        assert_keys(gpu, "index,uuid,asked_bytes,used_bytes,peak_bytes");
        assert_number(gpu, "index", 5);
        assert_text(gpu, "uuid", "GPU-cccc");
        assert_number(gpu, "asked_bytes", 0);
        assert_number(gpu, "used_bytes", 21);
        assert_number(gpu, "peak_bytes", 22);

        json_decref(json);
        task_free(view.task);
}

static void test_an_element_has_the_id_of_its_array(_unused_ void **state) {
        TaskView view = { .task = sample_task() };
        json_t *json;

        view.task->id = task_ref(12, 0);
        free(view.task->output);
        view.task->output = sample_text("/x/{id}_{index}.log");
        json = task_json(&view, NULL, NULL);
        assert_number(json, "id", 12);
        assert_number(json, "index", 0);
        assert_text(json, "output", "/x/12_0.log");
        json_decref(json);
        task_free(view.task);
}

static void test_an_array_shows_its_elements(_unused_ void **state) {
        TaskView *view = sample_views(1);
        TaskArray *array = view->task->array;
        json_t *json = task_json(view, NULL, NULL);

        assert_keys(get(json, "array"), "waiting,count,limit,done,failed,cancelled,timeout,lost");
        assert_text(get(json, "array"), "waiting", "4-9,12,20-29");
        assert_number(get(json, "array"), "count", 17 + 2 + 25);
        assert_number(get(json, "array"), "limit", 3);
        assert_number(get(json, "array"), "done", 3);
        assert_number(get(json, "array"), "failed", 4);
        assert_number(get(json, "array"), "cancelled", 5);
        assert_number(get(json, "array"), "timeout", 6);
        assert_number(get(json, "array"), "lost", 7);
        assert_text(json, "output", "/home/alice/{name}-{id}.log");
        json_decref(json);

        index_set_done(&array->waiting);
        array->limit = 0;
        json = task_json(view, NULL, NULL);
        assert_text(get(json, "array"), "waiting", "");
        assert_null_value(get(json, "array"), "limit");
        json_decref(json);
        free(view->explain);
        task_free(view->task);
        free(view);
}

/* The daemon keeps a shell line once. */
static void test_the_words_of_a_line_are_the_line(_unused_ void **state) {
        _cleanup_(task_freep) Task *task = task_new();
        TaskView view = { .task = task };
        json_t *json;

        assert_non_null(task);
        task->id = 1;
        task->command = strdup("echo a  b");
        json = task_json(&view, "alice", NULL);
        assert_int_equal(json_array_size(get(json, "argv")), 1);
        assert_string_equal(json_string_value(json_array_get(get(json, "argv"), 0)), "echo a  b");
        json_decref(json);

        view.hidden = true;
        json = task_json(&view, "alice", NULL);
        assert_int_equal(json_array_size(get(json, "argv")), 0);
        json_decref(json);
}

static void test_unknown_is_null(_unused_ void **state) {
        static const char *const nulls[] = {
                "name",          "user",       "pid",      "time_limit_seconds",
                "delay_seconds", "started_at", "ended_at", "exit_status",
                "signal",        "reason",     "output",   "index",
                "array"
        };
        TaskView view = { .task = task_new() };
        json_t *json;

        view.task->delay_us = TASK_TIME_INF;
        json = task_json(&view, NULL, NULL);
        assert_keys(json, TASK_KEYS);
        for (size_t i = 0; i < ELEMENTSOF(nulls); i++)
                assert_null_value(json, nulls[i]);
        assert_null_value(get(json, "used"), "memory_bytes");
        assert_null_value(get(json, "peak"), "memory_bytes");
        assert_int_equal(json_array_size(get(json, "gpus")), 0);
        assert_text(json, "command", "");
        json_decref(json);
        task_free(view.task);
}

static void test_hidden_task_shows_no_words(_unused_ void **state) {
        TaskView view = { .task = sample_task(), .hidden = true };
        json_t *json = task_json(&view, "alice", NULL);

        assert_keys(json, TASK_KEYS);
        assert_null_value(json, "name");
        assert_text(json, "command", "");
        assert_int_equal(json_array_size(get(json, "argv")), 0);
        assert_text(json, "cwd", "");
        assert_null_value(json, "output");
        assert_null_value(json, "reason");
        json_decref(json);
        task_free(view.task);
}

static void test_reason_of_a_waiting_task_is_the_sentence(_unused_ void **state) {
        TaskView view = { .task = sample_task() };
        json_t *json = task_json(&view, NULL, "3G missing");

        assert_text(json, "reason", "3G missing");
        json_decref(json);
        task_free(view.task);
}

static void test_bytes_that_are_no_utf8_are_replaced(_unused_ void **state) {
        TaskView view = { .task = sample_task() };
        json_t *json;

        free(view.task->cwd);
        view.task->cwd = sample_text("/tmp/\xfc"
                                     "ber");
        json = task_json(&view, "al\xff", NULL);
        assert_text(json, "cwd",
                    "/tmp/\xef\xbf\xbd"
                    "ber");
        assert_text(json, "user", "al\xef\xbf\xbd");
        json_decref(json);
        task_free(view.task);
}

static void test_delay_keeps_its_fraction(_unused_ void **state) {
        static const struct {
                uint64_t us;
                const char *want;
        } cases[] = {
                { 0, "\"delay_seconds\":0," },
                { 500000, "\"delay_seconds\":0.5," },
                { 60000001, "\"delay_seconds\":60.000001," },
                { 1100000, "\"delay_seconds\":1.1," },
                { TASK_TIME_INF, "\"delay_seconds\":null," },
                { TASK_TIME_INF - 1, "\"delay_seconds\":18446744073709.551614," },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                TaskView view = { .task = task_new() };
                char *text = NULL;

                view.task->delay_us = cases[i].us;
                assert_int_equal(task_view_json(&view, NULL, NULL, &text), 0);
                if (!strstr(text, cases[i].want))
                        fail_msg("%s: %s", cases[i].want, text);
                free(text);
                task_free(view.task);
        }
}

static const char *name_user(uid_t uid, char *buf, size_t n, _unused_ void *userdata) {
        (void)snprintf(buf, n, "user-%u", uid);
        return buf;
}

/* One of them is known by name, which is no UTF-8. */
static const char *name_program(const OutsideProcess *outsider, char *buf, size_t n) {
        if (outsider->pid != 4711)
                return NULL;
        (void)snprintf(buf, n, "x\xff\x1b");
        return buf;
}

static void assert_status_gpus(json_t *json) {
        json_t *gpu = json_array_get(get(json, "gpus"), 0);

        assert_keys(
                gpu,
                "id,kind,index,uuid,name,state,total_bytes,used_bytes,promised_bytes,free_bytes,allowed,"
                "use,shares_ram,whole_only,processes_known,note,tasks,excess,outside_bytes,outside");
        assert_text(gpu, "state", "ok");
        assert_number(gpu, "used_bytes", GIB);
        assert_number(gpu, "free_bytes", 38 * GIB);
        assert_int_equal(json_integer_value(json_array_get(get(gpu, "tasks"), 0)), 12);
        assert_string_equal(json_string_value(json_array_get(get(gpu, "tasks"), 1)), "13_2");
        assert_int_equal(json_array_size(get(gpu, "excess")), 2);
        assert_keys(json_array_get(get(gpu, "excess"), 0), "task,uid,asked_bytes,used_bytes");
        assert_number(json_array_get(get(gpu, "excess"), 0), "task", 12);
        assert_number(json_array_get(get(gpu, "excess"), 0), "uid", 1000);
        assert_number(json_array_get(get(gpu, "excess"), 0), "asked_bytes", GIB);
        assert_number(json_array_get(get(gpu, "excess"), 0), "used_bytes", 3 * GIB);
        assert_text(json_array_get(get(gpu, "excess"), 1), "task", "13_2");

        assert_number(gpu, "outside_bytes", 7 * GIB);
        assert_int_equal(json_array_size(get(gpu, "outside")), 2);
        assert_text(json_array_get(get(gpu, "outside"), 0), "user", "user-0");
        assert_null_value(json_array_get(get(gpu, "outside"), 0), "program");
        assert_null_value(json_array_get(get(gpu, "outside"), 1), "uid");
        assert_null_value(json_array_get(get(gpu, "outside"), 1), "user");
        assert_null_value(json_array_get(get(gpu, "outside"), 1), "bytes");

        gpu = json_array_get(get(json, "gpus"), 1);
        assert_text(gpu, "state", "lost");
        assert_null_value(gpu, "outside_bytes");
        assert_null_value(gpu, "outside");
        assert_null_value(gpu, "total_bytes");
        assert_null_value(gpu, "used_bytes");
        assert_null_value(gpu, "free_bytes");
}

static void test_status_has_every_key_and_value(_unused_ void **state) {
        const Outsiders ram = { .n = 1, .items = { { 4711, 5, 1000, 2 * GIB } } };
        const StatusNames names = { .user = name_user, .program = name_program, .ram = &ram };
        Reply reply = sample_reply(CALL_STATUS);
        char *text = NULL;
        json_t *json, *gpu;

        assert_int_equal(machine_status_json(&reply.status, &names, &text), 0);
        json = parse(text);
        assert_keys(
                json,
                "schema,memory,gpus,gpus_known,gpus_message,gpus_age_seconds,tasks,cpus,tokens,drained,kept,users,daemon");
        assert_number(json, "schema", 1);
        assert_keys(get(json, "memory"),
                    "total_bytes,available_bytes,promised_bytes,free_bytes,reserved_bytes,"
                    "pressure_percent,pressure_limit_percent,outside");
        assert_int_equal(json_array_size(get(get(json, "memory"), "outside")), 1);
        gpu = json_array_get(get(get(json, "memory"), "outside"), 0);
        assert_keys(gpu, "pid,uid,user,program,bytes");
        assert_number(gpu, "pid", 4711);
        assert_number(gpu, "uid", 1000);
        assert_text(gpu, "user", "user-1000");
        assert_text(gpu, "program", "x\xef\xbf\xbd\x1b");
        assert_number(gpu, "bytes", 2 * GIB);
        assert_number(get(json, "memory"), "total_bytes", 64 * GIB);
        assert_number(get(json, "memory"), "available_bytes", 60 * GIB);
        assert_number(get(json, "memory"), "promised_bytes", 5 * GIB);
        assert_number(get(json, "memory"), "free_bytes", 54 * GIB);
        assert_keys(get(json, "tasks"), "pending,running,held");
        assert_number(get(json, "tasks"), "running", 3);
        assert_keys(get(json, "drained"), "reason,uid,since");
        assert_text(get(json, "drained"), "reason", "new kernel");
        assert_number(get(json, "drained"), "uid", 1002);
        assert_text(get(json, "drained"), "since", "2026-01-31T10:00:00.123Z");

        assert_keys(get(json, "kept"),
                    "task,uid,age_seconds,left_seconds,memory_bytes,cpus,gpus,tokens");
        assert_text(json_array_get(get(get(json, "kept"), "tokens"), 0), "name", "matlab");
        assert_number(json_array_get(get(get(json, "kept"), "tokens"), 0), "count", 3);
        gpu = json_array_get(get(json, "tokens"), 0);
        assert_keys(gpu, "name,total,taken,free");
        assert_text(gpu, "name", "matlab");
        assert_number(gpu, "total", 3);
        assert_number(gpu, "taken", 2);
        assert_number(gpu, "free", 1);
        assert_number(json_array_get(get(json, "tokens"), 1), "free", 0);
        assert_text(get(json, "kept"), "task", "14_2");
        assert_number(get(json, "kept"), "uid", 1003);
        assert_number(get(json, "kept"), "age_seconds", 90);
        assert_null_value(get(json, "kept"), "left_seconds");
        assert_number(get(json, "kept"), "memory_bytes", 20 * GIB);
        assert_number(get(json, "kept"), "cpus", 3);
        gpu = json_array_get(get(get(json, "kept"), "gpus"), 0);
        assert_number(gpu, "index", 1);
        assert_text(gpu, "uuid", "GPU-bbbb");
        assert_null_value(gpu, "bytes");

        assert_status_gpus(json);
        json_decref(json);
        reply_done(&reply);
}

static void test_status_tells_the_shares(_unused_ void **state) {
        const StatusNames names = { .user = name_user, .program = name_program };
        Reply reply = sample_reply(CALL_STATUS);
        char *text = NULL;
        json_t *json, *user;

        assert_int_equal(machine_status_json(&reply.status, &names, &text), 0);
        json = parse(text);
        assert_int_equal(json_array_size(get(json, "users")), 2);
        user = json_array_get(get(json, "users"), 0);
        assert_keys(user, "user,uid,share,past,held,weight,running,waiting");
        assert_text(user, "user", "user-1003");
        assert_number(user, "uid", 1003);
        assert_int_equal((int)(1000 * json_number_value(get(user, "share"))), (int)(1000 * 1.5));
        assert_int_equal((int)(1000 * json_number_value(get(user, "past"))), (int)(1000 * 0.5));
        assert_int_equal((int)(1000 * json_number_value(get(user, "held"))), (int)(1000 * 0.25));
        assert_int_equal((int)(1000 * json_number_value(get(user, "weight"))), (int)(1000 * 0.5));
        assert_number(user, "running", 1);
        assert_number(user, "waiting", 2);
        json_decref(json);
        reply_done(&reply);
}

static void test_status_without_figures_is_null(_unused_ void **state) {
        MachineStatus status = { .gpu_age_us = TASK_TIME_INF };
        char *text = NULL;
        json_t *json;

        assert_int_equal(machine_status_json(&status, NULL, &text), 0);
        json = parse(text);
        assert_null_value(get(json, "memory"), "total_bytes");
        assert_null_value(get(json, "memory"), "free_bytes");
        assert_null_value(get(json, "memory"), "outside");
        assert_int_equal(json_array_size(get(json, "gpus")), 0);
        assert_null_value(json, "kept");
        assert_null_value(json, "gpus_message");
        assert_null_value(json, "gpus_age_seconds");
        json_decref(json);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_task_has_every_key_and_value),
                cmocka_unit_test(test_task_has_all_of_its_sizes),
                cmocka_unit_test(test_an_element_has_the_id_of_its_array),
                cmocka_unit_test(test_an_array_shows_its_elements),
                cmocka_unit_test(test_the_words_of_a_line_are_the_line),
                cmocka_unit_test(test_unknown_is_null),
                cmocka_unit_test(test_hidden_task_shows_no_words),
                cmocka_unit_test(test_reason_of_a_waiting_task_is_the_sentence),
                cmocka_unit_test(test_bytes_that_are_no_utf8_are_replaced),
                cmocka_unit_test(test_delay_keeps_its_fraction),
                cmocka_unit_test(test_status_has_every_key_and_value),
                cmocka_unit_test(test_status_tells_the_shares),
                cmocka_unit_test(test_status_without_figures_is_null),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
