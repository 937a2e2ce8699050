/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "cli/outside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "cli/session.h"
#include "probe/fields.h"
#include "probe/holders.h"
#include "util/cleanup.h"
#include "util/fd.h"
#include "util/macro.h"
#include "util/proc-id.h"

enum {
        ROOTS_MAX = 4096, /* two a task */
};

/* The name that a process has given itself, without the newline. Return: whether there is one. */
static bool read_name(pid_t pid, char *buf, size_t n) {
        char path[32];
        ssize_t n_read;

        (void)snprintf(path, sizeof(path), "/proc/%d/comm", pid);
        n_read = fields_read(AT_FDCWD, path, buf, n - 1);
        if (n_read <= 0)
                return false;
        buf[n_read] = '\0';
        buf[strcspn(buf, "\n")] = '\0';
        return buf[0] != '\0';
}

const char *outside_program(const OutsideProcess *outsider, char *buf, size_t n) {
        uint64_t start_ticks;

        if (outsider->start_ticks == 0 || proc_start_ticks(outsider->pid, &start_ticks, NULL) < 0 ||
            start_ticks != outsider->start_ticks)
                return NULL;
        return read_name(outsider->pid, buf, n) ? buf : NULL;
}

typedef struct Roots {
        size_t n;
        pid_t pids[ROOTS_MAX];
} Roots;

static void add_root(Roots *roots, pid_t pid) {
        if (roots->n < ROOTS_MAX)
                roots->pids[roots->n++] = pid;
}

/* A task's command, and its runner, to which falls what the command leaves behind. */
static void add_task(Roots *roots, const Task *task) {
        char name[OUTSIDE_PROGRAM_MAX];
        uint64_t start_ticks;
        pid_t parent;

        if (task->pid <= 0 || proc_start_ticks(task->pid, &start_ticks, &parent) < 0 ||
            start_ticks != task->pid_start_ticks)
                return;
        add_root(roots, task->pid);
        /* Where it is gone somebody else is the parent: a service manager has more children than this. */
        if (parent > 1 && read_name(parent, name, sizeof(name)) &&
            strncmp(name, "taskflow", strlen("taskflow")) == 0)
                add_root(roots, parent);
}

/* The list begins with those that run, and is read as far as they go. */
static int read_roots(Client *client, Roots *ret) {
        Call call = { .type = CALL_LIST, .more = true };
        bool more = true;
        Reply reply;
        int status;

        status = session_call(client, &call, &reply);
        while (status == 0 && more) {
                more = reply.continues;
                for (size_t i = 0; i < reply.list.n && more; i++)
                        more = reply.list.tasks[i].task->state == TASK_STATE_RUNNING;
                for (size_t i = 0; i < reply.list.n; i++)
                        if (reply.list.tasks[i].task->state == TASK_STATE_RUNNING)
                                add_task(ret, reply.list.tasks[i].task);
                reply_done(&reply);
                if (more && ret->n < ROOTS_MAX)
                        status = session_read(client, &reply);
                else
                        more = false;
        }
        return status == 0 ? 0 : -EIO;
}

int outside_ram(Client *client, Outsiders *ret) {
        _cleanup_close_ int proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        static Roots roots;
        int r = 0;

        if (proc_fd < 0)
                return -errno;
        roots.n = 0;
        if (client)
                r = read_roots(client, &roots);
        return r < 0 ? r : holders_of_ram(proc_fd, roots.pids, roots.n, ret);
}
