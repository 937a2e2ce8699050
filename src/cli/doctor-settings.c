/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The settings are read by taskflowd alone, so it is asked: what it said of them when it read them last, and what the installed
 * program says of the file as it is now.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli/doctor.h"
#include "client/clean-start.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "wire/places.h"

/* To look up users and groups may take a while. */
#define CHECK_US (5 * US_PER_SEC)

/* What comes until the other side closes it, or the time is up; cut. */
static void read_until(int fd, uint64_t until_boot_us, char *buf, size_t n_buf) {
        size_t n = 0;

        for (;;) {
                struct pollfd pollfd = { .fd = fd, .events = POLLIN };
                uint64_t now_us = clock_boottime_us();
                ssize_t n_read;

                if (n + 1 >= n_buf || now_us >= until_boot_us ||
                    poll(&pollfd, 1, (int)((until_boot_us - now_us) / US_PER_MSEC) + 1) <= 0)
                        break;
                n_read = read(fd, buf + n, n_buf - n - 1);
                if (n_read <= 0)
                        break;
                n += (size_t)n_read;
        }
        buf[n] = '\0';
}

static int spawn(char *const *argv, int stderr_fd, pid_t *ret) {
        posix_spawn_file_actions_t actions;
        int r;

        if (posix_spawn_file_actions_init(&actions) != 0)
                return -ENOMEM;
        r = posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
        if (r == 0)
                r = posix_spawn_file_actions_adddup2(&actions, stderr_fd, STDERR_FILENO);
        if (r == 0)
                r = posix_spawn(ret, argv[0], &actions, NULL, argv, environ);
        (void)posix_spawn_file_actions_destroy(&actions);
        return -r;
}

/* Its exit status; -1 if there is none, also after it was ended for taking too long. */
static int reap(pid_t pid, uint64_t until_boot_us) {
        int wait_status;
        pid_t r;

        while ((r = waitpid(pid, &wait_status, WNOHANG)) == 0 &&
               clock_boottime_us() < until_boot_us)
                (void)nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
        if (r == 0) {
                (void)kill(pid, SIGKILL);
                (void)waitpid(pid, &wait_status, 0);
                return -1;
        }
        return r == pid && WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : -1;
}

/* Return: whether the installed taskflowd takes the file; what it says against it is in @buf then, or "" if it could not be asked. */
static bool check_file(const char *path, bool personal, char *buf, size_t n_buf) {
        char *argv[] = { NULL,
                         (char[]){ "--check-config" },
                         (char[]){ "--config" },
                         (char *)(uintptr_t)path,
                         personal ? (char[]){ "--personal" } : (char[]){ "--socket=/" },
                         NULL };
        uint64_t until_us = clock_boottime_us() + CHECK_US;
        _cleanup_free_ char *program = NULL;
        static const char prefix[] = "taskflowd: ";
        int fds[2] = { -1, -1 }, status = -1;
        pid_t pid = 0;

        buf[0] = '\0';
        if (clean_start_find("taskflowd", &program) < 0 || pipe2(fds, O_CLOEXEC) < 0)
                return true;
        argv[0] = program;
        if (spawn(argv, fds[1], &pid) == 0) {
                fds[1] = fd_close(fds[1]);
                read_until(fds[0], until_us, buf, n_buf);
                status = reap(pid, until_us);
        }
        (void)fd_close(fds[1]);
        (void)fd_close(fds[0]);
        buf[strcspn(buf, "\n")] = '\0';
        if (strncmp(buf, prefix, sizeof(prefix) - 1) == 0)
                (void)memmove(buf, buf + sizeof(prefix) - 1, strlen(buf) - sizeof(prefix) + 2);
        return status <= 0;
}

static uint64_t mtime_us(const char *path) {
        struct stat st;

        if (stat(path, &st) < 0)
                return 0;
        return (uint64_t)st.st_mtim.tv_sec * US_PER_SEC +
               (uint64_t)st.st_mtim.tv_nsec / NS_PER_USEC;
}

/* The file as it is now. Return: whether it was found wrong. */
static bool judge_file(Doctor *doctor, const char *path, bool personal, const char *then) {
        char text[DOCTOR_TEXT_MAX / 2];

        if (access(path, R_OK) < 0 || check_file(path, personal, text, sizeof(text)))
                return false;
        doctor_find(doctor, FINDING_SETTINGS_BAD, "%s; %s", text[0] ? text : path, then);
        return true;
}

static void judge_running(Doctor *doctor, const Health *health, bool personal) {
        const char *path = health->settings_path;
        uint64_t changed_us = mtime_us(path);

        if (judge_file(
                    doctor, path, personal,
                    health->settings_text[0] ?
                            "the daemon goes on with what it had read before" :
                            "the daemon goes on with what it has read, and would not start again"))
                return;
        if (health->settings_text[0] && changed_us < health->settings_at_us)
                doctor_find(doctor, FINDING_SETTINGS_BAD,
                            "%s; the daemon goes on with what it had read before",
                            health->settings_text);
        else if (changed_us > health->settings_at_us)
                doctor_find(doctor, FINDING_SETTINGS_UNREAD,
                            "'%s' was changed after the daemon read it", path);
        else if (changed_us == 0)
                doctor_fine(doctor, "settings", "the defaults: there is no '%s'", path);
        else
                doctor_fine(doctor, "settings", "'%s', as the daemon read it", path);
}

/* Nobody has read them yet. */
static void judge_at_rest(Doctor *doctor) {
        bool personal = !places_machine_has_daemon();
        _cleanup_free_ char *own = NULL;
        const char *path = PLACES_MACHINE_SETTINGS;

        if (personal && places_personal_settings(&own, NULL) < 0)
                return;
        if (personal)
                path = own;
        if (judge_file(doctor, path, personal, "the daemon will not start with it"))
                return;
        if (access(path, F_OK) < 0)
                doctor_fine(doctor, "settings", "the defaults: there is no '%s'", path);
        else
                doctor_fine(doctor, "settings", "'%s'", path);
}

void doctor_settings(Doctor *doctor) {
        const char *named = getenv("TASKFLOW_SOCKET");
        const MachineStatus *status = doctor->status ? &doctor->status->status : NULL;

        if (status && status->health && status->health->settings_path[0])
                judge_running(doctor, status->health, status->personal);
        else if (!status && !(named && named[0])) /* of a named one only itself knows the file */
                judge_at_rest(doctor);
}
