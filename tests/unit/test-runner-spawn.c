/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runner/spawn.h"
#include "util/cleanup.h"

#include "check.h"

static char folder[64];

static int set_up(_unused_ void **state) {
        static const struct {
                const char *name;
                const char *text;
                mode_t mode;
        } files[] = {
                { "plain", "exit 7\n", 0755 },
                { "unreadable", "exit 7\n", 0644 },
                { "orphan", "#!/no/such/interpreter\n", 0755 },
                { "arguments", "test \"$1\" = 'a b' && test $# -eq 2\n", 0755 },
        };
        char path[128];

        make_test_folder(folder);
        for (size_t i = 0; i < ELEMENTSOF(files); i++) {
                (void)snprintf(path, sizeof(path), "%s/%s", folder, files[i].name);
                assert_int_equal(fd_write_file_atomic(AT_FDCWD, path, files[i].text,
                                                      strlen(files[i].text), files[i].mode),
                                 0);
        }
        return setenv("PATH", folder, 1);
}

static int tear_down(_unused_ void **state) {
        static const char *const files[] = { "plain", "unreadable", "orphan", "arguments" };
        char path[128];

        for (size_t i = 0; i < ELEMENTSOF(files); i++) {
                (void)snprintf(path, sizeof(path), "%s/%s", folder, files[i]);
                (void)unlink(path);
        }
        return rmdir(folder);
}

/* The program's status, or the outcome as a negative number. */
static int run(char *const *argv, char *const *envp, Error *error) {
        Signals signals;
        Spawned spawned = { .pidfd = -1 };
        int status;
        int r;

        signals_prepare(&signals);
        r = spawn(&spawned, argv, envp, &signals, true, error);
        if (r != 0)
                return -r;
        assert_true(spawned.pid > 0);
        assert_true(fcntl(spawned.pidfd, F_GETFD) & FD_CLOEXEC);
        assert_int_equal(poll(&(struct pollfd){ .fd = spawned.pidfd, .events = POLLIN }, 1, 10000),
                         1);
        assert_int_equal(waitpid(spawned.pid, &status, 0), spawned.pid);
        spawned_done(&spawned);
        assert_true(WIFEXITED(status));
        return WEXITSTATUS(status);
}

static void test_a_program_is_found_as_shells_find_it(_unused_ void **state) {
        char *none[] = { NULL };
        static const struct {
                const char *path;
                const char *program;
                int result;
                const char *says;
        } cases[] = {
                { NULL, "/bin/true", 0, "" },
                { NULL, "/bin/false", 1, "" },
                { "/nonexistent:/bin", "true", 0, "" },
                { NULL, "true", 0, "" },
                { "/bin", "no-such-program", -SPAWN_E_NOT_FOUND,
                  "cannot run 'no-such-program': not found" },
                { "/bin", "/bin/no-such-program", -SPAWN_E_NOT_FOUND,
                  "cannot run '/bin/no-such-program': not found" },
                { "/bin", "", -SPAWN_E_NOT_FOUND, "cannot run '': not found" },
                { "/bin", "/bin", -SPAWN_E_CANNOT_EXEC, "cannot run '/bin': Permission denied" },
                { folder, "plain", 7, "" },
                { folder, "unreadable", -SPAWN_E_CANNOT_EXEC,
                  "cannot run 'unreadable': Permission denied" },
                { folder, "orphan", -SPAWN_E_CANNOT_EXEC,
                  "cannot run 'orphan': its interpreter is missing" },
                { "/bin/true/x:/bin", "true", 0, "" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char *argv[] = { (char *)(uintptr_t)cases[i].program, NULL };
                Error error = { 0 };
                int r;

                (void)(cases[i].path ? setenv("PATH", cases[i].path, 1) : unsetenv("PATH"));
                r = run(argv, none, &error);
                if (r != cases[i].result || strcmp(error.text, cases[i].says) != 0)
                        fail_msg("%s: %d '%s'", cases[i].program, r, error.text);
        }
}

static void test_a_file_without_format_is_a_shell_script_with_its_arguments(_unused_ void **state) {
        char *argv[] = { "arguments", "a b", "", NULL };
        char *none[] = { NULL };
        Error error;

        (void)setenv("PATH", folder, 1);
        assert_int_equal(run(argv, none, &error), 0);
}

/* In a folder that may not be searched, or in one where it may not be run, a program does not hide a later one. */
static void test_a_later_folder_has_its_chance(_unused_ void **state) {
        char *argv[] = { "sh", "-c", "exit 3", NULL };
        char *none[] = { NULL };
        char path[256];
        Error error;

        (void)snprintf(path, sizeof(path), "%s/sh", folder);
        assert_int_equal(fd_write_file_atomic(AT_FDCWD, path, "", 0, 0644), 0);
        (void)snprintf(path, sizeof(path), "%s:/bin", folder);
        (void)setenv("PATH", path, 1);
        assert_int_equal(run(argv, none, &error), 3);
        (void)snprintf(path, sizeof(path), "%s/sh", folder);
        (void)unlink(path);
}

static void test_the_environment_is_what_was_given(_unused_ void **state) {
        char *argv[] = { "/bin/sh", "-c", "test \"$A\" = b && test -z \"$TASKFLOW_UNIT\"", NULL };
        char *envp[] = { "A=b", NULL };
        Error error;

        (void)setenv("TASKFLOW_UNIT", "1", 1);
        assert_int_equal(run(argv, envp, &error), 0);
}

static void test_many_arguments_are_no_matter(_unused_ void **state) {
        enum {
                N = 20000
        };
        _cleanup_free_ char **argv = calloc(N + 1, sizeof(*argv));
        char *none[] = { NULL };
        Error error;

        assert_non_null(argv);
        for (size_t i = 0; i < N; i++)
                argv[i] = "/bin/true";
        assert_int_equal(run(argv, none, &error), 0);
}

/* Runs in a child, as it ruins the process: a shell tells what it was given. Bits of signals as in /proc. */
static void assert_given(const char *field, void (*prepare)(void), int signal, bool set) {
        char line[256];
        char *argv[] = { "/bin/sh", "-c", line, NULL };
        char *none[] = { NULL };
        int status;
        pid_t pid;

        (void)snprintf(
                line, sizeof(line),
                "while read -r k v; do if [ $k = %s: ]; then exit $(( (0x$v >> %d) & 1 )); fi; done "
                "</proc/self/status; exit 99",
                field, signal - 1);
        pid = fork();
        if (pid == 0) {
                Spawned spawned;
                Signals signals;
                Error error;

                prepare();
                signals_prepare(&signals);
                if (signals_take(&signals) != 0 ||
                    spawn(&spawned, argv, none, &signals, true, &error) != 0)
                        _exit(98);
                if (waitpid(spawned.pid, &status, 0) != spawned.pid)
                        _exit(97);
                _exit(WEXITSTATUS(status));
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), set);
}

static void nothing(void) {
}

static void ignore_some(void) {
        (void)signal(SIGPIPE, SIG_IGN);
        (void)signal(SIGCHLD, SIG_IGN);
        (void)signal(SIGHUP, SIG_IGN);
        (void)signal(SIGTSTP, SIG_IGN);
}

static void block_some(void) {
        sigset_t set;

        (void)sigemptyset(&set);
        (void)sigaddset(&set, SIGTERM);
        (void)sigaddset(&set, SIGURG);
        (void)sigprocmask(SIG_BLOCK, &set, NULL);
}

/* A shell leaves alone what was ignored when it came, except SIGCHLD, which it needs; grep does not. */
static void test_signals_are_as_they_were(_unused_ void **state) {
        assert_given("SigIgn", ignore_some, SIGPIPE, true);
        assert_given("SigIgn", ignore_some, SIGHUP, true);
        assert_given("SigIgn", ignore_some, SIGTSTP, true);
        assert_given("SigIgn", ignore_some, SIGTERM, false);
        assert_given("SigIgn", nothing, SIGPIPE, false);
        assert_given("SigBlk", block_some, SIGTERM, true);
        assert_given("SigBlk", block_some, SIGURG, true);
        assert_given("SigBlk", block_some, SIGINT, false);
        assert_given("SigBlk", nothing, SIGTERM, false);
        assert_given("SigBlk", nothing, SIGPIPE, false);
        assert_given("SigBlk", nothing, SIGCHLD, false);
}

static void test_ignored_children_stay_ignored_and_are_waited_for(_unused_ void **state) {
        /* SIGCHLD alone; 32 and 33 are glibc's own, and ignored in what make starts */
        char *argv[] = { "/bin/grep", "-q", "^SigIgn:\t0000000[01][08]0010000$",
                         "/proc/self/status", NULL };
        char *none[] = { NULL };
        int status;
        pid_t pid;

        pid = fork();
        if (pid == 0) {
                Error error;

                for (int i = 1; i < NSIG; i++)
                        (void)signal(i, SIG_DFL);
                (void)signal(SIGCHLD, SIG_IGN);
                _exit(run(argv, none, &error) == 0 ? 0 : 1);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_program_is_found_as_shells_find_it),
                cmocka_unit_test(test_a_file_without_format_is_a_shell_script_with_its_arguments),
                cmocka_unit_test(test_a_later_folder_has_its_chance),
                cmocka_unit_test(test_the_environment_is_what_was_given),
                cmocka_unit_test(test_many_arguments_are_no_matter),
                cmocka_unit_test(test_signals_are_as_they_were),
                cmocka_unit_test(test_ignored_children_stay_ignored_and_are_waited_for),
        };

        return cmocka_run_group_tests(tests, set_up, tear_down);
}
