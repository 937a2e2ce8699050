/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * What comes over the socket and is not as it should be is refused, with a sentence that says what
 */

#include <string.h>

#include "util/cleanup.h"
#include "wire/frame.h"
#include "wire/message.h"

#include "check.h"
#include "wire-samples.h"

#define METHOD(_name, _parameters) \
        "{\"method\":\"io.taskflow.v1." _name "\",\"parameters\":" _parameters "}"
#define ONEWAY(_name, _parameters) \
        "{\"method\":\"io.taskflow.v1." _name "\",\"parameters\":" _parameters ",\"oneway\":true}"
#define TASK(_rest)                                                                                     \
        "{\"task\":{\"key\":\"000102030405060708090a0b0c0d0e0f\",\"command\":\"c\",\"cwd\":\"/\"" _rest \
        "}}"
#define SUBMIT(_rest) METHOD("Submit", TASK(_rest))
#define ATTACHED(_rest)                                                                         \
        METHOD("Attach",                                                                        \
               "{\"database\":\"00112233445566778899aabbccddeeff\",\"task\":{\"id\":1,\"key\":" \
               "\"000102030405060708090a0b0c0d0e0f\",\"command\":\"c\",\"cwd\":\"/\"" _rest "}}")

#define NO_ID "'id' must be a whole number from 1 to 549755813887, or \"12_3\""

static const struct {
        const char *bytes;
        const char *sentence;
} calls[] = {
        /* not even JSON */
        { "", "bad JSON: '[' or '{' expected near end of file" },
        { "x", "bad JSON: '[' or '{' expected near 'x'" },
        { "[]", "no JSON object" },
        { "{\"method\":\"a\\u001b[31m\\u0000\"}",
          "bad JSON: \\u0000 is not allowed without JSON_ALLOW_NUL near '\"a\\u001b[31m\\u0000\"'" },
        { "{\"method\":\"a\"} x", "bad JSON: end of file expected near 'x'" },
        { "{\"method\":\"a\xff\"}", "bad JSON: unable to decode byte 0xff near '\"a'" },
        { "{\"method\":\"\x1b\"}", "bad JSON: control character 0x1b near '\"'" },
        { "{\"a\":1,\"a\":1}", "bad JSON: duplicate object key near '\"a\"'" },
        { METHOD("Show", "{\"id\":1,\"id\":2}"), "bad JSON: duplicate object key near '\"id\"'" },
        { "{\"a\":[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]}", "brackets go deeper than 16" },
        /* around the parameters */
        { "{}", "'method' must be a text" },
        { "{\"method\":1}", "'method' must be a text" },
        { "{\"method\":\"m\",\"upgrade\":true}", "unknown key beside 'method' and 'parameters'" },
        { "{\"method\":\"m\",\"oneway\":1}", "'oneway' must be true or false" },
        { "{\"method\":\"m\",\"more\":null}", "'more' must be true or false" },
        { "{\"method\":\"m\",\"parameters\":[]}", "'parameters' must be an object" },
        { "{\"method\":\"m\",\"oneway\":true,\"more\":true}",
          "'oneway' and 'more' exclude each other" },
        { METHOD("Used", "{\"id\":1,\"memory_bytes\":1}"),
          "'Used' has no reply: 'oneway' must be true" },
        { METHOD("Status", "{\"a\":1}"), "'Status' takes no parameters" },
        /* keys */
        { METHOD("Show", "{}"), "'id' is missing" },
        { "{\"method\":\"io.taskflow.v1.Show\"}", "'id' is missing" },
        { METHOD("Show", "{\"id\":1,\"name\":2}"), "unknown key 'name'" },
        { METHOD("Show", "{\"id\":1,\"\\u001b[2J\":2}"), "unknown key '^[[2J'" },
        { SUBMIT(",\"uid\":0"), "unknown key 'task.uid'" },
        { SUBMIT(",\"id\":5"), "unknown key 'task.id'" },
        { SUBMIT(",\"state\":\"running\""), "unknown key 'task.state'" },
        { SUBMIT(",\"needs\":{\"gpus\":[{\"want\":\"0\"},{\"want\":\"1\",\"uuid\":\"x\"}]}"),
          "unknown key 'task.needs.gpus[1].uuid'" },
        { ATTACHED(",\"state\":\"pending\",\"uid\":0"), "unknown key 'task.uid'" },
        { METHOD("Submit", "{}"), "'task' is missing" },
        { METHOD("Submit", "{\"task\":null}"), "'task' must be an object" },
        { METHOD("Submit", "{\"task\":{\"key\":\"000102030405060708090a0b0c0d0e0f\"}}"),
          "'task.command' is missing" },
        /* numbers */
        { METHOD("Show", "{\"id\":0}"), NO_ID },
        { METHOD("Show", "{\"id\":-1}"), NO_ID },
        { METHOD("Show", "{\"id\":1.0}"), NO_ID },
        { METHOD("Show", "{\"id\":1e3}"), NO_ID },
        { METHOD("Show", "{\"id\":null}"), NO_ID },
        { METHOD("Show", "{\"id\":[1]}"), NO_ID },
        { METHOD("Show", "{\"id\":549755813888}"), NO_ID },
        { METHOD("Show", "{\"id\":\"1\"}"), NO_ID },
        { METHOD("Show", "{\"id\":\"\"}"), NO_ID },
        { METHOD("Show", "{\"id\":\"12_\"}"), NO_ID },
        { METHOD("Show", "{\"id\":\"12_03\"}"), NO_ID },
        { METHOD("Show", "{\"id\":\"012_3\"}"), NO_ID },
        { METHOD("Show", "{\"id\":\"0_3\"}"), NO_ID },
        { METHOD("Show", "{\"id\":\"12_16777215\"}"), NO_ID },
        { METHOD("Show", "{\"id\":\"549755813888_1\"}"), NO_ID },
        { METHOD("Show", "{\"id\":\"12_3 \"}"), NO_ID },
        { METHOD("Show", "{\"id\":\"12_\\u001b\"}"), NO_ID },
        { METHOD("Show", "{\"id\":9223372036854775808}"),
          "bad JSON: too big integer near '9223372036854775808'" },
        { SUBMIT(",\"priority\":201"), "'task.priority' must be a whole number from 0 to 200" },
        { SUBMIT(",\"priority\":-1"), "'task.priority' must be a whole number from 0 to 200" },
        { SUBMIT(",\"priority\":4294967296"),
          "'task.priority' must be a whole number from 0 to 200" },
        { SUBMIT(",\"delay_us\":-1"), "'task.delay_us' must be a whole number from 0 on, or null" },
        { SUBMIT(",\"delay_us\":\"60s\""),
          "'task.delay_us' must be a whole number from 0 on, or null" },
        { SUBMIT(",\"needs\":{\"cpus\":4294967296}"),
          "'task.needs.cpus' must be a whole number from 0 to 2147483647" },
        { SUBMIT(",\"needs\":{\"tokens\":[{\"name\":\"matlab\",\"count\":0}]}"),
          "'task.needs.tokens[0].count' must be a whole number from 1 to 1000000" },
        { SUBMIT(",\"needs\":{\"tokens\":[{\"name\":\"mat lab\",\"count\":1}]}"),
          "'task.needs.tokens[0].name' must be a letter, then letters, digits or any of . _ -, "
          "at most 31 in all" },
        { SUBMIT(",\"needs\":{\"tokens\":[{\"name\":\"a\",\"count\":1},{\"name\":\"b\",\"count\":1},"
                 "{\"name\":\"a\",\"count\":1}]}"),
          "'task.needs' name a token twice" },
        { METHOD("Update",
                 "{\"id\":1,\"tokens\":[{\"name\":\"a\",\"count\":1},{\"name\":\"a\",\"count\":2}]}"),
          "'parameters' name a token twice" },
        { SUBMIT(",\"needs\":{\"memory_bytes\":null}"),
          "'task.needs.memory_bytes' must be a whole number from 0 on" },
        { METHOD("Cancel", "{\"ids\":[1],\"signal\":65}"),
          "'signal' must be a whole number from 1 to 64, or null" },
        { METHOD("List", "{\"uid\":4294967296}"),
          "'uid' must be a whole number from 0 to 4294967295" },
        { METHOD("Ended", "{\"id\":1,\"state\":\"done\",\"exit_status\":256,\"ended_at_us\":1}"),
          "'exit_status' must be a whole number from 0 to 255, or null" },
        /* truth */
        { SUBMIT(",\"detached\":1"), "'task.detached' must be true or false" },
        { SUBMIT(",\"detached\":null"), "'task.detached' must be true or false" },
        /* words */
        { METHOD("Ended", "{\"id\":1,\"state\":\"held\",\"ended_at_us\":1}"),
          "'state' is none of the words allowed" },
        { METHOD("Ended", "{\"id\":1,\"state\":\"running\",\"ended_at_us\":1}"),
          "'state' is none of the words allowed" },
        { METHOD("Ended", "{\"id\":1,\"state\":3,\"ended_at_us\":1}"), "'state' must be a word" },
        { SUBMIT(",\"pin\":\"maybe\""), "'task.pin' is none of the words allowed" },
        /* texts */
        { SUBMIT(",\"name\":7"), "'task.name' must be a text" },
        { METHOD("Submit", "{\"task\":{\"key\":\"00\",\"command\":\"c\",\"cwd\":\"/\"}}"),
          "'task.key' must be 32 hexadecimal digits" },
        { METHOD("Submit",
                 "{\"task\":{\"key\":\"000102030405060708090a0b0c0d0eXX\",\"command\":\"c\",\"cwd\":\"/\"}}"),
          "'task.key' must be 32 hexadecimal digits" },
        { METHOD("Submit", "{\"task\":{\"key\":5,\"command\":\"c\",\"cwd\":\"/\"}}"),
          "'task.key' must be 32 hexadecimal digits" },
        { SUBMIT(",\"argv\":\"c\""), "'task.argv' must be a list" },
        { SUBMIT(",\"argv\":[\"a\",1]"), "'task.argv[1]' must be a text" },
        { METHOD("Attach", "{\"database\":\"x\",\"task\":{}}"),
          "'database' must be 32 hexadecimal digits" },
        /* GPUs */
        { SUBMIT(",\"needs\":{\"gpus\":[{}]}"), "'task.needs.gpus[0].want' is missing" },
        { SUBMIT(",\"needs\":{\"gpus\":[{\"want\":\"\"}]}"),
          "'task.needs.gpus[0].want' must be an index, a UUID or its beginning, or any" },
        { SUBMIT(",\"needs\":{\"gpus\":[0]}"), "'task.needs.gpus[0]' must be an object" },
        { SUBMIT(",\"needs\":{\"gpus\":{}}"), "'task.needs.gpus' must be a list" },
        { SUBMIT(",\"needs\":[]"), "'task.needs' must be an object" },
        { ATTACHED(",\"state\":\"running\",\"needs\":{\"gpus\":[{\"want\":\"0\"}]}"),
          "'task' is running without its GPUs" },
        { ATTACHED(
                  ",\"state\":\"pending\",\"needs\":{\"gpus\":[{\"want\":\"0\"}]},\"gpu_usage\":[{}]"),
          "'task' uses GPUs that it was not given" },
        { ATTACHED(",\"state\":\"running\",\"needs\":{\"gpus\":[{\"want\":\"0\"}]},\"gpus\":[]"),
          "'task.gpus' must be a list of 1" },
        { ATTACHED(",\"state\":\"running\",\"gpus\":[{\"uuid\":\"a\",\"index\":0}]"),
          "'task.gpus' must be a list of 0" },
        { METHOD("Attach",
                 "{\"started\":true,\"database\":\"00112233445566778899aabbccddeeff\",\"task\":{\"id\":1,\"key\":"
                 "\"000102030405060708090a0b0c0d0e0f\",\"command\":\"c\",\"cwd\":\"/\",\"state\":\"pending\","
                 "\"needs\":{\"gpus\":[{\"want\":\"0\"}]}}}"),
          "'parameters' say that the task was started, but it has no GPUs" },
        { ATTACHED(",\"state\":\"pending\",\"boot_id\":\"x\""), "'task.boot_id' must be a UUID" },
        { METHOD("Attach",
                 "{\"started\":true,\"database\":\"00112233445566778899aabbccddeeff\",\"task\":{"
                 "\"id\":1,\"key\":\"000102030405060708090a0b0c0d0e0f\",\"command\":\"c\",\"cwd\":"
                 "\"/\",\"state\":\"pending\",\"needs\":{\"gpus\":[{\"want\":\"0\"}]}}}"),
          "'parameters' say that the task was started, but it has no GPUs" },
        /* lists of ids */
        { METHOD("Hold", "{\"ids\":[1,0]}"),
          "'ids[1]' must be a whole number from 1 to 549755813887, or \"12_3\"" },
        { METHOD("Hold", "{\"ids\":[[]]}"),
          "'ids[0]' must be a whole number from 1 to 549755813887, or \"12_3\"" },
        { METHOD("Hold", "{\"ids\":[\"1_1\",\"1\"]}"),
          "'ids[1]' must be a whole number from 1 to 549755813887, or \"12_3\"" },
        { METHOD("Hold", "{\"ids\":1}"), "'ids' must be a list" },
        { METHOD("Hold", "{\"ids\":[1],\"signal\":9}"), "unknown key 'signal'" },
        /* what a hostile daemon may say to a runner */
        { ONEWAY("Offer", "{\"id\":1,\"offer\":1,\"gpus\":[{\"uuid\":\"$(reboot)\",\"index\":0}]}"),
          "'gpus[0].uuid' must be 1 to 80 letters, digits or any of . / -" },
        { ONEWAY("Offer", "{\"id\":1,\"offer\":1,\"gpus\":[{\"uuid\":\"a\",\"index\":-1}]}"),
          "'gpus[0].index' must be a whole number from 0 to 9999" },
        { ONEWAY("End", "{\"id\":1,\"signal\":99}"),
          "'signal' must be a whole number from 1 to 64, or null" },
};

static void assert_refused(const char *bytes, size_t n, const char *sentence) {
        Error error = { "" };
        Call call = { .type = CALL_LOOK };

        if (call_decode(bytes, n, &call, &error) != MESSAGE_E_BAD)
                fail_msg("not refused: %s", bytes);
        assert_int_equal(call.type, CALL_LOOK);
        if (strcmp(error.text, sentence) != 0)
                fail_msg("%s:\n  %s\n  %s", bytes, error.text, sentence);
        assert_int_equal(call_decode(bytes, n, &call, NULL), MESSAGE_E_BAD);
}

static void test_each_bad_call_is_refused_with_its_sentence(_unused_ void **state) {
        for (size_t i = 0; i < ELEMENTSOF(calls); i++)
                assert_refused(calls[i].bytes, strlen(calls[i].bytes), calls[i].sentence);
}

static void test_unknown_method_is_told_from_a_bad_message(_unused_ void **state) {
        static const char *const unknown[] = {
                "{\"method\":\"io.taskflow.v1.Fly\",\"parameters\":{\"anything\":[1,2]}}",
                "{\"method\":\"io.taskflow.v2.Submit\"}",
                "{\"method\":\"Submit\"}",
                "{\"method\":\"\"}",
        };
        Error error;
        Call call;

        for (size_t i = 0; i < ELEMENTSOF(unknown); i++)
                assert_int_equal(call_decode(unknown[i], strlen(unknown[i]), &call, &error),
                                 MESSAGE_E_METHOD_NOT_FOUND);
        assert_string_equal(error.text, "no method ''");
}

/* @head, @n times @unit with commas between, @tail */
static char *repeat(const char *head, const char *unit, size_t n, const char *tail) {
        char *bytes = sample_zeroed(1, strlen(head) + n * (strlen(unit) + 1) + strlen(tail) + 1),
             *p = bytes;

        p = stpcpy(p, head);
        for (size_t i = 0; i < n; i++)
                p = stpcpy(stpcpy(p, i > 0 ? "," : ""), unit);
        (void)stpcpy(p, tail);
        return bytes;
}

static void assert_at_most(const char *head,
                           const char *unit,
                           const char *tail,
                           size_t max,
                           const char *sentence) {
        char *bytes = repeat(head, unit, max, tail);
        Error error = { "" };
        Call call;

        if (call_decode(bytes, strlen(bytes), &call, &error) != 0)
                fail_msg("%zu: %s", max, error.text);
        call_done(&call);
        free(bytes);

        bytes = repeat(head, unit, max + 1, tail);
        assert_refused(bytes, strlen(bytes), sentence);
        free(bytes);
}

#define SUBMIT_HEAD                                                                                           \
        "{\"method\":\"io.taskflow.v1.Submit\",\"parameters\":{\"task\":{\"key\":\"000102030405060708090a0b0" \
        "c0d0e0f\",\"command\":\"c\",\"cwd\":\"/\","

static void test_lists_have_limits(_unused_ void **state) {
        assert_at_most("{\"method\":\"io.taskflow.v1.Hold\",\"parameters\":{\"ids\":[", "1", "]}}",
                       WIRE_IDS_MAX, "'ids' has 10001 elements, more than 10000");
        assert_at_most(SUBMIT_HEAD "\"needs\":{\"gpus\":[", "{\"want\":\"any\"}", "]}}}}",
                       NEEDS_GPUS_MAX, "'task.needs.gpus' has 65 elements, more than 64");
        assert_at_most(SUBMIT_HEAD "\"argv\":[", "\"\"", "]}}}", TASK_TEXT_MAX,
                       "'task.argv' has 4097 elements, more than 4096");
        assert_at_most(SUBMIT_HEAD "\"argv\":[", "\"1234567\"", "]}}}", TASK_TEXT_MAX / 8,
                       "'task.argv' is longer than 4096 bytes");
}

static void test_texts_have_limits(_unused_ void **state) {
        static const struct {
                const char *head;
                size_t max;
                const char *sentence;
        } cases[] = {
                { SUBMIT_HEAD "\"name\":\"", TASK_TEXT_MAX,
                  "'task.name' is longer than 4096 bytes" },
                { SUBMIT_HEAD "\"needs\":{\"gpus\":[{\"want\":\"", GPU_WANT_MAX - 1,
                  "'task.needs.gpus[0].want' is longer than 95 bytes" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const char *tail = i == 0 ? "\"}}}" : "\"}]}}}}";
                char text[TASK_TEXT_MAX + 2] = "", *bytes;
                Error error = { "" };
                Call call;

                memset(text, 'x', cases[i].max);
                bytes = repeat(cases[i].head, text, 1, tail);
                if (call_decode(bytes, strlen(bytes), &call, &error) != 0)
                        fail_msg("%s", error.text);
                call_done(&call);
                free(bytes);

                text[cases[i].max] = 'x';
                bytes = repeat(cases[i].head, text, 1, tail);
                assert_refused(bytes, strlen(bytes), cases[i].sentence);
                free(bytes);
        }
}

/* A message of 1 MiB must not become a tree of 100. */
static void test_many_values_are_refused_before_they_are_read(_unused_ void **state) {
        char *bytes = repeat("{\"method\":\"io.taskflow.v1.List\",\"parameters\":{\"a\":[", "{}",
                             300000, "]}}");

        assert_refused(bytes, strlen(bytes), "more than 131072 values");
        free(bytes);
}

/* Brackets and commas in texts are none. */
static void test_texts_may_hold_brackets(_unused_ void **state) {
        char *text = repeat("", "[{\\\"\\\\", 400, ""), *bytes;
        Error error = { "" };
        Call call;

        bytes = repeat(SUBMIT_HEAD "\"name\":\"", text, 1, "\"}}}");
        if (call_decode(bytes, strlen(bytes), &call, &error) != 0)
                fail_msg("%s", error.text);
        call_done(&call);
        free(bytes);
        free(text);
}

static void test_cut_call_is_refused_at_every_byte(_unused_ void **state) {
        for (int type = 0; type < N_CALL_TYPES; type++) {
                Call sample = sample_call((CallType)type), call;
                char *bytes = NULL;
                size_t n;

                assert_int_equal(call_encode(&sample, &bytes, &n), 0);
                for (size_t i = 0; i < n; i++)
                        assert_int_equal(call_decode(bytes, i, &call, NULL), MESSAGE_E_BAD);
                free(bytes);
                call_done(&sample);
        }
}

static void test_cut_reply_is_refused_at_every_byte(_unused_ void **state) {
        for (int to = 0; to < N_CALL_TYPES; to++) {
                Reply sample = sample_reply((CallType)to), reply;
                char *bytes = NULL;
                size_t n;

                assert_int_equal(reply_encode(&sample, &bytes, &n), 0);
                for (size_t i = 0; i < n; i += 7)
                        assert_int_equal(reply_decode((CallType)to, bytes, i, &reply, NULL),
                                         MESSAGE_E_BAD);
                free(bytes);
                reply_done(&sample);
        }
}

static const struct {
        CallType to;
        const char *bytes;
        const char *sentence;
} replies[] = {
        { CALL_SHOW, "{}", "'parameters' is missing" },
        { CALL_SHOW, "{\"parameters\":{},\"continues\":1}", "'continues' must be true or false" },
        { CALL_SHOW, "{\"parameters\":[]}", "'parameters' must be an object" },
        { CALL_SHOW, "{\"error\":1}", "'error' must be a text" },
        { CALL_SUBMIT, "{\"parameters\":{}}", "'id' is missing" },
        { CALL_SUBMIT, "{\"parameters\":{\"id\":0}}", NO_ID },
        { CALL_SHOW, "{\"parameters\":{\"tasks\":[{\"task\":{\"id\":1,\"uid\":-1}}]}}",
          "'tasks[0].task.uid' must be a whole number from 0 to 4294967295" },
        { CALL_DRY_RUN, "{\"parameters\":{\"gpus\":[{\"uuid\":\"\\u001b\",\"index\":0}]}}",
          "'gpus[0].uuid' must be 1 to 80 letters, digits or any of . / -" },
        { CALL_DRY_RUN, "{\"parameters\":{\"gpus\":[{\"uuid\":\"GPU;x\",\"index\":0}]}}",
          "'gpus[0].uuid' must be 1 to 80 letters, digits or any of . / -" },
        { CALL_DRY_RUN,
          "{\"parameters\":{\"gpus\":[{\"uuid\":\"" /* 81 */
          "123456789012345678901234567890123456789012345678901234567890123456789012345678901\",\"index\":0}]}}",
          "'gpus[0].uuid' must be 1 to 80 letters, digits or any of . / -" },
        { CALL_STATUS, "{\"parameters\":{\"ram\":{\"total_bytes\":-1}}}",
          "'ram.total_bytes' must be a whole number from 0 on" },
        { CALL_WHY, "{\"parameters\":{\"id\":1,\"state\":\"magic\"}}",
          "'state' is none of the words allowed" },
};

static void test_each_bad_reply_is_refused_with_its_sentence(_unused_ void **state) {
        for (size_t i = 0; i < ELEMENTSOF(replies); i++) {
                Error error = { "" };
                Reply reply;

                if (reply_decode(replies[i].to, replies[i].bytes, strlen(replies[i].bytes), &reply,
                                 &error) != MESSAGE_E_BAD)
                        fail_msg("not refused: %s", replies[i].bytes);
                assert_string_equal(error.text, replies[i].sentence);
        }
}

/* An older client goes on with a newer daemon. */
static void test_unknown_keys_in_replies_are_ignored(_unused_ void **state) {
        static const char bytes[] =
                "{\"parameters\":{\"id\":7,\"state\":\"held\",\"look_interval_us\":5,\"new\":{\"a\":[]}},"
                "\"newer\":1}";
        Error error;
        Reply reply;

        assert_int_equal(reply_decode(CALL_ATTACH, bytes, strlen(bytes), &reply, &error), 0);
        assert_true(reply.attach.id == 7 && reply.attach.state == TASK_STATE_HELD);
        reply_done(&reply);
}

static void test_unknown_keys_in_the_daemons_calls_are_ignored(_unused_ void **state) {
        static const char bytes[] =
                "{\"method\":\"io.taskflow.v1.Offer\",\"oneway\":true,"
                "\"parameters\":{\"id\":7,\"offer\":1,\"new\":[{}],\"name\":null,\"command\":\"rm\"}}";
        _cleanup_free_ char *again = NULL;
        Error error;
        Call call;
        size_t n;

        assert_int_equal(call_decode(bytes, strlen(bytes), &call, &error), 0);
        assert_true(call.offer.id == 7 && call.offer.offer == 1);
        assert_int_equal(call_encode(&call, &again, &n), 0);
        assert_null(strstr(again, "rm")); /* nobody has it */
        call_done(&call);
}

static void test_unknown_reasons_and_states_of_gpus_have_a_word_in_their_place(
        _unused_ void **state) {
        static const char why[] =
                "{\"parameters\":{\"id\":1,\"state\":\"pending\","
                "\"explain\":{\"lacks\":[{\"reason\":\"magic\",\"gpu_index\":1,\"new\":1}]}}}";
        static const char status[] =
                "{\"parameters\":{\"ram\":{\"total_bytes\":1,\"available_bytes\":1,\"promised_bytes\":0,"
                "\"free_bytes\":1,\"reserved_bytes\":0},\"gpus\":[{\"index\":0,\"uuid\":\"GPU-1\",\"name\":\"x\","
                "\"state\":\"asleep\",\"use\":\"odd\",\"total_bytes\":1,\"available_bytes\":1,\"promised_bytes\":0,\"free_bytes\":1}],"
                "\"n_pending\":0,\"n_held\":0,\"n_running\":0,\"n_cpus\":1,\"n_cpus_promised\":0,\"daemon_uid\":0,"
                "\"daemon_pid\":1,\"version\":\"9\",\"state_dir\":\"/\"}}";
        char sentence[256];
        Error error = { "" };
        Reply reply;

        assert_int_equal(reply_decode(CALL_WHY, why, strlen(why), &reply, &error), 0);
        assert_int_equal(reply.explain->lacks[0].reason, WAIT_REASON_OTHER);
        explain_sentence(reply.explain, 0, NULL, NULL, sentence, sizeof(sentence));
        assert_string_equal(sentence, "waits for something that this taskflow is too old to know");
        reply_done(&reply);

        assert_int_equal(reply_decode(CALL_STATUS, status, strlen(status), &reply, &error), 0);
        assert_int_equal(reply.status.gpus[0].sample.state, GPU_STATE_UNKNOWN);
        assert_int_equal(reply.status.gpus[0].sample.use, GPU_USE_SHARED);
        assert_null(reply.status.health);
        reply_done(&reply);
}

static void test_unknown_errors_are_failures_with_their_words(_unused_ void **state) {
        static const char with[] =
                "{\"error\":\"io.taskflow.v1.Tired\",\"parameters\":{\"message\":\"need coffee\"}}";
        static const char without[] = "{\"error\":\"org.varlink.service.InvalidParameter\"}";
        static const char none[] = "{\"error\":\"io.taskflow.v1.None\",\"parameters\":{}}";
        Error error;
        Reply reply;

        assert_int_equal(reply_decode(CALL_SHOW, with, strlen(with), &reply, &error), 0);
        assert_int_equal(reply.error, ERROR_FAILED);
        assert_string_equal(reply.message, "need coffee");
        reply_done(&reply);

        assert_int_equal(reply_decode(CALL_SHOW, without, strlen(without), &reply, &error), 0);
        assert_int_equal(reply.error, ERROR_FAILED);
        assert_string_equal(reply.message, "org.varlink.service.InvalidParameter");
        reply_done(&reply);

        assert_int_equal(reply_decode(CALL_SHOW, none, strlen(none), &reply, &error), 0);
        assert_int_equal(reply.error, ERROR_FAILED);
        reply_done(&reply);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_each_bad_call_is_refused_with_its_sentence),
                cmocka_unit_test(test_unknown_method_is_told_from_a_bad_message),
                cmocka_unit_test(test_lists_have_limits),
                cmocka_unit_test(test_texts_have_limits),
                cmocka_unit_test(test_many_values_are_refused_before_they_are_read),
                cmocka_unit_test(test_texts_may_hold_brackets),
                cmocka_unit_test(test_cut_call_is_refused_at_every_byte),
                cmocka_unit_test(test_cut_reply_is_refused_at_every_byte),
                cmocka_unit_test(test_each_bad_reply_is_refused_with_its_sentence),
                cmocka_unit_test(test_unknown_keys_in_replies_are_ignored),
                cmocka_unit_test(test_unknown_keys_in_the_daemons_calls_are_ignored),
                cmocka_unit_test(
                        test_unknown_reasons_and_states_of_gpus_have_a_word_in_their_place),
                cmocka_unit_test(test_unknown_errors_are_failures_with_their_words),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
