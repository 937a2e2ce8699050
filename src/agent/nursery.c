/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 *     agent ===== socket ===== nursery, and every keeper of it
 *
 * One end of a pair of sockets is the agent's, the other one is shared by the nursery and all that it forks. Spare keepers read
 * orders from it, of which the kernel gives each to one of them; keepers write news to it. The nursery itself reads nothing there
 * and only sees that the agent's end was closed.
 *
 * A fork costs about as much as everything else that a keeper does for a short command. So a keeper whose command has ended and left
 * nothing behind becomes a spare again, if there are not enough; the nursery forks one when a keeper that took an order found too few
 * left. Who is a spare stands in a table that all share.
 *
 * The nursery dies with the agent, and with the nursery each keeper that has not claimed a start; one that is late is stopped by the
 * end of its epoch (epoch.h). That is no fault of theirs; one that ends with another status than 0 has said why on stderr.
 *
 * An order that fits is in the message, a larger one in a memfd that comes with it.
 */

#include "agent/nursery.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/packet.h"
#include "agent/say.h"
#include "util/cleanup.h"
#include "util/fd.h"
#include "util/signal-default.h"

enum {
        N_SPARES = 2,            /* two commands that end at once have their successors at once */
        N_SPARES_MAX = 4,        /* more are not kept: each is some hundred KiB */
        MESSAGE_MAX = 32 * 1024, /* an environment is a few KiB; the socket has room for several */
        SOCKET_BYTES = 1 << 20,
        FORK_AGAIN_MS = 100, /* no process can be made now, or the last one died at once */
        RESERVED = -1,       /* in the table: forked, and not there yet */
};

struct Nursery {
        int fd;
        int pidfd;
        pid_t pid;
        KeeperNews news[KEEPER_ROW_MAX]; /* of one message */
        size_t n_news, next_news;
};

/* What the nursery and all its keepers see. */
typedef struct Shared {
        _Atomic pid_t table[N_SPARES_MAX]; /* spares; 0: free, RESERVED */
        _Atomic int said;                  /* the last error that one of them said */
} Shared;

/* In the nursery's process, and of its keepers. */
typedef struct Home {
        pid_t pid;    /* the nursery's */
        int fd;       /* the shared end */
        int wake_fd;  /* eventfd: there are too few spares */
        int child_fd; /* signalfd, of SIGCHLD */
        Shared *shared;
        pid_t forked[N_SPARES_MAX]; /* who a RESERVED place is for */
        keeper_agent_fn start_agent;
} Home;

/* All that a memfd holds, on the heap. */
static char *read_memfd(int fd, size_t *ret_n) {
        _cleanup_free_ char *bytes = NULL;
        struct stat st;
        size_t n;

        if (fstat(fd, &st) < 0 || st.st_size <= 0 || (uint64_t)st.st_size > KEEPER_ORDER_MAX)
                return NULL;
        n = (size_t)st.st_size;
        bytes = malloc(n);
        for (size_t done = 0; bytes && done < n;) {
                ssize_t r = pread(fd, bytes + done, n - done, (off_t)done);

                if (r <= 0)
                        return NULL;
                done += (size_t)r;
        }
        *ret_n = n;
        return TAKE_PTR(bytes);
}

/* Waits. Return: the order's bytes, on the heap; NULL if no order will come. */
static char *receive_order(int fd, size_t *ret_n) {
        _cleanup_free_ char *bytes = malloc(MESSAGE_MAX);
        _cleanup_close_ int memfd = -1;
        ssize_t n;

        n = bytes ? packet_receive(fd, bytes, MESSAGE_MAX, 0, &memfd) : -ENOMEM;
        if (n <= 0)
                return NULL;
        /* What waited here when the agent died is left to the next one. */
        if (poll(&(struct pollfd){ .fd = fd }, 1, 0) != 0)
                return NULL;
        if (memfd >= 0)
                return read_memfd(memfd, ret_n);
        *ret_n = (size_t)n;
        return TAKE_PTR(bytes);
}

/* Return: a place in the table that now holds @pid; -1: all are taken. */
static int take_place(Home *home, pid_t pid) {
        for (int i = 0; i < N_SPARES_MAX; i++) {
                pid_t nobody = 0;

                if (atomic_compare_exchange_strong(&home->shared->table[i], &nobody, pid))
                        return i;
        }
        return -1;
}

static unsigned count_spares(Home *home) {
        unsigned n = 0;

        for (size_t i = 0; i < N_SPARES_MAX; i++)
                n += home->shared->table[i] != 0;
        return n;
}

/* It is tried again and again: what it fails of is said once. */
static void say_no_keeper(Home *home, int r) {
        if (atomic_exchange(&home->shared->said, r) != r)
                say_error("no process for a task can be made now: %s", strerror(-r));
}

_Noreturn static void be_keeper(Home *home, int place) {
        Keeper keeper = {};
        char *bytes;
        size_t n;
        int r;

        home->child_fd = fd_close(home->child_fd);
        r = keeper_set_mortal(true) ? 0 : -errno;
        if (getppid() != home->pid)
                _exit(0);
        if (r == 0)
                r = keeper_prepare(&keeper, home->fd, home->start_agent);
        if (r < 0) {
                say_no_keeper(home, r);
                _exit(1);
        }
        home->shared->table[place] = keeper.id.pid;
        while (place >= 0) {
                bytes = receive_order(home->fd, &n);
                if (!bytes)
                        break;
                home->shared->table[place] = 0;
                if (count_spares(home) < N_SPARES)
                        (void)eventfd_write(home->wake_fd, 1);
                if (!keeper_run(&keeper, bytes, n) || !keeper_set_mortal(true) ||
                    getppid() != home->pid)
                        break;
                place = take_place(home, keeper.id.pid);
        }
        _exit(0);
}

/* Return: whether there are enough spares now. */
static bool fork_spares(Home *home) {
        while (count_spares(home) < N_SPARES) {
                int place = take_place(home, RESERVED);
                pid_t pid;

                if (place < 0)
                        return true; /* some came back meanwhile */
                pid = fork();
                if (pid == 0)
                        be_keeper(home, place);
                home->forked[place] = pid;
                if (pid < 0) {
                        say_no_keeper(home, -errno);
                        home->shared->table[place] = 0;
                        return false;
                }
        }
        return true;
}

/* Return: whether a spare was among those that died. */
static bool reap(Home *home) {
        struct signalfd_siginfo info;
        bool spare = false;
        pid_t pid;

        (void)!read(home->child_fd, &info, sizeof(info));
        while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
                for (size_t i = 0; i < N_SPARES_MAX; i++) {
                        pid_t who = home->shared->table[i];

                        if (who != pid && (who != RESERVED || home->forked[i] != pid))
                                continue;
                        home->shared->table[i] = 0;
                        spare = true;
                }
        return spare;
}

_Noreturn static void be_nursery(Home *home) {
        enum {
                AGENT,
                WAKE,
                CHILD,
                N_FDS,
        };
        bool died = false;

        for (;;) {
                struct pollfd fds[N_FDS] = {
                        [AGENT] = { .fd = home->fd }, /* its end was closed: POLLHUP */
                        [WAKE] = { .fd = home->wake_fd, .events = POLLIN },
                        [CHILD] = { .fd = home->child_fd, .events = POLLIN },
                };
                eventfd_t n;
                bool enough;

                if (died)
                        (void)poll(&fds[AGENT], 1, FORK_AGAIN_MS);
                enough = fork_spares(home);
                if (poll(fds, N_FDS, enough ? -1 : FORK_AGAIN_MS) < 0 && errno != EINTR) {
                        say_error("the process that starts tasks can't wait: %s", strerror(errno));
                        _exit(1);
                }
                if (fds[AGENT].revents != 0)
                        _exit(0);
                if (fds[WAKE].revents != 0)
                        (void)eventfd_read(home->wake_fd, &n);
                died = fds[CHILD].revents != 0 && reap(home);
        }
}

/* In the new process: nothing of the agent's, and nothing of a terminal. Return: 0, or negative errno. */
static int settle(Home *home) {
        sigset_t child;
        int null_fd;

        signal_default_all();
        (void)setsid();
        (void)!chdir("/");
        (void)prctl(PR_SET_NAME, "taskflow-nurse");

        /* Above 2, so that the command's own have their places. */
        home->fd = fcntl(home->fd, F_DUPFD_CLOEXEC, 3);
        null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (home->fd < 0 || null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0 ||
            dup2(null_fd, STDOUT_FILENO) < 0 ||
            (fcntl(STDERR_FILENO, F_GETFD) < 0 && dup2(null_fd, STDERR_FILENO) < 0))
                return -errno;
        if (home->fd > 3 && close_range(3, (unsigned)home->fd - 1, 0) < 0)
                return -errno;
        if (close_range((unsigned)home->fd + 1, ~0U, 0) < 0)
                return -errno;
        (void)sigemptyset(&child);
        (void)sigaddset(&child, SIGCHLD);
        home->child_fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
        home->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        home->shared = mmap(NULL, sizeof(*home->shared), PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (home->child_fd < 0 || home->wake_fd < 0 || home->shared == MAP_FAILED)
                return -errno;
        return 0;
}

/* All signals are blocked before: none finds the nursery, or a keeper of it, as it was before it settled. */
static pid_t fork_nursery(int fd, keeper_agent_fn start_agent) {
        Home home = { .fd = fd, .start_agent = start_agent };
        pid_t pid, agent = getpid();
        sigset_t all, before;
        int r;

        (void)sigfillset(&all);
        (void)sigprocmask(SIG_SETMASK, &all, &before);
        pid = fork();
        if (pid == 0) {
                home.pid = getpid();
                r = keeper_set_mortal(true) ? 0 : -errno;
                if (getppid() != agent)
                        _exit(0);
                if (r == 0)
                        r = settle(&home);
                if (r == 0)
                        be_nursery(&home);
                say_error("the process that starts tasks can't begin: %s", strerror(-r));
                _exit(1);
        }
        (void)sigprocmask(SIG_SETMASK, &before, NULL);
        return pid;
}

int nursery_start(Nursery **ret, keeper_agent_fn start_agent) {
        _cleanup_(nursery_freep) Nursery *nursery = NULL;
        _cleanup_close_ int shared_fd = -1;
        int fds[2];

        nursery = malloc(sizeof(*nursery));
        if (!nursery)
                return -ENOMEM;
        *nursery = (Nursery){ .fd = -1, .pidfd = -1 };
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
                return -errno;
        nursery->fd = fds[0];
        shared_fd = fds[1];
        /* All keepers' news comes through one end; what is more than fits waits in them. */
        for (size_t i = 0; i < 2; i++)
                (void)setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &(int){ SOCKET_BYTES },
                                 sizeof(int));
        nursery->pid = fork_nursery(shared_fd, start_agent);
        if (nursery->pid < 0)
                return -errno;
        nursery->pidfd = pidfd_open(nursery->pid, 0);
        if (nursery->pidfd < 0)
                return -errno;
        *ret = TAKE_PTR(nursery);
        return 0;
}

Nursery *nursery_free(Nursery *nursery) {
        if (!nursery)
                return NULL;
        (void)fd_close(nursery->fd);
        if (nursery->pid > 0)
                (void)TEMP_FAILURE_RETRY(waitpid(nursery->pid, NULL, 0));
        (void)fd_close(nursery->pidfd);
        free(nursery);
        return NULL;
}

_Static_assert((int)PACKET_E_AGAIN == (int)NURSERY_E_AGAIN, "the same outcome");

/* The other end was closed, RESET: with orders in it that nobody had read. */
static int outcome_of(int r) {
        return r == -EPIPE || r == -ECONNRESET ? NURSERY_E_GONE : r;
}

int nursery_spawn(Nursery *nursery, const KeeperOrder *orders, size_t n_orders) {
        static const char placeholder[] = "memfd";
        _cleanup_free_ char *bytes = NULL;
        _cleanup_close_ int memfd = -1;
        size_t n;
        int r;

        r = keeper_row_compose(orders, n_orders, &bytes, &n);
        if (r < 0)
                return r;
        if (n <= MESSAGE_MAX)
                return outcome_of(packet_send(nursery->fd, bytes, n, -1));
        if (n > KEEPER_ORDER_MAX)
                return -E2BIG;
        memfd = memfd_create("taskflow-order", MFD_CLOEXEC);
        if (memfd < 0)
                return errno == EMFILE || errno == ENFILE || errno == ENOMEM ? NURSERY_E_AGAIN :
                                                                               -errno;
        r = fd_write_all(memfd, bytes, n);
        if (r < 0)
                return r;
        return outcome_of(packet_send(nursery->fd, placeholder, sizeof(placeholder), memfd));
}

int nursery_fd(const Nursery *nursery) {
        return nursery->fd;
}

int nursery_pidfd(const Nursery *nursery) {
        return nursery->pidfd;
}

int nursery_next(Nursery *nursery, KeeperNews *ret, int *ret_fd) {
        _cleanup_close_ int fd = -1;
        ssize_t n;

        if (nursery->next_news == nursery->n_news) {
                n = packet_receive(nursery->fd, nursery->news, sizeof(nursery->news), MSG_DONTWAIT,
                                   &fd);
                if (n < 0)
                        return n == -EAGAIN ? NURSERY_E_AGAIN : outcome_of((int)n);
                if (n == 0)
                        return NURSERY_E_GONE;
                if (n % (ssize_t)sizeof(KeeperNews) != 0)
                        return -EBADMSG;
                nursery->n_news = (size_t)n / sizeof(KeeperNews);
                nursery->next_news = 0;
        }
        *ret = nursery->news[nursery->next_news++];
        *ret_fd = TAKE_FD(fd);
        return 0;
}
