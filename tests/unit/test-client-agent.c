/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Finding the agent, and starting it where it lives longest. The agent is a shell script in PATH: it moves the socket that the test
 * listens on to where it belongs. What systemd and logind are is a folder of the test's.
 */

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/agent-start.h"
#include "client/agent.h"
#include "util/cleanup.h"
#include "util/fd.h"

#include "check.h"

/* TASKFLOW_ variables are the only ones of ours that it gets. */
#define SCRIPT_HEAD "#!/bin/sh\nS=\"$XDG_STATE_HOME/taskflow/agent-$TASKFLOW_PLACE\"\n"

typedef struct Fixture {
        char folder[64];
        char *state_home; /* $XDG_STATE_HOME */
        char *bin;        /* $PATH is FOLDER/bin:/usr/bin:/bin */
        char *home;       /* of the agent, of the place in TASKFLOW_SOCKET */
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
        f->listen_fd = -1;
        assert_int_equal(mkdir(f->bin, 0700), 0);
        path = path_of(f->bin, ":/usr/bin:/bin");
        (void)setenv("PATH", path, 1);
        (void)setenv("HOME", f->folder, 1);
        (void)setenv("XDG_STATE_HOME", f->state_home, 1);
        (void)unsetenv("XDG_RUNTIME_DIR");
        (void)setenv("TASKFLOW_SOCKET", "/some/where/socket", 1);
        assert_int_equal(client_agent_dir(&f->home, NULL), 0);
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

static int tear_down(void **state) {
        Fixture *f = *state;

        f->listen_fd = fd_close(f->listen_fd);
        (void)nftw(f->folder, remove_one, 20, FTW_DEPTH | FTW_PHYS);
        free(f->state_home);
        free(f->bin);
        free(f->home);
        free(f);
        return 0;
}

static void write_file(const char *path, const char *text, mode_t mode) {
        _cleanup_free_ char *folder = strdup(path);

        assert_non_null(folder);
        *strrchr(folder, '/') = '\0';
        assert_int_equal(fd_mkdir_p(folder, 0700), 0);
        assert_int_equal(fd_write_file_atomic(AT_FDCWD, path, text, strlen(text), mode), 0);
}

static void write_below(const char *folder, const char *path, const char *text) {
        _cleanup_free_ char *whole = path_of(folder, path);

        write_file(whole, text, 0600);
}

static void write_script(const Fixture *f, const char *name, const char *script) {
        _cleanup_free_ char *slash = path_of("/", name), *path = path_of(f->bin, slash);

        write_file(path, script, 0700);
}

static int listen_at(const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_true(strlen(path) < sizeof(address.sun_path));
        (void)strcpy(address.sun_path, path);
        assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        assert_int_equal(listen(fd, 5), 0);
        return fd;
}

/* The agent's socket, which its script will move to where it belongs. */
static void hide_socket(Fixture *f) {
        _cleanup_free_ char *path = path_of(f->state_home, "/hidden");

        assert_int_equal(fd_mkdir_p(f->state_home, 0700), 0);
        f->listen_fd = listen_at(path);
        (void)setenv("TASKFLOW_PLACE", strstr(f->home, "agent-") + strlen("agent-"), 1);
}

static void assert_unreachable(unsigned flags, const char *want) {
        Client *client = NULL;
        Error error = { "" };

        assert_int_equal(client_connect_agent(&client, flags | CLIENT_QUIET, &error),
                         CLIENT_E_UNREACHABLE);
        if (!strstr(error.text, want))
                fail_msg("'%s' is not in '%s'", want, error.text);
}

static void assert_connects(unsigned flags) {
        _cleanup_(client_freep) Client *client = NULL;
        Error error = { "" };

        if (client_connect_agent(&client, flags | CLIENT_QUIET, &error) != 0)
                fail_msg("%s", error.text);
        assert_non_null(strstr(client_path(client), "/sock"));
}

/* Where it is */

static void test_each_socket_of_a_daemon_has_a_folder_of_its_own(void **state) {
        const Fixture *f = *state;
        _cleanup_free_ char *other = NULL, *relative = NULL, *absolute = NULL, *personal = NULL,
                            *cwd = getcwd(NULL, 0);

        assert_int_equal(strncmp(f->home, f->state_home, strlen(f->state_home)), 0);
        assert_non_null(strstr(f->home, "/taskflow/agent-named-"));
        (void)setenv("TASKFLOW_SOCKET", "/some/where/else", 1);
        assert_int_equal(client_agent_dir(&other, NULL), 0);
        assert_string_not_equal(f->home, other);

        (void)setenv("TASKFLOW_SOCKET", "below/socket", 1);
        assert_int_equal(client_agent_dir(&relative, NULL), 0);
        absolute = path_of(cwd, "/below/socket");
        (void)setenv("TASKFLOW_SOCKET", absolute, 1);
        free(absolute);
        assert_int_equal(client_agent_dir(&absolute, NULL), 0);
        assert_string_equal(relative, absolute);

        (void)setenv("TASKFLOW_SOCKET", "", 1);
        assert_int_equal(client_agent_dir(&personal, NULL), 0);
        if (access("/run/taskflow", F_OK) < 0)
                assert_non_null(strstr(personal, "/taskflow/agent-personal"));
        else
                assert_non_null(strstr(personal, "/taskflow/agent-machine"));
}

static void test_without_a_home_there_is_none(_unused_ void **state) {
        (void)unsetenv("HOME");
        (void)unsetenv("XDG_STATE_HOME");
        assert_unreachable(CLIENT_START, "HOME is not set to a folder");
        assert_false(client_agent_has_work());
        assert_false(client_agent_is_stopped());
}

static void test_work_is_a_database_or_a_record(void **state) {
        const Fixture *f = *state;
        _cleanup_free_ char *db = path_of(f->home, "/agent.db");

        assert_false(client_agent_has_work());
        write_below(f->home, "/agent.db", "");
        assert_true(client_agent_has_work());
        assert_int_equal(unlink(db), 0);
        assert_false(client_agent_has_work());
        write_below(f->home, "/run/recycled-0", "");
        write_below(f->home, "/run/.hidden", "");
        assert_false(client_agent_has_work());
        write_below(f->home, "/run/12_3.1", "");
        assert_true(client_agent_has_work());
}

static void test_a_stopped_one_is_known(void **state) {
        const Fixture *f = *state;

        assert_false(client_agent_is_stopped());
        write_below(f->home, "/stopped", "");
        assert_true(client_agent_is_stopped());
}

/* Starting it */

static void test_none_is_started_unasked(void **state) {
        const Fixture *f = *state;

        write_script(f, "taskflow-agent", "#!/bin/sh\n>\"$HOME/started\"\n");
        assert_unreachable(0, "no agent is running; 'taskflow run -D' starts one");
        assert_int_equal(access(f->home, F_OK), -1);
}

static void test_one_is_started_and_found_again(void **state) {
        Fixture *f = *state;
        struct stat st;

        hide_socket(f);
        write_script(
                f, "taskflow-agent",
                SCRIPT_HEAD
                "case \"$*\" in '--lives detached --ready'|'--lives session --ready') ;; *) exit 1; esac\n"
                "mv \"$XDG_STATE_HOME/hidden\" \"$S/sock\"; echo ready\n");
        assert_connects(CLIENT_START);
        assert_connects(0);
        assert_int_equal(stat(f->home, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0700);
}

static void test_one_that_is_busy_is_waited_for(void **state) {
        Fixture *f = *state;

        hide_socket(f);
        write_script(f, "taskflow-agent",
                     SCRIPT_HEAD
                     "echo busy\n"
                     "exec >/dev/null; sleep 0.3; mv \"$XDG_STATE_HOME/hidden\" \"$S/sock\"\n");
        assert_connects(CLIENT_START);
}

static void test_a_failure_is_told_by_its_last_line(void **state) {
        const Fixture *f = *state;

        write_script(f, "taskflow-agent", "#!/bin/sh\necho one >&2\necho 'no room' >&2\nexit 1\n");
        assert_unreachable(CLIENT_START,
                           "cannot start the agent that runs detached tasks: no room");
}

static void test_a_program_that_is_not_there_is_told(_unused_ void **state) {
        (void)setenv("PATH", "/no/such", 1);
        assert_unreachable(CLIENT_START,
                           "the program 'taskflow-agent', which runs detached tasks, is");
}

static void test_a_stranger_is_not_believed(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *path = path_of(f->home, "/sock");
        int ready_fds[2];
        int status;
        pid_t pid;
        char c;

        if (geteuid() != 0) {
                print_message("# left out: only root can be somebody else\n");
                return;
        }
        assert_int_equal(fd_mkdir_p(f->home, 0777), 0);
        assert_int_equal(chmod(f->home, 0777), 0);
        assert_int_equal(chmod(f->folder, 0755), 0);
        assert_int_equal(pipe2(ready_fds, O_CLOEXEC), 0);
        pid = fork();
        if (pid == 0) {
                if (setuid(54321) < 0 || access(f->home, W_OK) < 0)
                        _exit(1);
                f->listen_fd = listen_at(path);
                (void)fd_write_all(ready_fds[1], "", 1);
                (void)pause();
                _exit(0);
        }
        (void)close(ready_fds[1]);
        if (read(ready_fds[0], &c, 1) == 1)
                assert_unreachable(0, "uid 54321 listens at");
        else
                print_message("# left out: the other user cannot come here\n");
        (void)close(ready_fds[0]);
        (void)kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, &status, 0), pid);
}

/* Where it lives */

static void test_the_last_word_of_logind_counts(void **state) {
        const Fixture *f = *state;

        assert_false(agent_ground_kills(f->folder));
        write_below(f->folder, "/etc/systemd/logind.conf", "[Login]\n#KillUserProcesses=yes\n");
        assert_false(agent_ground_kills(f->folder));
        write_below(f->folder, "/etc/systemd/logind.conf", "[Login]\n KillUserProcesses = yes\n");
        assert_true(agent_ground_kills(f->folder));
        write_below(f->folder, "/usr/lib/systemd/logind.conf.d/50-x.conf",
                    "KillUserProcesses=no\n");
        assert_false(agent_ground_kills(f->folder));
        write_below(f->folder, "/run/systemd/logind.conf.d/60-y.conf", "KillUserProcesses=1\n");
        assert_true(agent_ground_kills(f->folder));
        write_below(f->folder, "/etc/systemd/logind.conf.d/60-y.conf", "KillUserProcesses=off\n");
        assert_false(agent_ground_kills(f->folder));
        write_below(f->folder, "/etc/systemd/logind.conf.d/70-z.conf",
                    "KillUserProcessesX=no\nKillUserProcesses=on\n");
        assert_true(agent_ground_kills(f->folder));
        write_below(f->folder, "/etc/systemd/logind.conf.d/80-z.txt", "KillUserProcesses=no\n");
        assert_true(agent_ground_kills(f->folder));
}

static void test_the_ground_is_what_the_machine_has(void **state) {
        const Fixture *f = *state;
        AgentGround ground;

        ground = agent_ground_look(f->folder, "alice", "/run/user/7");
        assert_true(!ground.lingers && !ground.manager && !ground.kills);
        write_below(f->folder, "/etc/systemd/logind.conf", "KillUserProcesses=yes\n");
        assert_false(agent_ground_look(f->folder, "alice", "/run/user/7").kills);
        write_below(f->folder, "/run/systemd/seats/seat0", "");
        write_below(f->folder, "/var/lib/systemd/linger/alice", "");
        write_below(f->folder, "/run/user/7/systemd/private", "");
        ground = agent_ground_look(f->folder, "alice", "/run/user/7");
        assert_true(ground.lingers && ground.manager && ground.kills);
        assert_false(agent_ground_look(f->folder, "bob", "/run/user/7").lingers);
        assert_false(agent_ground_look(f->folder, "", "/run/user/7").lingers);
        assert_false(agent_ground_look(f->folder, "alice", "/run/user/8").manager);
}

static void test_it_lives_where_it_lives_longest(_unused_ void **state) {
        for (unsigned i = 0; i < 8; i++) {
                const AgentGround ground = {
                        .lingers = i & 1,
                        .manager = i & 2,
                        .kills = i & 4,
                };
                AgentLife want = ground.lingers && ground.manager ? AGENT_LIFE_SYSTEMD :
                                 ground.kills                     ? AGENT_LIFE_SESSION :
                                                                    AGENT_LIFE_DETACHED;

                assert_int_equal(agent_life_choose(&ground), want);
        }
        assert_string_equal(agent_life_to_string(AGENT_LIFE_SYSTEMD), "systemd");
        assert_string_equal(agent_life_to_string(AGENT_LIFE_SESSION), "session");
        assert_string_equal(agent_life_to_string(AGENT_LIFE_DETACHED), "detached");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(
                        test_each_socket_of_a_daemon_has_a_folder_of_its_own, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_without_a_home_there_is_none, set_up,
                                                tear_down),
                cmocka_unit_test_setup_teardown(test_work_is_a_database_or_a_record, set_up,
                                                tear_down),
                cmocka_unit_test_setup_teardown(test_a_stopped_one_is_known, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_none_is_started_unasked, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_one_is_started_and_found_again, set_up,
                                                tear_down),
                cmocka_unit_test_setup_teardown(test_one_that_is_busy_is_waited_for, set_up,
                                                tear_down),
                cmocka_unit_test_setup_teardown(test_a_failure_is_told_by_its_last_line, set_up,
                                                tear_down),
                cmocka_unit_test_setup_teardown(test_a_program_that_is_not_there_is_told, set_up,
                                                tear_down),
                cmocka_unit_test_setup_teardown(test_a_stranger_is_not_believed, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_the_last_word_of_logind_counts, set_up,
                                                tear_down),
                cmocka_unit_test_setup_teardown(test_the_ground_is_what_the_machine_has, set_up,
                                                tear_down),
                cmocka_unit_test(test_it_lives_where_it_lives_longest),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
