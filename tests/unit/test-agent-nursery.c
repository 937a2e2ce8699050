/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <sys/pidfd.h>
#include <sys/resource.h>

#include "agent/nursery.h"
#include "probe/tree.h"

#include "keeper-fixture.h"

static void leave_a_mark(const char *of) {
        _cleanup_free_ char *path = NULL;

        if (asprintf(&path, "%s/agent-was-started", of) > 0)
                (void)close(open(path, O_WRONLY | O_CREAT, 0600));
}

static Nursery *start_nursery(void) {
        Nursery *nursery = NULL;

        assert_int_equal(nursery_start(&nursery, leave_a_mark), 0);
        return nursery;
}

/* The next news of any start. */
static KeeperNews next_news(Nursery *nursery, int *ret_fd) {
        KeeperNews news = { 0 };
        int r;

        while ((r = nursery_next(nursery, &news, ret_fd)) == NURSERY_E_AGAIN)
                wait_readable(nursery_fd(nursery));
        assert_int_equal(r, 0);
        return news;
}

/* The next news, which is this; its descriptor, or -1. */
static int expect(Nursery *nursery, KeeperNewsType type, uint64_t ref, KeeperNews *ret) {
        int fd;

        *ret = next_news(nursery, &fd);
        assert_int_equal(ret->type, type);
        assert_true(ret->ref == ref);
        return fd;
}

/* Its end, and before that its start, unless it was over at once. */
static void expect_end(Nursery *nursery, uint64_t ref, KeeperNews *ret) {
        int fd;

        *ret = next_news(nursery, &fd);
        if (ret->type == KEEPER_NEWS_STARTED) {
                (void)fd_close(fd);
                *ret = next_news(nursery, &fd);
        }
        assert_int_equal(ret->type, KEEPER_NEWS_ENDED);
        assert_true(ret->ref == ref);
        assert_int_equal(fd, -1);
}

static KeeperNews run_to_end(Nursery *nursery, const TestOrder *test) {
        KeeperNews news;

        assert_int_equal(nursery_spawn(nursery, &test->order, 1), 0);
        (void)fd_close(expect(nursery, KEEPER_NEWS_TAKEN, test->order.ref, &news));
        expect_end(nursery, test->order.ref, &news);
        return news;
}

/* Living children of a process; how many. */
static size_t children_of(pid_t pid, pid_t *ret, size_t max) {
        _cleanup_free_ char *path = NULL;
        _cleanup_free_ char *text = NULL;
        char *saved = NULL;
        size_t n = 0;

        assert_true(asprintf(&path, "/proc/%d/task/%d/children", pid, pid) > 0);
        if (fd_read_file(AT_FDCWD, path, &text, NULL, 65536) < 0)
                return 0;
        for (char *word = strtok_r(text, " ", &saved); word && n < max;
             word = strtok_r(NULL, " ", &saved))
                ret[n++] = read_pid(word);
        return n;
}

static pid_t pid_of(int pidfd) {
        char path[64], line[128];
        pid_t pid = 0;
        FILE *f;

        (void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
        f = fopen(path, "re");
        assert_non_null(f);
        while (fgets(line, sizeof(line), f))
                if (strncmp(line, "Pid:", 4) == 0)
                        pid = read_pid(line + strcspn(line, "0123456789"));
        (void)fclose(f);
        return pid;
}

static void test_an_order_is_carried_out(_unused_ void **state) {
        _cleanup_(nursery_freep) Nursery *nursery = start_nursery();
        _cleanup_(order_done) TestOrder test = make_shell_order(1, "echo out; exit 7");
        KeeperNews news = run_to_end(nursery, &test);

        assert_end(&news.end, TASK_STATE_FAILED, 7, 0);
        assert_true(news.recorded);
        assert_log(&test, "out\n");
        assert_int_equal(read_record(&test).state, RECORD_STATE_ENDED);
}

static void test_the_descriptors_are_of_keeper_and_command(_unused_ void **state) {
        _cleanup_(nursery_freep) Nursery *nursery = start_nursery();
        _cleanup_(order_done) TestOrder test = make_shell_order(2, "exec sleep 1000");
        KeeperNews taken, started, ended;
        int keeper_fd, command_fd;

        assert_int_equal(nursery_spawn(nursery, &test.order, 1), 0);
        keeper_fd = expect(nursery, KEEPER_NEWS_TAKEN, 2, &taken);
        command_fd = expect(nursery, KEEPER_NEWS_STARTED, 2, &started);
        assert_int_equal(pid_of(keeper_fd), taken.pid);
        assert_int_equal(pid_of(command_fd), started.pid);
        assert_true(fcntl(keeper_fd, F_GETFD) & FD_CLOEXEC);
        assert_true(fcntl(command_fd, F_GETFD) & FD_CLOEXEC);

        assert_int_equal(keeper_cancel(keeper_fd, test.order.ref, 1, 0), 0);
        wait_readable(command_fd);
        assert_int_equal(expect(nursery, KEEPER_NEWS_ENDED, 2, &ended), -1);
        assert_end(&ended.end, TASK_STATE_CANCELLED, -1, SIGTERM);
        (void)fd_close(keeper_fd);
        (void)fd_close(command_fd);
}

/* A fork costs as much as the rest. */
static void test_keepers_are_used_again(_unused_ void **state) {
        enum {
                N = 50
        };
        _cleanup_(nursery_freep) Nursery *nursery = start_nursery();
        pid_t seen[N];
        size_t n_seen = 0;

        for (size_t i = 0; i < N; i++) {
                _cleanup_(order_done) TestOrder test = make_shell_order(2000 + i, "exit 0");
                bool is_new = true;
                KeeperNews news;

                assert_int_equal(nursery_spawn(nursery, &test.order, 1), 0);
                (void)fd_close(expect(nursery, KEEPER_NEWS_TAKEN, test.order.ref, &news));
                for (size_t j = 0; j < n_seen; j++)
                        is_new = is_new && seen[j] != news.pid;
                if (is_new)
                        seen[n_seen++] = news.pid;
                expect_end(nursery, test.order.ref, &news);
        }
        assert_true(n_seen < N / 2);
}

enum {
        N_ROW = 3,
};

static void make_row(TestOrder *tests, KeeperOrder *orders, uint64_t ref, const char *second) {
        for (size_t i = 0; i < N_ROW; i++) {
                tests[i] = make_shell_order(ref + i, i == 1 ? second : "exit 3");
                orders[i] = tests[i].order;
        }
}

static void claim_start(const TestOrder *test) {
        _cleanup_free_ char *path = in_folder("run");
        _cleanup_close_ int dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ProcId self;
        int fd;

        assert_int_equal(proc_id_read(getpid(), &self), 0);
        assert_int_equal(record_file_create(&fd, dir_fd, test->order.ref, 1, &self), 0);
        (void)fd_close(fd);
}

static bool record_exists(const TestOrder *test) {
        _cleanup_free_ char *path = in_folder("run");
        _cleanup_close_ int dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        char name[RECORD_NAME_MAX];

        record_file_name(test->order.ref, test->order.attempt, name);
        return faccessat(dir_fd, name, F_OK, 0) == 0;
}

static void row_done(TestOrder *tests) {
        for (size_t i = 0; i < N_ROW; i++)
                order_done(&tests[i]);
}

/* One keeper, one after the other, and who hears of an end knows whether the next one follows. */
static void test_a_row_is_carried_out_in_its_order(_unused_ void **state) {
        _cleanup_(nursery_freep) Nursery *nursery = start_nursery();
        KeeperOrder orders[N_ROW];
        TestOrder tests[N_ROW];
        uint64_t ended_at_us = 0;
        KeeperNews news;

        make_row(tests, orders, 2500, "sleep 0.02; exit 4");
        assert_int_equal(nursery_spawn(nursery, orders, N_ROW), 0);
        (void)fd_close(expect(nursery, KEEPER_NEWS_TAKEN, 2500, &news));
        for (size_t i = 0; i < N_ROW; i++) {
                expect_end(nursery, 2500 + i, &news);
                assert_end(&news.end, TASK_STATE_FAILED, i == 1 ? 4 : 3, 0);
                assert_true(news.end.ended_at_us >= ended_at_us);
                ended_at_us = news.end.ended_at_us;
                assert_int_equal(news.goes_on, i < N_ROW - 1);
                assert_int_equal(read_record(&tests[i]).state, RECORD_STATE_ENDED);
        }
        row_done(tests);
}

/* What was claimed by somebody else is not started, nor is what stands behind it. */
static void test_a_row_ends_where_somebody_was_faster(_unused_ void **state) {
        _cleanup_(nursery_freep) Nursery *nursery = start_nursery();
        KeeperOrder orders[N_ROW];
        TestOrder tests[N_ROW];
        int keeper_fd;
        KeeperNews news;

        make_row(tests, orders, 2600, "exit 4");
        claim_start(&tests[1]);
        assert_int_equal(nursery_spawn(nursery, orders, N_ROW), 0);
        keeper_fd = expect(nursery, KEEPER_NEWS_TAKEN, 2600, &news);
        expect_end(nursery, 2600, &news);
        assert_true(news.goes_on);
        assert_int_equal(expect(nursery, KEEPER_NEWS_CLAIMED, 2601, &news), -1);
        wait_readable(keeper_fd);
        (void)fd_close(keeper_fd);
        assert_false(record_exists(&tests[2]));
        row_done(tests);
}

static void test_a_row_ends_where_something_is_left_behind(_unused_ void **state) {
        _cleanup_(nursery_freep) Nursery *nursery = start_nursery();
        KeeperOrder orders[N_ROW];
        TestOrder tests[N_ROW];
        KeeperNews news;

        make_row(tests, orders, 2700, "sleep 1000 & echo $!");
        assert_int_equal(nursery_spawn(nursery, orders, N_ROW), 0);
        (void)fd_close(expect(nursery, KEEPER_NEWS_TAKEN, 2700, &news));
        expect_end(nursery, 2700, &news);
        expect_end(nursery, 2701, &news);
        assert_false(news.goes_on);
        assert_false(record_exists(&tests[2]));
        {
                _cleanup_free_ char *text = read_whole(tests[1].order.log);

                assert_int_equal(kill(read_pid(text), SIGKILL), 0);
        }
        row_done(tests);
}

/* What a command left in the background is a descendant of its keeper, and would be the next command's. */
static void test_a_keeper_with_a_past_is_not_used_again(_unused_ void **state) {
        _cleanup_(nursery_freep) Nursery *nursery = start_nursery();
        _cleanup_(order_done) TestOrder test = make_shell_order(2100, "sleep 1000 & echo $!");
        _cleanup_free_ char *text = NULL;
        KeeperNews news;
        int keeper_fd;

        assert_int_equal(nursery_spawn(nursery, &test.order, 1), 0);
        keeper_fd = expect(nursery, KEEPER_NEWS_TAKEN, 2100, &news);
        expect_end(nursery, 2100, &news);
        wait_readable(keeper_fd);
        (void)fd_close(keeper_fd);
        text = read_whole(test.order.log);
        assert_int_equal(kill(read_pid(text), SIGKILL), 0);
}

/* The agent may cancel what has just ended, while its keeper has the next command already. */
static void test_a_late_cancel_does_not_reach_the_next_command(_unused_ void **state) {
        enum {
                N = 6
        };
        _cleanup_(nursery_freep) Nursery *nursery = start_nursery();
        _cleanup_(order_done) TestOrder first = make_shell_order(2200, "exit 0");
        int fds[N];
        KeeperNews news;
        pid_t keeper;

        assert_int_equal(nursery_spawn(nursery, &first.order, 1), 0);
        (void)fd_close(expect(nursery, KEEPER_NEWS_TAKEN, 2200, &news));
        keeper = news.pid;
        expect_end(nursery, 2200, &news);

        /* more than there are spares: one of them is that keeper's, unless there were enough without it */
        for (uint64_t i = 0; i < N; i++) {
                _cleanup_(order_done) TestOrder test =
                        make_shell_order(2201 + i, "exec sleep 1000");

                assert_int_equal(nursery_spawn(nursery, &test.order, 1), 0);
                fds[i] = expect(nursery, KEEPER_NEWS_TAKEN, test.order.ref, &news);
                if (news.pid == keeper)
                        assert_int_equal(keeper_cancel(fds[i], 2200, 1, SIGKILL), 0);
                (void)fd_close(expect(nursery, KEEPER_NEWS_STARTED, test.order.ref, &news));
        }
        for (uint64_t i = 0; i < N; i++) {
                assert_int_equal(keeper_cancel(fds[i], 2201 + i, 1, SIGINT), 0);
                (void)expect(nursery, KEEPER_NEWS_ENDED, 2201 + i, &news);
                assert_end(&news.end, TASK_STATE_CANCELLED, -1, SIGINT);
                (void)fd_close(fds[i]);
        }
}

/* Larger than a message can be. */
static void test_a_large_order_is_carried_out(_unused_ void **state) {
        enum {
                N = 120 * 1000
        };
        _cleanup_(nursery_freep) Nursery *nursery = start_nursery();
        _cleanup_free_ char *large = malloc(N + 1);
        char *argv[] = { "/bin/sh", "-c", "echo ${#1}", "sh", large, NULL };
        KeeperNews news;
        TestOrder test;

        (void)memset(large, 'x', N);
        large[N] = '\0';
        test = make_order(3, argv);
        news = run_to_end(nursery, &test);
        assert_end(&news.end, TASK_STATE_DONE, 0, 0);
        assert_log(&test, "120000\n");
        order_done(&test);
}

/* More than there are spares, and more news than the socket has room for: each is carried out once, in whatever order. */
static void test_many_orders_at_once_are_carried_out(_unused_ void **state) {
        enum {
                N = 100
        };
        _cleanup_(nursery_freep) Nursery *nursery = start_nursery();
        unsigned n_news[N] = { 0 };
        size_t n_sent = 0;

        for (size_t n_ended = 0; n_ended < N;) {
                KeeperNews news;
                int fd;

                for (; n_sent < N; n_sent++) {
                        _cleanup_(order_done) TestOrder test =
                                make_shell_order(1000 + n_sent, "echo once");
                        int r = nursery_spawn(nursery, &test.order, 1);

                        if (r == NURSERY_E_AGAIN)
                                break;
                        assert_int_equal(r, 0);
                }
                news = next_news(nursery, &fd);
                (void)fd_close(fd);
                assert_true(news.ref >= 1000 && news.ref < 1000 + N);
                n_news[news.ref - 1000]++;
                n_ended += news.type == KEEPER_NEWS_ENDED;
                if (news.type == KEEPER_NEWS_ENDED)
                        assert_end(&news.end, TASK_STATE_DONE, 0, 0);
        }
        for (size_t i = 0; i < N; i++) {
                _cleanup_(order_done) TestOrder test = make_shell_order(1000 + i, "");

                assert_true(n_news[i] == 2 ||
                            n_news[i] == 3); /* with its start, unless it was over at once */
                assert_log(&test, "once\n");
        }
}

/* Descriptors, signals and terminal of the agent are no business of what it starts. */
static void test_a_command_has_nothing_of_the_agent(_unused_ void **state) {
        _cleanup_free_ char *path = in_folder("not-to-be-seen");
        int fd = open(path, O_RDWR | O_CREAT, 0600); /* not close-on-exec */
        Nursery *nursery;
        KeeperNews news;
        TestOrder test;

        assert_true(fd >= 0);
        (void)signal(SIGUSR1, SIG_IGN);
        nursery = start_nursery();
        (void)signal(SIGUSR1, SIG_DFL);
        (void)close(fd);
        test = make_shell_order(4, "for i in 3 4 5 6 7 8 9 10 11 12; do "
                                   "test ! -e /proc/$$/fd/$i || echo $i; done; "
                                   "grep -E '^Sig(Blk|Ign):' /proc/$$/status | tr -d '\\t '; "
                                   "cut -d' ' -f7 /proc/$$/stat");
        news = run_to_end(nursery, &test);
        assert_end(&news.end, TASK_STATE_DONE, 0, 0);
        assert_log(&test, "SigBlk:0000000000000000\nSigIgn:0000000000000000\n0\n");
        order_done(&test);
        (void)nursery_free(nursery);
}

/* A process with a nursery that starts one command and then waits to be killed. Return: its pid, once the command runs. */
static pid_t make_agent(const TestOrder *test, int *ret_command_fd) {
        int fds[2];
        pid_t pid;

        assert_int_equal(pipe(fds), 0);
        pid = fork();
        if (pid == 0) {
                Nursery *nursery = start_nursery();
                KeeperNews news;

                (void)nursery_spawn(nursery, &test->order, 1);
                (void)fd_close(expect(nursery, KEEPER_NEWS_TAKEN, test->order.ref, &news));
                (void)fd_close(expect(nursery, KEEPER_NEWS_STARTED, test->order.ref, &news));
                (void)!write(fds[1], &news.pid, sizeof(news.pid));
                for (;;)
                        (void)pause();
        }
        (void)close(fds[1]);
        {
                pid_t command = 0;

                assert_int_equal(read(fds[0], &command, sizeof(command)), sizeof(command));
                *ret_command_fd = pidfd_open(command, 0);
        }
        (void)close(fds[0]);
        return pid;
}

static void test_keepers_outlive_the_agent(_unused_ void **state) {
        _cleanup_free_ char *mark = in_folder("agent-was-started");
        _cleanup_free_ char *fifo = make_fifo("go");
        char line[128];
        (void)snprintf(line, sizeof(line), "read x < %s; exit 5", fifo);
        _cleanup_(order_done) TestOrder test = make_shell_order(5, line);
        _cleanup_close_ int command_fd = -1;
        pid_t agent = make_agent(&test, &command_fd);
        Record record;
        int status;

        assert_int_equal(kill(agent, SIGKILL), 0);
        assert_int_equal(waitpid(agent, &status, 0), agent);
        record = read_record(&test);
        assert_int_equal(record.state, RECORD_STATE_RUNNING);
        assert_int_equal(pidfd_send_signal(command_fd, 0, NULL, 0), 0);

        /* nursery and spares go with the agent, the keeper with its command: all come to us, and nothing was wrong with any */
        tell(fifo);
        (void)alarm(DEADLINE_MS / 1000);
        while (waitpid(-1, &status, 0) > 0)
                assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
        (void)alarm(0);
        record = read_record(&test);
        assert_int_equal(record.state, RECORD_STATE_ENDED);
        assert_end(&record.end, TASK_STATE_FAILED, 5, 0);
        assert_int_equal(unlink(mark), 0);
        (void)unlink(fifo);
}

static void test_freeing_it_leaves_commands_alone(_unused_ void **state) {
        _cleanup_(order_done) TestOrder test = make_shell_order(6, "exec sleep 1000");
        Nursery *nursery = start_nursery();
        KeeperNews taken, started;
        int keeper_fd, command_fd;

        assert_int_equal(nursery_spawn(nursery, &test.order, 1), 0);
        keeper_fd = expect(nursery, KEEPER_NEWS_TAKEN, 6, &taken);
        command_fd = expect(nursery, KEEPER_NEWS_STARTED, 6, &started);
        (void)nursery_free(nursery);
        assert_int_equal(pidfd_send_signal(command_fd, 0, NULL, 0), 0);
        assert_int_equal(keeper_cancel(keeper_fd, test.order.ref, 1, 0), 0);
        wait_readable(keeper_fd);
        assert_int_equal(read_record(&test).state, RECORD_STATE_ENDED);
        (void)fd_close(keeper_fd);
        (void)fd_close(command_fd);
}

/* They are gone then, before there is an order that they could take with them. */
static void kill_spares(Nursery *nursery) {
        pid_t pids[8];
        size_t n = children_of(pid_of(nursery_pidfd(nursery)), pids, ELEMENTSOF(pids));

        for (size_t i = 0; i < n; i++) {
                _cleanup_close_ int fd = pidfd_open(pids[i], 0);

                (void)kill(pids[i], SIGKILL);
                if (fd >= 0)
                        wait_readable(fd);
        }
}

static void test_spares_that_were_killed_are_replaced(_unused_ void **state) {
        _cleanup_(nursery_freep) Nursery *nursery = start_nursery();
        _cleanup_(order_done) TestOrder first = make_shell_order(7, "exit 0");
        _cleanup_(order_done) TestOrder second = make_shell_order(8, "exit 3");
        KeeperNews news;

        (void)run_to_end(nursery, &first); /* now there are some, or soon will be */
        kill_spares(nursery);
        news = run_to_end(nursery, &second);
        assert_end(&news.end, TASK_STATE_FAILED, 3, 0);
}

static void test_a_nursery_that_dies_is_seen(_unused_ void **state) {
        _cleanup_(order_done) TestOrder test = make_shell_order(9, "exec sleep 1000");
        Nursery *nursery = start_nursery();
        KeeperNews news;
        int keeper_fd;

        assert_int_equal(nursery_spawn(nursery, &test.order, 1), 0);
        keeper_fd = expect(nursery, KEEPER_NEWS_TAKEN, 9, &news);
        (void)fd_close(expect(nursery, KEEPER_NEWS_STARTED, 9, &news));
        assert_int_equal(kill(pid_of(nursery_pidfd(nursery)), SIGKILL), 0);
        wait_readable(nursery_pidfd(nursery));

        /* what runs is kept, and heard of */
        assert_int_equal(keeper_cancel(keeper_fd, test.order.ref, 1, SIGINT), 0);
        (void)expect(nursery, KEEPER_NEWS_ENDED, 9, &news);
        assert_end(&news.end, TASK_STATE_CANCELLED, -1, SIGINT);
        (void)fd_close(keeper_fd);
        (void)nursery_free(nursery);
}

/* An order to it is no order that was carried out badly. */
static void test_a_nursery_that_is_gone_with_all_its_keepers_takes_no_order(_unused_ void **state) {
        _cleanup_(order_done) TestOrder test = make_shell_order(10, "exit 0");
        _cleanup_(nursery_freep) Nursery *nursery = start_nursery();
        KeeperNews news;
        int fd;

        assert_int_equal(kill(pid_of(nursery_pidfd(nursery)), SIGKILL), 0);
        wait_readable(nursery_fd(nursery)); /* closed by the last of those that it had forked */
        assert_int_equal(nursery_spawn(nursery, &test.order, 1), NURSERY_E_GONE);
        assert_int_equal(nursery_next(nursery, &news, &fd), NURSERY_E_GONE);
}

static void test_orders_that_nobody_read_are_gone_with_the_nursery(_unused_ void **state) {
        _cleanup_(order_done) TestOrder test = make_shell_order(11, "exit 0");
        _cleanup_(nursery_freep) Nursery *nursery = start_nursery();
        pid_t pid = pid_of(nursery_pidfd(nursery));
        KeeperNews news;
        int fd, r, status;

        assert_int_equal(kill(pid, SIGSTOP), 0);
        assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
        kill_spares(nursery);
        assert_int_equal(nursery_spawn(nursery, &test.order, 1), 0);
        assert_int_equal(kill(pid, SIGKILL), 0);
        wait_readable(nursery_pidfd(nursery));
        while ((r = nursery_next(nursery, &news, &fd)) == NURSERY_E_AGAIN)
                wait_readable(nursery_fd(nursery));
        assert_int_equal(r, NURSERY_E_GONE);
        assert_int_equal(nursery_spawn(nursery, &test.order, 1), NURSERY_E_GONE);
}

/* An agent that has descriptors for itself, and none for its nursery. */
_Noreturn static void be_poor_agent(int err_fd) {
        struct rlimit limit = { .rlim_cur = STDERR_FILENO + 3, .rlim_max = STDERR_FILENO + 3 };
        Nursery *nursery;

        if (dup2(err_fd, STDERR_FILENO) < 0 || close_range(STDERR_FILENO + 1, ~0U, 0) < 0 ||
            setrlimit(RLIMIT_NOFILE, &limit) < 0)
                _exit(1);
        _exit(nursery_start(&nursery, NULL) == -EMFILE ? 0 : 1);
}

static void test_a_nursery_that_cannot_begin_says_why(_unused_ void **state) {
        char said[512] = "";
        size_t n = 0;
        ssize_t r;
        int fds[2], status;
        pid_t pid;

        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        pid = fork();
        if (pid == 0)
                be_poor_agent(fds[1]);
        (void)close(fds[1]);
        while ((r = read(fds[0], said + n, sizeof(said) - 1 - n)) > 0)
                n += (size_t)r;
        (void)close(fds[0]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        assert_non_null(strstr(said, "can't begin: Too many open files"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_an_order_is_carried_out),
                cmocka_unit_test(test_the_descriptors_are_of_keeper_and_command),
                cmocka_unit_test(test_keepers_are_used_again),
                cmocka_unit_test(test_a_row_is_carried_out_in_its_order),
                cmocka_unit_test(test_a_row_ends_where_somebody_was_faster),
                cmocka_unit_test(test_a_row_ends_where_something_is_left_behind),
                cmocka_unit_test(test_a_keeper_with_a_past_is_not_used_again),
                cmocka_unit_test(test_a_late_cancel_does_not_reach_the_next_command),
                cmocka_unit_test(test_a_large_order_is_carried_out),
                cmocka_unit_test(test_many_orders_at_once_are_carried_out),
                cmocka_unit_test(test_a_command_has_nothing_of_the_agent),
                cmocka_unit_test(test_keepers_outlive_the_agent),
                cmocka_unit_test(test_freeing_it_leaves_commands_alone),
                cmocka_unit_test(test_spares_that_were_killed_are_replaced),
                cmocka_unit_test(test_a_nursery_that_dies_is_seen),
                cmocka_unit_test(test_a_nursery_that_is_gone_with_all_its_keepers_takes_no_order),
                cmocka_unit_test(test_orders_that_nobody_read_are_gone_with_the_nursery),
                cmocka_unit_test(test_a_nursery_that_cannot_begin_says_why),
        };

        return cmocka_run_group_tests(tests, make_agent_folder, leave_agent_folder);
}
