/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The probe is this program itself, started anew, with the library that stands in for NVIDIA's.
 */

#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "daemon/gpu-watch.h"
#include "probe/gpu-process.h"
#include "probe/tree.h"
#include "util/cleanup.h"
#include "util/clock.h"

#include "stand-in.h"

enum {
        CALLS_MAX = 32,
        /* Nobody waits so long unless something is wrong. */
        PATIENCE_US = 20000000,
        N_HANGS = 1000,
};

static const char one_gpu[] = "gpu 0\nuuid GPU-a\n";

/* What came out of the watch. */
typedef struct Call {
        bool has_report;
        bool ok;
        uint64_t free_bytes;
        uint64_t ticket;
        char why[GPU_REPORT_TEXT_MAX];
} Call;

typedef struct Bench {
        StandIn *stand_in;
        sd_event *event;
        GpuWatch *watch;
        unsigned n_calls;
        Call calls[CALLS_MAX];
        uint64_t ask_again; /* in the callback, once, with this ticket; 0: no */
} Bench;

static void on_report(const GpuReport *report, const char *why, uint64_t ticket, void *userdata) {
        Bench *bench = userdata;
        Call *call = &bench->calls[bench->n_calls++];

        assert_true(bench->n_calls < CALLS_MAX);
        *call = (Call){ .has_report = report, .ticket = ticket };
        assert_non_null(why);
        (void)snprintf(call->why, sizeof(call->why), "%s", why);
        if (report) {
                call->ok = report->ok;
                call->free_bytes = report->gpus[0].free_bytes;
        }
        if (bench->ask_again != 0) {
                ticket = bench->ask_again;
                bench->ask_again = 0;
                assert_int_equal(gpu_watch_ask(bench->watch, ticket), 0);
        }
}

/*
 * Whether there is a probe, be it a zombie. It is not reaped by this: that is the watch's affair.
 */
static bool has_child(void) {
        siginfo_t info;

        return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

static int set_up(void **state) {
        Bench *bench = calloc(1, sizeof(*bench));
        void *stand_in = NULL;

        assert_non_null(bench);
        (void)stand_in_set_up(&stand_in);
        bench->stand_in = stand_in;
        stand_in_write(bench->stand_in, one_gpu);
        assert_true(sd_event_new(&bench->event) >= 0);
        assert_int_equal(gpu_watch_new(&bench->watch, bench->event,
                                       &(GpuSources){ .nvml_library = bench->stand_in->library },
                                       on_report, bench),
                         0);
        *state = bench;
        return 0;
}

/* Nothing may be left of any probe. */
static int tear_down(void **state) {
        Bench *bench = *state;
        void *stand_in = bench->stand_in;

        assert_null(gpu_watch_free(bench->watch));
        assert_null(sd_event_unref(bench->event));
        assert_false(has_child());
        free(bench);
        return stand_in_tear_down(&stand_in);
}

/* How often the loop has looked for something to do. */
static uint64_t loop_turns(const Bench *bench) {
        uint64_t n = 0;

        assert_true(sd_event_get_iteration(bench->event, &n) >= 0);
        return n;
}

/* The probe's pid. */
static pid_t only_child(void) {
        _cleanup_close_ int proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
        _cleanup_free_ pid_t *pids = NULL;

        assert_int_equal(tree_pids(proc_fd, getpid(), getuid(), &pids), 1);
        return pids[0];
}

/* Let the loop run until there were so many calls. */
static void run_until(Bench *bench, unsigned n_calls) {
        uint64_t end_us = clock_boottime_us() + PATIENCE_US;

        while (bench->n_calls < n_calls && clock_boottime_us() < end_us)
                assert_true(sd_event_run(bench->event, US_PER_SEC) >= 0);
        assert_int_equal(bench->n_calls, n_calls);
}

/* Let it run for a while, in which it may wake up or not. */
static void run_for(Bench *bench, uint64_t us) {
        uint64_t end_us = clock_boottime_us() + us;
        uint64_t now_us;

        while ((now_us = clock_boottime_us()) < end_us)
                assert_true(sd_event_run(bench->event, end_us - now_us) >= 0);
}

static void run_until_no_child(Bench *bench) {
        uint64_t end_us = clock_boottime_us() + PATIENCE_US;

        while (has_child() && clock_boottime_us() < end_us)
                assert_true(sd_event_run(bench->event, US_PER_SEC) >= 0);
        assert_false(has_child());
}

static void set_limits(Bench *bench, uint64_t first_answer_us, uint64_t answer_us) {
        gpu_watch_set_times(bench->watch, &(GpuWatchTimes){ .first_answer_us = first_answer_us,
                                                            .answer_us = answer_us,
                                                            .idle_us = PATIENCE_US,
                                                            .back_off_us = 100000 });
}

static void ask(Bench *bench, uint64_t ticket) {
        assert_int_equal(gpu_watch_ask(bench->watch, ticket), 0);
}

static void assert_answered(const Bench *bench, unsigned i, uint64_t ticket) {
        assert_true(bench->calls[i].has_report);
        assert_true(bench->calls[i].ok);
        assert_int_equal(bench->calls[i].ticket, ticket);
}

static void assert_unknown(const Bench *bench, unsigned i, uint64_t ticket, const char *why) {
        assert_false(bench->calls[i].has_report);
        assert_int_equal(bench->calls[i].ticket, ticket);
        if (!strstr(bench->calls[i].why, why))
                fail_msg("'%s' instead of '%s'", bench->calls[i].why, why);
}

static void test_nothing_is_started_before_somebody_asks(void **state) {
        Bench *bench = *state;

        run_for(bench, 10000);
        assert_false(has_child());
        assert_false(gpu_watch_is_asking(bench->watch));
}

static void test_whoever_asks_is_answered(void **state) {
        Bench *bench = *state;

        ask(bench, 7);
        assert_true(gpu_watch_is_asking(bench->watch));
        assert_int_equal(bench->n_calls, 0);
        run_until(bench, 1);
        assert_answered(bench, 0, 7);
        assert_int_equal(bench->calls[0].free_bytes, 80 * GIB);
        assert_false(gpu_watch_is_asking(bench->watch));

        stand_in_write(bench->stand_in, "gpu 0\nused 1G\n");
        ask(bench, 8);
        run_until(bench, 2);
        assert_answered(bench, 1, 8);
        assert_int_equal(bench->calls[1].free_bytes, 79 * GIB);
}

/* Many may ask while a look is under way: it is followed by one more, with the newest ticket. */
static void test_a_look_that_is_under_way_is_followed_by_one(void **state) {
        Bench *bench = *state;

        for (uint64_t ticket = 1; ticket <= 5; ticket++)
                ask(bench, ticket);
        run_until(bench, 2);
        assert_answered(bench, 0, 1);
        assert_answered(bench, 1, 5);
        run_for(bench, 20000);
        assert_int_equal(bench->n_calls, 2);
}

static void test_the_callback_may_ask(void **state) {
        Bench *bench = *state;

        bench->ask_again = 2;
        ask(bench, 1);
        run_until(bench, 2);
        assert_answered(bench, 0, 1);
        assert_answered(bench, 1, 2);
        assert_false(gpu_watch_is_asking(bench->watch));
}

static void test_without_a_driver_the_report_says_so(void **state) {
        Bench *bench = *state;

        stand_in_write(bench->stand_in, "init 9\n");
        ask(bench, 1);
        run_until(bench, 1);
        assert_true(bench->calls[0].has_report);
        assert_false(bench->calls[0].ok);
        assert_non_null(strstr(bench->calls[0].why, "not loaded"));
}

static void test_a_hang_is_unknown_until_it_answers_again(void **state) {
        Bench *bench = *state;

        gpu_watch_set_times(bench->watch, &(GpuWatchTimes){ .first_answer_us = PATIENCE_US,
                                                            .answer_us = 50000,
                                                            .idle_us = PATIENCE_US });
        ask(bench, 1);
        run_until(bench, 1);

        stand_in_write(bench->stand_in, "hang nvmlDeviceGetMemoryInfo_v2\ngpu 0\n");
        ask(bench, 2);
        run_until(bench, 2);
        assert_unknown(bench, 1, 2, "has not answered");
        assert_false(gpu_watch_is_asking(bench->watch));

        /* Those who ask now know already. The answer comes by itself, for the newest of them. */
        ask(bench, 3);
        ask(bench, 4);
        set_limits(bench, PATIENCE_US, PATIENCE_US);
        stand_in_write(bench->stand_in, one_gpu);
        run_until(bench, 3);
        assert_answered(bench, 2, 4);
}

/* It would come with the first limit long after everybody has lost patience. */
static void test_a_driver_that_answered_before_has_less_time_when_it_starts_anew(void **state) {
        Bench *bench = *state;

        set_limits(bench, 10 * (uint64_t)PATIENCE_US, 20000);
        ask(bench, 1);
        run_until(bench, 1);
        assert_answered(bench, 0, 1);

        stand_in_write(bench->stand_in, "hang * for-ever\n");
        ask(bench, 2);
        run_until(bench, 4);
        for (unsigned i = 1; i < 4; i++)
                assert_unknown(bench, i, 2, "has not answered");
}

static void on_report_count(const GpuReport *report,
                            const char *why,
                            uint64_t ticket,
                            void *userdata) {
        assert_null(report);
        (*(unsigned *)userdata)++;
}

static unsigned count_fds(void) {
        unsigned n = 0;

        for (int fd = 0; fd < 256; fd++)
                n += fcntl(fd, F_GETFD) >= 0;
        return n;
}

/* Until so many are counted; then it rests, and what it has is to be seen. */
static void hang(Bench *bench, GpuWatch *watch, const unsigned *n, unsigned n_hangs) {
        const uint64_t end_us = clock_boottime_us() + 6 * (uint64_t)PATIENCE_US;

        assert_int_equal(gpu_watch_ask(watch, 1), 0);
        while (*n < n_hangs && clock_boottime_us() < end_us)
                assert_true(sd_event_run(bench->event, US_PER_SEC) >= 0);
        assert_in_range(*n, n_hangs, UINT_MAX);
        gpu_watch_idle(watch);
        run_until_no_child(bench);
}

/* Each is ended, reaped and replaced: after a thousand there is no more than after ten. */
static void test_a_thousand_hangs_leave_nothing(void **state) {
        Bench *bench = *state;
        GpuWatch *watch = NULL;
        unsigned n_fds, n = 0;
        size_t n_bytes;

        stand_in_write(bench->stand_in, "hang nvmlInit_v2 for-ever\n");
        assert_int_equal(gpu_watch_new(&watch, bench->event,
                                       &(GpuSources){ .nvml_library = bench->stand_in->library },
                                       on_report_count, &n),
                         0);
        gpu_watch_set_times(watch, &(GpuWatchTimes){ .first_answer_us = 1500, .answer_us = 500 });
        hang(bench, watch, &n, 10);
        n_fds = count_fds();
        n_bytes = mallinfo2().uordblks;

        hang(bench, watch, &n, N_HANGS);
        assert_int_equal(count_fds(), n_fds);
        assert_in_range(mallinfo2().uordblks, 0, n_bytes + 4 * (size_t)N_HANGS);

        assert_null(gpu_watch_free(watch));
        assert_false(has_child());
}

static unsigned n_children(void) {
        _cleanup_close_ int proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
        _cleanup_free_ pid_t *pids = NULL;
        ssize_t n = tree_pids(proc_fd, getpid(), getuid(), &pids);

        return n > 0 ? (unsigned)n : 0;
}

static void run_until_children(Bench *bench, unsigned n) {
        uint64_t end_us = clock_boottime_us() + PATIENCE_US;

        while (n_children() != n && clock_boottime_us() < end_us)
                assert_true(sd_event_run(bench->event, 10000) >= 0);
        assert_int_equal(n_children(), n);
}

/* Nobody is told anything meanwhile: it may be slow. */
static void test_a_driver_that_hangs_at_first_is_found_to_be_back(void **state) {
        Bench *bench = *state;

        set_limits(bench, 10 * (uint64_t)PATIENCE_US, 50000);
        stand_in_write(bench->stand_in, "hang dlopen for-ever\n");
        ask(bench, 1);
        run_until_children(bench, 2);
        run_for(bench, 300000);
        assert_in_range(n_children(), 1, 2);
        assert_int_equal(bench->n_calls, 0);
        assert_true(gpu_watch_is_asking(bench->watch));

        set_limits(bench, 10 * (uint64_t)PATIENCE_US, PATIENCE_US);
        stand_in_write(bench->stand_in, one_gpu);
        run_until(bench, 1);
        assert_answered(bench, 0, 1);
        run_until_children(bench, 1);
}

/* Though others are tried, of which none has as much time. */
static void test_a_first_answer_that_is_slow_is_the_answer(void **state) {
        Bench *bench = *state;

        set_limits(bench, PATIENCE_US, 100000);
        stand_in_write(bench->stand_in, "slow nvmlInit_v2 1000\ngpu 0\n");
        ask(bench, 1);
        ask(bench, 2);
        run_until(bench, 2);
        assert_answered(bench, 0, 1);
        assert_answered(bench, 1, 2);
        run_until_children(bench, 1);
        run_for(bench, 200000);
        assert_int_equal(bench->n_calls, 2);
}

static void test_a_first_answer_that_does_not_come_is_told(void **state) {
        Bench *bench = *state;

        set_limits(bench, 2000000, 50000);
        stand_in_write(bench->stand_in, "hang nvmlInit_v2 for-ever\n");
        ask(bench, 1);
        run_until(bench, 1);
        assert_unknown(bench, 0, 1, "has not answered for 2 s");
        stand_in_write(bench->stand_in, one_gpu);
        run_until(bench, 2);
        while (!bench->calls[bench->n_calls - 1].has_report)
                run_until(bench, bench->n_calls + 1);
        assert_answered(bench, bench->n_calls - 1, 1);
}

static void test_a_slow_one_that_dies_is_told(void **state) {
        Bench *bench = *state;

        set_limits(bench, PATIENCE_US, 100000);
        stand_in_write(bench->stand_in,
                       "slow nvmlInit_v2 500\ncrash nvmlDeviceGetCount_v2\ngpu 0\n");
        ask(bench, 1);
        run_until(bench, 1);
        assert_unknown(bench, 0, 1, "SIGSEGV");
}

/* Who asked is answered though nobody else needs GPUs, and then nothing is tried any more. */
static void test_idle_leaves_a_driver_that_hangs_alone_once_that_was_told(void **state) {
        Bench *bench = *state;

        set_limits(bench, 300000, 20000);
        stand_in_write(bench->stand_in, "hang nvmlInit_v2 for-ever\n");
        ask(bench, 1);
        gpu_watch_idle(bench->watch);
        run_until(bench, 1);
        assert_unknown(bench, 0, 1, "has not answered");
        run_until_no_child(bench);
        while (sd_event_run(bench->event, 1000000) > 0)
                ;
        assert_false(has_child());
        assert_in_range(bench->n_calls, 1, 2);
}

static void test_the_first_answer_has_its_own_deadline(void **state) {
        Bench *bench = *state;

        gpu_watch_set_times(bench->watch, &(GpuWatchTimes){ .first_answer_us = 50000,
                                                            .answer_us = PATIENCE_US,
                                                            .idle_us = PATIENCE_US });
        stand_in_write(bench->stand_in, "hang nvmlInit_v2\n");
        ask(bench, 1);
        run_until(bench, 1);
        assert_unknown(bench, 0, 1, "has not answered");
}

static void test_a_crash_is_unknown_until_it_answers_again(void **state) {
        Bench *bench = *state;

        stand_in_write(bench->stand_in, "crash nvmlDeviceGetCount_v2\ngpu 0\n");
        ask(bench, 1);
        run_until(bench, 1);
        assert_unknown(bench, 0, 1, "SIGSEGV");

        stand_in_write(bench->stand_in, one_gpu);
        run_until(bench, 2);
        assert_answered(bench, 1, 1);
}

/* While it is replaced again and again, each attempt that failed is told once. */
static void test_back_off_grows(void **state) {
        Bench *bench = *state;
        uint64_t start_us = clock_boottime_us();

        stand_in_write(bench->stand_in, "crash nvmlInit_v2\n");
        ask(bench, 1);
        run_until(bench, 3);
        for (unsigned i = 0; i < 3; i++)
                assert_unknown(bench, i, 1, "SIGSEGV");
        assert_in_range(clock_boottime_us() - start_us, 2900000, PATIENCE_US);
}

/* One that dies while nobody waits for it is told to the next who asks, who waits for no start. */
static void test_a_death_between_looks_is_told_to_the_next(void **state) {
        Bench *bench = *state;

        gpu_watch_set_sources(bench->watch, &(GpuSources){ .nvml_library = "test:short" });
        ask(bench, 1);
        run_until(bench, 1);
        assert_true(bench->calls[0].has_report);
        run_for(bench, 200000);
        assert_int_equal(bench->n_calls, 1);

        ask(bench, 2);
        assert_int_equal(bench->n_calls, 1); /* it comes from the loop */
        run_until(bench, 2);
        assert_unknown(bench, 1, 2, "status 3");
        run_until(bench, 3);
        assert_true(bench->calls[2].has_report);
}

static void test_what_was_not_asked_for_ends_the_probe(void **state) {
        Bench *bench = *state;

        gpu_watch_set_sources(bench->watch, &(GpuSources){ .nvml_library = "test:twice" });
        ask(bench, 1);
        run_until(bench, 1);
        run_for(bench, 100000);
        ask(bench, 2);
        run_until(bench, 2);
        assert_unknown(bench, 1, 2, "makes no sense");
}

static void test_nonsense_ends_the_probe(void **state) {
        Bench *bench = *state;

        gpu_watch_set_sources(bench->watch, &(GpuSources){ .nvml_library = "test:noise" });
        ask(bench, 1);
        run_until(bench, 1);
        assert_unknown(bench, 0, 1, "makes no sense");
}

static void test_an_idle_probe_is_let_go(void **state) {
        Bench *bench = *state;

        gpu_watch_set_times(bench->watch, &(GpuWatchTimes){ .first_answer_us = PATIENCE_US,
                                                            .answer_us = PATIENCE_US,
                                                            .idle_us = 50000 });
        ask(bench, 1);
        gpu_watch_idle(bench->watch);
        run_until(bench, 1);
        assert_answered(bench, 0, 1);
        run_until_no_child(bench);

        /* Asleep: nothing is pending for ever. */
        assert_int_equal(sd_event_run(bench->event, 100000), 0);

        ask(bench, 2);
        run_until(bench, 2);
        assert_answered(bench, 1, 2);
}

/* Its end is not waited for. */
static void test_a_library_that_hangs_when_it_is_closed_is_let_go(void **state) {
        Bench *bench = *state;

        gpu_watch_set_times(bench->watch, &(GpuWatchTimes){ .first_answer_us = PATIENCE_US,
                                                            .answer_us = PATIENCE_US,
                                                            .idle_us = 1000 });
        stand_in_write(bench->stand_in, "hang nvmlShutdown for-ever\ngpu 0\n");
        ask(bench, 1);
        gpu_watch_idle(bench->watch);
        run_until(bench, 1);
        assert_answered(bench, 0, 1);
        run_until_no_child(bench);
}

static void test_asking_keeps_an_idle_probe(void **state) {
        Bench *bench = *state;

        gpu_watch_set_times(bench->watch, &(GpuWatchTimes){ .first_answer_us = PATIENCE_US,
                                                            .answer_us = PATIENCE_US,
                                                            .idle_us = 1000000 });
        for (unsigned i = 0; i < 4; i++) {
                ask(bench, i);
                run_until(bench, i + 1);
                gpu_watch_idle(bench->watch);
                run_for(bench, 50000);
                assert_true(has_child());
        }
        run_until_no_child(bench);
}

/* With nobody in need of it, a broken driver is left alone. */
static void test_idle_ends_the_attempts(void **state) {
        Bench *bench = *state;

        stand_in_write(bench->stand_in, "crash nvmlInit_v2\n");
        ask(bench, 1);
        run_until(bench, 1);
        gpu_watch_idle(bench->watch);
        run_for(bench, 2500000);
        assert_int_equal(bench->n_calls, 1);
        assert_false(has_child());
}

static void test_another_library_replaces_the_probe(void **state) {
        Bench *bench = *state;
        StandIn other = *bench->stand_in;

        ask(bench, 1);
        run_until(bench, 1);
        stand_in_choose(&other, "nvidia-ml-r470");
        assert_int_equal(gpu_watch_set_sources(bench->watch,
                                               &(GpuSources){ .nvml_library = other.library }),
                         0);
        ask(bench, 2);
        assert_true(gpu_watch_is_asking(bench->watch));
        run_until(bench, 2);
        assert_answered(bench, 1, 2);

        /* In the middle of a look: it begins anew, and nobody hears of it. */
        ask(bench, 3);
        assert_int_equal(gpu_watch_set_sources(bench->watch,
                                               &(GpuSources){ .nvml_library = "/no/such/library" }),
                         0);
        assert_int_equal(gpu_watch_set_sources(bench->watch,
                                               &(GpuSources){ .nvml_library =
                                                                      bench->stand_in->library }),
                         0);
        run_until(bench, 3);
        assert_answered(bench, 2, 3);
        run_for(bench, 20000);
        assert_int_equal(bench->n_calls, 3);
}

static void test_the_same_library_changes_nothing(void **state) {
        Bench *bench = *state;

        ask(bench, 1);
        assert_int_equal(gpu_watch_set_sources(bench->watch,
                                               &(GpuSources){ .nvml_library =
                                                                      bench->stand_in->library }),
                         0);
        run_until(bench, 1);
        assert_answered(bench, 0, 1);
}

/* A child that traces the probe, whose end is its own then, until it is told to go. */
static pid_t fork_tracer(pid_t probe, int *ret_go_fd) {
        int ready[2];
        int go[2];
        pid_t pid;
        char c = 0;

        assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
        assert_int_equal(pipe2(go, O_CLOEXEC), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                (void)close(go[1]);
                c = ptrace(PTRACE_SEIZE, probe, NULL, NULL) == 0 ? 'y' : 'n';
                (void)!write(ready[1], &c, 1);
                _exit(read(go[0], &c, 1) < 0);
        }
        (void)close(ready[1]);
        (void)close(go[0]);
        assert_int_equal(read(ready[0], &c, 1), 1);
        (void)close(ready[0]);
        *ret_go_fd = go[1];
        if (c == 'y')
                return pid;

        (void)close(go[1]);
        (void)waitpid(pid, NULL, 0);
        return 0;
}

/*
 * Its descriptor is readable then, and there is nothing to reap: a loop that is always ready spins.
 */
static void test_a_probe_that_is_traced_ends_for_its_tracer_first(void **state) {
        Bench *bench = *state;
        uint64_t before;
        siginfo_t info;
        pid_t tracer;
        int go_fd;

        gpu_watch_set_times(bench->watch, &(GpuWatchTimes){ .first_answer_us = PATIENCE_US,
                                                            .answer_us = 50000,
                                                            .idle_us = PATIENCE_US });
        ask(bench, 1);
        run_until(bench, 1);
        tracer = fork_tracer(only_child(), &go_fd);
        if (tracer == 0)
                return; /* not permitted here */

        assert_int_equal(gpu_watch_set_sources(bench->watch,
                                               &(GpuSources){ .nvml_library = "/another/library" }),
                         0);
        ask(bench, 2);
        run_until(bench, 2);
        assert_unknown(bench, 1, 2, "does not let go");
        before = loop_turns(bench);
        run_for(bench, 350000);
        assert_in_range(loop_turns(bench) - before, 0, 12);

        (void)close(go_fd);
        assert_int_equal(waitid(P_PID, (id_t)tracer, &info, WEXITED), 0);
        run_until(bench, 3);
        assert_true(bench->calls[2].has_report);
}

/* Out of descriptors. */
static void test_a_probe_that_cannot_start_is_started_later(void **state) {
        Bench *bench = *state;
        struct rlimit before;
        int fd = dup(STDIN_FILENO);

        (void)close(fd);
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &(struct rlimit){ .rlim_cur = (rlim_t)fd,
                                                                    .rlim_max = before.rlim_max }),
                         0);
        ask(bench, 1);
        ask(bench, 2);
        run_until(bench, 1);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        assert_unknown(bench, 0, 2, "cannot start the GPU probe: Too many open files");
        run_until(bench, 2);
        assert_answered(bench, 1, 2);
}

static void test_the_end_of_the_watch_ends_a_probe_that_hangs(void **state) {
        Bench *bench = *state;

        stand_in_write(bench->stand_in, "hang nvmlInit_v2\n");
        ask(bench, 1);
        run_for(bench, 50000);
        assert_true(has_child());
        /* tear_down() sees that nothing is left */
}

/* As the daemon: a report, and then what the library's name says. */
static int run_wrong(const char *how) {
        const GpuReport report = { .ok = true, .n_gpus = 0 };
        const uint32_t header[2] = { 0x74664770, sizeof(report) };
        char c;

        while (read(STDIN_FILENO, &c, 1) == 1) {
                unsigned n = strcmp(how, "twice") == 0 ? 2 : 1;

                if (strcmp(how, "noise") == 0)
                        (void)fd_write_all(STDOUT_FILENO, "abcdefgh", 8);
                for (unsigned i = 0; i < n; i++)
                        if (fd_write_all(STDOUT_FILENO, header, sizeof(header)) < 0 ||
                            fd_write_all(STDOUT_FILENO, &report, sizeof(report)) < 0)
                                return EXIT_FAILURE;
                if (strcmp(how, "short") == 0)
                        return 3;
        }
        return EXIT_SUCCESS;
}

#define watch_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(int argc, char **argv) {
        const struct CMUnitTest tests[] = {
                watch_test(test_nothing_is_started_before_somebody_asks),
                watch_test(test_whoever_asks_is_answered),
                watch_test(test_a_look_that_is_under_way_is_followed_by_one),
                watch_test(test_the_callback_may_ask),
                watch_test(test_without_a_driver_the_report_says_so),
                watch_test(test_a_hang_is_unknown_until_it_answers_again),
                watch_test(test_a_driver_that_answered_before_has_less_time_when_it_starts_anew),
                watch_test(test_a_thousand_hangs_leave_nothing),
                watch_test(test_a_driver_that_hangs_at_first_is_found_to_be_back),
                watch_test(test_a_first_answer_that_is_slow_is_the_answer),
                watch_test(test_a_first_answer_that_does_not_come_is_told),
                watch_test(test_a_slow_one_that_dies_is_told),
                watch_test(test_idle_leaves_a_driver_that_hangs_alone_once_that_was_told),
                watch_test(test_the_first_answer_has_its_own_deadline),
                watch_test(test_a_crash_is_unknown_until_it_answers_again),
                watch_test(test_back_off_grows),
                watch_test(test_a_death_between_looks_is_told_to_the_next),
                watch_test(test_what_was_not_asked_for_ends_the_probe),
                watch_test(test_nonsense_ends_the_probe),
                watch_test(test_an_idle_probe_is_let_go),
                watch_test(test_a_library_that_hangs_when_it_is_closed_is_let_go),
                watch_test(test_asking_keeps_an_idle_probe),
                watch_test(test_idle_ends_the_attempts),
                watch_test(test_another_library_replaces_the_probe),
                watch_test(test_the_same_library_changes_nothing),
                watch_test(test_a_probe_that_is_traced_ends_for_its_tracer_first),
                watch_test(test_a_probe_that_cannot_start_is_started_later),
                watch_test(test_the_end_of_the_watch_ends_a_probe_that_hangs),
        };
        sigset_t mask;

        if (argc == 3 && strcmp(argv[1], GPU_PROCESS_ARGUMENT) == 0)
                return strncmp(argv[2], "test:", 5) == 0 ? run_wrong(argv[2] + 5) :
                                                           gpu_process_main(argv);
        (void)sigemptyset(&mask);
        (void)sigaddset(&mask, SIGCHLD);
        (void)sigprocmask(SIG_BLOCK, &mask, NULL);
        return cmocka_run_group_tests_name("daemon-gpu-watch", tests, NULL, NULL);
}
