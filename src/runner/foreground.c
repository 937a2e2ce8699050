/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The foreground runner
 *
 *     submitting ──► waiting ◄──► accepting ──► running ──► reporting ──► over
 *          └──────────────── granted at once ──────▲
 *     Ctrl-C, -w: leaving ──► over
 *
 * One loop, three kinds of things that happen: a signal came, the daemon said something, a timer is due. What each does depends
 * on the phase and stands in command.c and conversation.c. In the usual case nothing else happens than: Submit, the grant, the
 * start, Started, the end, Ended; so nothing is opened, allocated or asked for before it is needed.
 */

#include "runner/foreground.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runner/records.h"
#include "runner/run.h"
#include "util/clock.h"
#include "util/macro.h"

static const struct {
        void (*fn)(Run *run);
} timers[N_RUN_TIMERS] = {
        [RUN_TIMER_RECONNECT] = { run_reconnect }, [RUN_TIMER_LOST] = { run_say_lost },
        [RUN_TIMER_WHY] = { run_ask_why },         [RUN_TIMER_GIVE_UP] = { run_give_up },
        [RUN_TIMER_LIMIT] = { run_on_limit },      [RUN_TIMER_KILL] = { run_on_kill },
        [RUN_TIMER_LOOK] = { run_on_look },        [RUN_TIMER_PATIENCE] = { run_lose_patience },
};

void run_set_timer(Run *run, RunTimer timer, uint64_t boot_us) {
        run->timers[timer] = boot_us;
}

static void _printf_(2, 0) vsay(Run *run, const char *fmt, va_list args) {
        char text[8192];
        ssize_t written;
        int n;

        waiting_line_clear(&run->line);
        n = snprintf(text, sizeof(text), "taskflow: ");
        n += vsnprintf(text + n, sizeof(text) - (size_t)n - 1, fmt, args);
        n = MIN(n, (int)sizeof(text) - 2);
        text[n++] = '\n';
        written = write(STDERR_FILENO, text, (size_t)n);
        (void)written; /* nobody left to be told */
}

void run_say(Run *run, const char *fmt, ...) {
        va_list args;

        if (run->request->quiet)
                return;
        va_start(args, fmt);
        vsay(run, fmt, args);
        va_end(args);
}

void run_complain(Run *run, const char *fmt, ...) {
        va_list args;

        va_start(args, fmt);
        vsay(run, fmt, args);
        va_end(args);
}

void run_finish(Run *run, int status) {
        run->status = status;
        run->phase = RUN_PHASE_OVER;
}

void run_finish_by_signal(Run *run, int signal) {
        run->die_signal = signal;
        run_finish(run, 128 + signal);
}

/* A descriptor of ours must not become the command's, or our own, stdin, stdout or stderr. */
static void guard_standard_fds(void) {
        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
                if (fcntl(fd, F_GETFD) < 0)
                        (void)open("/dev/null",
                                   O_RDWR | O_CLOEXEC); /* takes the lowest free one: this one */
}

static int next_timeout_ms(const Run *run) {
        uint64_t next = RUN_NEVER;
        uint64_t now;

        for (size_t i = 0; i < N_RUN_TIMERS; i++)
                next = MIN(next, run->timers[i]);
        if (next == RUN_NEVER)
                return -1;
        now = clock_boottime_us();
        if (next <= now)
                return 0;
        /* Rounded up: a timer that is not quite due would make us spin. */
        return (int)MIN((next - now + US_PER_MSEC - 1) / US_PER_MSEC, (uint64_t)3600 * 1000);
}

static void run_timers(Run *run) {
        uint64_t now = 0;

        for (size_t i = 0; i < N_RUN_TIMERS && run->phase != RUN_PHASE_OVER; i++) {
                if (run->timers[i] == RUN_NEVER)
                        continue;
                if (now == 0)
                        now = clock_boottime_us();
                if (run->timers[i] <= now)
                        timers[i].fn(run);
        }
}

static void run_signals(Run *run) {
        SignalNews news;

        while (run->phase != RUN_PHASE_OVER && signals_next(&run->signals, &news) == 0)
                run_on_signal(run, &news);
}

/* Waits for something to happen, and sees to it. Signals first: Ctrl-C before the grant that came with it. */
static void turn(Run *run) {
        struct pollfd fds[2] = {
                { .fd = run->signals.fd, .events = POLLIN },
                { .fd = -1 },
        };

        if (run->client)
                fds[1] = (struct pollfd){ .fd = client_fd(run->client),
                                          .events = client_poll_events(run->client) };
        if (poll(fds, ELEMENTSOF(fds), next_timeout_ms(run)) < 0 && errno != EINTR) {
                run_complain(run, "cannot wait: %s", strerror(errno));
                run_finish(run, RUN_STATUS_FAILED);
                return;
        }
        if (fds[0].revents != 0)
                run_signals(run);
        if (fds[1].revents != 0)
                run_on_readable(run);
        run_timers(run);
}

static void prepare(Run *run, RunRequest *request) {
        *run = (Run){
                .request = request,
                .task = TAKE_PTR(request->task),
                .look = look_make(),
                .child = { .pidfd = -1 },
                .status = RUN_STATUS_FAILED,
        };
        for (size_t i = 0; i < N_RUN_TIMERS; i++)
                run->timers[i] = RUN_NEVER;
        signals_prepare(&run->signals);
}

static void converse(Run *run) {
        int r;

        if (!run_connect(run))
                return;
        run->begun_boot_us = clock_boottime_us();
        if (run->request->wait_us != 0 && run->request->wait_us != TASK_TIME_INF)
                run_set_timer(run, RUN_TIMER_GIVE_UP, run->begun_boot_us + run->request->wait_us);

        /* First said, then prepared: the daemon thinks meanwhile. A signal that ends us here withdraws the task. */
        run_submit(run);
        run->line = waiting_line_make(STDERR_FILENO, run->request->quiet);
        r = signals_take(&run->signals);
        if (r < 0) {
                run_complain(run, "cannot take signals: %s", strerror(-r));
                return;
        }
        while (run->phase != RUN_PHASE_OVER)
                turn(run);
        waiting_line_clear(&run->line);
        if (run->has_records && run->client && run->attached)
                records_deliver(run->client);
}

int foreground_run(RunRequest *request) {
        Run run;

        guard_standard_fds();
        prepare(&run, request);
        converse(&run);

        (void)client_free(run.client);
        signals_done(&run.signals);
        look_done(&run.look);
        free(run.explain);
        (void)task_free(run.task);
        if (run.die_signal != 0)
                signals_die_of(run.die_signal);
        return run.status;
}
