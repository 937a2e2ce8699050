/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/end-task.h"
#include "util/boot.h"
#include "util/proc-id.h"

#include "check.h"

/* A process that makes another one in a session of its own; both would run for ever. */
typedef struct Family {
        pid_t parent;
        pid_t child;
} Family;

static Family start_family(bool ignore_term) {
        Family family;
        int fds[2];

        assert_int_equal(pipe(fds), 0);
        family.parent = fork();
        assert_true(family.parent >= 0);
        if (family.parent == 0) {
                pid_t child;

                if (ignore_term)
                        (void)signal(SIGTERM, SIG_IGN);
                child = fork();
                if (child == 0) {
                        (void)setsid();
                        for (;;)
                                (void)pause();
                }
                (void)!write(fds[1], &child, sizeof(child));
                for (;;)
                        (void)pause();
        }
        assert_int_equal(read(fds[0], &family.child, sizeof(family.child)), sizeof(family.child));
        (void)close(fds[0]);
        (void)close(fds[1]);
        return family;
}

/* What the daemon would say of a task whose command is @pid and whose runner is this test. */
static IdResult result_of(pid_t pid) {
        IdResult task = {
                .id = 1, .outcome = ID_OUTCOME_NO_RUNNER, .pid = pid, .runner_pid = getpid()
        };
        ProcId id;

        assert_int_equal(proc_id_read(pid, &id), 0);
        task.pid_start_ticks = id.start_ticks;
        (void)snprintf(task.boot_id, sizeof(task.boot_id), "%s", id.boot_id);
        return task;
}

static int end_of(pid_t pid) {
        int status;

        assert_int_equal(waitpid(pid, &status, 0), pid);
        return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

/* Orphans come to us, so that their end can be told. */
static int adopt(_unused_ void **state) {
        return prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
}

static void test_all_descendants_get_the_signal(_unused_ void **state) {
        Family family = start_family(false);
        IdResult task = result_of(family.parent);

        assert_true(end_task_is_alive(&task));
        assert_true(end_task_has_runner(&task));
        assert_int_equal(end_task_signal(&task, SIGTERM, NULL), 0);
        assert_int_equal(end_of(family.parent), SIGTERM);
        assert_int_equal(end_of(family.child), SIGTERM);

        assert_false(end_task_is_alive(&task));
        assert_false(end_task_has_runner(&task));
        assert_int_equal(end_task_signal(&task, SIGKILL, NULL), 0);
}

static void test_a_zombie_is_not_alive(_unused_ void **state) {
        Family family = start_family(false);
        IdResult task = result_of(family.parent);
        siginfo_t info;

        assert_int_equal(end_task_signal(&task, SIGKILL, NULL), 0);
        assert_int_equal(waitid(P_PID, (id_t)family.parent, &info, WEXITED | WNOWAIT), 0);
        assert_false(end_task_is_alive(&task));
        assert_int_equal(end_of(family.parent), SIGKILL);
        assert_int_equal(end_of(family.child), SIGKILL);
}

/* A number that was given to another process since must never be signalled. */
static void test_another_process_of_that_number_is_left_alone(_unused_ void **state) {
        Family family = start_family(false);
        IdResult task = result_of(family.parent);
        IdResult other = task;

        other.pid_start_ticks++;
        assert_false(end_task_is_alive(&other));
        assert_int_equal(end_task_signal(&other, SIGKILL, NULL), 0);

        other = task;
        other.boot_id[0] = other.boot_id[0] == '0' ? '1' : '0';
        assert_false(end_task_is_alive(&other));
        assert_int_equal(end_task_signal(&other, SIGKILL, NULL), 0);

        assert_true(end_task_is_alive(&task));
        assert_int_equal(end_task_signal(&task, SIGKILL, NULL), 0);
        assert_int_equal(end_of(family.parent), SIGKILL);
        assert_int_equal(end_of(family.child), SIGKILL);
}

static void test_stopped_ones_are_woken_to_obey(_unused_ void **state) {
        Family family = start_family(false);
        IdResult task = result_of(family.parent);
        int status;

        assert_int_equal(kill(family.parent, SIGSTOP), 0);
        assert_int_equal(waitpid(family.parent, &status, WUNTRACED), family.parent);
        assert_true(WIFSTOPPED(status));

        assert_int_equal(end_task_signal(&task, SIGTERM, NULL), 0);
        assert_int_equal(end_of(family.parent), SIGTERM);
        assert_int_equal(end_of(family.child), SIGTERM);
}

/* Here the parent of the family is the runner, and its child the command. */
static void test_a_stopped_runner_is_woken(_unused_ void **state) {
        Family family = start_family(true);
        IdResult task = result_of(family.child);
        int status;

        task.runner_pid = family.parent;
        assert_false(end_task_wake_runner(&task)); /* it is not stopped */

        assert_int_equal(kill(family.parent, SIGSTOP), 0);
        assert_int_equal(waitpid(family.parent, &status, WUNTRACED), family.parent);
        assert_true(end_task_wake_runner(&task));
        assert_int_equal(waitpid(family.parent, &status, WCONTINUED), family.parent);
        assert_true(WIFCONTINUED(status));

        /* Who is not the command's parent is not its runner any more. */
        task.runner_pid = getpid();
        assert_false(end_task_has_runner(&task));

        assert_int_equal(kill(family.parent, SIGKILL), 0);
        assert_int_equal(end_of(family.parent), SIGKILL);
        assert_int_equal(kill(family.child, SIGKILL), 0);
        assert_int_equal(end_of(family.child), SIGKILL);
}

static void test_a_task_without_a_process_is_said_so(_unused_ void **state) {
        IdResult task = { .id = 1 };
        Error error = { 0 };

        assert_false(end_task_is_alive(&task));
        assert_true(end_task_signal(&task, SIGTERM, &error) < 0);
        assert_string_equal(error.text, "its process is not known");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_all_descendants_get_the_signal),
                cmocka_unit_test(test_a_zombie_is_not_alive),
                cmocka_unit_test(test_another_process_of_that_number_is_left_alone),
                cmocka_unit_test(test_stopped_ones_are_woken_to_obey),
                cmocka_unit_test(test_a_stopped_runner_is_woken),
                cmocka_unit_test(test_a_task_without_a_process_is_said_so),
        };

        return cmocka_run_group_tests(tests, adopt, NULL);
}
