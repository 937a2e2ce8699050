/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runner/signals.h"

#include "check.h"

/* Runs @fn in a process of its own. Return: its wait status. */
static int in_child(void (*fn)(void), int options) {
        int status = 0;
        pid_t pid;

        pid = fork();
        if (pid == 0) {
                fn();
                _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, options), pid);
        if (WIFSTOPPED(status)) {
                int stopped = status;

                assert_int_equal(kill(pid, SIGCONT), 0);
                assert_int_equal(waitpid(pid, &status, 0), pid);
                assert_int_equal(status, 0);
                return stopped;
        }
        return status;
}

static void expect(bool ok) {
        if (!ok)
                _exit(1);
}

static void read_own(void) {
        SignalNews news;
        Signals signals;

        signals_prepare(&signals);
        expect(signals_take(&signals) == 0);
        expect(signals_next(&signals, &news) == SIGNALS_E_AGAIN);
        expect(kill(getpid(), SIGTERM) == 0);
        expect(kill(getpid(), SIGWINCH) == 0);
        expect(signals_next(&signals, &news) == 0 && news.signal == SIGTERM && news.from_process);
        expect(signals_next(&signals, &news) == 0 && news.signal == SIGWINCH && news.from_process);
        expect(signals_next(&signals, &news) == SIGNALS_E_AGAIN);
        signals_done(&signals);
}

static void test_signals_are_read_and_end_nobody(_unused_ void **state) {
        assert_int_equal(in_child(read_own, 0), 0);
}

static void ignore_one(void) {
        SignalNews news;
        Signals signals;

        (void)signal(SIGINT, SIG_IGN);
        signals_prepare(&signals);
        expect(signals_take(&signals) == 0);
        expect(kill(getpid(), SIGINT) == 0);
        expect(signals_next(&signals, &news) == SIGNALS_E_AGAIN);
        signals_done(&signals);
}

static void test_what_was_ignored_stays_ignored(_unused_ void **state) {
        assert_int_equal(in_child(ignore_one, 0), 0);
}

static void write_to_nobody(void) {
        Signals signals;
        int fds[2];

        signals_prepare(&signals);
        expect(signals_take(&signals) == 0);
        expect(pipe(fds) == 0 && close(fds[0]) == 0);
        expect(write(fds[1], "x", 1) < 0);
        signals_done(&signals);
}

static void test_a_closed_pipe_is_survived(_unused_ void **state) {
        assert_int_equal(in_child(write_to_nobody, 0), 0);
}

static int dying;

static _Noreturn void die(void) {
        Signals signals;

        (void)signal(dying, SIG_IGN);
        signals_prepare(&signals);
        expect(signals_take(&signals) == 0);
        signals_die_of(dying);
}

static _Noreturn void die_blocked(void) {
        Signals signals;

        signals_prepare(&signals);
        expect(signals_take(&signals) == 0);
        signals_die_of(dying);
}

static void test_it_dies_of_the_very_signal_without_a_core(_unused_ void **state) {
        static const int deaths[] = { SIGINT,  SIGTERM, SIGKILL, SIGSEGV,
                                      SIGQUIT, SIGABRT, SIGPIPE, SIGUSR1 };

        for (size_t i = 0; i < ELEMENTSOF(deaths); i++) {
                int status;

                dying = deaths[i];
                status = in_child(die, 0);
                assert_true(WIFSIGNALED(status) && WTERMSIG(status) == dying && !WCOREDUMP(status));
                status = in_child(die_blocked, 0);
                assert_true(WIFSIGNALED(status) && WTERMSIG(status) == dying && !WCOREDUMP(status));
        }
}

static int stopping;

static void stop(void) {
        SignalNews news;
        Signals signals;

        signals_prepare(&signals);
        expect(signals_take(&signals) == 0);
        (void)kill(getpid(), stopping); /* one waits already */
        signals_stop_self(stopping);
        while (signals_next(&signals, &news) == 0)
                expect(news.signal == SIGCONT);
        signals_done(&signals);
}

/* In a group whose parent is in the session too: else the kernel does not stop it. */
static void test_it_stops_once_by_the_very_signal(_unused_ void **state) {
        static const int stops[] = { SIGTSTP, SIGTTIN, SIGTTOU };

        for (size_t i = 0; i < ELEMENTSOF(stops); i++) {
                int status;

                stopping = stops[i];
                status = in_child(stop, WUNTRACED);
                assert_true(WIFSTOPPED(status) || getpgrp() == getsid(0) || status == 0);
                if (WIFSTOPPED(status))
                        assert_int_equal(WSTOPSIG(status), stopping);
        }
}

static void test_the_terminals_signals_are_not_passed_on(_unused_ void **state) {
        static const int passed[] = { SIGINT,  SIGQUIT, SIGTERM, SIGHUP,
                                      SIGUSR1, SIGUSR2, SIGCONT, SIGWINCH };
        static const int kept[] = { SIGCHLD, SIGTTIN, SIGTTOU };

        for (size_t i = 0; i < ELEMENTSOF(passed); i++) {
                assert_true(signal_is_passed_on(&(SignalNews){ passed[i], true }));
                assert_false(signal_is_passed_on(&(SignalNews){ passed[i], false }));
        }
        for (size_t i = 0; i < ELEMENTSOF(kept); i++)
                assert_false(signal_is_passed_on(&(SignalNews){ kept[i], true }));
}

static void test_a_wait_ends_by_what_ends_programs(_unused_ void **state) {
        assert_true(signal_is_fatal(SIGINT));
        assert_true(signal_is_fatal(SIGHUP));
        assert_true(signal_is_fatal(SIGUSR1));
        assert_false(signal_is_fatal(SIGWINCH));
        assert_false(signal_is_fatal(SIGCONT));
        assert_false(signal_is_fatal(SIGCHLD));
        assert_false(signal_is_fatal(SIGTSTP));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_signals_are_read_and_end_nobody),
                cmocka_unit_test(test_what_was_ignored_stays_ignored),
                cmocka_unit_test(test_a_closed_pipe_is_survived),
                cmocka_unit_test(test_it_dies_of_the_very_signal_without_a_core),
                cmocka_unit_test(test_it_stops_once_by_the_very_signal),
                cmocka_unit_test(test_the_terminals_signals_are_not_passed_on),
                cmocka_unit_test(test_a_wait_ends_by_what_ends_programs),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
