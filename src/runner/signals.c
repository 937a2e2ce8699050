/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * A signalfd and no handlers: a handler would have to be taken back between fork and exec, and could run in the child while
 * it shares our memory. Blocked signals are queued even where their default is to be ignored (SIGWINCH, SIGCONT), which is what
 * we want; those set to "ignore" would be queued as well, so they are left out and stay what they were.
 */

#include "runner/signals.h"

#include <errno.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "util/fd.h"
#include "util/macro.h"

static const int taken[] = {
        SIGINT,  SIGQUIT,  SIGTERM, SIGHUP,  SIGUSR1, SIGUSR2,
        SIGCONT, SIGWINCH, SIGTSTP, SIGTTIN, SIGTTOU,
};

static bool is_ignored(int signal) {
        struct sigaction action;

        return sigaction(signal, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

void signals_prepare(Signals *signals) {
        *signals = (Signals){ .fd = -1, .child_was_ignored = is_ignored(SIGCHLD) };

        /* With SIGCHLD ignored the kernel throws statuses away. */
        if (signals->child_was_ignored)
                (void)sigaction(SIGCHLD, &(struct sigaction){ .sa_handler = SIG_DFL }, NULL);
}

int signals_take(Signals *signals) {
        sigset_t set;

        (void)sigemptyset(&set);
        (void)sigaddset(&set, SIGCHLD);
        for (size_t i = 0; i < ELEMENTSOF(taken); i++)
                if (!is_ignored(taken[i]))
                        (void)sigaddset(&set, taken[i]);

        signals->fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        if (signals->fd < 0)
                return -errno;

        /* Blocked, not read: a reader of our messages that has gone must not end the command's keeper. */
        (void)sigaddset(&set, SIGPIPE);
        if (sigprocmask(SIG_BLOCK, &set, &signals->original_mask) < 0)
                return -errno;
        return 0;
}

void signals_done(Signals *signals) {
        signals->fd = fd_close(signals->fd);
}

int signals_next(Signals *signals, SignalNews *ret) {
        struct signalfd_siginfo info;
        ssize_t n;

        n = read(signals->fd, &info, sizeof(info));
        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? SIGNALS_E_AGAIN : -errno;
        if (n != sizeof(info))
                return -EIO;

        *ret = (SignalNews){ .signal = (int)info.ssi_signo, .from_process = info.ssi_code <= 0 };
        return 0;
}

void signals_give_back(const Signals *signals) {
        if (signals->child_was_ignored)
                (void)sigaction(SIGCHLD, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL);
        if (signals->fd >= 0)
                (void)sigprocmask(SIG_SETMASK, &signals->original_mask, NULL);
}

bool signal_is_passed_on(const SignalNews *news) {
        switch (news->signal) {
        case SIGINT:
        case SIGQUIT:
        case SIGTERM:
        case SIGHUP:
        case SIGUSR1:
        case SIGUSR2:
        case SIGCONT:
        case SIGWINCH:
        case SIGTSTP: /* it stops the command, which stops us */
                return news->from_process;
        default:
                return false;
        }
}

bool signal_is_fatal(int signal) {
        switch (signal) {
        case SIGINT:
        case SIGQUIT:
        case SIGTERM:
        case SIGHUP:
        case SIGUSR1:
        case SIGUSR2:
                return true;
        default:
                return false;
        }
}

void signals_stop_self(int signal) {
        sigset_t set;

        (void)sigemptyset(&set);
        (void)sigaddset(&set, signal);

        /* First sent, then unblocked: one that waits already must not stop us a second time after the first SIGCONT. */
        (void)kill(getpid(), signal);
        (void)sigprocmask(SIG_UNBLOCK, &set, NULL);
        (void)sigprocmask(SIG_BLOCK, &set, NULL);
}

void signals_die_of(int signal) {
        sigset_t set;

        /* The command has dumped its core, if it was to; a limit of 0 does not keep ours from a core_pattern that is a pipe. */
        (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
        (void)sigaction(signal, &(struct sigaction){ .sa_handler = SIG_DFL }, NULL);

        (void)sigemptyset(&set);
        (void)sigaddset(&set, signal);
        (void)kill(getpid(), signal);
        (void)sigprocmask(SIG_UNBLOCK, &set, NULL);

        /* The first process of a container survives its own signals. */
        _exit(128 + signal);
}
