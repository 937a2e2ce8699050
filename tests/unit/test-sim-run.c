/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <errno.h>
#include <math.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

#include "core/task.h"
#include "sim/gantt.h"
#include "sim/metrics.h"
#include "sim/run.h"
#include "sim/scheduler.h"

#include "check.h"

#define MINUTE (60 * US_PER_SEC)

enum {
        JOBS_MAX = 8,
        ANY = -1,
};

static const SimMachine machine = {
        .memory_bytes = 64 * GIB,
        .n_gpus = 2,
        .gpu_bytes = { 20 * GIB, 20 * GIB },
        .n_tokens = 1,
        .tokens = { { "matlab", 2 } },
};

/* Jobs by hand, a minute from one to the next. */
typedef struct Day {
        Workload workload;
        Job jobs[JOBS_MAX];
        Run run;
        Metrics metrics;
} Day;

static Job *add(Day *day, unsigned user, unsigned minutes) {
        Job *job = &day->jobs[day->workload.n_jobs];

        assert_true(day->workload.n_jobs < JOBS_MAX);
        *job = (Job){
                .number = day->workload.n_jobs,
                .user = user,
                .priority = TASK_PRIORITY_DEFAULT,
                .time_limit_us = TASK_TIME_INF,
                .arrival_us = day->workload.n_jobs * MINUTE,
                .duration_us = minutes * MINUTE,
                .estimate_us = minutes * MINUTE,
        };
        day->workload.n_jobs++;
        day->workload.n_users = MAX(day->workload.n_users, user + 1);
        return job;
}

static Job *with_gpu(Job *job, int gpu, uint64_t bytes) {
        char want[8];

        (void)snprintf(want, sizeof(want), gpu == ANY ? "any" : "%d", gpu);
        assert_int_equal(needs_add_gpu(&job->needs, want, bytes), 0);
        if (gpu != ANY)
                (void)snprintf(job->needs.gpus[job->needs.n_gpus - 1].uuid, GPU_UUID_MAX, "GPU-%d",
                               gpu);
        job->gpu_bytes = bytes == GPU_WHOLE ? 15 * GIB : bytes;
        return job;
}

static void run_settings(Day *day, const Scheduler *scheduler, const char *text) {
        Error error = { "" };
        Settings settings;

        if (settings_parse(&settings, "settings", text, strlen(text), false, &error) < 0)
                fail_msg("%s", error.text);
        day->workload.jobs = day->jobs;
        if (run_all(&day->run, &day->workload, &machine, scheduler, &settings, &error) < 0)
                fail_msg("%s", error.text);
        settings_done(&settings);
        assert_int_equal(metrics_of(&day->run, &day->metrics), 0);
}

static void run(Day *day, const Scheduler *scheduler) {
        run_settings(day, scheduler, "");
}

static void day_done(Day *day) {
        run_done(&day->run);
        for (size_t i = 0; i < day->workload.n_jobs; i++)
                needs_done(&day->jobs[i].needs);
        *day = (Day){};
}

/* After how many minutes a job started, to the nearest. */
static void expect_start(const Day *day, size_t job, unsigned minutes) {
        assert_true(day->run.courses[job].over);
        assert_int_equal((day->run.courses[job].start_us + MINUTE / 2) / MINUTE, minutes);
}

/* Two of three that need both tokens, or one, can not run at once. */
static void test_all_schedulers_count_tokens(_unused_ void **state) {
        for (const Scheduler *const *scheduler = schedulers; *scheduler; scheduler++) {
                Day day = {};

                assert_int_equal(needs_add_tokens(&add(&day, 0, 10)->needs, "matlab:2"), 0);
                assert_int_equal(needs_add_tokens(&add(&day, 1, 20)->needs, "matlab:1"), 0);
                assert_int_equal(needs_add_tokens(&add(&day, 2, 20)->needs, "matlab:1"), 0);
                add(&day, 2, 1);
                run(&day, *scheduler);
                expect_start(&day, 0, 0);
                expect_start(&day, 1, 10);
                expect_start(&day, 2, 10);
                day_done(&day);
        }
}

static void test_taskflow_goes_by_the_tokens_of_its_settings(_unused_ void **state) {
        Day day = {};

        assert_int_equal(needs_add_tokens(&add(&day, 0, 10)->needs, "matlab:2"), 0);
        assert_int_equal(needs_add_tokens(&add(&day, 1, 10)->needs, "matlab:2"), 0);
        run_settings(&day, &scheduler_core, "[tokens]\nmatlab = 4\n");
        expect_start(&day, 0, 0);
        expect_start(&day, 1, 1);
        day_done(&day);
}

/* One that holds a GPU for 10 minutes, one that needs both, and two short ones of which one is over in time. */
static void fill_wide_day(Day *day) {
        *day = (Day){};
        (void)with_gpu(add(day, 0, 10), ANY, GPU_WHOLE);
        (void)with_gpu(with_gpu(add(day, 1, 10), ANY, GPU_WHOLE), ANY, GPU_WHOLE);
        (void)with_gpu(add(day, 2, 5), ANY, GPU_WHOLE);
        (void)with_gpu(add(day, 2, 30), ANY, GPU_WHOLE);
}

static void test_with_fcfs_nobody_overtakes(_unused_ void **state) {
        Day day;

        fill_wide_day(&day);
        run(&day, &scheduler_fcfs);
        expect_start(&day, 0, 0);
        expect_start(&day, 1, 10);
        expect_start(&day, 2, 20);
        expect_start(&day, 3, 20);
        day_done(&day);
}

static void test_easy_lets_go_ahead_what_is_over_in_time(_unused_ void **state) {
        Day day;

        fill_wide_day(&day);
        run(&day, &scheduler_easy);
        expect_start(&day, 2, 2);
        expect_start(&day, 1, 10);
        expect_start(&day, 3, 20);
        day_done(&day);
}

static void test_easy_goes_by_the_estimate(_unused_ void **state) {
        Day day;

        fill_wide_day(&day);
        day.jobs[2].estimate_us = 20 * MINUTE;
        run(&day, &scheduler_easy);
        expect_start(&day, 1, 10);
        expect_start(&day, 2, 20);
        day_done(&day);
}

static void test_first_fit_starts_whatever_fits(_unused_ void **state) {
        Day day;

        fill_wide_day(&day);
        run(&day, &scheduler_first_fit);
        expect_start(&day, 2, 2);
        expect_start(&day, 3, 7);
        expect_start(&day, 1, 37);
        day_done(&day);
}

static void test_sjf_takes_the_shortest_first(_unused_ void **state) {
        Day day = {};

        for (unsigned i = 0; i < 2; i++)
                (void)with_gpu(add(&day, 0, 30), (int)i, GPU_WHOLE);
        (void)with_gpu(add(&day, 0, 20), 0, GPU_WHOLE);
        (void)with_gpu(add(&day, 0, 10), 0, GPU_WHOLE);
        run(&day, &scheduler_sjf);
        expect_start(&day, 3, 30);
        expect_start(&day, 2, 40);
        day_done(&day);
}

static void test_the_core_goes_by_its_settings(_unused_ void **state) {
        Day day = {};

        /* 8G fit beside 8G that are not taken yet, but not if all may take twice as much */
        for (unsigned i = 0; i < 2; i++) {
                Job *job = with_gpu(add(&day, 0, 10), 0, 8 * GIB);

                job->arrival_us = 0;
                job->ramp_us = 8 * MINUTE;
        }
        run(&day, &scheduler_core);
        expect_start(&day, 0, 0);
        expect_start(&day, 1, 1);
        run_done(&day.run);

        run_settings(&day, &scheduler_core, "[taskflow]\ndefault_delay = 5m\n");
        expect_start(&day, 1, 5);
        day_done(&day);
}

/* Two users queue four each at once; each of the tasks needs all GPUs for 10 minutes. */
static void fill_rivals(Day *day) {
        *day = (Day){};
        for (unsigned i = 0; i < 8; i++)
                with_gpu(with_gpu(add(day, i / 4, 10), ANY, GPU_WHOLE), ANY, GPU_WHOLE)
                        ->arrival_us = 0;
}

static void test_users_take_turns(_unused_ void **state) {
        Day day;

        fill_rivals(&day);
        run(&day, &scheduler_core);
        expect_start(&day, 4, 10);
        expect_start(&day, 1, 20);
        expect_start(&day, 5, 30);
        day_done(&day);
}

static void test_who_weighs_more_has_more_turns(_unused_ void **state) {
        Day day;

        fill_rivals(&day);
        run_settings(&day, &scheduler_core, "[taskflow]\npatience = never\nweights = 1001:3\n");
        expect_start(&day, 4, 10);
        expect_start(&day, 5, 20);
        expect_start(&day, 6, 30);
        expect_start(&day, 1, 40);
        day_done(&day);
}

static void test_a_group_is_that_of_the_user_database(_unused_ void **state) {
        const struct passwd *self = getpwuid(getuid());
        int64_t uids[] = { 54321, getuid() };
        char text[64];
        Day day;

        if (!self)
                skip();
        (void)snprintf(text, sizeof(text), "[taskflow]\npatience = never\nweights = @%u:3\n",
                       self->pw_gid);
        fill_rivals(&day);
        day.workload.uids = uids;
        run_settings(&day, &scheduler_core, text);
        expect_start(&day, 4, 10);
        expect_start(&day, 5, 20);
        expect_start(&day, 6, 30);
        day_done(&day);
}

static void test_limits_of_users_hold(_unused_ void **state) {
        static const char *const limits[] = {
                "max_running_per_user = 1",
                "max_memory_per_user = 15G",
                "max_gpus_per_user = 1",
                "max_gpu_memory_per_user = 15G",
        };

        for (size_t i = 0; i < ELEMENTSOF(limits); i++)
                for (unsigned of_others = 0; of_others < 2; of_others++) {
                        char text[128];
                        Day day = {};

                        for (unsigned k = 0; k < 2; k++)
                                with_gpu(add(&day, 0, 10), (int)k, 8 * GIB)->needs.memory_bytes =
                                        8 * GIB;
                        (void)snprintf(text, sizeof(text), "[taskflow]\n%s%s\n", limits[i],
                                       of_others ? ", 1000:none" : "");
                        run_settings(&day, &scheduler_core, text);
                        expect_start(&day, 0, 0);
                        expect_start(&day, 1, of_others ? 1 : 10);
                        day_done(&day);
                }
}

static void test_what_the_daemon_would_refuse_is_refused(_unused_ void **state) {
        Day day = {};

        add(&day, 0, 10)->time_limit_us = 20 * MINUTE;
        add(&day, 0, 10)->time_limit_us = 40 * MINUTE;
        (void)add(&day, 0, 10);
        add(&day, 1, 10)->needs.memory_bytes = 8 * GIB;
        run_settings(&day, &scheduler_core,
                     "[taskflow]\nmax_time = 30m, 1001:none\nmax_memory_per_user = 5G\n");
        for (unsigned i = 0; i < 4; i++)
                assert_int_equal(day.run.courses[i].refused, i > 0);
        day_done(&day);

        for (unsigned i = 0; i < 4; i++)
                (void)with_gpu(add(&day, 0, 10), 0, GPU_WHOLE);
        run_settings(&day, &scheduler_core, "[taskflow]\nmax_pending_per_user = 2\n");
        for (unsigned i = 0; i < 4; i++)
                assert_int_equal(day.run.courses[i].refused, i > 2);
        day_done(&day);
}

static void test_a_delay_counts_as_the_longest_that_is_allowed(_unused_ void **state) {
        static const char *const admins[] = { "root", "1000" };

        for (unsigned i = 0; i < ELEMENTSOF(admins); i++) {
                char text[64];
                Day day = {};

                for (unsigned k = 0; k < 2; k++) {
                        Job *job = with_gpu(add(&day, 0, 60), 0, 8 * GIB);

                        job->ramp_us = 30 * MINUTE;
                        job->delay_given = k == 0;
                        job->delay_us = 20 * MINUTE;
                }
                (void)snprintf(text, sizeof(text), "[taskflow]\nmax_delay = 5m\nadmins = %s\n",
                               admins[i]);
                run_settings(&day, &scheduler_core, text);
                expect_start(&day, 1, i == 0 ? 5 : 20);
                day_done(&day);
        }
}

static void test_a_ledger_keeps_what_is_not_taken_yet(_unused_ void **state) {
        Day day = {};

        for (unsigned i = 0; i < 2; i++) {
                Job *job = with_gpu(add(&day, 0, 30), 0, 12 * GIB);

                job->ramp_us = 10 * MINUTE;
        }
        run(&day, &scheduler_core);
        expect_start(&day, 1, 30);
        assert_int_equal(day.run.n_ooms, 0);
        run_done(&day.run);

        /* it fits what is measured a minute later; the second one grows into what the first has taken */
        run(&day, &scheduler_first_fit);
        assert_true(day.run.n_ooms > 0);
        day_done(&day);
}

static void test_what_runs_out_of_memory_is_tried_again_and_given_up(_unused_ void **state) {
        Day day = {};
        Job *job = with_gpu(add(&day, 0, 10), 0, 2 * GIB);

        job->gpu_bytes = 21 * GIB;
        run(&day, &scheduler_core);
        assert_int_equal(day.run.n_ooms, RUN_TRIES_MAX);
        assert_true(day.run.courses[0].given_up);
        assert_true(fabs(day.metrics.values[METRIC_GIVEN_UP] - 1) < 1e-9);
        day_done(&day);
}

/* It fits beside what somebody takes by what it asks for, not by what it takes: the second time it waits until he has gone. */
static void test_who_ran_out_of_memory_asks_for_more(_unused_ void **state) {
        static Outsider outsiders[] = {
                { .from_us = 0, .to_us = 30 * MINUTE, .gpu = 0, .gpu_bytes = 10 * GIB },
        };
        Day day = {};
        Job *job = with_gpu(add(&day, 0, 10), 0, 8 * GIB);

        job->arrival_us = MINUTE;
        job->gpu_bytes = 12 * GIB;
        day.workload.n_outsiders = 1;
        day.workload.outsiders = outsiders;
        run(&day, &scheduler_core);
        expect_start(&day, 0, 30);
        assert_int_equal(day.run.n_ooms, 1);
        assert_int_equal(day.run.courses[0].n_tries, 2);
        assert_int_equal(day.run.courses[0].needs.gpus[0].bytes, 12 * GIB);
        assert_int_equal(job->needs.gpus[0].bytes, 8 * GIB);
        day_done(&day);
}

static void test_what_can_never_start_is_refused(_unused_ void **state) {
        for (size_t i = 0; schedulers[i]; i++) {
                Day day = {};

                add(&day, 0, 10)->needs.memory_bytes = 65 * GIB;
                add(&day, 0, 10)->needs.memory_bytes = GIB;
                run(&day, schedulers[i]);
                assert_true(day.run.courses[0].refused);
                expect_start(&day, 1, 1);
                day_done(&day);
        }
}

static void test_people_beside_the_queue_are_measured(_unused_ void **state) {
        static Outsider outsiders[] = {
                { .from_us = 0, .to_us = 20 * MINUTE, .gpu = 0, .gpu_bytes = 15 * GIB },
        };
        Day day = {};
        Job *job = with_gpu(add(&day, 0, 10), 0, 10 * GIB);

        job->arrival_us = MINUTE;
        day.workload.n_outsiders = 1;
        day.workload.outsiders = outsiders;
        run(&day, &scheduler_core);
        expect_start(&day, 0, 20);
        assert_int_equal(day.run.n_ooms, 0);
        run_done(&day.run);

        run(&day, &scheduler_easy);
        assert_true(day.run.n_ooms > 0);
        day_done(&day);
}

static void expect_metric(const Day *day, Metric metric, double want) {
        if (fabs(day->metrics.values[metric] - want) > 1e-3 * MAX(1.0, want))
                fail_msg("%s is %f, not %f", metric_infos[metric].name, day->metrics.values[metric],
                         want);
}

static void test_metrics_are_as_they_are_defined(_unused_ void **state) {
        Day day;

        /* waits of 0, 9, 18 and 17 minutes; slowdowns 1, 1.9, 23 / 5, 47 / 30 */
        fill_wide_day(&day);
        run(&day, &scheduler_fcfs);
        expect_metric(&day, METRIC_WAIT_MEAN, 44 * 60.0 / 4);
        expect_metric(&day, METRIC_WAIT_MEDIAN, 9 * 60);
        expect_metric(&day, METRIC_WAIT_P95, 18 * 60);
        expect_metric(&day, METRIC_WAIT_MAX, 18 * 60);
        expect_metric(&day, METRIC_SLOWDOWN_MEAN, (1 + 1.9 + 4.6 + 47.0 / 30) / 4);
        expect_metric(&day, METRIC_SLOWDOWN_MAX, 4.6);
        expect_metric(&day, METRIC_WIDE_WAIT_MEAN, 9 * 60);
        expect_metric(&day, METRIC_MAKESPAN, 50 * 60);
        expect_metric(&day, METRIC_GPUS, (10 + 20 + 5 + 30) / 100.0);
        expect_metric(&day, METRIC_GPU_MEMORY, (10 + 20 + 5 + 30) / 100.0 * 15 / 20);
        {
                double x = 1, y = 1.9, z = (4.6 + 47.0 / 30) / 2, sum = x + y + z;

                expect_metric(&day, METRIC_JAIN, sum * sum / (3 * (x * x + y * y + z * z)));
                expect_metric(&day, METRIC_WORST_USER, z / ((1 + 1.9 + 2 * z) / 4));
        }
        day_done(&day);
}

static void test_a_short_run_counts_as_ten_seconds(_unused_ void **state) {
        Day day = {};

        (void)with_gpu(add(&day, 0, 1), 0, GPU_WHOLE);
        with_gpu(add(&day, 0, 1), 0, GPU_WHOLE)->duration_us = US_PER_SEC;
        day.jobs[1].arrival_us = 0;
        run(&day, &scheduler_fcfs);
        expect_metric(&day, METRIC_SLOWDOWN_MAX, 61 / 10.0);
        day_done(&day);
}

static void test_the_spread_of_several_runs(_unused_ void **state) {
        Metrics metrics[4] = {};
        MetricSpread spread;

        for (unsigned i = 0; i < 4; i++)
                metrics[i].values[METRIC_JAIN] = (double[]){ 3, 1, 4, 1 }[i];
        spread = metric_spread(METRIC_JAIN, metrics, 4);
        assert_true(fabs(spread.median - 1) < 1e-9);
        assert_true(fabs(spread.least - 1) < 1e-9);
        assert_true(fabs(spread.most - 4) < 1e-9);
        spread = metric_spread(METRIC_JAIN, metrics, 3);
        assert_true(fabs(spread.median - 3) < 1e-9);
}

static void test_a_chart_has_a_bar_for_each_gpu_of_a_task(_unused_ void **state) {
        char *text = NULL;
        size_t n = 0;
        FILE *f = open_memstream(&text, &n);
        Day day;

        assert_non_null(f);
        fill_wide_day(&day);
        run(&day, &scheduler_fcfs);
        assert_int_equal(gantt_write(f, &day.run, "it's"), 0);
        assert_int_equal(fclose(f), 0);
        assert_non_null(strstr(text, "\n1 2 0.166667 0.333333 1.0500 1.9500\n"));
        assert_non_null(strstr(text, "\n1 2 0.166667 0.333333 2.0500 2.9500\n"));
        assert_non_null(strstr(text, "set title 'it''s'"));
        free(text);
        day_done(&day);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_all_schedulers_count_tokens),
                cmocka_unit_test(test_taskflow_goes_by_the_tokens_of_its_settings),
                cmocka_unit_test(test_with_fcfs_nobody_overtakes),
                cmocka_unit_test(test_easy_lets_go_ahead_what_is_over_in_time),
                cmocka_unit_test(test_easy_goes_by_the_estimate),
                cmocka_unit_test(test_first_fit_starts_whatever_fits),
                cmocka_unit_test(test_sjf_takes_the_shortest_first),
                cmocka_unit_test(test_the_core_goes_by_its_settings),
                cmocka_unit_test(test_users_take_turns),
                cmocka_unit_test(test_who_weighs_more_has_more_turns),
                cmocka_unit_test(test_a_group_is_that_of_the_user_database),
                cmocka_unit_test(test_limits_of_users_hold),
                cmocka_unit_test(test_what_the_daemon_would_refuse_is_refused),
                cmocka_unit_test(test_a_delay_counts_as_the_longest_that_is_allowed),
                cmocka_unit_test(test_a_ledger_keeps_what_is_not_taken_yet),
                cmocka_unit_test(test_what_runs_out_of_memory_is_tried_again_and_given_up),
                cmocka_unit_test(test_who_ran_out_of_memory_asks_for_more),
                cmocka_unit_test(test_what_can_never_start_is_refused),
                cmocka_unit_test(test_people_beside_the_queue_are_measured),
                cmocka_unit_test(test_metrics_are_as_they_are_defined),
                cmocka_unit_test(test_a_short_run_counts_as_ten_seconds),
                cmocka_unit_test(test_the_spread_of_several_runs),
                cmocka_unit_test(test_a_chart_has_a_bar_for_each_gpu_of_a_task),
        };

        return cmocka_run_group_tests_name("sim-run", tests, NULL, NULL);
}
