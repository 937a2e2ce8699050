/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * In order, for each of a row: claim the start (record-file.h) in the order's epoch (epoch.h), open the log, start the command, note it,
 * wait, note the end. The claim comes before everything that could start anything; a keeper that dies between claim and note leaves a
 * record without a command, which nobody starts again.
 *
 * All signals are blocked from before its birth, and taken from keeper_wait(): nothing interrupts, and between two of them the
 * process sleeps. What it tells the agent is keeper-report.h.
 */

#include "agent/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/epoch.h"
#include "agent/keeper-wait.h"
#include "agent/launch.h"
#include "agent/say.h"
#include "probe/tree.h"
#include "runner/bundle.h"
#include "runner/context.h"
#include "runner/environment.h"
#include "runner/signals.h"
#include "runner/spawn.h"
#include "runner/tree-signal.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/error.h"
#include "util/units.h"

#define KILL_AFTER_US  (10 * US_PER_SEC) /* interface.md */
#define KILL_AGAIN_US  US_PER_SEC        /* what was forked while we killed, or does not die yet */
#define NOTE_AGAIN_SEC 2                 /* for room on the disk */
#define FAREWELL_MS    100               /* between the signals to the command and to us */
#define LEAVE_SEC      1
#define NEVER          REPORT_NEVER

enum {
        STATUS_FAILED = 125,
        STATUS_CANNOT_EXEC = 126,
        STATUS_NOT_FOUND = 127,
};

/* One order that is carried out. */
typedef struct Keeping {
        Keeper *keeper;
        Report *report; /* the keeper's */
        uint64_t ref;
        unsigned attempt;
        char *folder;
        uint64_t time_limit_us;
        int record_fd;
        int log_fd;
        int proc_fd; /* of /proc; -1: not needed yet */
        Spawned child;
        uint64_t started_at_us;

        uint64_t limit_boot_us; /* or NEVER */
        uint64_t kill_boot_us;  /* or NEVER */
        bool ending;            /* we have told it to end, for: */
        TaskState end_state;
        bool told_to_go; /* somebody ends whole sessions: a logout, a shutdown */
        bool ended;      /* its status is known: */
        int wait_status;
        bool noted; /* the record has the end */
        bool over;
        bool is_last;
        bool may_go_on; /* nothing of it is left that would become mixed with the next one's */
} Keeping;

/* All that it listens to. */
static void fill_set(sigset_t *set) {
        static const int passed_on[] = { SIGINT,  SIGQUIT, SIGTERM,  SIGHUP, SIGUSR1,
                                         SIGUSR2, SIGCONT, SIGWINCH, SIGTSTP };

        (void)sigemptyset(set);
        (void)sigaddset(set, SIGCHLD);
        (void)sigaddset(set, SIGRTMIN);
        for (size_t i = 0; i < ELEMENTSOF(passed_on); i++)
                (void)sigaddset(set, passed_on[i]);
}

int keeper_prepare(Keeper *keeper, int report_fd, keeper_agent_fn start_agent) {
        sigset_t set;
        int r;

        *keeper = (Keeper){ .parent = getppid(),
                            .report.fd = report_fd,
                            .pidfd = -1,
                            .null_fd = -1,
                            .start_agent = start_agent };
        (void)setsid(); /* fails if we lead one already */
        (void)umask(077);
        (void)prctl(PR_SET_NAME, "taskflow-keeper");
        if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
                return -errno;
        fill_set(&set);
        r = keeper_wait_init(&set);
        if (r < 0)
                return r;
        r = proc_id_read(getpid(), &keeper->id);
        if (r < 0)
                return r;
        keeper->pidfd = keeper->report.keeper_pidfd = pidfd_open(getpid(), 0);
        keeper->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        return keeper->pidfd < 0 || keeper->null_fd < 0 ? -errno : 0;
}

bool keeper_set_mortal(bool mortal) {
        return prctl(PR_SET_PDEATHSIG, mortal ? SIGKILL : 0) == 0;
}

/* A signal carries one word: the signal below, and above it what tells one start from another. */
static uint64_t cancel_word(uint64_t ref, unsigned attempt, int signal) {
        uint64_t mixed = (ref ^ (uint64_t)attempt << 40) * UINT64_C(0x9e3779b97f4a7c15);

        return (mixed ^ mixed >> 32) << 8 | (uint8_t)signal;
}

int keeper_cancel(int pidfd, uint64_t ref, unsigned attempt, int signal) {
        siginfo_t info = {
                .si_code = SI_QUEUE,
                .si_pid = getpid(),
                .si_uid = getuid(),
        };

        info.si_signo = SIGRTMIN;
        info.si_value.sival_ptr = (void *)(uintptr_t)cancel_word(ref, attempt, signal);
        return pidfd_send_signal(pidfd, SIGRTMIN, &info, 0) < 0 ? -errno : 0;
}

/* In @fd's folder; a path that does not fit an address goes by way of it. */
static bool is_listening(int dir_fd) {
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        (void)snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/sock", dir_fd);
        /* EAGAIN: its queue is full. */
        return fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 ||
               errno == EAGAIN || errno == EINPROGRESS;
}

/* If ours has gone and no other one has come, somebody must tell the daemon. */
static void see_to_an_agent(const Keeping *keeping) {
        struct pollfd ours = { .fd = keeping->report->fd };
        _cleanup_close_ int dir_fd = -1;

        if (!keeping->keeper->start_agent || !keeping->folder || poll(&ours, 1, 0) == 0)
                return;
        dir_fd = open(keeping->folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (dir_fd >= 0 && faccessat(dir_fd, "stopped", F_OK, 0) < 0 && !is_listening(dir_fd))
                keeping->keeper->start_agent(keeping->folder);
}

/* The agent takes the record away when it has heard the end; then nobody waits for it. */
static bool is_record_wanted(int fd) {
        struct stat st;

        return fstat(fd, &st) == 0 && st.st_nlink > 0;
}

/* Whether no process of the command is left. */
static bool is_alone(void) {
        return waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD;
}

static void finish(Keeping *keeping, const RecordEnd *end) {
        keeping->noted =
                keeping->record_fd >= 0 && record_file_note_end(keeping->record_fd, end) == 0;
        keeping->may_go_on = keeping->noted && is_alone();
        report_say_ended(keeping->report,
                         &(KeeperNews){ .type = KEEPER_NEWS_ENDED,
                                        .recorded = keeping->noted,
                                        .goes_on = keeping->may_go_on && !keeping->is_last,
                                        .end = *end });
        while (!keeping->noted && keeping->record_fd >= 0 && is_record_wanted(keeping->record_fd)) {
                (void)sleep(NOTE_AGAIN_SEC);
                report_send(keeping->report);
                keeping->noted = record_file_note_end(keeping->record_fd, end) == 0;
        }
        report_send_all(keeping->report);
        see_to_an_agent(keeping);
}

/* Nothing was started; whoever looks into the log sees why. */
_Noreturn static void fail(Keeping *keeping, int status, const char *why) {
        RecordEnd end = {
                .state = TASK_STATE_FAILED,
                .exit_status = status,
                .ended_at_us = clock_realtime_us(),
        };

        (void)snprintf(end.reason, sizeof(end.reason), "could not be started: %s", why);
        if (keeping->log_fd >= 0)
                (void)dprintf(keeping->log_fd, "taskflow: %s\n", why);
        keeping->is_last = true;
        finish(keeping, &end);
        _exit(0);
}

static void claim(Keeping *keeping, const char *folder, uint64_t epoch) {
        _cleanup_close_ int folder_fd = -1;
        _cleanup_close_ int run_fd = -1;
        _cleanup_close_ int epoch_fd = -1;
        char why[128];
        int r = 0;

        folder_fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
        run_fd = folder_fd < 0 ? -1 : openat(folder_fd, "run", O_PATH | O_DIRECTORY | O_CLOEXEC);

        /* From here on it is not to die with its agent: there may be a record, which would be left without a command. */
        (void)keeper_set_mortal(false);
        r = run_fd < 0 ? -errno : epoch_enter(&epoch_fd, folder_fd, epoch);
        if (r == 0)
                r = record_file_create(&keeping->record_fd, run_fd, keeping->ref, keeping->attempt,
                                       &keeping->keeper->id);
        if (r > 0) {
                report_say(keeping->report, &(KeeperNews){ .type = KEEPER_NEWS_CLAIMED });
                report_send_all(keeping->report);
                _exit(0);
        }
        if (r < 0) {
                (void)snprintf(why, sizeof(why), "cannot make its record: %s", strerror(-r));
                fail(keeping, STATUS_FAILED, why);
        }
}

static void note_start(Keeping *keeping) {
        uint64_t ticks = 0;

        /* It can't be gone: nobody has waited for it. */
        (void)proc_start_ticks(keeping->child.pid, &ticks, NULL);
        (void)record_file_note_command(keeping->record_fd, keeping->child.pid, ticks,
                                       keeping->started_at_us);
        report_say_started(keeping->report,
                           &(KeeperNews){ .type = KEEPER_NEWS_STARTED,
                                          .pid = keeping->child.pid,
                                          .start_ticks = ticks,
                                          .at_us = keeping->started_at_us },
                           keeping->child.pidfd);
        if (keeping->time_limit_us != TASK_TIME_INF)
                keeping->limit_boot_us = clock_boottime_us() + keeping->time_limit_us;
}

static void start(Keeping *keeping, const KeeperOrder *order) {
        _cleanup_(environment_freep) Environment *environment = NULL;
        _cleanup_(context_freep) Context *context = NULL;
        _cleanup_(bundle_task_done) BundleTask words = { 0 };
        const Task task = {
                .id = order->ref,
                .needs.n_gpus = order->n_gpus,
                .gpus = (GpuGrant *)(uintptr_t)order->gpus,
        };
        Error error = { 0 };
        int r;

        claim(keeping, order->folder, order->epoch);
        if (context_parse(&context, order->context, order->n_context) < 0 ||
            bundle_task_parse(&words, order->task, order->n_task) < 0)
                fail(keeping, STATUS_FAILED, "its command cannot be read any more");
        keeping->log_fd = launch_open_log(order, context, &error);
        if (keeping->log_fd < 0)
                fail(keeping, STATUS_FAILED, error.text);
        if (environment_new(&environment, context->environment, &task, order->pin) < 0)
                fail(keeping, STATUS_FAILED, "out of memory");

        keeping->started_at_us = clock_realtime_us();
        r = launch_command(&keeping->child,
                           &(Launch){ .words = &words,
                                      .context = context,
                                      .envp = environment_vector(environment),
                                      .null_fd = keeping->keeper->null_fd,
                                      .log_fd = keeping->log_fd },
                           &error);
        if (r != 0)
                fail(keeping,
                     r == SPAWN_E_NOT_FOUND   ? STATUS_NOT_FOUND :
                     r == SPAWN_E_CANNOT_EXEC ? STATUS_CANNOT_EXEC :
                                                STATUS_FAILED,
                     error.text);
        note_start(keeping);
}

static int proc_fd(Keeping *keeping) {
        if (keeping->proc_fd < 0)
                keeping->proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return keeping->proc_fd;
}

static void pass_on(Keeping *keeping, int signal) {
        if (!keeping->ended)
                (void)pidfd_send_signal(keeping->child.pidfd, signal, NULL, 0);
}

static void signal_tree(Keeping *keeping, int signal) {
        int fd = proc_fd(keeping);

        if (fd < 0 || tree_signal(fd, signal, signal != SIGKILL) < 0) {
                pass_on(keeping, signal);
                pass_on(keeping, SIGCONT);
        }
}

/* Living descendants; also when they can't be counted. */
static bool has_descendants(Keeping *keeping) {
        _cleanup_free_ pid_t *pids = NULL;
        int fd = proc_fd(keeping);

        return fd < 0 || tree_pids(fd, getpid(), getuid(), &pids) != 0;
}

static void end_command(Keeping *keeping, TaskState state, int signal) {
        uint64_t kill_at = clock_boottime_us() + KILL_AFTER_US;

        if (!keeping->ending) {
                keeping->ending = true;
                keeping->end_state = state;
                keeping->limit_boot_us = NEVER;
        }
        signal_tree(keeping, signal > 0 && signal < NSIG ? signal : SIGTERM);
        keeping->kill_boot_us = MIN(keeping->kill_boot_us, kill_at);
}

/* Whether the command died because everything here is to go: a logout or a shutdown sends the same to it and to us. */
static bool goes_with_the_session(const Keeping *keeping) {
        int status = keeping->wait_status;
        sigset_t farewell;

        if (keeping->ending || !WIFSIGNALED(status) ||
            (WTERMSIG(status) != SIGTERM && WTERMSIG(status) != SIGHUP))
                return false;
        (void)sigemptyset(&farewell);
        (void)sigaddset(&farewell, SIGTERM);
        (void)sigaddset(&farewell, SIGHUP);
        return keeping->told_to_go ||
               sigtimedwait(&farewell, NULL,
                            &(struct timespec){ .tv_nsec = FAREWELL_MS * NS_PER_USEC *
                                                           (long)US_PER_MSEC }) > 0;
}

/* What of the output is missing nobody would know. It counts as old from here on, however long nothing was written. */
static void see_to_the_log(Keeping *keeping, RecordEnd *end) {
        struct statvfs disk;

        (void)futimens(keeping->log_fd, NULL);
        if (fstatvfs(keeping->log_fd, &disk) == 0 && disk.f_blocks > 0 &&
            (geteuid() == 0 ? disk.f_bfree : disk.f_bavail) == 0 && end->reason[0] == '\0')
                (void)snprintf(end->reason, sizeof(end->reason),
                               "the disk that its output goes to is full");
        keeping->log_fd = fd_close(keeping->log_fd);
}

static void conclude(Keeping *keeping) {
        int status = keeping->wait_status;
        RecordEnd end = {
                .exit_status = WIFSIGNALED(status) ? -1 : WEXITSTATUS(status),
                .signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0,
                .ended_at_us = clock_realtime_us(),
        };
        char limit[UNITS_FORMAT_MAX];

        /* It did not end, it was taken away: the record has no end, and whoever comes next finds the task lost, or runs it again. */
        if (goes_with_the_session(keeping)) {
                (void)sleep(
                        LEAVE_SEC); /* agent and daemon are to go first, and not to hear of it now */
                _exit(0);
        }
        end.state = keeping->ending ? keeping->end_state : task_end_state(end.exit_status);
        if (end.state == TASK_STATE_TIMEOUT)
                (void)snprintf(end.reason, sizeof(end.reason), "ended after its time limit of %s",
                               units_format_duration(limit, sizeof(limit), keeping->time_limit_us));
        see_to_the_log(keeping, &end);
        finish(keeping, &end);
        keeping->over = true;
}

/* Children that ended: the command, and orphans of it that became ours. */
static void reap(Keeping *keeping) {
        bool alone = false;
        int status;
        pid_t pid;

        while ((pid = waitpid(-1, &status, WNOHANG)) != 0) {
                if (pid < 0 && errno == EINTR)
                        continue;
                if (pid < 0) {
                        alone = errno == ECHILD;
                        break;
                }
                if (pid == keeping->child.pid && !keeping->ended) {
                        keeping->ended = true;
                        keeping->wait_status = status;
                }
                if (keeping->ended && !keeping->ending)
                        break;
        }
        if (keeping->ended && (!keeping->ending || alone || !has_descendants(keeping)))
                conclude(keeping);
}

static void on_cancel(Keeping *keeping, const siginfo_t *info) {
        uint64_t word = (uintptr_t)info->si_value.sival_ptr;
        int signal = (int)(word & 0xff);

        if (info->si_code == SI_QUEUE &&
            word == cancel_word(keeping->ref, keeping->attempt, signal))
                end_command(keeping, TASK_STATE_CANCELLED, signal);
}

static void on_signal(Keeping *keeping, const siginfo_t *info) {
        SignalNews news = { .signal = info->si_signo, .from_process = info->si_code <= 0 };

        if (info->si_signo == SIGCHLD)
                reap(keeping);
        else if (info->si_signo == SIGRTMIN)
                on_cancel(keeping, info);
        else if (signal_is_passed_on(&news)) {
                keeping->told_to_go |= info->si_signo == SIGTERM || info->si_signo == SIGHUP;
                pass_on(keeping, info->si_signo);
        }
}

static void run_timers(Keeping *keeping) {
        uint64_t now;

        if (keeping->over || (keeping->limit_boot_us == NEVER && keeping->kill_boot_us == NEVER))
                return;
        now = clock_boottime_us();
        if (keeping->limit_boot_us <= now)
                end_command(keeping, TASK_STATE_TIMEOUT, SIGTERM);
        if (keeping->kill_boot_us <= now) {
                keeping->kill_boot_us = now + KILL_AGAIN_US;
                signal_tree(keeping, SIGKILL);
                reap(keeping);
        }
}

/* The next signal, or that a timer is due. Return: whether there was a signal. */
static bool wait_for_signal(const Keeping *keeping, siginfo_t *ret) {
        uint64_t until = MIN(MIN(keeping->limit_boot_us, keeping->kill_boot_us),
                             report_due_boot_us(keeping->report));

        return keeper_wait(until, ret);
}

/* What came before anybody could know whose keeper this is was not for this command. */
static void forget_signals(const sigset_t *set) {
        while (sigtimedwait(set, NULL, &(struct timespec){ 0 }) > 0)
                ;
}

static void mind(Keeping *keeping) {
        while (!keeping->over) {
                siginfo_t info;

                if (wait_for_signal(keeping, &info))
                        on_signal(keeping, &info);
                report_send(keeping->report);
                run_timers(keeping);
        }
}

/* @row: from which it was taken. Return: whether this process may keep another one. */
static bool keep(Keeper *keeper, const KeeperOrder *order, const KeeperRow *row, bool first) {
        sigset_t stray;
        Keeping keeping = {
                .keeper = keeper,
                .report = &keeper->report,
                .ref = order->ref,
                .attempt = order->attempt,
                .time_limit_us = order->time_limit_us,
                .record_fd = -1,
                .log_fd = -1,
                .proc_fd = -1,
                .child.pidfd = -1,
                .limit_boot_us = NEVER,
                .kill_boot_us = NEVER,
                .is_last = row->n_left == 0,
        };

        report_begin(&keeper->report, order->ref, order->attempt, row->n_together);
        fill_set(&stray);
        if (!first) /* the agent knows since the last end that this one is next, and may have cancelled it */
                (void)sigdelset(&stray, SIGRTMIN);
        forget_signals(&stray);
        if (first)
                report_say(keeping.report, &(KeeperNews){ .type = KEEPER_NEWS_TAKEN,
                                                          .pid = keeper->id.pid,
                                                          .start_ticks = keeper->id.start_ticks });
        keeping.folder = strdup(order->folder);
        if (!keeping.folder)
                fail(&keeping, STATUS_FAILED, "out of memory");
        start(&keeping, order);
        mind(&keeping);

        free(keeping.folder);
        spawned_done(&keeping.child);
        (void)fd_close(keeping.record_fd);
        (void)fd_close(keeping.proc_fd);
        return keeping.may_go_on;
}

/* What is in a row when the agent dies is left to the next one. */
static bool is_still_wanted(const Keeper *keeper) {
        struct pollfd agent = { .fd = keeper->report.fd };

        return keeper_set_mortal(true) && getppid() == keeper->parent && poll(&agent, 1, 0) == 0;
}

/* What our own agent sends and can't be read is a bug, or no memory: the agent will find that nobody has taken it. */
_Noreturn static void give_up(int r) {
        say_error("an order to start a task can't be read: %s", strerror(-r));
        _exit(1);
}

bool keeper_run(Keeper *keeper, char *bytes, size_t n) {
        bool again = true, first = true;
        KeeperRow row;
        int r;

        r = keeper_row_open(&row, bytes, n);
        if (r < 0)
                give_up(r);
        while (again && row.n_left > 0 && (first || is_still_wanted(keeper))) {
                GpuGrant *gpus = NULL;
                KeeperOrder order;

                r = keeper_row_next(&row, &order, &gpus);
                if (r < 0)
                        give_up(r);
                again = keep(keeper, &order, &row, first);
                first = false;
                free(gpus);
        }
        free(bytes);
        return again;
}
