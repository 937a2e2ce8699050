/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The daemon here is a child that answers every message with "{}" and tells the test, on a pipe, which methods it heard.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/client.h"
#include "runner/records.h"
#include "util/cleanup.h"
#include "util/strv.h"

#include "check.h"

static char folder[64];
static char socket_path[96];
static char ended_path[128];

static void heard(int fd, const char *message) {
        const char *method = strstr(message, "io.taskflow.v1.");

        if (method && write(fd, method + 15, strcspn(method + 15, "\"")) > 0)
                (void)!write(fd, " ", 1);
}

static _Noreturn void serve(int listen_fd, int heard_fd, bool silent) {
        static const char reply[] = "{\"parameters\":{}}";
        static const char attached[] =
                "{\"parameters\":{\"id\":12,\"state\":\"running\",\"look_interval_us\":1000000}}";
        char buf[65536];
        int fd;

        fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
        for (;;) {
                ssize_t n = read(fd, buf, sizeof(buf) - 1);

                if (n <= 0)
                        _exit(0);
                buf[n] = '\0';
                heard(heard_fd, buf);
                if (silent)
                        continue;
                if (strstr(buf, "Attach"))
                        (void)!write(fd, attached, sizeof(attached));
                else
                        (void)!write(fd, reply, sizeof(reply));
        }
}

/* Connects to a daemon of its own, delivers, and returns what that heard: "Attach Ended ". */
static char *deliver(bool silent) {
        _cleanup_(client_freep) Client *client = NULL;
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        static char buf[256];
        Error error = { 0 };
        int listen_fd;
        ssize_t n;
        int fds[2];
        pid_t pid;

        (void)unlink(socket_path);
        (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", socket_path);
        listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(listen_fd, (struct sockaddr *)&address, sizeof(address)), 0);
        assert_int_equal(listen(listen_fd, 1), 0);
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        pid = fork();
        if (pid == 0)
                serve(listen_fd, fds[1], silent);
        (void)fd_close(listen_fd);
        (void)fd_close(fds[1]);

        if (client_connect(&client, 0, &error) != 0)
                fail_msg("%s", error.text);
        records_deliver(client);
        client = client_free(client);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        n = read(fds[0], buf, sizeof(buf) - 1);
        buf[n > 0 ? n : 0] = '\0';
        (void)fd_close(fds[0]);
        return buf;
}

static void leave(const char *place, uint64_t id, const char *database) {
        _cleanup_(task_freep) Task *task = task_new();
        Call attach = { .type = CALL_ATTACH,
                        .attach = { .task = task, .started = true, .room_bytes = UINT64_MAX } };
        const Call ended = {
                .type = CALL_ENDED,
                .ended = { .id = id,
                           .state = TASK_STATE_FAILED,
                           .exit_status = 7,
                           .ended_at_us = 1 },
        };

        assert_non_null(task);
        task->id = id;
        task->state = TASK_STATE_FAILED;
        task->command = strdup("exit 7");
        task->cwd = strdup("/");
        task->argv = strv_dup((char *[]){ "exit 7", NULL });
        (void)snprintf(attach.attach.database, sizeof(attach.attach.database), "%s", database);
        assert_int_equal(records_leave(place, &attach, &ended), 0);
}

static size_t n_records(void) {
        size_t n = 0;
        DIR *dir = opendir(ended_path);

        for (const struct dirent *entry; dir && (entry = readdir(dir));)
                n += entry->d_name[0] != '.';
        if (dir)
                (void)closedir(dir);
        return n;
}

static int set_up(_unused_ void **state) {
        make_test_folder(folder);
        (void)snprintf(socket_path, sizeof(socket_path), "%s/s", folder);
        (void)snprintf(ended_path, sizeof(ended_path), "%s/state/taskflow/ended", folder);
        (void)setenv("HOME", folder, 1);
        (void)setenv("TASKFLOW_SOCKET", socket_path, 1);
        (void)snprintf(ended_path, sizeof(ended_path), "%s/state", folder);
        (void)setenv("XDG_STATE_HOME", ended_path, 1);
        (void)snprintf(ended_path, sizeof(ended_path), "%s/state/taskflow/ended", folder);
        return 0;
}

static int tear_down(_unused_ void **state) {
        char command[256];

        (void)snprintf(command, sizeof(command), "rm -rf '%s'", folder);
        return system(command); /* NOLINT(cert-env33-c): a test's own folder */
}

static void test_without_records_nothing_is_said(_unused_ void **state) {
        assert_false(records_exist());
        assert_string_equal(deliver(false), "");
}

static void test_a_record_is_said_and_removed(_unused_ void **state) {
        struct stat st;

        leave(socket_path, 12, "0123456789abcdef0123456789abcdef");
        leave(socket_path, 13, "0123456789abcdef0123456789abcdef");
        leave(socket_path, 13, "0123456789abcdef0123456789abcdef");
        assert_true(records_exist());
        assert_int_equal(n_records(), 2);
        assert_int_equal(stat(ended_path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0700);
        assert_string_equal(deliver(false), "Attach Ended Attach Ended ");
        assert_int_equal(n_records(), 0);
        assert_string_equal(deliver(false), "");
}

static void test_what_another_daemon_is_to_hear_is_kept_for_it(_unused_ void **state) {
        leave("personal", 12, "0123456789abcdef0123456789abcdef");
        leave("machine", 12, "1123456789abcdef0123456789abcdef");
        assert_string_equal(deliver(false), "");
        assert_int_equal(n_records(), 2);
}

static void test_a_silent_daemon_keeps_nobody_and_loses_nothing(_unused_ void **state) {
        size_t before = n_records();

        leave(socket_path, 14, "0123456789abcdef0123456789abcdef");
        assert_string_equal(deliver(true), "Attach ");
        assert_int_equal(n_records(), before + 1);
        assert_string_equal(deliver(false), "Attach Ended ");
}

static void test_what_is_no_record_is_removed(_unused_ void **state) {
        static const struct {
                const char *text;
                size_t n;
        } cases[] = {
                { "", 0 },
                { "\0", 1 },
                { "machine", 7 },
                { "machine\0{}", 10 },
                { "machine\0{\"method\":\"io.taskflow.v1.Ended\",\"parameters\":{}}\0x", 60 },
        };
        size_t before = n_records();

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char path[192];

                (void)snprintf(path, sizeof(path), "%s/junk", ended_path);
                assert_int_equal(fd_write_file_atomic(AT_FDCWD, path, cases[i].text, cases[i].n,
                                                      0600),
                                 0);
                assert_string_equal(deliver(false), "");
                assert_int_equal(access(path, F_OK), -1);
        }
        assert_int_equal(n_records(), before);
}

static void test_old_ones_are_forgotten(_unused_ void **state) {
        const struct timespec old[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };
        char path[192];

        leave("personal", 15, "0123456789abcdef0123456789abcdef");
        (void)snprintf(path, sizeof(path), "%s/15-0123456789abcdef0123456789abcdef", ended_path);
        assert_int_equal(utimensat(AT_FDCWD, path, old, 0), 0);
        assert_string_equal(deliver(false), "");
        assert_int_equal(access(path, F_OK), -1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_without_records_nothing_is_said),
                cmocka_unit_test(test_a_record_is_said_and_removed),
                cmocka_unit_test(test_what_another_daemon_is_to_hear_is_kept_for_it),
                cmocka_unit_test(test_a_silent_daemon_keeps_nobody_and_loses_nothing),
                cmocka_unit_test(test_what_is_no_record_is_removed),
                cmocka_unit_test(test_old_ones_are_forgotten),
        };

        return cmocka_run_group_tests(tests, set_up, tear_down);
}
