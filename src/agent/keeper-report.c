/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "agent/keeper-report.h"

#include <poll.h>

#include "agent/packet.h"
#include "util/clock.h"
#include "util/macro.h"

#define SAY_AGAIN_US (50 * US_PER_MSEC) /* an agent that reads so late has other cares */

/* That a command has started, unless it has ended by then; and with that the ends before it. */
#define SAY_SOON_US (5 * US_PER_MSEC)

void report_begin(Report *report, uint64_t ref, unsigned attempt, unsigned n_together) {
        report->ref = ref;
        report->attempt = attempt;
        report->n_together = n_together;
        report->command_pidfd = -1;
        report->due = 0;
        report->started_boot_us = REPORT_NEVER;
}

/* Return: whether all ends are told, or nobody is there to be told. */
static bool send_ends(Report *report) {
        if (report->n_ends > 0 &&
            packet_send(report->fd, report->ends, report->n_ends * sizeof(KeeperNews), -1) ==
                    PACKET_E_AGAIN)
                return false;
        report->n_ends = 0;
        report->ends_due = false;
        return true;
}

static bool is_behind(const Report *report) {
        return report->due != 0 || report->ends_due;
}

static int fd_of_news(const Report *report, unsigned type) {
        switch (type) {
        case KEEPER_NEWS_TAKEN:
                return report->keeper_pidfd;
        case KEEPER_NEWS_STARTED:
                return report->command_pidfd;
        default:
                return -1;
        }
}

/* The ends before it, what is to be said of it, its own end. */
static void send_due(Report *report) {
        if (is_behind(report) && !send_ends(report))
                return;
        for (unsigned type = 0; type < REPORT_N_NEWS; type++) {
                if (!(report->due & 1U << type))
                        continue;
                if (packet_send(report->fd, &report->news[type], sizeof(KeeperNews),
                                fd_of_news(report, type)) == PACKET_E_AGAIN)
                        return;
                report->due &= ~(1U << type);
        }
}

static KeeperNews stamped(const Report *report, const KeeperNews *news) {
        KeeperNews full = *news;

        full.ref = report->ref;
        full.attempt = report->attempt;
        return full;
}

void report_say(Report *report, const KeeperNews *news) {
        report->news[news->type] = stamped(report, news);
        report->due |= 1U << news->type;
        send_due(report);
}

void report_say_started(Report *report, const KeeperNews *news, int command_pidfd) {
        report->news[KEEPER_NEWS_STARTED] = stamped(report, news);
        report->command_pidfd = command_pidfd;
        report->started_boot_us = clock_boottime_us() + SAY_SOON_US;
}

/* In a row half of the ends are told at a time: so that the daemon hears of it before the row is over. */
void report_say_ended(Report *report, const KeeperNews *news) {
        report->due &= ~(1U << KEEPER_NEWS_STARTED);
        report->started_boot_us = REPORT_NEVER;
        report->ends[report->n_ends++] = stamped(report, news);
        report->ends_due = !news->goes_on || report->n_ends >= report->n_together;
        send_due(report);
}

uint64_t report_due_boot_us(const Report *report) {
        return is_behind(report) ?
                       MIN(report->started_boot_us, clock_boottime_us() + SAY_AGAIN_US) :
                       report->started_boot_us;
}

void report_send(Report *report) {
        if (report->started_boot_us != REPORT_NEVER &&
            report->started_boot_us <= clock_boottime_us()) {
                report->started_boot_us = REPORT_NEVER;
                report->due |= 1U << KEEPER_NEWS_STARTED;
        }
        send_due(report);
}

void report_send_all(Report *report) {
        struct pollfd agent = { .fd = report->fd, .events = POLLOUT };

        for (send_due(report); is_behind(report); send_due(report))
                (void)poll(&agent, 1, SAY_AGAIN_US / US_PER_MSEC);
}
