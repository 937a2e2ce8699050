/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The process stands in waitid(), not in sigtimedwait(): who waits for a child is woken where that one has just ended, on a processor
 * that is free from then on; who waits for its SIGCHLD is woken where it slept, often where another command runs now. With two short
 * commands on two processors one of them was idle for a quarter of the time.
 *
 * Signals are let in around waitid(), and their handler jumps out of it: so one that comes between the two calls is not missed. It
 * interrupts nothing else. A child that waitid() has seen then is seen again, since it is not taken out (WNOWAIT).
 */

#include "agent/keeper-wait.h"

#include <errno.h>
#include <setjmp.h>
#include <stddef.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "util/units.h"

#define TIME_SIGNAL (SIGRTMIN + 1)
#define NO_CHILD_US (50 * US_PER_MSEC)

static sigset_t let_in; /* all but SIGCHLD */
static sigjmp_buf out;
static siginfo_t caught;
static timer_t timer;
static uint64_t timer_boot_us; /* what it is set to */

_Noreturn static void on_signal(int signo, siginfo_t *info, void *context) {
        caught = *info;
        siglongjmp(out, 1);
}

int keeper_wait_init(const sigset_t *set) {
        struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO };
        struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = TIME_SIGNAL };

        let_in = *set;
        (void)sigdelset(&let_in, SIGCHLD);
        (void)sigaddset(&let_in, TIME_SIGNAL);
        (void)sigfillset(&action.sa_mask);
        for (int signo = 1; signo < NSIG; signo++)
                if (sigismember(&let_in, signo) == 1 && sigaction(signo, &action, NULL) < 0)
                        return -errno;
        timer_boot_us = UINT64_MAX;
        return timer_create(CLOCK_BOOTTIME, &event, &timer) < 0 ? -errno : 0;
}

void keeper_wait_undo(void) {
        static const struct sigaction action; /* SIG_DFL */

        for (int signo = 1; signo < NSIG; signo++)
                if (sigismember(&let_in, signo) == 1)
                        (void)sigaction(signo, &action, NULL);
}

static void set_timer(uint64_t until_boot_us) {
        const struct itimerspec spec = {
                .it_value = { .tv_sec = (time_t)(until_boot_us / US_PER_SEC),
                              .tv_nsec = (long)(until_boot_us % US_PER_SEC * NS_PER_USEC + 1) },
        };

        if (until_boot_us == UINT64_MAX || until_boot_us == timer_boot_us)
                return;
        (void)timer_settime(timer, TIMER_ABSTIME, &spec, NULL);
        timer_boot_us = until_boot_us;
}

bool keeper_wait(uint64_t until_boot_us, siginfo_t *ret) {
        siginfo_t child;

        set_timer(until_boot_us);
        if (sigsetjmp(out, 0) == 0) {
                (void)sigprocmask(SIG_UNBLOCK, &let_in, NULL);
                caught = (siginfo_t){ .si_signo = SIGCHLD };
                if (waitid(P_ALL, 0, &child, WEXITED | WNOWAIT) < 0)
                        (void)usleep(NO_CHILD_US);
        }
        (void)sigprocmask(SIG_BLOCK, &let_in, NULL);
        *ret = caught;
        if (ret->si_signo == TIME_SIGNAL)
                timer_boot_us = UINT64_MAX;
        return ret->si_signo != TIME_SIGNAL;
}
