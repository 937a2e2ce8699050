#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Signals of a runner
 *
 * The command must meet signals as if taskflow were not there: what a process sends to taskflow is passed on, what the
 * terminal sends reaches the command by itself, what was ignored stays ignored. So nothing is handled by handlers: signals are
 * read from a descriptor, and the command gets back the very mask and dispositions that taskflow was given.
 */

#include <signal.h>
#include <stdbool.h>

typedef struct Signals {
        int fd;                 /* readable when one came; -1: not taken */
        sigset_t original_mask; /* as we got it */
        bool child_was_ignored; /* SIGCHLD: then nobody would have learned the command's status */
} Signals;

/* A signal that came. */
typedef struct SignalNews {
        int signal;
        bool from_process; /* somebody sent it, with kill() or the like; else the terminal or the kernel did */
} SignalNews;

/* signals_next() */
enum {
        SIGNALS_E_AGAIN = 1, /* none now */
};

/**
 * signals_prepare() - make children's ends known
 *
 * To be called before anything that starts a process. Changes nothing else: until signals_take() every signal does to
 * taskflow what it does to any program.
 */
void signals_prepare(Signals *signals);

/**
 * signals_take() - from here on signals are read, and end nobody
 *
 * Those that were ignored are left alone.
 *
 * Return: 0, or negative errno.
 */
int signals_take(Signals *signals);
void signals_done(Signals *signals);

/* The next signal. Return: 0, SIGNALS_E_AGAIN, or negative errno. */
int signals_next(Signals *signals, SignalNews *ret);

/* In the child, before exec: as taskflow got it. Async-signal-safe. */
void signals_give_back(const Signals *signals);

/* Whether the running command must be told: it did not get this one itself (decisions.md 20). */
bool signal_is_passed_on(const SignalNews *news);

/* Whether it ends a taskflow that waits. */
bool signal_is_fatal(int signal);

/* Stops this process with a stop signal, as if it had not been blocked; returns when it was continued. */
void signals_stop_self(int signal);

/* Ends this process by that signal, without a core (decisions.md 21). */
_Noreturn void signals_die_of(int signal);
