/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/keeper-report.h"
#include "agent/packet.h"
#include "util/clock.h"
#include "util/fd.h"

#include "check.h"

/* A report, and the agent's end of its socket. */
static Report make_report(int *ret_agent_fd) {
        int fds[2];
        Report report;

        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
        *ret_agent_fd = fds[0];
        report = (Report){ .fd = fds[1], .keeper_pidfd = -1 };
        return report;
}

static void report_done(Report *report, int agent_fd) {
        (void)close(report->fd);
        (void)close(agent_fd);
}

/* Return: how many came in one message. */
static unsigned hear(int fd, KeeperNews ret[static KEEPER_ROW_MAX]) {
        ssize_t n;
        int passed_fd;

        n = packet_receive(fd, ret, KEEPER_ROW_MAX * sizeof(*ret), MSG_DONTWAIT, &passed_fd);
        (void)fd_close(passed_fd);
        if (n == -EAGAIN)
                return 0;
        assert_true(n > 0 && (size_t)n % sizeof(*ret) == 0);
        return (unsigned)((size_t)n / sizeof(*ret));
}

static void end(Report *report, uint64_t ref, unsigned n_together, bool goes_on) {
        report_begin(report, ref, 1, n_together);
        report_say_started(report, &(KeeperNews){ .type = KEEPER_NEWS_STARTED }, -1);
        report_say_ended(report, &(KeeperNews){ .type = KEEPER_NEWS_ENDED, .goes_on = goes_on });
}

static void test_ends_of_a_row_are_told_together(_unused_ void **state) {
        KeeperNews news[KEEPER_ROW_MAX];
        int agent_fd;
        Report report = make_report(&agent_fd);

        for (uint64_t ref = 1; ref <= 5; ref++) {
                end(&report, ref, 2, ref < 5);
                assert_int_equal(hear(agent_fd, news), ref == 5 ? 1 : ref % 2 == 0 ? 2 : 0);
                if (ref % 2 == 0)
                        assert_true(news[0].ref == ref - 1 && news[1].ref == ref);
        }
        assert_true(news[0].ref == 5 && !news[0].goes_on);
        assert_true(report_due_boot_us(&report) == REPORT_NEVER);
        report_done(&report, agent_fd);
}

/* What has ended by then is not told to have started. */
static void test_a_start_is_told_in_a_moment(_unused_ void **state) {
        KeeperNews news[KEEPER_ROW_MAX];
        uint64_t due_us;
        int agent_fd;
        Report report = make_report(&agent_fd);

        report_begin(&report, 7, 2, 1);
        report_say_started(&report, &(KeeperNews){ .type = KEEPER_NEWS_STARTED, .pid = 3 },
                           STDIN_FILENO);
        due_us = report_due_boot_us(&report);
        assert_true(due_us != REPORT_NEVER);
        while (clock_boottime_us() <= due_us)
                (void)poll(NULL, 0, 1);
        report_send(&report);
        assert_int_equal(hear(agent_fd, news), 1);
        assert_int_equal(news[0].type, KEEPER_NEWS_STARTED);
        assert_true(news[0].ref == 7 && news[0].attempt == 2 && news[0].pid == 3);
        assert_true(report_due_boot_us(&report) == REPORT_NEVER);
        report_done(&report, agent_fd);
}

/* The ends before it come first then, however few. */
static void test_ends_come_before_what_is_told_next(_unused_ void **state) {
        KeeperNews news[KEEPER_ROW_MAX];
        int agent_fd;
        Report report = make_report(&agent_fd);

        end(&report, 1, 10, true);
        report_begin(&report, 2, 1, 10);
        report_say(&report, &(KeeperNews){ .type = KEEPER_NEWS_CLAIMED });
        assert_int_equal(hear(agent_fd, news), 1);
        assert_true(news[0].type == KEEPER_NEWS_ENDED && news[0].ref == 1);
        assert_int_equal(hear(agent_fd, news), 1);
        assert_true(news[0].type == KEEPER_NEWS_CLAIMED && news[0].ref == 2);
        report_done(&report, agent_fd);
}

/* Until the agent takes no more. */
static unsigned fill(const Report *report) {
        unsigned n = 0;

        while (packet_send(report->fd, &(KeeperNews){ 0 }, sizeof(KeeperNews), -1) == 0)
                n++;
        return n;
}

static void *read_all(void *userdata) {
        int agent_fd = *(int *)userdata;
        struct pollfd readable = { .fd = agent_fd, .events = POLLIN };
        KeeperNews news[KEEPER_ROW_MAX];
        unsigned *n = calloc(1, sizeof(*n));

        do {
                (void)poll(&readable, 1, 20000);
                if (hear(agent_fd, news) == 0)
                        break;
                ++*n;
        } while (news[0].type != KEEPER_NEWS_ENDED);
        return n;
}

static void test_what_has_no_room_is_told_later(_unused_ void **state) {
        int agent_fd;
        Report report = make_report(&agent_fd);
        unsigned n = fill(&report), *n_heard;
        pthread_t agent;

        assert_true(n > 0);
        report_begin(&report, 1, 1, 1);
        report_say(&report, &(KeeperNews){ .type = KEEPER_NEWS_TAKEN });
        report_say_ended(&report, &(KeeperNews){ .type = KEEPER_NEWS_ENDED });
        assert_true(report_due_boot_us(&report) != REPORT_NEVER);
        report_send(&report);
        assert_true(report_due_boot_us(&report) != REPORT_NEVER);
        assert_int_equal(pthread_create(&agent, NULL, read_all, &agent_fd), 0);
        report_send_all(&report);
        assert_true(report_due_boot_us(&report) == REPORT_NEVER);
        assert_int_equal(pthread_join(agent, (void **)&n_heard), 0);
        assert_int_equal(*n_heard, n + 1);
        free(n_heard);
        report_done(&report, agent_fd);
}

static void test_nothing_is_kept_for_an_agent_that_is_gone(_unused_ void **state) {
        int agent_fd;
        Report report = make_report(&agent_fd);

        (void)fd_close(agent_fd);
        end(&report, 1, 1, false);
        report_send_all(&report);
        assert_true(report_due_boot_us(&report) == REPORT_NEVER);
        (void)fd_close(report.fd);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_ends_of_a_row_are_told_together),
                cmocka_unit_test(test_a_start_is_told_in_a_moment),
                cmocka_unit_test(test_ends_come_before_what_is_told_next),
                cmocka_unit_test(test_what_has_no_room_is_told_later),
                cmocka_unit_test(test_nothing_is_kept_for_an_agent_that_is_gone),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
