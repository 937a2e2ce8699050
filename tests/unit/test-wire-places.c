/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Where state, settings and sockets are, in environments as they come
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/fd.h"
#include "wire/places.h"

#include "check.h"

static const char *const variables[] = { "HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME",
                                         "XDG_RUNTIME_DIR" };

static int forget_environment(_unused_ void **state) {
        for (size_t i = 0; i < ELEMENTSOF(variables); i++)
                (void)unsetenv(variables[i]);
        return 0;
}

/* @a and @b as one path. */
static char *path_of(const char *a, const char *b) {
        char *path = NULL;

        assert_true(asprintf(&path, "%s%s", a, b) > 0);
        return path;
}

static void write_file(const char *path, const char *content) {
        assert_int_equal(fd_write_file_atomic(AT_FDCWD, path, content, strlen(content), 0600), 0);
}

static void test_state_is_below_home(_unused_ void **state) {
        char *path = NULL;

        (void)setenv("HOME", "/no/such/ho me", 1);
        assert_int_equal(places_personal_state(&path, NULL), 0);
        assert_string_freed(path, "/no/such/ho me/.local/state/taskflow");
        assert_int_equal(places_personal_socket(&path, NULL), 0);
        assert_string_freed(path, "/no/such/ho me/.local/state/taskflow/run/taskflowd.sock");
        assert_int_equal(places_personal_settings(&path, NULL), 0);
        assert_string_freed(path, "/no/such/ho me/.config/taskflow/taskflow.conf");
}

static void test_xdg_variables_come_first(_unused_ void **state) {
        char *path = NULL;

        (void)setenv("HOME", "/no/such/home", 1);
        (void)setenv("XDG_STATE_HOME", "/no/such/state", 1);
        (void)setenv("XDG_CONFIG_HOME", "/no/such/config", 1);
        assert_int_equal(places_personal_state(&path, NULL), 0);
        assert_string_freed(path, "/no/such/state/taskflow");
        assert_int_equal(places_personal_settings(&path, NULL), 0);
        assert_string_freed(path, "/no/such/config/taskflow/taskflow.conf");
}

/* As the XDG Base Directory Specification has it. */
static void test_relative_and_empty_variables_count_as_unset(_unused_ void **state) {
        char *path = NULL;

        (void)setenv("HOME", "/no/such/home", 1);
        (void)setenv("XDG_STATE_HOME", "state", 1);
        (void)setenv("XDG_CONFIG_HOME", "", 1);
        (void)setenv("XDG_RUNTIME_DIR", ".", 1);
        assert_int_equal(places_personal_state(&path, NULL), 0);
        assert_string_freed(path, "/no/such/home/.local/state/taskflow");
        assert_int_equal(places_personal_settings(&path, NULL), 0);
        assert_string_freed(path, "/no/such/home/.config/taskflow/taskflow.conf");
        assert_int_equal(places_runtime_socket(&path), 0);
        assert_null(path);
}

static void test_no_home_is_said(_unused_ void **state) {
        static const char *const homes[] = { NULL, "", "relative" };

        for (size_t i = 0; i < ELEMENTSOF(homes); i++) {
                char *path = NULL;
                Error error;

                if (homes[i])
                        (void)setenv("HOME", homes[i], 1);
                assert_int_equal(places_personal_state(&path, &error), -ENOENT);
                assert_string_equal(
                        error.text,
                        "HOME is not set to a folder: set it, or set XDG_STATE_HOME, or name "
                        "the socket of a daemon in TASKFLOW_SOCKET");
                assert_int_equal(places_personal_socket(&path, &error), -ENOENT);
                assert_int_equal(places_personal_settings(&path, NULL), -ENOENT);
                assert_null(path);
        }
}

static void test_runtime_folder_must_be_ours(_unused_ void **state) {
        char folder[64];
        char *path = NULL;

        make_test_folder(folder);
        (void)setenv("XDG_RUNTIME_DIR", folder, 1);
        assert_int_equal(places_runtime_socket(&path), 0);
        assert_non_null(path);
        assert_string_freed(path_of(folder, "/taskflow/taskflowd.sock"), path);
        free(path);

        assert_int_equal(chmod(folder, 0770), 0);
        assert_int_equal(places_runtime_socket(&path), 0);
        assert_null(path);
        assert_int_equal(chmod(folder, 0700), 0);

        if (geteuid() == 0) {
                assert_int_equal(chown(folder, 12345, 12345), 0);
                assert_int_equal(places_runtime_socket(&path), 0);
                assert_null(path);
        }
        assert_int_equal(rmdir(folder), 0);

        assert_int_equal(places_runtime_socket(&path), 0);
        assert_null(path);
        (void)setenv("XDG_RUNTIME_DIR", "/dev/null", 1);
        assert_int_equal(places_runtime_socket(&path), 0);
        assert_null(path);
}

static void test_state_in_the_home_of_another_is_refused(_unused_ void **unused) {
        _cleanup_free_ char *home = NULL, *local = NULL, *state = NULL;
        char folder[64];
        Error error = {};

        if (geteuid() != 0)
                skip(); /* nobody else can give a folder away */
        make_test_folder(folder);
        assert_int_equal(chown(folder, 12345, 12345), 0);
        home = path_of(folder, "/home");
        local = path_of(home, "/.local");
        state = path_of(local, "/state/taskflow");
        (void)setenv("HOME", home, 1);

        /* What is not there yet would be made in it. */
        assert_int_equal(places_check_state(&error), -EPERM);
        assert_non_null(strstr(error.text, "belongs to another user (uid 12345)"));
        assert_int_equal(fd_mkdir_p(state, 0700), 0);
        assert_int_equal(places_check_state(&error), 0);
        assert_int_equal(chown(local, 12345, 12345), 0);
        assert_int_equal(places_check_state(&error), -EPERM);
        assert_int_equal(chown(local, 0, 0), 0);
        assert_int_equal(chown(home, 12345, 12345), 0);
        assert_int_equal(places_check_state(&error), -EPERM);
        assert_int_equal(setenv("XDG_STATE_HOME", local, 1), 0);
        assert_int_equal(places_check_state(&error), 0);

        for (size_t n = strlen(state); n > strlen(folder); n--) {
                if (state[n] == '\0')
                        assert_int_equal(rmdir(state), 0);
                if (state[n - 1] == '/')
                        state[n - 1] = '\0';
        }
        assert_int_equal(rmdir(folder), 0);
}

/* A home that several machines mount: the first one has the state, the others a folder below it (decisions.md 29). */
static void test_state_of_another_machine_is_left_alone(_unused_ void **unused) {
        _cleanup_free_ char *state = NULL, *id = NULL, *ours = NULL;
        char folder[64], host[256] = "";
        char *path = NULL;

        make_test_folder(folder);
        (void)setenv("XDG_STATE_HOME", folder, 1);
        state = path_of(folder, "/taskflow");
        id = path_of(state, "/" PLACES_MACHINE_ID_FILE);
        assert_int_equal(fd_mkdir_p(state, 0700), 0);

        /* Nobody's, then ours. */
        assert_int_equal(places_personal_state(&path, NULL), 0);
        assert_string_freed(path, state);
        assert_int_equal(places_claim_state(state), 0);
        assert_int_equal(places_personal_state(&path, NULL), 0);
        assert_string_freed(path, state);

        /* Claimed by another, it stays so. */
        write_file(id, "0123456789abcdef0123456789abcdef\n");
        assert_int_equal(places_claim_state(state), 0);
        assert_int_equal(gethostname(host, sizeof(host) - 1), 0);
        assert_true(asprintf(&ours, "%s/%s", state, host) > 0);
        assert_int_equal(places_personal_state(&path, NULL), 0);
        assert_string_freed(path, ours);

        /* Garbage is as good as nothing. */
        write_file(id, "\n");
        assert_int_equal(places_personal_state(&path, NULL), 0);
        assert_string_freed(path, state);

        assert_int_equal(unlink(id), 0);
        assert_int_equal(rmdir(state), 0);
        assert_int_equal(rmdir(folder), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup(test_state_is_below_home, forget_environment),
                cmocka_unit_test_setup(test_xdg_variables_come_first, forget_environment),
                cmocka_unit_test_setup(test_relative_and_empty_variables_count_as_unset,
                                       forget_environment),
                cmocka_unit_test_setup(test_no_home_is_said, forget_environment),
                cmocka_unit_test_setup(test_runtime_folder_must_be_ours, forget_environment),
                cmocka_unit_test_setup(test_state_in_the_home_of_another_is_refused,
                                       forget_environment),
                cmocka_unit_test_setup(test_state_of_another_machine_is_left_alone,
                                       forget_environment),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
