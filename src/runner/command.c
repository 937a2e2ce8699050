/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The command: its start, its signals, its end
 *
 * It is a plain child in our own process group, so that terminal, job control and pipelines are what they would be without us.
 * Everything it starts stays our descendant (we are a subreaper), so that its tree can be measured and, if it is to end, ended
 * whole. If it ends by itself what it left behind is left alone.
 */

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "probe/tree.h"
#include "runner/environment.h"
#include "runner/run.h"
#include "runner/tree-signal.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/macro.h"
#include "util/units.h"

#define KILL_AFTER_US (10 * US_PER_SEC) /* interface.md */
#define KILL_AGAIN_US US_PER_SEC        /* what was forked while we killed, or does not die yet */

/* What a program takes that looks at all of them; of a GPU that is split (MIG) it is the first instance. */
static bool is_first(const GpuGrant *gpu) {
        const char *part = strchr(gpu->id, '.');

        return gpu->index == 0 && (!part || strcmp(part, ".0") == 0);
}

/* People expect to have the GPU that was given to them, and get the first one. */
static void hint_at_pin(Run *run) {
        static const char *const variables[N_GPU_KINDS] = {
                [GPU_KIND_NVIDIA] = "CUDA_VISIBLE_DEVICES",
                [GPU_KIND_AMD] = "ROCR_VISIBLE_DEVICES",
                [GPU_KIND_INTEL] = "ZE_AFFINITY_MASK",
        };
        const Task *task = run->task;
        char list[GPU_MAX * GPU_ID_MAX];
        const char *variable;

        if (run->pin || task->needs.n_gpus == 0 || is_first(&task->gpus[0]))
                return;
        variable = variables[task->gpus[0].kind];
        if (variable && getenv(variable))
                return;
        environment_gpu_list(task->gpus, task->needs.n_gpus, list, sizeof(list));
        run_say(run, "the command sees all GPUs; --pin shows it GPU%s %s alone",
                task->needs.n_gpus > 1 ? "s" : "", list);
}

/* How the task ended, for the daemon and its records. */
static void note_end(Run *run, TaskState state, int exit_status, int signal) {
        Task *task = run->task;

        task->state = state;
        task->exit_status = exit_status;
        task->signal = signal;
        task->ended_at_us = clock_realtime_us();
}

static void note_start(Run *run) {
        Task *task = run->task;

        task->state = TASK_STATE_RUNNING;
        task->started_at_us = clock_realtime_us();
        task->started_boot_us = clock_boottime_us();
}

/* The grant was for nothing. */
static void fail_to_start(Run *run, int status, const char *why) {
        run_complain(run, "%s", why);
        run->status = status;
        note_end(run, TASK_STATE_FAILED, status, 0);
        free(run->task->reason);
        if (asprintf(&run->task->reason, "could not be started: %s", why) < 0)
                run->task->reason = NULL;
        run_report(run);
}

static int start(Run *run, Error *error) {
        _cleanup_(environment_freep) Environment *environment = NULL;

        if (environment_new(&environment, environ, run->task, run->pin) < 0)
                return error_set(error, -ENOMEM, "out of memory");
        if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
                return error_set(error, -errno, "cannot become a subreaper: %s", strerror(errno));

        /* What can't be executed so is the shell's to judge, and to complain about. */
        if (run->request->plain_argv &&
            spawn(&run->child, run->request->plain_argv, environment_vector(environment),
                  &run->signals, false, NULL) == 0)
                return 0;
        return spawn(&run->child, run->request->argv, environment_vector(environment),
                     &run->signals, true, error);
}

static void pass_on(Run *run, int signal) {
        if (run->child.pid != 0)
                (void)pidfd_send_signal(run->child.pidfd, signal, NULL, 0);
}

/*
 * What the terminal sent in the instant of the start may have come before the child was there, or after: it is passed on. Twice
 * is better than not at all.
 */
static void catch_up_with_signals(Run *run) {
        SignalNews news;

        while (run->phase == RUN_PHASE_RUNNING && signals_next(&run->signals, &news) == 0) {
                if (news.signal != SIGCHLD)
                        news.from_process = true;
                run_on_signal(run, &news);
        }
}

void run_start(Run *run) {
        Error error = { 0 };
        int r;

        run_set_timer(run, RUN_TIMER_WHY, RUN_NEVER);
        run_set_timer(run, RUN_TIMER_GIVE_UP, RUN_NEVER);
        waiting_line_clear(&run->line);
        hint_at_pin(run);
        note_start(run);

        r = start(run, &error);
        if (r != 0) {
                fail_to_start(run,
                              r == SPAWN_E_NOT_FOUND   ? RUN_STATUS_NOT_FOUND :
                              r == SPAWN_E_CANNOT_EXEC ? RUN_STATUS_CANNOT_EXEC :
                                                         RUN_STATUS_FAILED,
                              error.text);
                return;
        }
        run->task->pid = run->child.pid;
        run->phase = RUN_PHASE_RUNNING;
        run_tell_started(run);
        look_start(&run->look, run->task->started_boot_us);
        run_set_timer(run, RUN_TIMER_LOOK, look_due_boot_us(&run->look));
        if (run->task->time_limit_us != TASK_TIME_INF)
                run_set_timer(run, RUN_TIMER_LIMIT,
                              run->task->started_boot_us + run->task->time_limit_us);
        catch_up_with_signals(run);
        run->has_records = records_exist(); /* while the command runs: it costs nobody anything */
}

/* What we end with, now that the command has. */
static void adopt_status(Run *run) {
        int wait_status = run->wait_status;

        if (WIFSIGNALED(wait_status)) {
                run->die_signal = WTERMSIG(wait_status);
                run->status = 128 + run->die_signal;
        } else {
                run->status = WEXITSTATUS(wait_status);
        }
        if (run->ending && run->end_state == TASK_STATE_TIMEOUT) {
                run->status = RUN_STATUS_TIMEOUT;
                run->die_signal = 0;
        }
}

static void report_end(Run *run) {
        int exit_status = WIFSIGNALED(run->wait_status) ? -1 : WEXITSTATUS(run->wait_status);
        int signal = WIFSIGNALED(run->wait_status) ? WTERMSIG(run->wait_status) : 0;

        adopt_status(run);
        note_end(run, run->ending ? run->end_state : task_end_state(exit_status), exit_status,
                 signal);
        spawned_done(&run->child);
        run_report(run);
}

/* Living descendants; also when they can't be counted. */
static bool has_descendants(Run *run) {
        _cleanup_free_ pid_t *pids = NULL;
        int proc_fd = look_proc_fd(&run->look);

        return proc_fd < 0 || tree_pids(proc_fd, getpid(), getuid(), &pids) != 0;
}

/*
 * The job control of our shell sees us; so if the command stops, we do, and what wakes us wakes it. SIGSTOP becomes SIGTSTP, which
 * stops nobody where there is no such shell: what stops and wakes the command alone (cpulimit does) would not wake us.
 */
static void stop_too(Run *run, int signal) {
        if (run->ending) {
                pass_on(run, SIGCONT);
                return;
        }
        signals_stop_self(signal == SIGSTOP ? SIGTSTP : signal);
}

/* One child that changed. Return: whether there may be another one. */
static bool wait_for_one(Run *run, bool *ret_alone) {
        int wait_status;
        pid_t pid;

        pid = waitpid(-1, &wait_status, WNOHANG | WUNTRACED);
        if (pid < 0)
                *ret_alone = errno == ECHILD;
        if (pid <= 0)
                return pid < 0 && errno == EINTR;
        if (pid != run->child.pid || run->ended)
                return true; /* an orphan of the command's */
        if (WIFSTOPPED(wait_status)) {
                stop_too(run, WSTOPSIG(wait_status));
                return true;
        }
        run->ended = true;
        run->wait_status = wait_status;
        return run->ending;
}

static void on_child(Run *run) {
        bool alone = false;

        if (run->phase != RUN_PHASE_RUNNING)
                return;
        while (wait_for_one(run, &alone))
                ;
        if (run->ended && (!run->ending || alone || !has_descendants(run)))
                report_end(run);
}

static void stop_waiting(Run *run, int signal) {
        waiting_line_clear(&run->line);
        run_tell_away(run, true);
        signals_stop_self(signal);
        run_tell_away(run, false);
        if (run->phase == RUN_PHASE_WAITING)
                run_ask_why(run);
}

static void on_signal_waiting(Run *run, int signal) {
        switch (signal) {
        case SIGTSTP:
                stop_waiting(run, signal);
                return;
        case SIGWINCH:
                if (run->phase == RUN_PHASE_WAITING && run->line.terminal)
                        run_ask_why(run);
                return;
        default:
                break;
        }
        if (!signal_is_fatal(signal))
                return;
        waiting_line_clear(&run->line);
        run_leave(run, 128 + signal, signal, strsignal(signal));
}

void run_on_signal(Run *run, const SignalNews *news) {
        switch (run->phase) {
        case RUN_PHASE_SUBMITTING:
        case RUN_PHASE_WAITING:
        case RUN_PHASE_ACCEPTING:
                on_signal_waiting(run, news->signal);
                return;
        case RUN_PHASE_RUNNING:
                if (news->signal == SIGCHLD)
                        on_child(run);
                else if (signal_is_passed_on(news))
                        pass_on(run, news->signal);
                return;
        case RUN_PHASE_REPORTING:
                /* Nobody has to wait for the daemon. */
                if (signal_is_fatal(news->signal))
                        run_lose_patience(run);
                return;
        case RUN_PHASE_LEAVING:
                if (signal_is_fatal(news->signal))
                        run_finish_by_signal(run, news->signal);
                return;
        case RUN_PHASE_OVER:
                return;
        }
}

void run_on_look(Run *run) {
        TreeUse use;

        if (run->attached && look_take(&run->look, &use) == 0)
                run_tell_used(run, use.memory_bytes);
        run_set_timer(run, RUN_TIMER_LOOK,
                      run->attached ? look_due_boot_us(&run->look) : RUN_NEVER);
}

static void signal_tree(Run *run, int signal) {
        int proc_fd = look_proc_fd(&run->look);

        if (proc_fd < 0 || tree_signal(proc_fd, signal, signal != SIGKILL) < 0) {
                pass_on(run, signal);
                pass_on(run, SIGCONT);
        }
}

void run_end_command(Run *run, TaskState state, int signal) {
        uint64_t kill_at = clock_boottime_us() + KILL_AFTER_US;

        if (run->phase != RUN_PHASE_RUNNING)
                return;
        if (!run->ending) {
                run->ending = true;
                run->end_state = state;
                run_say(run, "task %" PRIu64 " is %s: its command is ended", run->task->id,
                        state == TASK_STATE_TIMEOUT ? "at its time limit" : "cancelled");
        }
        signal_tree(run, signal > 0 && signal < NSIG ? signal : SIGTERM);
        run_set_timer(run, RUN_TIMER_KILL, MIN(run->timers[RUN_TIMER_KILL], kill_at));
}

void run_on_limit(Run *run) {
        char limit[UNITS_FORMAT_MAX];

        run_set_timer(run, RUN_TIMER_LIMIT, RUN_NEVER);
        if (run->phase != RUN_PHASE_RUNNING || run->ending)
                return;
        free(run->task->reason);
        if (asprintf(&run->task->reason, "ended after its time limit of %s",
                     units_format_duration(limit, sizeof(limit), run->task->time_limit_us)) < 0)
                run->task->reason = NULL;
        run_end_command(run, TASK_STATE_TIMEOUT, SIGTERM);
}

void run_on_kill(Run *run) {
        run_set_timer(run, RUN_TIMER_KILL, clock_boottime_us() + KILL_AGAIN_US);
        signal_tree(run, SIGKILL);
        on_child(run);
}
