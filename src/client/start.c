/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * A daemon that is started by whoever comes first must not remember who that was (decisions.md 11): it gets nothing of our
 * terminal, descriptors, signals, limits and environment that another `taskflow run` would not have given it.
 *
 * The parent of it is init, by a second fork(). Its stdout is a pipe to us: the line "ready" says that its socket answers,
 * "busy" that another daemon has the state's lock, "exec N" (from before the exec) that it could not be executed; nothing
 * at all, that it failed, and then the last line of its log says why.
 */

#include "client/start.h"

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
#include "util/text.h"
#include "wire/places.h"

enum {
        START_TIMEOUT_US = 10 * 1000 * 1000, /* to open a large database on a slow disk */
        LOG_BYTES_MAX = 1024 * 1024,
        LOG_TAIL_BYTES = 1000, /* enough for a line */
        CPUS_MAX = 8192,       /* more than any kernel has */
};

/* What is prepared before fork(): behind it only system calls are safe. */
typedef struct Starting {
        char *path; /* of taskflowd */
        char **env; /* borrowed strings, ended by NULL */
        int log_fd;
        off_t log_start; /* where what this daemon says begins */
        int out_fds[2];  /* pipe */
} Starting;

static void starting_done(Starting *starting) {
        free(starting->path);
        free(starting->env);
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

static int make_environment(Starting *starting) {
        size_t n = 0, n_kept = 0;

        while (environ && environ[n])
                n++;
        starting->env = calloc(n + 1, sizeof(*starting->env));
        if (!starting->env)
                return -ENOMEM;

        for (size_t i = 0; i < n; i++)
                if (is_kept(environ[i]))
                        starting->env[n_kept++] = environ[i];
        return 0;
}

/* FOLDER/taskflowd, if it can be executed; FOLDER is @n bytes. */
static char *program_in(const char *folder, size_t n) {
        struct stat st;
        char *path;

        if (asprintf(&path, "%.*s/taskflowd", (int)n, folder) < 0)
                return NULL;
        if (stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0)
                return path;

        free(path);
        return NULL;
}

static char *program_in_path(void) {
        const char *from = getenv("PATH");

        while (from && *from) {
                size_t n = strcspn(from, ":");
                char *path;

                /* Not relative ones: the daemon has another folder. */
                path = from[0] == '/' ? program_in(from, n) : NULL;
                if (path)
                        return path;
                from += n + (from[n] == ':');
        }

        return NULL;
}

/* Beside our own program, as it is in a build folder; where an installation has it; in PATH. */
static int find_program(char **ret, Error *error) {
        static const char *const beside[] = { "", "/../sbin", "/../libexec/taskflow" };
        char own[4096], folder[4096 + 32];
        ssize_t n;

        n = readlink("/proc/self/exe", own, sizeof(own) - 1);
        if (n > 0) {
                own[n] = '\0';
                *strrchr(own, '/') = '\0';
                for (size_t i = 0; i < ELEMENTSOF(beside); i++) {
                        (void)snprintf(folder, sizeof(folder), "%s%s", own, beside[i]);
                        *ret = program_in(folder, strlen(folder));
                        if (*ret)
                                return 0;
                }
        }

        *ret = program_in_path();
        if (*ret)
                return 0;

        return error_set(
                error, START_E_FAILED,
                "no daemon is running, and the program 'taskflowd' that would be started is neither beside "
                "'taskflow' nor in PATH: install it");
}

static int refuse_folder(const char *path, int r, Error *error) {
        return error_set(
                error, START_E_FAILED,
                "cannot make the folder '%s' for a daemon of your own: %s; set XDG_STATE_HOME to a folder "
                "that you can write to",
                path, strerror(-r));
}

static int make_folders(const char *state, Error *error) {
        _cleanup_free_ char *run = NULL;
        struct stat st;
        int r;

        r = fd_mkdir_p(state, 0700);
        if (r < 0)
                return refuse_folder(state, r, error);

        if (stat(state, &st) < 0)
                return refuse_folder(state, -errno, error);
        if (st.st_uid != geteuid())
                return error_set(
                        error, START_E_FAILED,
                        "'%s' belongs to another user (uid %u): set HOME or XDG_STATE_HOME to your own",
                        state, st.st_uid);

        if (asprintf(&run, "%s/run", state) < 0)
                return error_set(error, -ENOMEM, "out of memory");
        r = fd_mkdir_p(run, 0700);
        if (r < 0)
                return refuse_folder(run, r, error);

        r = places_claim_state(state);
        if (r < 0)
                return refuse_folder(state, r, error);
        return 0;
}

static int open_log(const char *state, Starting *starting, Error *error) {
        _cleanup_free_ char *path = NULL;
        struct stat st;

        if (asprintf(&path, "%s/taskflowd.log", state) < 0)
                return error_set(error, -ENOMEM, "out of memory");

        starting->log_fd =
                open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW, 0600);
        if (starting->log_fd < 0 || fstat(starting->log_fd, &st) < 0)
                return error_set(error, START_E_FAILED,
                                 "cannot open '%s', the log of a daemon of your own: %s", path,
                                 strerror(errno));

        starting->log_start = st.st_size;
        if (st.st_size > LOG_BYTES_MAX && S_ISREG(st.st_mode) &&
            ftruncate(starting->log_fd, 0) == 0)
                starting->log_start = 0;
        return 0;
}

/* In the new process: everything that does not depend on who started it. */
static void clean_up(void) {
        struct sigaction action = { .sa_handler = SIG_DFL };
        struct rlimit limit;
        cpu_set_t cpus[CPUS_MAX / CPU_SETSIZE];
        sigset_t none;

        for (int i = 1; i <= SIGRTMAX; i++)
                (void)sigaction(i, &action, NULL);
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

_Noreturn static void become_daemon(const Starting *starting) {
        char *argv[] = { (char[]){ "taskflowd" }, (char[]){ "--personal" }, NULL };
        char line[32];
        int n;

        clean_up();
        if (set_descriptors(starting))
                (void)execve(starting->path, argv, starting->env);

        n = snprintf(line, sizeof(line), "exec %d\n", errno);
        (void)!write(1, line, (size_t)n);
        _exit(127);
}

/* A new session, and a child of init in it. */
static int fork_daemon(const Starting *starting) {
        pid_t pid;

        pid = fork();
        if (pid < 0)
                return -errno;

        if (pid == 0) {
                (void)setsid();
                pid = fork();
                if (pid == 0)
                        become_daemon(starting);
                _exit(pid < 0 ? 1 : 0);
        }

        /* Nobody else's child is waited for; where SIGCHLD is ignored there is nothing to collect. */
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
                ;
        return 0;
}

/* What the daemon says on its stdout, one line. Return: its length, 0: nothing, or negative errno (-ETIMEDOUT). */
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

/* The last line of what this daemon wrote to its log. */
static int refuse_by_log(const Starting *starting, const char *state, Error *error) {
        _cleanup_free_ char *visible = NULL;
        char tail[LOG_TAIL_BYTES + 1], *line;
        struct stat st;
        off_t from;
        ssize_t n;

        if (fstat(starting->log_fd, &st) < 0)
                st.st_size = 0;
        from = MAX(starting->log_start, st.st_size - LOG_TAIL_BYTES);
        n = pread(starting->log_fd, tail, LOG_TAIL_BYTES, from);
        while (n > 0 && tail[n - 1] == '\n')
                n--;
        if (n <= 0)
                return error_set(
                        error, START_E_FAILED,
                        "cannot start a daemon of your own ('%s'): it ended without a word in "
                        "'%s/taskflowd.log'",
                        starting->path, state);

        tail[n] = '\0';
        line = strrchr(tail, '\n');
        visible = text_visible(line ? line + 1 : tail);
        return error_set(error, START_E_FAILED, "cannot start a daemon of your own: %s",
                         visible ? visible : "");
}

static int await_answer(const Starting *starting, const char *state, Error *error) {
        char answer[64];
        int r;

        r = read_answer(starting->out_fds[0], answer, sizeof(answer));
        if (r < 0)
                return error_set(
                        error, START_E_FAILED,
                        "a daemon of your own was started, but does not answer; see '%s/taskflowd.log'",
                        state);
        if (strcmp(answer, "ready") == 0)
                return 0;
        if (strcmp(answer, "busy") == 0)
                return START_E_BUSY;
        if (strncmp(answer, "exec ", 5) == 0)
                return error_set(error, START_E_FAILED, "cannot execute '%s': %s", starting->path,
                                 strerror((int)strtol(answer + 5, NULL, 10)));
        return refuse_by_log(starting, state, error);
}

int start_daemon(const char *state, Error *error) {
        _cleanup_(starting_done) Starting starting = { .log_fd = -1, .out_fds = { -1, -1 } };
        int r;

        r = find_program(&starting.path, error);
        if (r != 0)
                return r;
        r = make_folders(state, error);
        if (r != 0)
                return r;
        r = open_log(state, &starting, error);
        if (r != 0)
                return r;
        r = make_environment(&starting);
        if (r < 0)
                return error_set(error, r, "out of memory");

        if (pipe2(starting.out_fds, O_CLOEXEC) < 0)
                return error_set(error, -errno, "cannot make a pipe: %s", strerror(errno));
        r = fork_daemon(&starting);
        if (r < 0)
                return error_set(error, r, "cannot start a daemon of your own: %s", strerror(-r));

        starting.out_fds[1] = fd_close(starting.out_fds[1]);
        return await_answer(&starting, state, error);
}
