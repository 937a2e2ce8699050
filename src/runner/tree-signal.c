/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * A pid that was read from /proc may belong to somebody else when it is signalled. So descriptors are opened first and the list
 * is read again: a pid that is still a descendant then is the process that the descriptor holds, or that process is dead and the
 * signal goes nowhere.
 */

#include "runner/tree-signal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/types.h>
#include <unistd.h>

#include "probe/tree.h"
#include "util/cleanup.h"
#include "util/fd.h"
#include "util/macro.h"

enum {
        BATCH_MAX = 200, /* descriptors held at once: a soft NOFILE of 1024 has room for it */
        PASSES_MAX = 8,  /* a fork bomb is left to the next call */
};

/* Growing list of those that were told, so that a program is not told twice what it handles by itself. */
typedef struct Told {
        pid_t *pids;
        size_t n;
} Told;

static int compare_pids(const void *a, const void *b) {
        pid_t x = *(const pid_t *)a;
        pid_t y = *(const pid_t *)b;

        return (x > y) - (x < y);
}

static bool contains(const pid_t *pids, size_t n, pid_t pid) {
        return n > 0 && bsearch(&pid, pids, n, sizeof(*pids), compare_pids) != NULL;
}

static ssize_t list(int proc_fd, pid_t **ret) {
        ssize_t n;

        n = tree_pids(proc_fd, getpid(), getuid(), ret);
        if (n > 0)
                qsort(*ret, (size_t)n, sizeof(**ret), compare_pids);
        return n;
}

/* Up to BATCH_MAX of @pids that were not told yet. */
static size_t choose(const pid_t *pids, size_t n, const Told *told, pid_t *ret) {
        size_t n_chosen = 0;

        for (size_t i = 0; i < n && n_chosen < BATCH_MAX; i++)
                if (!contains(told->pids, told->n, pids[i]))
                        ret[n_chosen++] = pids[i];
        return n_chosen;
}

static int remember(Told *told, const pid_t *pids, size_t n) {
        pid_t *grown;

        grown = reallocarray(told->pids, told->n + n, sizeof(*grown));
        if (!grown)
                return -ENOMEM;
        told->pids = grown;
        for (size_t i = 0; i < n; i++)
                told->pids[told->n++] = pids[i];
        qsort(told->pids, told->n, sizeof(*told->pids), compare_pids);
        return 0;
}

static void tell(int fd, int signal, bool and_continue) {
        (void)pidfd_send_signal(fd, signal, NULL, 0);
        if (and_continue)
                (void)pidfd_send_signal(fd, SIGCONT, NULL, 0);
}

/* Return: how many were told, or negative errno. */
static ssize_t signal_batch(int proc_fd, Told *told, int signal, bool and_continue) {
        _cleanup_free_ pid_t *before = NULL;
        _cleanup_free_ pid_t *after = NULL;
        pid_t chosen[BATCH_MAX];
        int fds[BATCH_MAX];
        size_t n_chosen;
        ssize_t n;

        n = list(proc_fd, &before);
        if (n <= 0)
                return n;
        n_chosen = choose(before, (size_t)n, told, chosen);
        if (n_chosen == 0)
                return 0;

        for (size_t i = 0; i < n_chosen; i++)
                fds[i] = pidfd_open(chosen[i], 0);
        n = list(proc_fd, &after);
        for (size_t i = 0; i < n_chosen; i++) {
                if (fds[i] >= 0 && n > 0 && contains(after, (size_t)n, chosen[i]))
                        tell(fds[i], signal, and_continue);
                (void)fd_close(fds[i]);
        }
        if (n < 0)
                return n;
        if (remember(told, chosen, n_chosen) < 0)
                return -ENOMEM;
        return (ssize_t)n_chosen;
}

int tree_signal(int proc_fd, int signal, bool and_continue) {
        Told told = { 0 };
        ssize_t n = 1;

        for (size_t n_passes = 0; n > 0 && n_passes < PASSES_MAX;) {
                n = signal_batch(proc_fd, &told, signal, and_continue);
                if (n < BATCH_MAX)
                        n_passes++;
        }
        free(told.pids);
        return n < 0 ? (int)n : 0;
}
