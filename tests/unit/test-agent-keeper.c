/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <sched.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "agent/keeper.h"
#include "agent/packet.h"
#include "util/signal-default.h"

#include "keeper-fixture.h"

/* A keeper, and the agent's end of its socket. */
typedef struct Kept {
        pid_t pid;
        int fd;
        int pidfd;         /* as it was sent */
        int command_pidfd; /* likewise */
        pid_t command;
} Kept;

static void leave_a_mark(const char *of) {
        _cleanup_free_ char *path = NULL;

        if (asprintf(&path, "%s/agent-was-started", of) > 0)
                (void)close(open(path, O_WRONLY | O_CREAT, 0600));
}

static Kept keep(const TestOrder *test) {
        char *bytes;
        int fds[2];
        size_t n;
        Kept kept = { .pidfd = -1, .command_pidfd = -1 };

        assert_int_equal(keeper_row_compose(&test->order, 1, &bytes, &n), 0);
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
        kept.pid = fork();
        if (kept.pid == 0) {
                sigset_t all;
                Keeper keeper;

                (void)sigfillset(&all);
                (void)sigprocmask(SIG_SETMASK, &all, NULL);
                signal_default_all(); /* as the nursery does: whoever runs the tests may ignore some */
                (void)close(fds[0]);
                if (keeper_prepare(&keeper, fds[1], leave_a_mark) < 0)
                        _exit(99);
                (void)keeper_run(&keeper, bytes, n);
                _exit(0);
        }
        assert_true(kept.pid > 0);
        free(bytes);
        (void)close(fds[1]);
        kept.fd = fds[0];
        return kept;
}

static KeeperNews expect(Kept *kept, KeeperNewsType type) {
        KeeperNews news;
        int fd;

        wait_readable(kept->fd);
        assert_int_equal(packet_receive(kept->fd, &news, sizeof(news), 0, &fd), sizeof(news));
        assert_int_equal(news.type, type);
        switch (type) {
        case KEEPER_NEWS_TAKEN:
                assert_int_equal(news.pid, kept->pid);
                assert_true(fd >= 0);
                kept->pidfd = fd;
                break;
        case KEEPER_NEWS_STARTED:
                assert_true(fd >= 0);
                kept->command_pidfd = fd;
                kept->command = news.pid;
                break;
        case KEEPER_NEWS_CLAIMED:
        case KEEPER_NEWS_ENDED:
                assert_int_equal(fd, -1);
        }
        return news;
}

static void expect_start(Kept *kept) {
        (void)expect(kept, KEEPER_NEWS_TAKEN);
        (void)expect(kept, KEEPER_NEWS_STARTED);
}

/* One that may be over at once, and then only its end is said. */
static void expect_start_or_end(Kept *kept) {
        KeeperNews news;

        (void)expect(kept, KEEPER_NEWS_TAKEN);
        wait_readable(kept->fd);
        assert_int_equal(recv(kept->fd, &news, sizeof(news), MSG_PEEK), sizeof(news));
        if (news.type != KEEPER_NEWS_ENDED)
                (void)expect(kept, KEEPER_NEWS_STARTED);
}

/* The keeper ends as well, and closes what it had. */
static void kept_done(Kept *kept) {
        int status;

        assert_int_equal(waitpid(kept->pid, &status, 0), kept->pid);
        assert_int_equal(status, 0);
        (void)fd_close(kept->fd);
        (void)fd_close(kept->pidfd);
        (void)fd_close(kept->command_pidfd);
}

static RecordEnd expect_end(Kept *kept, const TestOrder *test) {
        KeeperNews news = expect(kept, KEEPER_NEWS_ENDED);
        Record record;

        assert_true(news.recorded);
        record = read_record(test);
        assert_int_equal(record.state, RECORD_STATE_ENDED);
        assert_memory_equal(&record.end, &news.end, sizeof(news.end));
        kept_done(kept);
        return news.end;
}

static RecordEnd run_to_end(const TestOrder *test) {
        Kept kept = keep(test);

        expect_start_or_end(&kept);
        return expect_end(&kept, test);
}

/* Without a start. */
static RecordEnd run_in_vain(const TestOrder *test) {
        Kept kept = keep(test);

        (void)expect(&kept, KEEPER_NEWS_TAKEN);
        return expect_end(&kept, test);
}

static void test_a_status_is_kept(_unused_ void **state) {
        static const struct {
                const char *line;
                TaskState state;
                int exit_status;
                int signal;
        } cases[] = {
                { "exit 0", TASK_STATE_DONE, 0, 0 },
                { "exit 7", TASK_STATE_FAILED, 7, 0 },
                { "exit 255", TASK_STATE_FAILED, 255, 0 },
                { "kill -KILL $$", TASK_STATE_FAILED, -1, SIGKILL },
                { "kill -SEGV $$", TASK_STATE_FAILED, -1, SIGSEGV },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(order_done) TestOrder test = make_shell_order(100 + i, cases[i].line);
                RecordEnd end = run_to_end(&test);

                assert_end(&end, cases[i].state, cases[i].exit_status, cases[i].signal);
                assert_string_equal(end.reason, "");
        }
}

static void test_the_record_names_keeper_and_command(_unused_ void **state) {
        _cleanup_free_ char *fifo = make_fifo("go");
        char line[128];
        (void)snprintf(line, sizeof(line), "read x < %s", fifo);
        _cleanup_(order_done) TestOrder test = make_shell_order(task_ref(12, 3), line);
        Kept kept = keep(&test);
        Record record;
        uint64_t ticks;

        expect_start(&kept);
        record = read_record(&test);
        assert_int_equal(record.state, RECORD_STATE_RUNNING);
        assert_true(record.ref == task_ref(12, 3));
        assert_int_equal(record.attempt, 1);
        assert_int_equal(record.keeper.pid, kept.pid);
        assert_true(proc_id_is_alive(&record.keeper));
        assert_int_equal(record.pid, kept.command);
        assert_int_equal(proc_start_ticks(record.pid, &ticks, NULL), 0);
        assert_true(record.pid_start_ticks == ticks);
        assert_true(record.started_at_us > 0);
        tell(fifo);
        (void)expect_end(&kept, &test);
        (void)unlink(fifo);
}

static void test_what_cannot_be_executed_says_so_in_its_log(_unused_ void **state) {
        static const struct {
                char *program;
                int status;
                const char *why;
        } cases[] = {
                { "/no/such/program", 127, "cannot run '/no/such/program': not found" },
                { "no-such-program", 127, "cannot run 'no-such-program': not found" },
                { "/etc/passwd", 126, "cannot run '/etc/passwd': Permission denied" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char *argv[] = { cases[i].program, NULL };
                _cleanup_(order_done) TestOrder test = make_order(110 + i, argv);
                RecordEnd end = run_in_vain(&test);
                char want[128];

                assert_end(&end, TASK_STATE_FAILED, cases[i].status, 0);
                (void)snprintf(want, sizeof(want), "could not be started: %s", cases[i].why);
                assert_string_equal(end.reason, want);
                (void)snprintf(want, sizeof(want), "taskflow: %s\n", cases[i].why);
                assert_log(&test, want);
                assert_false(read_record(&test).has_command);
        }
}

static void test_plain_words_come_before_the_shell(_unused_ void **state) {
        char *shell[] = { "/bin/sh", "-c", "echo shell", NULL };
        char *plain[] = { "echo", "plain", NULL };
        char *odd[] = { "no-such-program", NULL };
        const BundleTask tasks[] = { { .argv = shell, .plain_argv = plain },
                                     { .argv = shell, .plain_argv = odd } };

        for (size_t i = 0; i < ELEMENTSOF(tasks); i++) {
                _cleanup_(order_done) TestOrder test = make_shell_order(120 + i, "");

                free(test.task);
                assert_int_equal(bundle_task_compose(&tasks[i], &test.task, &test.order.n_task), 0);
                test.order.task = test.task;
                (void)run_to_end(&test);
                assert_log(&test, i == 0 ? "plain\n" : "shell\n");
        }
}

static void test_the_log_has_both_streams_and_is_private(_unused_ void **state) {
        _cleanup_(order_done) TestOrder test = make_shell_order(130, "echo out; echo err >&2");
        struct stat st;

        (void)run_to_end(&test);
        assert_log(&test, "out\nerr\n");
        assert_int_equal(stat(test.log, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);

        /* a second attempt writes behind the first one */
        test.order.attempt = 2;
        (void)run_to_end(&test);
        assert_log(&test, "out\nerr\nout\nerr\n");
}

static void test_a_file_of_the_user_has_the_modes_of_the_user(_unused_ void **state) {
        mode_t before = umask(027);
        _cleanup_(order_done) TestOrder test = make_shell_order(131, "echo out");
        struct stat st;

        (void)umask(before);
        test.order.log_is_own = false;
        (void)run_to_end(&test);
        assert_log(&test, "out\n");
        assert_int_equal(stat(test.log, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0640);
}

static void test_a_log_that_cannot_be_opened_is_no_start(_unused_ void **state) {
        static const struct {
                const char *name;
                const char *why;
        } cases[] = {
                { "no-such-folder/log", "No such file or directory" },
                { "run", "Is a directory" },
                { "nobody-reads", "No such device or address" },
        };
        _cleanup_free_ char *fifo = make_fifo("nobody-reads");

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(order_done) TestOrder test = make_shell_order(132 + i, "echo out");
                _cleanup_free_ char *path = in_folder(cases[i].name);
                char want[256];
                RecordEnd end;

                test.order.log = path;
                test.order.log_is_own = false;
                end = run_in_vain(&test);
                assert_end(&end, TASK_STATE_FAILED, 125, 0);
                (void)snprintf(want, sizeof(want), "could not be started: cannot write to '%s': %s",
                               path, cases[i].why);
                assert_string_equal(end.reason, want);
        }
        (void)unlink(fifo);
}

/* Changes the calling process, so in a child, which captures. */
static TestOrder order_of_another_place(uint64_t ref, const char *line) {
        TestOrder test = make_shell_order(ref, line);
        int fds[2];
        pid_t pid;
        char *context = malloc(CONTEXT_MAX);
        size_t n = 0;
        ssize_t r;

        assert_int_equal(pipe(fds), 0);
        pid = fork();
        if (pid == 0) {
                _cleanup_free_ char *cwd = in_folder("cwd");
                char *bytes;

                (void)umask(0137);
                (void)setenv("ODD", "\xff\xfe=x", 1);
                if (chdir(cwd) < 0 || nice(5) < 0 ||
                    setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 123, 124 }) < 0 ||
                    setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 }) < 0 ||
                    context_capture(&bytes, &n, NULL) < 0 || fd_write_all(fds[1], bytes, n) < 0)
                        _exit(1);
                _exit(0);
        }
        (void)close(fds[1]);
        while ((r = read(fds[0], context + n, CONTEXT_MAX - n)) > 0)
                n += (size_t)r;
        (void)close(fds[0]);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        free(test.context);
        test.context = context;
        test.order.context = context;
        test.order.n_context = n;
        return test;
}

static void test_the_command_is_where_its_submitter_was(_unused_ void **state) {
        _cleanup_free_ char *cwd = in_folder("cwd");
        _cleanup_(order_done) TestOrder test = order_of_another_place(
                140, "umask; pwd -P; ulimit -Sn; ulimit -Hn; nice; printf '%s\\n' \"$ODD\"");
        int niceness = MIN(getpriority(PRIO_PROCESS, 0) + 5, PRIO_MAX - 1);
        char want[256];
        char *real = realpath(cwd, NULL);

        (void)run_to_end(&test);
        (void)snprintf(want, sizeof(want), "0137\n%s\n123\n124\n%d\n\xff\xfe=x\n", real, niceness);
        assert_log(&test, want);
        free(real);
}

static void test_a_folder_that_is_gone_is_named(_unused_ void **state) {
        _cleanup_free_ char *cwd = in_folder("cwd");
        _cleanup_(order_done) TestOrder test = order_of_another_place(141, "true");
        char want[256];
        RecordEnd end;

        assert_int_equal(rmdir(cwd), 0);
        end = run_in_vain(&test);
        assert_int_equal(mkdir(cwd, 0700), 0);
        assert_end(&end, TASK_STATE_FAILED, 125, 0);
        (void)snprintf(want, sizeof(want),
                       "could not be started: cannot enter '%s': No such file or directory", cwd);
        assert_string_equal(end.reason, want);
}

static void test_arguments_may_be_any_bytes(_unused_ void **state) {
        char *argv[] = { "/bin/echo", "\xff\xfe", "Gr\xc3\xbc\xc3\x9f\x65", "a\nb", "", NULL };
        _cleanup_(order_done) TestOrder test = make_order(142, argv);

        (void)run_to_end(&test);
        assert_log(&test, "\xff\xfe Gr\xc3\xbc\xc3\x9f\x65 a\nb \n");
}

static void test_large_environments_and_arguments_arrive(_unused_ void **state) {
        enum {
                N = 100 * 1000,
                N_VARIABLES = 10,
        };
        _cleanup_free_ char *large = malloc(N + 1);
        char *argv[] = { "/bin/sh", "-c", "echo ${#1} ${#LARGE_0} ${#LARGE_9}", "sh", large, NULL };
        TestOrder test;
        char name[16];

        (void)memset(large, 'x', N);
        large[N] = '\0';
        for (int i = 0; i < N_VARIABLES; i++) {
                (void)snprintf(name, sizeof(name), "LARGE_%d", i);
                (void)setenv(name, large, 1);
        }
        test = make_order(143, argv);
        for (int i = 0; i < N_VARIABLES; i++) {
                (void)snprintf(name, sizeof(name), "LARGE_%d", i);
                (void)unsetenv(name);
        }
        (void)run_to_end(&test);
        assert_log(&test, "100000 100000 100000\n");
        order_done(&test);
}

static void test_the_command_learns_its_task_and_gpus(_unused_ void **state) {
        const GpuGrant gpus[] = { { .uuid = "GPU-b", .index = 3 } };
        _cleanup_(order_done) TestOrder test =
                make_shell_order(task_ref(144, 7),
                                 "echo $TASKFLOW_TASK_ID $TASKFLOW_ARRAY_INDEX $TASKFLOW_GPUS "
                                 "$CUDA_VISIBLE_DEVICES");

        test.order.gpus = gpus;
        test.order.n_gpus = 1;
        test.order.pin = true;
        (void)run_to_end(&test);
        assert_log(&test, "144 7 3 GPU-b\n");
}

static void test_nothing_of_ours_is_in_the_command(_unused_ void **state) {
        _cleanup_(order_done) TestOrder test =
                make_shell_order(145, "readlink /proc/$$/fd/0; "
                                      "for i in 3 4 5 6 7 8 9 10 11 12; do "
                                      "test ! -e /proc/$$/fd/$i || echo $i; done; "
                                      "grep -E '^Sig(Blk|Ign):' /proc/$$/status | tr -d '\\t '; "
                                      "cut -d' ' -f6-7 /proc/$$/stat");
        Kept kept;
        char want[256];

        kept = keep(&test);
        expect_start_or_end(&kept);
        (void)snprintf(want, sizeof(want),
                       "/dev/null\nSigBlk:0000000000000000\nSigIgn:0000000000000000\n%d 0\n",
                       kept.pid);
        (void)expect_end(&kept, &test);
        assert_log(&test, want);
}

static void test_a_start_that_is_claimed_does_not_happen_again(_unused_ void **state) {
        _cleanup_(order_done) TestOrder test = make_shell_order(150, "echo once");
        Kept kept;

        (void)run_to_end(&test);
        kept = keep(&test);
        (void)expect(&kept, KEEPER_NEWS_TAKEN);
        (void)expect(&kept, KEEPER_NEWS_CLAIMED);
        kept_done(&kept);
        assert_log(&test, "once\n");
}

/* Its agent is gone, and the next one may have given this start up. */
static void test_what_was_ordered_in_another_epoch_is_not_started(_unused_ void **state) {
        _cleanup_(order_done) TestOrder test = make_shell_order(152, "echo never");
        _cleanup_free_ char *run = in_folder("run");
        _cleanup_close_ int run_fd = open(run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        Record record;
        Kept kept;

        assert_int_equal(epoch_begin(folder, 0, &epoch, NULL), 0);
        kept = keep(&test);
        (void)expect(&kept, KEEPER_NEWS_TAKEN);
        (void)expect(&kept, KEEPER_NEWS_CLAIMED);
        kept_done(&kept);
        assert_int_equal(access(test.log, F_OK), -1);
        assert_int_equal(record_file_read(run_fd, "152.1", &record), -ENOENT);
}

static void test_without_a_record_there_is_no_start(_unused_ void **state) {
        _cleanup_(order_done) TestOrder test = make_shell_order(151, "echo never");
        KeeperNews news;
        Kept kept;

        test.order.folder = "/no/such/folder";
        kept = keep(&test);
        (void)expect(&kept, KEEPER_NEWS_TAKEN);
        news = expect(&kept, KEEPER_NEWS_ENDED);
        assert_false(news.recorded);
        assert_end(&news.end, TASK_STATE_FAILED, 125, 0);
        assert_string_equal(news.end.reason, "could not be started: cannot make its record: "
                                             "No such file or directory");
        kept_done(&kept);
        assert_int_equal(access(test.log, F_OK), -1);
}

static void assert_gone(pid_t pid) {
        assert_int_equal(kill(pid, 0), -1);
        assert_int_equal(errno, ESRCH);
}

/* The grandchild has left the session, and its parent has gone. */
static void test_cancel_reaches_all_descendants(_unused_ void **state) {
        _cleanup_free_ char *fifo = make_fifo("ready");
        char line[256], word[32];
        (void)snprintf(line, sizeof(line),
                       "(setsid sh -c 'echo $$ > %s; exec sleep 1000' &); exec sleep 1000", fifo);
        _cleanup_(order_done) TestOrder test = make_shell_order(160, line);
        Kept kept = keep(&test);
        RecordEnd end;

        expect_start(&kept);
        hear(fifo, word, sizeof(word));
        assert_int_equal(keeper_cancel(kept.pidfd, test.order.ref, 1, 0), 0);
        end = expect_end(&kept, &test);
        assert_end(&end, TASK_STATE_CANCELLED, -1, SIGTERM);
        assert_gone(read_pid(word));
        (void)unlink(fifo);
}

static void test_cancel_can_begin_with_another_signal(_unused_ void **state) {
        _cleanup_free_ char *fifo = make_fifo("ready");
        char line[256], word[32];
        (void)snprintf(line, sizeof(line),
                       "trap 'exit 3' USR1; echo ready > %s; while :; do sleep 0.01; done", fifo);
        _cleanup_(order_done) TestOrder test = make_shell_order(161, line);
        Kept kept = keep(&test);
        RecordEnd end;

        expect_start(&kept);
        hear(fifo, word, sizeof(word));
        assert_int_equal(keeper_cancel(kept.pidfd, test.order.ref, 2, SIGKILL),
                         0); /* not this one */
        assert_int_equal(keeper_cancel(kept.pidfd, test.order.ref, 1, SIGUSR1), 0);
        end = expect_end(&kept, &test);
        assert_end(&end, TASK_STATE_CANCELLED, 3, 0);
        (void)unlink(fifo);
}

static void test_a_time_limit_ends_the_command(_unused_ void **state) {
        _cleanup_(order_done) TestOrder test = make_shell_order(162, "exec sleep 1000");
        RecordEnd end;

        test.order.time_limit_us = 50 * US_PER_MSEC;
        end = run_to_end(&test);
        assert_end(&end, TASK_STATE_TIMEOUT, -1, SIGTERM);
        assert_string_equal(end.reason, "ended after its time limit of 0s");
}

/* Ten seconds; what a command must be given that does not listen. */
static void test_what_does_not_listen_is_killed(_unused_ void **state) {
        _cleanup_free_ char *fifo = make_fifo("ready");
        char line[256], word[32];
        (void)snprintf(line, sizeof(line), "trap '' TERM; echo ready > %s; sleep 1000; sleep 1000",
                       fifo);
        _cleanup_(order_done) TestOrder test = make_shell_order(163, line);
        Kept kept = keep(&test);
        RecordEnd end;

        expect_start(&kept);
        hear(fifo, word, sizeof(word));
        assert_int_equal(keeper_cancel(kept.pidfd, test.order.ref, 1, 0), 0);
        end = expect_end(&kept, &test);
        assert_end(&end, TASK_STATE_CANCELLED, -1, SIGKILL);
        (void)unlink(fifo);
}

static void test_what_is_left_behind_is_left_alone(_unused_ void **state) {
        _cleanup_(order_done) TestOrder test = make_shell_order(164, "sleep 1000 & echo $!");
        _cleanup_free_ char *text = NULL;
        RecordEnd end = run_to_end(&test);
        pid_t pid;

        assert_end(&end, TASK_STATE_DONE, 0, 0);
        text = read_whole(test.log);
        pid = read_pid(text);
        assert_true(pid > 1);
        assert_int_equal(kill(pid, SIGKILL), 0);
}

static void test_signals_to_the_keeper_are_passed_on(_unused_ void **state) {
        _cleanup_free_ char *fifo = make_fifo("ready");
        char line[256], word[32];
        (void)snprintf(line, sizeof(line),
                       "trap 'exit 3' TERM; echo ready > %s; while :; do sleep 0.01; done", fifo);
        _cleanup_(order_done) TestOrder test = make_shell_order(165, line);
        Kept kept = keep(&test);
        RecordEnd end;

        expect_start(&kept);
        hear(fifo, word, sizeof(word));
        assert_int_equal(kill(kept.pid, SIGTERM), 0);
        end = expect_end(&kept, &test);
        assert_end(&end, TASK_STATE_FAILED, 3, 0);
        (void)unlink(fifo);
}

/* A logout or a shutdown ends both. That is no end of the command's own: the record has none, and the task is lost or runs again. */
static void test_a_command_that_goes_with_its_keeper_has_no_end(_unused_ void **state) {
        _cleanup_(order_done) TestOrder test = make_shell_order(166, "exec sleep 1000");
        Kept kept = keep(&test);
        int status;

        expect_start(&kept);
        assert_int_equal(pidfd_send_signal(kept.command_pidfd, SIGTERM, NULL, 0), 0);
        assert_int_equal(kill(kept.pid, SIGTERM), 0);
        assert_int_equal(waitpid(kept.pid, &status, 0), kept.pid);
        assert_int_equal(read_record(&test).state, RECORD_STATE_RUNNING);
        (void)fd_close(kept.fd);
        (void)fd_close(kept.pidfd);
        (void)fd_close(kept.command_pidfd);
}

static void test_the_command_survives_its_keeper(_unused_ void **state) {
        _cleanup_(order_done) TestOrder test = make_shell_order(170, "exec sleep 1000");
        Kept kept = keep(&test);
        Record record;
        int status;

        expect_start(&kept);
        assert_int_equal(kill(kept.pid, SIGKILL), 0);
        assert_int_equal(waitpid(kept.pid, &status, 0), kept.pid);
        record = read_record(&test);
        assert_int_equal(record.state, RECORD_STATE_RUNNING);
        assert_false(proc_id_is_alive(&record.keeper));
        assert_int_equal(pidfd_send_signal(kept.command_pidfd, 0, NULL, 0), 0);
        assert_int_equal(pidfd_send_signal(kept.command_pidfd, SIGKILL, NULL, 0), 0);
        (void)fd_close(kept.fd);
        (void)fd_close(kept.pidfd);
        (void)fd_close(kept.command_pidfd);
}

/* Ends while nobody reads. Return: whether an agent was started. */
static bool is_agent_started(uint64_t ref) {
        _cleanup_free_ char *mark = in_folder("agent-was-started");
        _cleanup_free_ char *fifo = make_fifo("go");
        char line[128];
        (void)snprintf(line, sizeof(line), "read x < %s; exit 5", fifo);
        _cleanup_(order_done) TestOrder test = make_shell_order(ref, line);
        Kept kept = keep(&test);
        Record record;

        expect_start(&kept);
        kept.fd = fd_close(kept.fd);
        tell(fifo);
        kept_done(&kept);
        record = read_record(&test);
        assert_int_equal(record.state, RECORD_STATE_ENDED);
        assert_end(&record.end, TASK_STATE_FAILED, 5, 0);
        (void)unlink(fifo);
        return unlink(mark) == 0;
}

static void test_an_end_without_an_agent_starts_one(_unused_ void **state) {
        assert_true(is_agent_started(180));
}

static void test_a_stopped_agent_is_not_started(_unused_ void **state) {
        _cleanup_free_ char *stopped = in_folder("stopped");

        (void)close(open(stopped, O_WRONLY | O_CREAT, 0600));
        assert_false(is_agent_started(181));
        (void)unlink(stopped);
}

static void test_another_agent_that_listens_is_enough(_unused_ void **state) {
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/sock", folder);
        assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        assert_int_equal(listen(fd, 1), 0);
        assert_false(is_agent_started(182));

        /* left by one that was killed */
        fd = fd_close(fd);
        assert_true(is_agent_started(183));
        (void)unlink(address.sun_path);
}

/* A disk of our own; in a namespace of our own, which ends with the process. */
static bool mount_small_disk(const char *path) {
        return unshare(CLONE_NEWNS) == 0 &&
               mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
               mount("tmpfs", path, "tmpfs", 0, "size=64k") == 0;
}

static void fill(const char *path) {
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
        char block[4096] = "x";

        while (write(fd, block, sizeof(block)) > 0)
                ;
        assert_int_equal(errno, ENOSPC);
}

static void test_a_full_disk_does_not_lose_the_status(_unused_ void **state) {
        _cleanup_free_ char *run = in_folder("run");
        _cleanup_free_ char *filling = in_folder("run/filling");
        _cleanup_free_ char *fifo = make_fifo("go");
        char line[128];
        (void)snprintf(line, sizeof(line), "read x < %s; exit 5", fifo);
        _cleanup_(order_done) TestOrder test = make_shell_order(190, line);
        _cleanup_(order_done) TestOrder later = make_shell_order(191, "echo never");
        KeeperNews news;
        RecordEnd end;
        Kept kept;

        free(test.log);
        test.log = in_folder("run/log");
        test.order.log = test.log;
        if (!mount_small_disk(run)) {
                (void)unlink(fifo);
                print_message("skipped: no disk can be mounted here: %s\n", strerror(errno));
                skip();
        }
        kept = keep(&test);
        expect_start(&kept);
        fill(filling);
        tell(fifo);
        end = expect_end(&kept, &test);
        assert_end(&end, TASK_STATE_FAILED, 5, 0);
        assert_string_equal(end.reason, "the disk that its output goes to is full");

        /* and nothing more is started */
        kept = keep(&later);
        (void)expect(&kept, KEEPER_NEWS_TAKEN);
        news = expect(&kept, KEEPER_NEWS_ENDED);
        assert_false(news.recorded);
        assert_string_equal(news.end.reason, "could not be started: cannot make its record: "
                                             "No space left on device");
        kept_done(&kept);
        assert_int_equal(umount2(run, MNT_DETACH), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_status_is_kept),
                cmocka_unit_test(test_the_record_names_keeper_and_command),
                cmocka_unit_test(test_what_cannot_be_executed_says_so_in_its_log),
                cmocka_unit_test(test_plain_words_come_before_the_shell),
                cmocka_unit_test(test_the_log_has_both_streams_and_is_private),
                cmocka_unit_test(test_a_file_of_the_user_has_the_modes_of_the_user),
                cmocka_unit_test(test_a_log_that_cannot_be_opened_is_no_start),
                cmocka_unit_test(test_the_command_is_where_its_submitter_was),
                cmocka_unit_test(test_a_folder_that_is_gone_is_named),
                cmocka_unit_test(test_arguments_may_be_any_bytes),
                cmocka_unit_test(test_large_environments_and_arguments_arrive),
                cmocka_unit_test(test_the_command_learns_its_task_and_gpus),
                cmocka_unit_test(test_nothing_of_ours_is_in_the_command),
                cmocka_unit_test(test_a_start_that_is_claimed_does_not_happen_again),
                cmocka_unit_test(test_what_was_ordered_in_another_epoch_is_not_started),
                cmocka_unit_test(test_without_a_record_there_is_no_start),
                cmocka_unit_test(test_cancel_reaches_all_descendants),
                cmocka_unit_test(test_cancel_can_begin_with_another_signal),
                cmocka_unit_test(test_a_time_limit_ends_the_command),
                cmocka_unit_test(test_what_does_not_listen_is_killed),
                cmocka_unit_test(test_what_is_left_behind_is_left_alone),
                cmocka_unit_test(test_signals_to_the_keeper_are_passed_on),
                cmocka_unit_test(test_a_command_that_goes_with_its_keeper_has_no_end),
                cmocka_unit_test(test_the_command_survives_its_keeper),
                cmocka_unit_test(test_an_end_without_an_agent_starts_one),
                cmocka_unit_test(test_a_stopped_agent_is_not_started),
                cmocka_unit_test(test_another_agent_that_listens_is_enough),
                cmocka_unit_test(test_a_full_disk_does_not_lose_the_status),
        };

        return cmocka_run_group_tests(tests, make_agent_folder, leave_agent_folder);
}
