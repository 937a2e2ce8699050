/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/task.h"
#include "sim/trace.h"

#include "check.h"

#define HISTORY \
        "submitted_at,started_at,ended_at,uid,memory_bytes,memory_peak_bytes,gpus,gpu_peaks\n"
#define OPENB "cpu_milli,memory_mib,num_gpu,gpu_milli,creation_time,deletion_time,scheduled_time\n"

static Trace parse(const char *text) {
        Error error = { "" };
        Trace trace;

        if (trace_parse(&trace, "t", text, strlen(text), -1, &error) < 0)
                fail_msg("%s", error.text);
        return trace;
}

static void expect_refused(const char *text, const char *why) {
        Error error = { "" };
        Trace trace;

        assert_int_equal(trace_parse(&trace, "t", text, strlen(text), -1, &error), -EINVAL);
        assert_string_equal(error.text, why);
}

static void test_formats_have_names(_unused_ void **state) {
        assert_string_table(trace_format, TraceFormat, N_TRACE_FORMATS);
}

static void test_a_history_tells_what_was_asked_for_and_what_was_taken(_unused_ void **state) {
        Trace trace =
                parse(HISTORY
                      "2026-01-31T10:00:00.250Z,2026-01-31T10:00:10.000Z,2026-01-31T10:01:40.500Z,"
                      "1001,5368709120,4294967296,any:10737418240 3:all,8589934592 -\n");
        const TraceTask *task = trace.tasks;

        assert_int_equal(trace.format, TRACE_FORMAT_HISTORY);
        assert_int_equal(trace.n_tasks, 1);
        /* date -d 2026-01-31T10:00:00Z +%s */
        assert_int_equal(task->submitted_us, 1769853600250000);
        assert_int_equal(task->duration_us, 90500000);
        assert_int_equal(task->user, 1001);
        assert_int_equal(task->priority, TASK_PRIORITY_DEFAULT);
        assert_int_equal(task->memory_bytes, 5 * GIB);
        assert_int_equal(task->memory_peak_bytes, 4 * GIB);
        assert_true(task->time_limit_us == TASK_TIME_INF);
        assert_int_equal(task->n_gpus, 2);
        assert_int_equal(task->gpus[0].index, -1);
        assert_int_equal(task->gpus[0].bytes, 10 * GIB);
        assert_int_equal(task->gpus[0].peak_bytes, 8 * GIB);
        assert_int_equal(task->gpus[1].index, 3);
        assert_true(task->gpus[1].bytes == GPU_WHOLE);
        assert_int_equal(task->gpus[1].peak_bytes, 0);
        trace_done(&trace);
}

static void test_a_history_tells_what_was_run(_unused_ void **state) {
        static const char times[] =
                "2026-01-31T10:00:00.250Z,2026-01-31T10:00:10.000Z,2026-01-31T10:01:40.500Z";
        char text[1024];
        Trace trace;

        (void)snprintf(text, sizeof(text),
                       "submitted_at,started_at,ended_at,command\n"
                       "%s,python train.py --lr 1\n%s,python train.py --lr 2\n%s,make\n%s,\n",
                       times, times, times, times);
        trace = parse(text);
        assert_int_equal(trace.n_tasks, 4);
        assert_int_not_equal(trace.tasks[0].program, 0);
        assert_int_equal(trace.tasks[0].program, trace.tasks[1].program);
        assert_int_not_equal(trace.tasks[2].program, trace.tasks[0].program);
        assert_int_not_equal(trace.tasks[2].program, 0);
        assert_int_equal(trace.tasks[3].program, 0);
        trace_done(&trace);
}

static void test_what_never_ran_is_left_out(_unused_ void **state) {
        Trace trace = parse(HISTORY "2026-01-31T10:00:00.250Z,,2026-01-31T10:01:40.500Z,1,0,,,\n");

        assert_int_equal(trace.n_tasks, 0);
        assert_int_equal(trace.n_left_out, 1);
        trace_done(&trace);
}

static void test_a_history_that_is_wrong_is_refused(_unused_ void **state) {
#define TIMES "2026-01-31T10:00:00.250Z,2026-01-31T10:00:10.000Z,2026-01-31T10:01:40.500Z,"
        expect_refused("submitted_at,started_at\n", "'t' has no column 'ended_at'");
        expect_refused(HISTORY
                       "2026-01-31,2026-01-31T10:00:10.000Z,2026-01-31T10:01:40.500Z,1,0,,,\n",
                       "'t' line 2: '2026-01-31' is no time, such as 2026-01-31T10:00:00.123Z");
        expect_refused(HISTORY TIMES "1,-5,,,\n",
                       "'t' line 2: '-5' is no number that is wanted there");
        expect_refused(HISTORY TIMES "1,99999999999999999,,,\n",
                       "'t' line 2: '99999999999999999' is no number that is wanted there");
        expect_refused(HISTORY TIMES "1,0,,1:5 1:all,\n",
                       "'t' line 2: '1:5 1:all' is no list of GPUs, such as 'any:1024 0:all'");
        expect_refused(HISTORY TIMES "1,0,,64:5,\n",
                       "'t' line 2: '64:5' is no list of GPUs, such as 'any:1024 0:all'");
        expect_refused(HISTORY TIMES "1,0,,any:5,x\n", "'t' line 2: 'x' is no list of sizes");
}

static void test_a_history_tells_tokens(_unused_ void **state) {
        static const char head[] =
                "submitted_at,started_at,ended_at,tokens\n"
                "2026-01-31T10:00:00.250Z,2026-01-31T10:00:10.000Z,2026-01-31T10:01:40.500Z,";
        char text[256];
        Trace trace;

        (void)snprintf(text, sizeof(text), "%smatlab:2 ansys:1\n", head);
        trace = parse(text);
        assert_int_equal(trace.tasks[0].n_tokens, 2);
        assert_string_equal(trace.tasks[0].tokens[0].name, "ansys");
        assert_int_equal(trace.tasks[0].tokens[1].n, 2);
        trace_done(&trace);

        (void)snprintf(text, sizeof(text), "%s\n", head);
        trace = parse(text);
        assert_int_equal(trace.tasks[0].n_tokens, 0);
        trace_done(&trace);

        (void)snprintf(text, sizeof(text), "%smatlab:0\n", head);
        expect_refused(text,
                       "'t' line 2: 'matlab:0' is no list of tokens, such as 'ansys:1 matlab:2'");
        (void)snprintf(text, sizeof(text), "%sa:1 a:2\n", head);
        expect_refused(text,
                       "'t' line 2: 'a:1 a:2' is no list of tokens, such as 'ansys:1 matlab:2'");
}

static void test_openb_has_shares_of_gpus(_unused_ void **state) {
        Trace trace = parse(OPENB "6500,1024,1,460,100,250,120\n"
                                  "1000,0,8,1000,90,300,100\n"
                                  "1000,0,1,1000,95,,\n");

        assert_int_equal(trace.format, TRACE_FORMAT_OPENB);
        assert_int_equal(trace.n_tasks, 2);
        assert_int_equal(trace.n_left_out, 1);
        assert_int_equal(trace.tasks[0].n_gpus, 8);
        assert_true(trace.tasks[0].gpus[7].bytes == GPU_WHOLE);
        assert_int_equal(trace.tasks[1].cpus, 7);
        assert_int_equal(trace.tasks[1].memory_bytes, GIB);
        assert_int_equal(trace.tasks[1].gpus[0].share_milli, 460);
        assert_int_equal(trace.tasks[1].duration_us, 130 * US_PER_SEC);
        assert_int_equal(trace.tasks[1].user, -1);
        trace_done(&trace);
}

static void test_tiresias_has_whole_gpus(_unused_ void **state) {
        Trace trace = parse("job_id,num_gpu,submit_time,iterations,duration\n0,2,5,100,2.5\n");

        assert_int_equal(trace.format, TRACE_FORMAT_TIRESIAS);
        assert_int_equal(trace.n_tasks, 1);
        assert_int_equal(trace.tasks[0].n_gpus, 2);
        assert_true(trace.tasks[0].gpus[1].bytes == GPU_WHOLE);
        assert_int_equal(trace.tasks[0].duration_us, 2500000);
        trace_done(&trace);
}

static void test_swf_has_processors_and_minus_one(_unused_ void **state) {
        Trace trace = parse("; a comment\n"
                            "\n"
                            " 1  460 5000 3726 128 20 1024 -1 7200 2048 0 2 1 7 0 -1 -1 -1\n"
                            "2 500 1 -1 -1 -1 -1 -1 -1 -1 5 -1 1 -1 0 -1 -1 -1");

        assert_int_equal(trace.format, TRACE_FORMAT_SWF);
        assert_int_equal(trace.n_tasks, 1);
        assert_int_equal(trace.n_left_out, 1);
        assert_int_equal(trace.tasks[0].submitted_us, 460 * US_PER_SEC);
        assert_int_equal(trace.tasks[0].duration_us, 3726 * US_PER_SEC);
        assert_int_equal(trace.tasks[0].time_limit_us, 7200 * US_PER_SEC);
        assert_int_equal(trace.tasks[0].cpus, 128);
        assert_int_equal(trace.tasks[0].memory_bytes, 256 * MIB);
        assert_int_equal(trace.tasks[0].memory_peak_bytes, 128 * MIB);
        assert_int_equal(trace.tasks[0].user, 2);
        assert_int_equal(trace.tasks[0].program, 7);
        trace_done(&trace);
        expect_refused("1 2 3\n", "'t' line 1: there are 3 numbers, not 18");
        expect_refused("1 0 0 x 1 1 1 1 1 1 1 1 1 1 1 1 1 1\n",
                       "'t' line 1: 'x' is no time in seconds");
}

static void test_what_is_no_trace_is_refused(_unused_ void **state) {
        expect_refused("name,age\n",
                       "'t' is no trace: neither of taskflow's history, nor of openb, "
                       "Tiresias or SWF");
        expect_refused("", "'t' is empty");
}

static void test_a_trace_is_narrowed_and_begins_anew(_unused_ void **state) {
        Trace trace = parse("job_id,num_gpu,submit_time,iterations,duration\n"
                            "0,1,10,0,5\n"
                            "1,1,30,0,5\n"
                            "2,0,35,0,5\n"
                            "3,1,40,0,500\n"
                            "4,1,20,0,6\n"
                            "5,1,50,0,5\n");

        trace_narrow(&trace, 20 * US_PER_SEC, 50 * US_PER_SEC, 100 * US_PER_SEC, true);
        assert_int_equal(trace.n_tasks, 2);
        assert_int_equal(trace.tasks[0].submitted_us, 0);
        assert_int_equal(trace.tasks[0].duration_us, 6 * US_PER_SEC);
        assert_int_equal(trace.tasks[1].submitted_us, 10 * US_PER_SEC);
        trace_done(&trace);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_formats_have_names),
                cmocka_unit_test(test_a_history_tells_what_was_asked_for_and_what_was_taken),
                cmocka_unit_test(test_a_history_tells_what_was_run),
                cmocka_unit_test(test_what_never_ran_is_left_out),
                cmocka_unit_test(test_a_history_that_is_wrong_is_refused),
                cmocka_unit_test(test_a_history_tells_tokens),
                cmocka_unit_test(test_openb_has_shares_of_gpus),
                cmocka_unit_test(test_tiresias_has_whole_gpus),
                cmocka_unit_test(test_swf_has_processors_and_minus_one),
                cmocka_unit_test(test_what_is_no_trace_is_refused),
                cmocka_unit_test(test_a_trace_is_narrowed_and_begins_anew),
        };

        return cmocka_run_group_tests_name("sim-trace", tests, NULL, NULL);
}
