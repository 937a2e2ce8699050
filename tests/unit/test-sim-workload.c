/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <math.h>
#include <string.h>

#include "core/task.h"
#include "sim/workload.h"

#include "check.h"

static const char text[] =
        "cpu_milli,memory_mib,num_gpu,gpu_milli,creation_time,deletion_time,scheduled_time\n"
        "4000,8192,1,500,0,1000,0\n"
        "4000,8192,1,1000,1000,1500,1000\n"
        "4000,99999999,9,1000,2000,3000,2000\n";

static const WorkloadOptions plain = {
        .machine = { .memory_bytes = 100 * GIB, .n_gpus = 2, .gpu_bytes = { 10 * GIB, 40 * GIB } },
        .estimate_permille = 1000,
        .n_users = 3,
};

static Workload make(const WorkloadOptions *options, uint64_t seed) {
        Workload workload;
        Trace trace;

        assert_int_equal(trace_parse(&trace, "t", text, strlen(text), -1, NULL), 0);
        trace_narrow(&trace, 0, UINT64_MAX, UINT64_MAX, false);
        assert_int_equal(workload_make(&workload, &trace, options, seed), 0);
        trace_done(&trace);
        return workload;
}

static void test_what_is_asked_for_is_what_is_taken(_unused_ void **state) {
        Workload workload = make(&plain, 1);
        const Job *jobs = workload.jobs;

        assert_int_equal(workload.n_jobs, 3);
        assert_int_equal(jobs[0].needs.memory_bytes, 8 * GIB);
        assert_int_equal(jobs[0].memory_bytes, 8 * GIB);
        assert_int_equal(jobs[0].needs.gpus[0].bytes, 5 * GIB);
        assert_int_equal(jobs[0].gpu_bytes, 5 * GIB);
        assert_int_equal(jobs[0].needs.cpus, 0);
        assert_int_equal(jobs[0].estimate_us, jobs[0].duration_us);
        assert_true(jobs[0].time_limit_us == TASK_TIME_INF);
        workload_done(&workload);
}

static void test_runs_of_the_same_ask_for_the_same(_unused_ void **state) {
        WorkloadOptions wrong = plain;
        Workload workload = make(&plain, 1), other;

        assert_int_not_equal(workload.jobs[0].program, workload.jobs[1].program);
        assert_int_not_equal(workload.jobs[1].program, workload.jobs[2].program);
        wrong.error_pct = 50; /* is chance, not another program */
        other = make(&wrong, 2);
        for (size_t i = 0; i < workload.n_jobs; i++)
                assert_int_equal(workload.jobs[i].program, other.jobs[i].program);
        workload_done(&workload);
        workload_done(&other);
}

static void test_nobody_asks_for_more_than_there_is(_unused_ void **state) {
        Workload workload = make(&plain, 1);

        assert_int_equal(workload.jobs[2].needs.n_gpus, 2);
        assert_true(workload.jobs[2].needs.gpus[1].bytes == GPU_WHOLE);
        assert_true(workload.jobs[2].gpu_bytes < 10 * GIB);
        assert_int_equal(workload.jobs[2].needs.memory_bytes, 97 * GIB);
        workload_done(&workload);
}

static void test_a_seed_says_it_all(_unused_ void **state) {
        WorkloadOptions options = plain;
        Workload one, same, other;

        options.error_pct = 50;
        options.jitter_us = 600 * US_PER_SEC;
        options.outside_pct = 20;
        options.estimate_permille = 5000;
        one = make(&options, 1);
        same = make(&options, 1);
        other = make(&options, 2);
        for (size_t i = 0; i < 3; i++) {
                assert_int_equal(one.jobs[i].arrival_us, same.jobs[i].arrival_us);
                assert_int_equal(one.jobs[i].needs.memory_bytes, same.jobs[i].needs.memory_bytes);
                assert_int_equal(one.jobs[i].estimate_us, same.jobs[i].estimate_us);
                assert_int_not_equal(one.jobs[i].estimate_us, other.jobs[i].estimate_us);
        }
        assert_int_equal(one.n_outsiders, same.n_outsiders);
        workload_done(&one);
        workload_done(&same);
        workload_done(&other);
}

static void test_wrong_requests_stay_within_their_bounds(_unused_ void **state) {
        WorkloadOptions options = plain;
        bool more = false, less = false;

        options.error_pct = 50;
        for (uint64_t seed = 0; seed < 50; seed++) {
                Workload workload = make(&options, seed);
                const Job *job = &workload.jobs[0];
                uint64_t asked = job->needs.memory_bytes;

                assert_int_equal(job->memory_bytes, 8 * GIB);
                assert_in_range(asked, 4 * GIB, 12 * GIB);
                more |= asked > 10 * GIB;
                less |= asked < 6 * GIB;
                assert_in_range(job->needs.gpus[0].bytes, 5 * GIB / 2, 15 * GIB / 2);
                workload_done(&workload);
        }
        assert_true(more && less);
}

static void test_estimates_are_never_too_short(_unused_ void **state) {
        WorkloadOptions options = plain;

        options.estimate_permille = 5000;
        options.with_time_pct = 100;
        for (uint64_t seed = 0; seed < 50; seed++) {
                Workload workload = make(&options, seed);
                const Job *job = &workload.jobs[0];

                assert_in_range(job->estimate_us, job->duration_us, 5 * job->duration_us);
                assert_int_equal(job->time_limit_us, job->estimate_us);
                workload_done(&workload);
        }
}

static void test_load_moves_the_arrivals(_unused_ void **state) {
        WorkloadOptions options = plain;
        Workload workload = make(&options, 1);

        /* half a GPU for 1000 s, one for 500, two for 1000, of two in 2000 s */
        assert_true(fabs(workload.load - 0.75) < 1e-6);
        workload_done(&workload);

        options.load_permille = 1500;
        workload = make(&options, 1);
        assert_true(fabs(workload.load - 1.5) < 1e-6);
        assert_int_equal(workload.jobs[2].arrival_us, 1000 * US_PER_SEC);
        workload_done(&workload);
}

static void test_people_take_the_share_that_they_are_to_take(_unused_ void **state) {
        WorkloadOptions options = plain;
        double sum = 0;

        options.outside_pct = 20;
        options.load_permille = 1; /* a long time */
        for (uint64_t seed = 0; seed < 20; seed++) {
                Workload workload = make(&options, seed);
                double share = 0;

                for (size_t i = 0; i < workload.n_outsiders; i++) {
                        const Outsider *outsider = &workload.outsiders[i];

                        share += (double)(outsider->to_us - outsider->from_us) *
                                 (double)outsider->gpu_bytes /
                                 (double)options.machine.gpu_bytes[outsider->gpu] / 2;
                }
                sum += share / (double)workload.jobs[2].arrival_us;
                workload_done(&workload);
        }
        assert_true(sum / 20 > 0.15 && sum / 20 < 0.25);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_is_asked_for_is_what_is_taken),
                cmocka_unit_test(test_runs_of_the_same_ask_for_the_same),
                cmocka_unit_test(test_nobody_asks_for_more_than_there_is),
                cmocka_unit_test(test_a_seed_says_it_all),
                cmocka_unit_test(test_wrong_requests_stay_within_their_bounds),
                cmocka_unit_test(test_estimates_are_never_too_short),
                cmocka_unit_test(test_load_moves_the_arrivals),
                cmocka_unit_test(test_people_take_the_share_that_they_are_to_take),
        };

        return cmocka_run_group_tests_name("sim-workload", tests, NULL, NULL);
}
