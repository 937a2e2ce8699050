/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * systemd is asked by way of its programs, as in client/agent-start.c. Where taskflow is installed in a place that the user's manager
 * does not look into, the unit is written into the user's own folder of units.
 */

#include "cli/agent-unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/command.h"
#include "client/clean-start.h"
#include "util/cleanup.h"
#include "util/fd.h"
#include "util/macro.h"
#include "util/strv.h"

#define UNIT "taskflow-agent.service"

/* Its exit status, or -1 if it could not be run. What it says goes to stderr; @quiet: nowhere. */
static int run(char *const *argv, bool quiet) {
        posix_spawn_file_actions_t actions;
        int wait_status;
        pid_t pid;
        int r;

        if (posix_spawn_file_actions_init(&actions) != 0)
                return -1;
        r = quiet ? posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY,
                                                     0) :
                    0;
        if (r == 0)
                r = posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
        if (r == 0)
                r = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
        (void)posix_spawn_file_actions_destroy(&actions);
        if (r != 0)
                return -1;

        while (waitpid(pid, &wait_status, 0) < 0)
                if (errno != EINTR)
                        return -1;
        return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : -1;
}

static int systemctl(const char *verb, const char *unit, bool quiet) {
        char *const argv[] = { (char[]){ "systemctl" }, (char[]){ "--user" },
                               (char *)(uintptr_t)verb, (char *)(uintptr_t)unit, NULL };

        return run(argv, quiet);
}

/* ~/.config/systemd/user */
static char *unit_folder(void) {
        const char *config = getenv("XDG_CONFIG_HOME");
        const struct passwd *user = getpwuid(getuid());
        const char *home = getenv("HOME");
        char *path;

        if (!home || home[0] != '/')
                home = user ? user->pw_dir : "/";
        if (config && config[0] == '/')
                return asprintf(&path, "%s/systemd/user", config) < 0 ? NULL : path;
        return asprintf(&path, "%s/.config/systemd/user", home) < 0 ? NULL : path;
}

/* A path as systemd reads words: in double quotes, `%` and `$` doubled. */
static void put_path(FILE *out, const char *path) {
        (void)fputc('"', out);
        for (; *path; path++) {
                if (*path == '%' || *path == '$')
                        (void)fputc(*path, out);
                else if (*path == '"' || *path == '\\')
                        (void)fputc('\\', out);
                (void)fputc(*path, out);
        }
        (void)fputc('"', out);
}

/* Return: 0, or an exit status after saying what is wrong. */
static int write_unit(void) {
        _cleanup_free_ char *folder = unit_folder();
        _cleanup_free_ char *program = NULL;
        _cleanup_free_ char *path = NULL;
        _cleanup_free_ char *text = NULL;
        size_t n = 0;
        FILE *out;
        int r;

        if (clean_start_find("taskflow-agent", &program) < 0)
                return cli_fail(CLI_STATUS_REFUSED, "agent: taskflow-agent is not installed");
        if (!folder || asprintf(&path, "%s/" UNIT, folder) < 0)
                path = NULL;
        out = path ? open_memstream(&text, &n) : NULL;
        if (!out)
                return cli_fail(CLI_STATUS_REFUSED, "out of memory");

        (void)fputs("# Written by 'taskflow agent enable'.\n"
                    "[Unit]\n"
                    "Description=Agent of taskflow, owner of your detached tasks\n"
                    "\n"
                    "[Service]\n"
                    "Type=exec\n"
                    "ExecStart=",
                    out);
        put_path(out, program);
        (void)fputs("\n"
                    "KillMode=process\n"
                    "\n"
                    "[Install]\n"
                    "WantedBy=default.target\n",
                    out);
        if (fclose(out) != 0)
                return cli_fail(CLI_STATUS_REFUSED, "out of memory");

        r = fd_mkdir_p(folder, 0755);
        if (r == 0)
                r = fd_write_file_atomic(AT_FDCWD, path, text, n, 0644);
        if (r < 0)
                return cli_fail(CLI_STATUS_REFUSED, "agent: cannot write '%s': %s", path,
                                strerror(-r));
        (void)systemctl("daemon-reload", NULL, false);
        return 0;
}

static int enable_linger(void) {
        char *const argv[] = { (char[]){ "loginctl" }, (char[]){ "enable-linger" }, NULL };

        if (run(argv, false) != 0)
                return cli_fail(
                        CLI_STATUS_REFUSED,
                        "agent: 'loginctl enable-linger' failed; an admin can do it for you: "
                        "loginctl enable-linger USER");
        return 0;
}

int agent_unit_enable(bool linger) {
        int status = 0;

        if (access("/run/systemd/system", F_OK) < 0)
                return cli_fail(
                        CLI_STATUS_REFUSED,
                        "agent: this machine does not run systemd; the agent is started by the "
                        "first command that needs it");
        if (systemctl("show-environment", NULL, true) != 0)
                return cli_fail(
                        CLI_STATUS_REFUSED,
                        "agent: there is no systemd of your own here (systemctl --user does not "
                        "answer)");

        if (systemctl("cat", UNIT, true) != 0)
                status = write_unit();
        if (status != 0)
                return status;
        if (systemctl("enable", UNIT, false) != 0)
                return cli_fail(CLI_STATUS_REFUSED,
                                "agent: 'systemctl --user enable " UNIT "' failed");

        (void)puts("Your agent is started at login from now on, and runs tasks that wait.");
        if (linger)
                status = enable_linger();
        if (status == 0 && linger)
                (void)puts(
                        "You linger: your services run from boot to shutdown, logged in or not, so that tasks start "
                        "and run on without you.");
        else if (!linger)
                (void)puts(
                        "Without lingering your services, and what they run, may end when you log out, and start at "
                        "your next login. 'taskflow agent enable --linger' lets them run from boot to shutdown.");
        return status;
}
