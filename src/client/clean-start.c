/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The parent of what is started is init, by a second fork(). Its stdout is a pipe to us: a line of its own, or "exec N" (from
 * before the exec) that it could not be executed; nothing at all, that it failed, and then the last line of its log says why.
 */

#include "client/clean-start.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/signal-default.h"
#include "util/strv.h"
#include "util/text.h"

enum {
        START_TIMEOUT_US = 10 * 1000 * 1000, /* to open a large database on a slow disk */
        LOG_BYTES_MAX = 1024 * 1024,
        LOG_TAIL_BYTES = 1000, /* enough for a line */
        CPUS_MAX = 8192,       /* more than any kernel has */
};

/* What is prepared before fork(): behind it only system calls are safe. */
typedef struct Starting {
        const CleanStart *start;
        char **env;
        int log_fd;
        long log_start; /* where what this one says begins */
        int out_fds[2]; /* pipe */
} Starting;

static void starting_done(Starting *starting) {
        strv_free(starting->env);
        (void)fd_close(starting->log_fd);
        (void)fd_close(starting->out_fds[0]);
        (void)fd_close(starting->out_fds[1]);
}

/* Whether a variable ("NAME=value") is the user's, and not of the place where taskflow was called. */
static bool is_kept(const char *variable) {
        static const char *const names[] = {
                "HOME=",         "USER=",         "PATH=",          "LANG=",
                "ASAN_OPTIONS=", "LSAN_OPTIONS=", "UBSAN_OPTIONS=", "LD_LIBRARY_PATH=",
                "LC_",           "XDG_",          "TASKFLOW_"
        };

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                if (strncmp(variable, names[i], strlen(names[i])) == 0)
                        return true;
        return false;
}

/* A copy, of a socket's path with our folder in front if it needs that. NULL when out of memory. */
static char *keep_variable(const char *variable) {
        static const char socket_name[] = "TASKFLOW_SOCKET=";
        const char *path = variable + sizeof(socket_name) - 1;
        _cleanup_free_ char *cwd = NULL;
        char *whole;

        if (strncmp(variable, socket_name, sizeof(socket_name) - 1) != 0 || path[0] == '/' ||
            path[0] == '\0')
                return strdup(variable);
        cwd = getcwd(NULL, 0);
        if (!cwd)
                return strdup(variable);
        return asprintf(&whole, "%s%s/%s", socket_name, cwd, path) < 0 ? NULL : whole;
}

int clean_start_environment(char ***ret) {
        _cleanup_(strv_freep) char **env = NULL;
        size_t n = 0, n_kept = 0;

        while (environ && environ[n])
                n++;
        env = calloc(n + 1, sizeof(*env));
        if (!env)
                return -ENOMEM;

        for (size_t i = 0; i < n; i++) {
                if (!is_kept(environ[i]))
                        continue;
                env[n_kept] = keep_variable(environ[i]);
                if (!env[n_kept++])
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(env);
        return 0;
}

/* FOLDER/NAME, if it can be executed; FOLDER is @n bytes. */
static char *program_in(const char *folder, size_t n, const char *name) {
        struct stat st;
        char *path;

        if (asprintf(&path, "%.*s/%s", (int)n, folder, name) < 0)
                return NULL;
        if (stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0)
                return path;

        free(path);
        return NULL;
}

static char *program_in_path(const char *name) {
        const char *from = getenv("PATH");

        while (from && *from) {
                size_t n = strcspn(from, ":");
                char *path;

                /* Not relative ones: the program has another folder. */
                path = from[0] == '/' ? program_in(from, n, name) : NULL;
                if (path)
                        return path;
                from += n + (from[n] == ':');
        }

        return NULL;
}

int clean_start_find(const char *name, char **ret) {
        static const char *const beside[] = { "", "/../sbin", "/../libexec/taskflow",
                                              "/../../sbin" };
        char own[4096], folder[4096 + 32];
        ssize_t n;

        n = readlink("/proc/self/exe", own, sizeof(own) - 1);
        if (n > 0) {
                own[n] = '\0';
                *strrchr(own, '/') = '\0';
                for (size_t i = 0; i < ELEMENTSOF(beside); i++) {
                        (void)snprintf(folder, sizeof(folder), "%s%s", own, beside[i]);
                        *ret = program_in(folder, strlen(folder), name);
                        if (*ret)
                                return 0;
                }
        }

        *ret = program_in_path(name);
        return *ret ? 0 : -ENOENT;
}

int clean_start_open_log(const char *path, long *ret_start) {
        _cleanup_close_ int fd = -1;
        struct stat st;

        fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW, 0600);
        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return -EINVAL; /* a FIFO that nobody reads takes only so much */

        *ret_start = (long)st.st_size;
        if (st.st_size > LOG_BYTES_MAX && ftruncate(fd, 0) == 0)
                *ret_start = 0;
        return TAKE_FD(fd);
}

/* In the new process: everything that does not depend on who started it. */
static void clean_up(void) {
        struct rlimit limit;
        cpu_set_t cpus[CPUS_MAX / CPU_SETSIZE];
        sigset_t none;

        signal_default_all();
        (void)sigemptyset(&none);
        (void)sigprocmask(SIG_SETMASK, &none, NULL);
        (void)umask(077);
        (void)!chdir("/");

        if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
                limit.rlim_cur = limit.rlim_max;
                (void)setrlimit(RLIMIT_NOFILE, &limit);
        }

        memset(cpus, 0xff, sizeof(cpus));
        (void)sched_setaffinity(0, sizeof(cpus), cpus);
}

/* In the new process: stdin, stdout and stderr as a daemon has them, and nothing else. */
static bool set_descriptors(const Starting *starting) {
        int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        int out_fd, log_fd;

        /* Above 2 first, so that none is overwritten before it is where it belongs. */
        null_fd = null_fd < 0 ? -1 : fcntl(null_fd, F_DUPFD, 3);
        out_fd = fcntl(starting->out_fds[1], F_DUPFD, 3);
        log_fd = fcntl(starting->log_fd, F_DUPFD, 3);
        if (null_fd < 0 || out_fd < 0 || log_fd < 0)
                return false;
        if (dup2(null_fd, 0) < 0 || dup2(out_fd, 1) < 0 || dup2(log_fd, 2) < 0)
                return false;
        return close_range(3, ~0U, 0) == 0;
}

_Noreturn static void become_program(const Starting *starting) {
        char line[32];
        int n;

        clean_up();
        if (set_descriptors(starting))
                (void)execve(starting->start->path, starting->start->argv, starting->env);

        n = snprintf(line, sizeof(line), "exec %d\n", errno);
        (void)!write(1, line, (size_t)n);
        _exit(127);
}

/* A new session, and a child of init in it. */
static int fork_program(const Starting *starting) {
        pid_t pid;

        pid = fork();
        if (pid < 0)
                return -errno;

        if (pid == 0) {
                (void)setsid();
                pid = fork();
                if (pid == 0)
                        become_program(starting);
                _exit(pid < 0 ? 1 : 0);
        }

        /* Nobody else's child is waited for; where SIGCHLD is ignored there is nothing to collect. */
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
                ;
        return 0;
}

/* What the program says on its stdout, one line. Return: its length, 0: nothing, or negative errno (-ETIMEDOUT). */
static int read_answer(int fd, char *buf, size_t n) {
        uint64_t until_us = clock_boottime_us() + START_TIMEOUT_US;
        size_t n_read = 0;

        while (n_read < n - 1) {
                struct pollfd pollfd = { .fd = fd, .events = POLLIN };
                uint64_t now_us = clock_boottime_us();
                ssize_t n_more;

                if (now_us >= until_us)
                        return -ETIMEDOUT;
                if (poll(&pollfd, 1, (int)((until_us - now_us) / US_PER_MSEC) + 1) <= 0)
                        continue;

                n_more = read(fd, buf + n_read, n - 1 - n_read);
                if (n_more <= 0)
                        break;
                n_read += (size_t)n_more;
                if (memchr(buf, '\n', n_read))
                        break;
        }

        buf[n_read] = '\0';
        buf[strcspn(buf, "\n")] = '\0';
        return (int)strlen(buf);
}

char *clean_start_last_line(int log_fd, long from) {
        char tail[LOG_TAIL_BYTES + 1], *line;
        struct stat st;
        ssize_t n;

        if (fstat(log_fd, &st) < 0)
                st.st_size = 0;
        from = MAX(from, (long)st.st_size - LOG_TAIL_BYTES);
        n = pread(log_fd, tail, LOG_TAIL_BYTES, from);
        while (n > 0 && tail[n - 1] == '\n')
                n--;
        if (n <= 0)
                return NULL;

        tail[n] = '\0';
        line = strrchr(tail, '\n');
        return text_visible(line ? line + 1 : tail);
}

/* The last line of what this one wrote to its log. */
static int refuse_by_log(const Starting *starting, Error *error) {
        _cleanup_free_ char *line = clean_start_last_line(starting->log_fd, starting->log_start);
        const CleanStart *start = starting->start;

        if (!line)
                return error_set(error, CLEAN_START_E_FAILED,
                                 "cannot start %s ('%s'): it ended without a word in '%s'",
                                 start->what, start->path, start->log_path);
        return error_set(error, CLEAN_START_E_FAILED, "cannot start %s: %s", start->what, line);
}

static int await_answer(const Starting *starting, Error *error) {
        char answer[64];
        int r;

        r = read_answer(starting->out_fds[0], answer, sizeof(answer));
        if (r < 0)
                return error_set(error, CLEAN_START_E_FAILED,
                                 "%s was started, but does not answer; see '%s'",
                                 starting->start->what, starting->start->log_path);
        if (strcmp(answer, "ready") == 0)
                return 0;
        if (strcmp(answer, "busy") == 0)
                return CLEAN_START_E_BUSY;
        if (strncmp(answer, "exec ", 5) == 0)
                return error_set(error, CLEAN_START_E_FAILED, "cannot execute '%s': %s",
                                 starting->start->path,
                                 strerror((int)strtol(answer + 5, NULL, 10)));
        return refuse_by_log(starting, error);
}

int clean_start(const CleanStart *start, Error *error) {
        _cleanup_(starting_done) Starting starting = {
                .start = start,
                .log_fd = -1,
                .out_fds = { -1, -1 },
        };
        int r;

        starting.log_fd = clean_start_open_log(start->log_path, &starting.log_start);
        if (starting.log_fd < 0)
                return error_set(error, CLEAN_START_E_FAILED, "cannot open '%s', the log of %s: %s",
                                 start->log_path, start->what, strerror(-starting.log_fd));
        r = clean_start_environment(&starting.env);
        if (r < 0)
                return error_set(error, r, "out of memory");

        if (pipe2(starting.out_fds, O_CLOEXEC) < 0)
                return error_set(error, -errno, "cannot make a pipe: %s", strerror(errno));
        r = fork_program(&starting);
        if (r < 0)
                return error_set(error, r, "cannot start %s: %s", start->what, strerror(-r));

        starting.out_fds[1] = fd_close(starting.out_fds[1]);
        return await_answer(&starting, error);
}
