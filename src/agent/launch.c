/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "agent/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/keeper-wait.h"
#include "util/fd.h"

/* A FIFO that nobody reads must not hold us up, so it is not waited for; what is opened waits like any other. */
int launch_open_log(const KeeperOrder *order, const Context *context, Error *error) {
        int flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
        mode_t before;
        int fd;

        if (order->log_is_own) {
                fd = open(order->log, flags | O_NOFOLLOW, 0600);
        } else {
                before = umask(context->umask);
                fd = open(order->log, flags, 0666);
                (void)umask(before);
        }
        if (fd < 0)
                return error_set(error, -1, "cannot write to '%s': %s", order->log,
                                 strerror(errno));
        (void)fd_set_nonblock(fd, false);
        return fd;
}

/* Of the environment that the command will have. */
static const char *find_path(char *const *envp) {
        static const char name[] = "PATH=";

        for (size_t i = 0; envp[i]; i++)
                if (strncmp(envp[i], name, strlen(name)) == 0)
                        return envp[i] + strlen(name);
        return NULL;
}

/* In the child: with our memory, but its own descriptors. */
static int prepare_child(void *userdata) {
        const Launch *launch = userdata;
        sigset_t none;

        if (dup2(launch->null_fd, STDIN_FILENO) < 0 || dup2(launch->log_fd, STDOUT_FILENO) < 0 ||
            dup2(launch->log_fd, STDERR_FILENO) < 0 ||
            close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
                return errno;
        keeper_wait_undo();
        (void)sigemptyset(&none);
        (void)sigprocmask(SIG_SETMASK, &none, NULL);
        return context_apply(launch->context);
}

/* Like the foreground: what can't be executed plainly is the shell's to judge, and to complain about. */
int launch_command(Spawned *ret, const Launch *launch, Error *error) {
        SpawnPlan plan = {
                .argv = launch->words->plain_argv,
                .envp = launch->envp,
                .path = find_path(launch->envp),
                .prepare = prepare_child,
                .userdata = (void *)(uintptr_t)launch,
        };
        int r;

        if (plan.argv && spawn_plan(ret, &plan, NULL) == 0)
                return 0;
        plan.argv = launch->words->argv;
        plan.scripts = true;
        r = spawn_plan(ret, &plan, error);
        if (r == SPAWN_E_NOT_PREPARED)
                error_prefix(error, "cannot enter '%s': ", launch->context->cwd);
        return r;
}
