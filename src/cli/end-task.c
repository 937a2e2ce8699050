/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The command comes last: while it lives, its descendants can be found below it.
 */

#include "cli/end-task.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "probe/tree.h"
#include "util/cleanup.h"
#include "util/proc-id.h"

enum {
        STAT_MAX = 4096, /* of /proc/PID/stat */
        COMM_MAX = 64,   /* of /proc/PID/comm */
        ROUNDS_MAX = 4,  /* looks for children that were made while others were signalled */
};

/* The letter of its state: R S D T t Z …; 0 if it is gone. */
static int process_state(pid_t pid) {
        _cleanup_free_ char *text = NULL;
        const char *after_name;
        char path[64];

        (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
        if (fd_read_file(AT_FDCWD, path, &text, NULL, STAT_MAX) < 0)
                return 0;

        after_name = strrchr(text, ')');
        return after_name && after_name[1] == ' ' ? (unsigned char)after_name[2] : 0;
}

static ProcId id_of(const IdResult *task) {
        ProcId id = { .pid = task->pid, .start_ticks = task->pid_start_ticks };

        (void)snprintf(id.boot_id, sizeof(id.boot_id), "%s", task->boot_id);
        return id;
}

bool end_task_is_alive(const IdResult *task) {
        ProcId id = id_of(task);
        int state;

        if (task->pid <= 0 || !proc_id_is_alive(&id))
                return false;

        state = process_state(task->pid);
        return state != 0 && state != 'Z' && state != 'X';
}

bool end_task_has_runner(const IdResult *task) {
        uint64_t start_ticks;
        pid_t ppid;

        return task->runner_pid > 0 && end_task_is_alive(task) &&
               proc_start_ticks(task->pid, &start_ticks, &ppid) == 0 && ppid == task->runner_pid;
}

bool end_task_runner_is_gone(const IdResult *task) {
        int state = task->runner_pid > 0 ? process_state(task->runner_pid) : 0;

        return state == 0 || state == 'Z' || state == 'X';
}

/* An agent or a keeper, by the name that it gave itself: whoever borrows it gains a SIGCONT. */
static bool is_of_agent(pid_t pid) {
        _cleanup_free_ char *name = NULL;
        char path[64];

        (void)snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
        return pid > 1 && fd_read_file(AT_FDCWD, path, &name, NULL, COMM_MAX) == 0 &&
               strncmp(name, "taskflow-", 9) == 0;
}

static bool is_runner(const IdResult *task, pid_t pid) {
        return is_of_agent(pid) || (pid == task->runner_pid && end_task_has_runner(task));
}

static bool wake(const IdResult *task, pid_t pid) {
        _cleanup_close_ int pid_fd = -1;

        if (!is_runner(task, pid))
                return false;

        pid_fd = pidfd_open(pid, 0);
        /* Looked at again behind the open: what is now held open is still it. */
        if (pid_fd < 0 || !is_runner(task, pid) || process_state(pid) != 'T')
                return false;
        return pidfd_send_signal(pid_fd, SIGCONT, NULL, 0) == 0;
}

bool end_task_wake_runner(const IdResult *task) {
        bool woken = wake(task, task->runner_pid);
        uint64_t start_ticks;
        pid_t ppid;

        /* Of a detached one the keeper is the parent, and the agent tells it what to do. */
        if (end_task_is_alive(task) && proc_start_ticks(task->pid, &start_ticks, &ppid) == 0 &&
            ppid != task->runner_pid)
                woken = wake(task, ppid) || woken;
        return woken;
}

static int signal_fd(int pid_fd, pid_t pid, int signal, Error *error) {
        if (pidfd_send_signal(pid_fd, signal, NULL, 0) < 0 && errno != ESRCH)
                return error_set(error, -errno, "process %d: %s", (int)pid, strerror(errno));

        (void)pidfd_send_signal(pid_fd, SIGCONT, NULL, 0);
        return 0;
}

/* One that is known by its number alone, just found below the command. */
static int signal_descendant(pid_t pid, pid_t parent_of_all, int signal, Error *error) {
        _cleanup_close_ int pid_fd = pidfd_open(pid, 0);
        uint64_t start_ticks;
        pid_t at = pid;

        if (pid_fd < 0)
                return errno == ESRCH ? 0 :
                                        error_set(error, -errno, "process %d: %s", (int)pid,
                                                  strerror(errno));

        /* The number may have been given to another between the list and the open. */
        while (at != parent_of_all)
                if (at <= 1 || proc_start_ticks(at, &start_ticks, &at) < 0)
                        return 0;
        return signal_fd(pid_fd, pid, signal, error);
}

static bool has_seen(const pid_t *pids, ssize_t n, pid_t pid) {
        for (ssize_t i = 0; i < n; i++)
                if (pids[i] == pid)
                        return true;
        return false;
}

/* All below the command, and those that are made meanwhile. */
static int signal_descendants(const IdResult *task, uid_t uid, int signal, Error *error) {
        _cleanup_close_ int proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_free_ pid_t *before = NULL;
        ssize_t n_before = 0;
        int result = 0;

        if (proc_fd < 0)
                return error_set(error, -errno, "/proc: %s", strerror(errno));

        for (int round = 0; round < ROUNDS_MAX; round++) {
                pid_t *pids = NULL;
                ssize_t n = tree_pids(proc_fd, task->pid, uid, &pids);
                bool news = false;

                if (n < 0)
                        return error_set(error, (int)n, "/proc: %s", strerror((int)-n));
                for (ssize_t i = 0; i < n; i++) {
                        int r;

                        if (has_seen(before, n_before, pids[i]))
                                continue;
                        news = true;
                        r = signal_descendant(pids[i], task->pid, signal, error);
                        if (r < 0)
                                result = r;
                }
                free(before);
                before = pids;
                n_before = n;
                if (!news)
                        break;
        }

        return result;
}

int end_task_signal(const IdResult *task, int signal, Error *error) {
        _cleanup_close_ int pid_fd = -1;
        struct stat st;
        char path[64];
        int result;
        int r;

        if (task->pid <= 0)
                return error_set(error, -ESRCH, "its process is not known");

        pid_fd = pidfd_open(task->pid, 0);
        if (pid_fd < 0 && errno != ESRCH)
                return error_set(error, -errno, "process %d: %s", (int)task->pid, strerror(errno));
        if (pid_fd < 0 || !end_task_is_alive(task))
                return 0;

        (void)snprintf(path, sizeof(path), "/proc/%d", (int)task->pid);
        if (stat(path, &st) < 0)
                return 0;

        result = signal_descendants(task, st.st_uid, signal, error);
        r = signal_fd(pid_fd, task->pid, signal, error);
        return r < 0 ? r : result;
}
