/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Finding a daemon, and starting a personal one, in environments as they come. The daemon is a shell script in PATH: it
 * moves the socket that the test listens on to where it belongs, or does what daemons should not.
 */

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/client.h"
#include "util/cleanup.h"
#include "util/fd.h"
#include "util/macro.h"

#include "check.h"

enum {
        SLEEP_MS = 20000, /* at most so long until a process has nothing to do */
};

#define SCRIPT_HEAD  "#!/bin/sh\nS=\"$XDG_STATE_HOME/taskflow\"\n"
#define SCRIPT_READY SCRIPT_HEAD "mv \"$S/../hidden\" \"$S/run/taskflowd.sock\"\necho ready\n"

typedef struct Fixture {
        char folder[64];
        char *state_home; /* $XDG_STATE_HOME, FOLDER/state */
        char *bin;        /* $PATH is FOLDER/bin:/usr/bin:/bin */
        char *socket;     /* where a personal daemon listens */
        int listen_fd;
} Fixture;

static char *path_of(const char *a, const char *b) {
        char *path = NULL;

        assert_true(asprintf(&path, "%s%s", a, b) > 0);
        return path;
}

static int set_up(void **state) {
        Fixture *f = calloc(1, sizeof(*f));
        _cleanup_free_ char *path = NULL;

        assert_non_null(f);
        make_test_folder(f->folder);
        f->state_home = path_of(f->folder, "/state");
        f->bin = path_of(f->folder, "/bin");
        f->socket = path_of(f->state_home, "/taskflow/run/taskflowd.sock");
        f->listen_fd = -1;
        assert_int_equal(mkdir(f->bin, 0700), 0);
        path = path_of(f->bin, ":/usr/bin:/bin");
        (void)setenv("PATH", path, 1);
        (void)setenv("HOME", f->folder, 1);
        (void)setenv("XDG_STATE_HOME", f->state_home, 1);
        (void)unsetenv("XDG_RUNTIME_DIR");
        (void)unsetenv("TASKFLOW_SOCKET");
        *state = f;
        return 0;
}

static int remove_one(const char *path,
                      _unused_ const struct stat *st,
                      _unused_ int type,
                      _unused_ struct FTW *ftw) {
        (void)remove(path);
        return 0;
}

static void remove_all(const char *folder) {
        (void)nftw(folder, remove_one, 20, FTW_DEPTH | FTW_PHYS);
}

static int tear_down(void **state) {
        Fixture *f = *state;

        f->listen_fd = fd_close(f->listen_fd);
        remove_all(f->folder);
        free(f->state_home);
        free(f->bin);
        free(f->socket);
        free(f);
        return 0;
}

/* Listens, by way of the folder, so that @path may be long. */
static int listen_at(const char *folder, const char *name) {
        _cleanup_close_ int dir_fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC), fd = -1;
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        assert_true(dir_fd >= 0);
        (void)snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", dir_fd,
                       name);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        assert_int_equal(listen(fd, 5), 0);
        return TAKE_FD(fd);
}

static void write_script(const Fixture *f, const char *script) {
        _cleanup_free_ char *path = path_of(f->bin, "/taskflowd");

        assert_int_equal(fd_write_file_atomic(AT_FDCWD, path, script, strlen(script), 0700), 0);
}

/* The daemon's socket, which its script will move to where it belongs. */
static void hide_socket(Fixture *f) {
        assert_int_equal(fd_mkdir_p(f->state_home, 0700), 0);
        f->listen_fd = listen_at(f->state_home, "hidden");
}

static void assert_unreachable(unsigned flags, const char *want) {
        Client *client = NULL;
        Error error = { "" };

        assert_int_equal(client_connect(&client, flags | CLIENT_QUIET, &error),
                         CLIENT_E_UNREACHABLE);
        assert_null(client);
        if (!strstr(error.text, want))
                fail_msg("'%s' is not in '%s'", want, error.text);
}

static void assert_connects(unsigned flags, DaemonKind kind, const char *path) {
        _cleanup_(client_freep) Client *client = NULL;
        Error error = { "" };

        if (client_connect(&client, flags | CLIENT_QUIET, &error) != 0)
                fail_msg("%s", error.text);
        assert_int_equal(client_kind(client), kind);
        assert_string_equal(client_path(client), path);
}

/* Named sockets */

static void test_named_socket_that_is_not_there(void **state) {
        Fixture *f = *state;

        write_script(f, SCRIPT_READY);
        (void)setenv("TASKFLOW_SOCKET", "/no/such/socket", 1);
        assert_unreachable(CLIENT_START,
                           "there is no socket '/no/such/socket', which TASKFLOW_SOCKET names");
        (void)setenv("TASKFLOW_SOCKET", "/dev/null/x", 1);
        assert_unreachable(CLIENT_START, "there is no socket '/dev/null/x'");
        (void)setenv("TASKFLOW_SOCKET", "nowhere", 1);
        assert_unreachable(CLIENT_START, "there is no socket 'nowhere'");
}

static void test_named_socket_that_nobody_listens_at(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *path = path_of(f->folder, "/stale");

        (void)fd_close(listen_at(f->folder, "stale"));
        (void)setenv("TASKFLOW_SOCKET", path, 1);
        assert_unreachable(CLIENT_START, "nobody listens at '");
        (void)setenv("TASKFLOW_SOCKET", f->bin, 1);
        assert_unreachable(CLIENT_START, "nobody listens at '");
}

static void test_named_socket_with_a_long_path(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *path = NULL;
        char folder[400];

        (void)snprintf(folder, sizeof(folder), "%s/%080d/%080d/%080d/", f->folder, 1, 2, 3);
        assert_int_equal(fd_mkdir_p(folder, 0700), 0);
        f->listen_fd = listen_at(folder, "so ck");
        path = path_of(folder, "so ck");
        (void)setenv("TASKFLOW_SOCKET", path, 1);
        assert_connects(0, DAEMON_KIND_NAMED, path);
}

static void test_empty_name_counts_as_unset(_unused_ void **state) {
        (void)setenv("TASKFLOW_SOCKET", "", 1);
        assert_unreachable(0, "no daemon is running, so nothing is queued");
}

/* Until that process waits for something; false if it never does. */
static bool await_sleep(pid_t pid) {
        char path[64], stat[512];

        (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
        for (int i = 0; i < SLEEP_MS; i++) {
                _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
                ssize_t n = read(fd, stat, sizeof(stat) - 1);
                const char *end;

                stat[MAX(n, 0)] = '\0';
                end = strrchr(stat, ')');
                if (end && strncmp(end, ") S", 3) == 0)
                        return true;
                (void)poll(NULL, 0, 1);
        }

        return false;
}

/* A daemon that has stopped accepts nobody; when its queue is full a connection would wait for ever. */
static void test_full_queue_is_waited_for(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *path = path_of(f->folder, "/full");
        Client *clients[3] = { NULL };
        int status;
        pid_t pid;

        f->listen_fd = listen_at(f->folder, "full");
        assert_int_equal(listen(f->listen_fd, 0), 0);
        (void)setenv("TASKFLOW_SOCKET", path, 1);
        assert_int_equal(client_connect(&clients[0], 0, NULL), 0);

        /* One that makes room once somebody waits for it. */
        pid = fork();
        if (pid == 0) {
                bool waits = await_sleep(getppid());

                for (int i = 0; i < 3; i++)
                        (void)accept(f->listen_fd, NULL, NULL);
                _exit(waits ? 0 : 1);
        }
        assert_int_equal(client_connect(&clients[1], 0, NULL), 0);
        assert_int_equal(client_connect(&clients[2], 0, NULL), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        for (size_t i = 0; i < ELEMENTSOF(clients); i++)
                client_free(clients[i]);
}

/* Personal ones */

static void test_none_is_started_unasked(void **state) {
        Fixture *f = *state;

        write_script(f, SCRIPT_READY);
        hide_socket(f);
        assert_unreachable(0,
                           "no daemon is running, so nothing is queued; 'taskflow run' starts one");
        assert_int_equal(access(f->socket, F_OK), -1);
}

static void test_one_is_started_and_found_again(void **state) {
        Fixture *f = *state;

        write_script(f, SCRIPT_READY);
        hide_socket(f);
        assert_connects(CLIENT_START, DAEMON_KIND_PERSONAL, f->socket);
        write_script(f, SCRIPT_HEAD "touch \"$S/started again\"\n");
        assert_connects(CLIENT_START, DAEMON_KIND_PERSONAL, f->socket);
        assert_connects(0, DAEMON_KIND_PERSONAL, f->socket);
}

static void test_folders_and_log_are_private(void **state) {
        static const struct {
                const char *path;
                mode_t mode;
        } cases[] = { { "/taskflow", 0700 },
                      { "/taskflow/run", 0700 },
                      { "/taskflow/taskflowd.log", 0600 } };
        Fixture *f = *state;
        mode_t before = umask(0);

        write_script(f, SCRIPT_READY);
        hide_socket(f);
        assert_connects(CLIENT_START, DAEMON_KIND_PERSONAL, f->socket);
        (void)umask(before);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *path = path_of(f->state_home, cases[i].path);
                struct stat st;

                assert_int_equal(stat(path, &st), 0);
                assert_int_equal(st.st_mode & 0777, cases[i].mode);
        }
}

static void test_runtime_socket_comes_first(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *runtime = path_of(f->folder, "/taskflow"),
                            *path = path_of(runtime, "/taskflowd.sock");

        (void)setenv("XDG_RUNTIME_DIR", f->folder, 1);
        assert_unreachable(0, "no daemon is running");
        assert_int_equal(mkdir(runtime, 0700), 0);
        f->listen_fd = listen_at(runtime, "taskflowd.sock");
        assert_connects(CLIENT_START, DAEMON_KIND_PERSONAL, path);
}

/* logind removes XDG_RUNTIME_DIR with what is in it; the daemon still listens in its state. */
static void test_state_socket_is_tried_too(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *run = path_of(f->state_home, "/taskflow/run");

        (void)setenv("XDG_RUNTIME_DIR", f->folder, 1);
        assert_int_equal(fd_mkdir_p(run, 0700), 0);
        f->listen_fd = listen_at(run, "taskflowd.sock");
        assert_connects(CLIENT_START, DAEMON_KIND_PERSONAL, f->socket);
}

static void test_stranger_is_not_believed(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *run = path_of(f->state_home, "/taskflow/run");

        if (geteuid() != 0) {
                print_message("# left out: only root can be somebody else\n");
                return;
        }

        /* The kernel remembers who called listen(). */
        assert_int_equal(fd_mkdir_p(run, 0700), 0);
        assert_int_equal(chmod(f->folder, 0777), 0);
        f->listen_fd = listen_at(run, "taskflowd.sock");
        assert_int_equal(seteuid(54321), 0);
        assert_int_equal(listen(f->listen_fd, 6), 0);
        assert_int_equal(seteuid(0), 0);
        write_script(f, SCRIPT_READY);
        assert_unreachable(CLIENT_START, "uid 54321 listens at '");
}

static char *read_whole(const char *folder, const char *name) {
        _cleanup_free_ char *path = path_of(folder, name);
        char *content = NULL;

        assert_int_equal(fd_read_file(AT_FDCWD, path, &content, NULL, 1 << 20), 0);
        return content;
}

static void assert_has(const char *text, const char *line) {
        if (!strstr(text, line))
                fail_msg("'%s' is not in:\n%s", line, text);
}

static void assert_lacks(const char *text, const char *word) {
        if (strstr(text, word))
                fail_msg("'%s' is in:\n%s", word, text);
}

/* decisions.md 11: what is started on demand remembers nothing of who started it. */
/*
 * But 32 and 33: those are glibc's own, it lets nobody set them, and what it starts by posix_spawn(),
 * as make does, ignores them.
 */
static void assert_no_signal_ignored(const char *status) {
        const char *line = strstr(status, "SigIgn:\t");

        assert_non_null(line);
        assert_int_equal(strtoull(line + strlen("SigIgn:\t"), NULL, 16) & ~(UINT64_C(3) << 31), 0);
}

static void test_daemon_starts_clean(void **state) {
        static const char script[] = SCRIPT_HEAD
                "{ echo \"args $*\"; echo \"cwd $(pwd)\"; echo \"umask $(umask)\"; echo \"soft $(ulimit -Sn)\";"
                " echo \"hard $(ulimit -Hn)\"; grep -E '^Sig(Blk|Ign)|^Cpus_allowed_list' /proc/self/status;"
                " ls -l /proc/$$/fd; cut -d' ' -f4-6 /proc/$$/stat; echo \"pid $$\"; env; } > \"$S/seen\"\n"
                "mv \"$S/../hidden\" \"$S/run/taskflowd.sock\"\necho ready\nexec sleep 0.2\n";
        _cleanup_close_ _unused_ int leak = open("/etc/passwd", O_RDONLY); /* not close-on-exec */
        Fixture *f = *state;
        struct rlimit limit, less;
        sigset_t blocked, before;
        _cleanup_free_ char *seen = NULL;
        char line[64];
        cpu_set_t one;

        write_script(f, script);
        hide_socket(f);
        (void)setenv("TASKFLOW_TEST", "kept", 1);
        (void)setenv("LC_ALL", "C", 1);
        (void)setenv("SECRET_TOKEN", "dropped", 1);
        (void)setenv("LD_PRELOAD_X", "dropped", 1);
        (void)signal(SIGUSR1, SIG_IGN);
        (void)sigemptyset(&blocked);
        (void)sigaddset(&blocked, SIGCHLD);
        (void)sigaddset(&blocked, SIGTERM);
        (void)sigprocmask(SIG_BLOCK, &blocked, &before);
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
        less = (struct rlimit){ .rlim_cur = 64, .rlim_max = limit.rlim_max };
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &less), 0);
        CPU_ZERO(&one);
        CPU_SET(0, &one);
        (void)sched_setaffinity(0, sizeof(one), &one);

        assert_connects(CLIENT_START, DAEMON_KIND_PERSONAL, f->socket);

        (void)setrlimit(RLIMIT_NOFILE, &limit);
        (void)sigprocmask(SIG_SETMASK, &before, NULL);
        (void)signal(SIGUSR1, SIG_DFL);
        (void)unsetenv("SECRET_TOKEN");
        (void)unsetenv("LD_PRELOAD_X");
        memset(&one, 0xff, sizeof(one));
        (void)sched_setaffinity(0, sizeof(one), &one);

        seen = read_whole(f->state_home, "/taskflow/seen");
        assert_has(seen, "args --personal\n");
        assert_has(seen, "cwd /\n");
        assert_has(seen, "umask 0077\n");
        (void)snprintf(line, sizeof(line), "soft %.*s\n",
                       (int)strcspn(strstr(seen, "hard ") + 5, "\n"), strstr(seen, "hard ") + 5);
        assert_has(seen, line);
        assert_has(seen, "SigBlk:\t0000000000000000\n");
        assert_no_signal_ignored(seen);
        assert_has(seen, " 0 -> /dev/null\n");
        assert_has(seen, " -> pipe:");
        assert_has(seen, "/taskflow/taskflowd.log\n");
        assert_lacks(seen, "passwd");
        assert_lacks(seen, "dropped");
        assert_has(seen, "TASKFLOW_TEST=kept\n");
        assert_has(seen, "LC_ALL=C\n");
        assert_has(seen, "HOME=");
        if (sysconf(_SC_NPROCESSORS_ONLN) > 1)
                assert_lacks(seen, "Cpus_allowed_list:\t0\n");
        (void)snprintf(line, sizeof(line), "%d\n", getsid(0));
        assert_lacks(strstr(seen, "pid ") - 40, line);
}

static void test_daemon_leaves_no_zombie(void **state) {
        Fixture *f = *state;

        write_script(f, SCRIPT_READY);
        hide_socket(f);
        assert_connects(CLIENT_START, DAEMON_KIND_PERSONAL, f->socket);
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
        assert_int_equal(errno, ECHILD);
}

/* Where SIGCHLD is ignored the kernel collects children by itself. */
static void test_daemon_starts_where_children_are_ignored(void **state) {
        Fixture *f = *state;

        write_script(f, SCRIPT_READY);
        hide_socket(f);
        (void)signal(SIGCHLD, SIG_IGN);
        assert_connects(CLIENT_START, DAEMON_KIND_PERSONAL, f->socket);
        (void)signal(SIGCHLD, SIG_DFL);
}

/* stdin, stdout and stderr may be closed where taskflow is called. */
static void test_daemon_starts_without_standard_descriptors(void **state) {
        Fixture *f = *state;
        int status;
        pid_t pid;

        write_script(f, SCRIPT_READY);
        hide_socket(f);
        pid = fork();
        if (pid == 0) {
                Client *client = NULL;
                int r;

                for (int fd = 0; fd < 3; fd++)
                        (void)close(fd);
                r = client_connect(&client, CLIENT_START, NULL);
                client_free(client);
                _exit(r == 0 ? 0 : 1);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        free(read_whole(f->state_home, "/taskflow/taskflowd.log"));
}

static void test_busy_daemon_is_waited_for(void **state) {
        Fixture *f = *state;

        write_script(
                f, SCRIPT_HEAD
                "echo busy\nexec 1>&-\nsleep 0.2\nmv \"$S/../hidden\" \"$S/run/taskflowd.sock\"\n");
        hide_socket(f);
        assert_connects(CLIENT_START, DAEMON_KIND_PERSONAL, f->socket);
}

static void test_failure_of_the_daemon_is_told_by_its_last_line(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *log = NULL;

        write_script(f, SCRIPT_HEAD
                     "echo first >&2\necho 'taskflowd: database is \033[31mdamaged' >&2\nexit 1\n");
        assert_unreachable(
                CLIENT_START,
                "cannot start a daemon of your own: taskflowd: database is ^[[31mdamaged");
        write_script(f, SCRIPT_HEAD "exit 1\n");
        assert_unreachable(CLIENT_START, "it ended without a word in '");
        log = read_whole(f->state_home, "/taskflow/taskflowd.log");
        assert_has(log, "first\n");
}

static void test_large_log_begins_anew(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *folder = path_of(f->state_home, "/taskflow"),
                            *path = path_of(folder, "/taskflowd.log");
        struct stat st;

        assert_int_equal(fd_mkdir_p(folder, 0700), 0);
        assert_int_equal(fd_write_file_atomic(AT_FDCWD, path, "old\n", 4, 0600), 0);
        assert_int_equal(truncate(path, 1024 * 1024 + 1), 0);
        write_script(f, SCRIPT_HEAD "echo new >&2\n");
        assert_unreachable(CLIENT_START, "daemon of your own: new");
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_size, 4);
}

static void test_program_that_is_not_there_is_told(void **state) {
        Fixture *f = *state;

        (void)setenv("PATH", "/no/such:relative::", 1);
        assert_unreachable(CLIENT_START,
                           "the program 'taskflowd' that would be started is neither beside");
        (void)unsetenv("PATH");
        assert_unreachable(CLIENT_START, "install it");
        assert_int_equal(access(f->state_home, F_OK), -1);
}

static void test_program_that_cannot_be_executed_is_told(void **state) {
        const char *preloaded = getenv("LD_PRELOAD");
        Fixture *f = *state;

        if (preloaded && strstr(preloaded, "vgpreload")) {
                print_message("# left out: valgrind ends the process itself then\n");
                return;
        }

        write_script(f, "#!/no/such/interpreter\n");
        assert_unreachable(CLIENT_START, "cannot execute '");
        assert_unreachable(CLIENT_START, "No such file or directory");
}

static void test_home_that_is_not_set_is_told(void **state) {
        Fixture *f = *state;

        write_script(f, SCRIPT_READY);
        (void)unsetenv("HOME");
        (void)unsetenv("XDG_STATE_HOME");
        assert_unreachable(CLIENT_START, "HOME is not set to a folder");
        assert_unreachable(0, "HOME is not set to a folder");
}

static void test_state_that_cannot_be_made_is_told(void **state) {
        Fixture *f = *state;

        write_script(f, SCRIPT_READY);
        (void)setenv("XDG_STATE_HOME", "/proc/nothing", 1);
        assert_unreachable(
                CLIENT_START,
                "cannot make the folder '/proc/nothing/taskflow' for a daemon of your own: ");
        assert_unreachable(CLIENT_START, "set XDG_STATE_HOME to a folder that you can write to");
        (void)setenv("XDG_STATE_HOME", "/dev/null", 1);
        assert_unreachable(CLIENT_START, "Not a directory");
}

static void test_state_of_another_user_is_not_used(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *folder = path_of(f->state_home, "/taskflow");

        if (geteuid() != 0) {
                print_message("# left out: only root can be somebody else\n");
                return;
        }

        write_script(f, SCRIPT_READY);
        assert_int_equal(fd_mkdir_p(folder, 0700), 0);
        assert_int_equal(chown(folder, 54321, 54321), 0);
        assert_unreachable(CLIENT_START,
                           "belongs to another user (uid 54321): set HOME or XDG_STATE_HOME");
}

static void test_home_may_be_long_and_have_spaces(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *home = malloc(strlen(f->folder) + 200);

        assert_non_null(home);
        (void)sprintf(home, "%s/my home %0100d", f->folder, 0);
        free(f->state_home);
        free(f->socket);
        f->state_home = path_of(home, "/.local/state");
        f->socket = path_of(f->state_home, "/taskflow/run/taskflowd.sock");
        (void)setenv("HOME", home, 1);
        (void)unsetenv("XDG_STATE_HOME");
        write_script(
                f,
                "#!/bin/sh\nS=\"$HOME/.local/state/taskflow\"\nmv \"$S/../hidden\" \"$S/run/taskflowd.sock\"\n"
                "echo ready\n");
        hide_socket(f);
        assert_connects(CLIENT_START, DAEMON_KIND_PERSONAL, f->socket);
        assert_connects(0, DAEMON_KIND_PERSONAL, f->socket);
}

/* What is said on stderr, once. */
static void test_start_is_said_unless_quiet(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *said = NULL;
        char path[128]; /* not on the heap: valgrind looks at the child too */
        int status;
        pid_t pid;

        write_script(f, SCRIPT_READY);
        hide_socket(f);
        (void)snprintf(path, sizeof(path), "%s/said", f->folder);
        pid = fork();
        if (pid == 0) {
                Client *client = NULL;

                if (!freopen(path, "w", stderr) || client_connect(&client, CLIENT_START, NULL) != 0)
                        _exit(1);
                client_free(client);
                if (client_connect(&client, CLIENT_START, NULL) != 0)
                        _exit(1);
                client_free(client);
                (void)fflush(stderr);
                _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        said = read_whole(path, "");
        assert_has(said, "taskflow: started a daemon of your own (");
        assert_has(said, "this queue is yours alone; to share the machine");
        assert_int_equal(strcspn(said, "\n") + 1, strlen(said));
}

/* The machine's daemon, in a /run of our own */

static bool write_map(const char *path, const char *map) {
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

        return fd >= 0 && fd_write_all(fd, map, strlen(map)) == 0;
}

/* A mount namespace of our own, with the help of a user namespace if it takes one. */
static bool leave_mounts(void) {
        char users[64], groups[64];

        (void)snprintf(users, sizeof(users), "%u %u 1\n", geteuid(), geteuid());
        (void)snprintf(groups, sizeof(groups), "%u %u 1\n", getegid(), getegid());
        if (unshare(CLONE_NEWNS) < 0 &&
            (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0 ||
             !write_map("/proc/self/setgroups", "deny") ||
             !write_map("/proc/self/uid_map", users) || !write_map("/proc/self/gid_map", groups)))
                return false;
        return mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0 &&
               mount("none", "/run", "tmpfs", 0, NULL) == 0;
}

/* Runs @check where /run is empty. Return: false where this is not permitted. */
static bool in_own_run(void (*check)(const Fixture *f), const Fixture *f) {
        int status;
        pid_t pid;

        pid = fork();
        if (pid == 0) {
                if (!leave_mounts())
                        _exit(77);
                check(f);
                _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
                return false;
        assert_int_equal(status, 0);
        return true;
}

/* An assert of cmocka's would go on with the other tests in this process. */
#define expect(_good)                                                                            \
        do {                                                                                     \
                if (!(_good)) {                                                                  \
                        print_error("line %d: not so: %s (%s)\n", __LINE__, #_good, error.text); \
                        _exit(1);                                                                \
                }                                                                                \
        } while (0)

static void check_machine(const Fixture *f) {
        Error error = { "" };
        Client *client = NULL;
        int fd;

        /* The folder is enough for the machine to have a daemon: no personal one is started beside it. */
        expect(mkdir("/run/taskflow", 0755) == 0);
        expect(client_connect(&client, CLIENT_START, &error) == CLIENT_E_UNREACHABLE);
        expect(strstr(error.text, "the machine's daemon is not running") != NULL);
        expect(strstr(error.text, "systemctl start taskflowd") != NULL);
        expect(access(f->state_home, F_OK) < 0);

        fd = listen_at("/run/taskflow", "taskflowd.sock");
        expect(client_connect(&client, CLIENT_START, &error) == 0);
        expect(client_kind(client) == DAEMON_KIND_MACHINE);
        expect(strcmp(client_path(client), "/run/taskflow/taskflowd.sock") == 0);
        client_free(client);

        (void)fd_close(fd);
        expect(client_connect(&client, CLIENT_START, &error) == CLIENT_E_UNREACHABLE);
        expect(strstr(error.text, "the machine's daemon is not running") != NULL);
}

static void test_folder_of_the_machine_comes_before_personal_ones(void **state) {
        Fixture *f = *state;

        write_script(f, SCRIPT_READY);
        if (!in_own_run(check_machine, f))
                print_message("# left out: a mount namespace is not permitted here\n");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_named_socket_that_is_not_there, set_up,
                                                tear_down),
                cmocka_unit_test_setup_teardown(test_named_socket_that_nobody_listens_at, set_up,
                                                tear_down),
                cmocka_unit_test_setup_teardown(test_named_socket_with_a_long_path, set_up,
                                                tear_down),
                cmocka_unit_test_setup_teardown(test_empty_name_counts_as_unset, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_full_queue_is_waited_for, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_none_is_started_unasked, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_one_is_started_and_found_again, set_up,
                                                tear_down),
                cmocka_unit_test_setup_teardown(test_folders_and_log_are_private, set_up,
                                                tear_down),
                cmocka_unit_test_setup_teardown(test_runtime_socket_comes_first, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_state_socket_is_tried_too, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_stranger_is_not_believed, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_daemon_starts_clean, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_daemon_leaves_no_zombie, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_daemon_starts_where_children_are_ignored,
                                                set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_daemon_starts_without_standard_descriptors,
                                                set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_busy_daemon_is_waited_for, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_failure_of_the_daemon_is_told_by_its_last_line,
                                                set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_large_log_begins_anew, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_program_that_is_not_there_is_told, set_up,
                                                tear_down),
                cmocka_unit_test_setup_teardown(test_program_that_cannot_be_executed_is_told,
                                                set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_home_that_is_not_set_is_told, set_up,
                                                tear_down),
                cmocka_unit_test_setup_teardown(test_state_that_cannot_be_made_is_told, set_up,
                                                tear_down),
                cmocka_unit_test_setup_teardown(test_state_of_another_user_is_not_used, set_up,
                                                tear_down),
                cmocka_unit_test_setup_teardown(test_home_may_be_long_and_have_spaces, set_up,
                                                tear_down),
                cmocka_unit_test_setup_teardown(test_start_is_said_unless_quiet, set_up, tear_down),
                cmocka_unit_test_setup_teardown(
                        test_folder_of_the_machine_comes_before_personal_ones, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
