/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * posix_spawn() can set a signal to its default but not to "ignore", which a command whose parent ignores SIGCHLD must get; so
 * this is what posix_spawn() does inside: clone() with CLONE_VM and CLONE_VFORK. The child shares our memory while we stand
 * still, tells a failed exec by writing it there, and must not allocate. CLONE_PIDFD brings the descriptor with no further call.
 */

#include "runner/spawn.h"

#include <errno.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/fd.h"
#include "util/macro.h"
#include "util/strv.h"

#define PATH_DEFAULT "/bin:/usr/bin" /* execvp(3)'s, without the current folder */

/* What the child works with; made before it, so that it allocates nothing. */
typedef struct Attempt {
        const SpawnPlan *plan;
        char *const *argv;
        const char *path;   /* PATH */
        char *candidate;    /* room for the longest of PATH, a slash, argv[0] and NUL */
        char **script_argv; /* "/bin/sh", a place for the file, the arguments */
        int error;          /* errno of the exec that counts */
        bool exists;        /* there is such a file, whatever exec said */
        bool unprepared;    /* the error is of prepare() */
} Attempt;

/* The child runs on it while we stand still. */
static _Alignas(16) char stack[64 * 1024];

/* Returns only if it failed, with errno. */
static int try_file(Attempt *attempt, const char *file) {
        (void)execve(file, attempt->argv, attempt->plan->envp);
        if (errno != ENOEXEC || !attempt->plan->scripts)
                return errno;

        attempt->script_argv[1] = (char *)(uintptr_t)file;
        (void)execve(attempt->script_argv[0], attempt->script_argv, attempt->plan->envp);
        return errno;
}

/* The next folder of a PATH into @attempt->candidate, with the program's name behind it; what follows it, or NULL. */
static const char *next_candidate(Attempt *attempt, const char *path) {
        size_t n = strcspn(path, ":");
        char *end = attempt->candidate;

        end = mempcpy(end, path, n);
        if (n > 0)
                *end++ = '/';
        (void)memcpy(end, attempt->argv[0], strlen(attempt->argv[0]) + 1);
        return path[n] == ':' ? path + n + 1 : NULL;
}

static int try_path(Attempt *attempt) {
        int error = ENOENT;

        for (const char *path = attempt->path; path;) {
                int r;

                path = next_candidate(attempt, path);
                r = try_file(attempt, attempt->candidate);
                switch (r) {
                case ENOENT:
                case ENOTDIR:
                case ESTALE:
                case ENODEV:
                case ETIMEDOUT:
                        break; /* not in this folder */
                case EACCES:
                        error = EACCES; /* unless a later folder has one that may be run */
                        break;
                default:
                        return r;
                }
        }
        return error;
}

/* Whether there is such a file at all: then ENOENT was about its interpreter. */
static bool exists(Attempt *attempt) {
        if (strchr(attempt->argv[0], '/'))
                return access(attempt->argv[0], F_OK) == 0;

        for (const char *path = attempt->path; path;) {
                path = next_candidate(attempt, path);
                if (access(attempt->candidate, F_OK) == 0)
                        return true;
        }
        return false;
}

static int try_all(Attempt *attempt) {
        if (attempt->argv[0][0] == '\0')
                return ENOENT;
        if (strchr(attempt->argv[0], '/'))
                return try_file(attempt, attempt->argv[0]);
        return try_path(attempt);
}

static int child_main(void *userdata) {
        Attempt *attempt = userdata;
        const SpawnPlan *plan = attempt->plan;

        if (plan->signals)
                signals_give_back(plan->signals);
        if (plan->prepare) {
                attempt->error = plan->prepare(plan->userdata);
                attempt->unprepared = attempt->error != 0;
        }
        if (!attempt->unprepared) {
                attempt->error = try_all(attempt);
                attempt->exists = attempt->argv[0][0] != '\0' && exists(attempt);
        }
        return 127;
}

static int judge_failure(Attempt *attempt, Error *error) {
        const char *program = attempt->argv[0];

        if (attempt->unprepared)
                return error_set(error, SPAWN_E_NOT_PREPARED, "%s", strerror(attempt->error));
        switch (attempt->error) {
        case ENOENT:
        case ENOTDIR:
                if (attempt->exists)
                        return error_set(error, SPAWN_E_CANNOT_EXEC,
                                         "cannot run '%s': its interpreter is missing", program);
                return error_set(error, SPAWN_E_NOT_FOUND, "cannot run '%s': not found", program);
        default:
                return error_set(error, SPAWN_E_CANNOT_EXEC, "cannot run '%s': %s", program,
                                 strerror(attempt->error));
        }
}

static char **make_script_argv(char *const *argv) {
        size_t n = strv_n(argv);
        char **script_argv;

        script_argv = calloc(n + 2, sizeof(*script_argv));
        if (!script_argv)
                return NULL;

        script_argv[0] = (char *)(uintptr_t) "/bin/sh";
        for (size_t i = 1; i < n; i++)
                script_argv[i + 1] = argv[i];
        return script_argv;
}

int spawn_plan(Spawned *ret, const SpawnPlan *plan, Error *error) {
        _cleanup_free_ char **script_argv = NULL;
        _cleanup_free_ char *candidate = NULL;
        const char *path = plan->path ? plan->path : PATH_DEFAULT;
        int pidfd = -1;
        pid_t pid;

        script_argv = make_script_argv(plan->argv);
        candidate = malloc(strlen(path) + strlen(plan->argv[0]) + 2);
        if (!script_argv || !candidate)
                return error_set(error, -ENOMEM, "cannot start the command: out of memory");

        Attempt attempt = {
                .plan = plan,
                .argv = plan->argv,
                .path = path,
                .candidate = candidate,
                .script_argv = script_argv,
        };
        pid = clone(child_main, stack + sizeof(stack),
                    CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &attempt, &pidfd);
        if (pid < 0)
                return error_set(error, -errno,
                                 "cannot start the command: no process can be made: %s",
                                 strerror(errno));

        if (attempt.error == 0) {
                *ret = (Spawned){ .pid = pid, .pidfd = pidfd };
                return 0;
        }
        (void)fd_close(pidfd);
        (void)TEMP_FAILURE_RETRY(waitpid(pid, NULL, 0));
        return judge_failure(&attempt, error);
}

int spawn(Spawned *ret,
          char *const *argv,
          char *const *envp,
          const Signals *signals,
          bool scripts,
          Error *error) {
        const SpawnPlan plan = {
                .argv = argv,
                .envp = envp,
                .signals = signals,
                .scripts = scripts,
                .path = getenv("PATH"),
        };

        return spawn_plan(ret, &plan, error);
}

void spawned_done(Spawned *spawned) {
        spawned->pidfd = fd_close(spawned->pidfd);
        spawned->pid = 0;
}
