/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * taskflow-agent: options, folder, lock, signals; then the loop.
 *
 * A command that needs it starts it with --ready and its stdout on a pipe: "ready" tells that the socket answers, "busy" that there is
 * one already. The nursery is forked first, before there is anything in this process that keepers should not have.
 */

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/nursery.h"
#include "agent/say.h"
#include "agent/stop.h"
#include "client/agent.h"
#include "client/connect.h"
#include "util/cleanup.h"
#include "util/fd.h"
#include "wire/places.h"

#include "config.h"

enum {
        STATUS_FAILED = 1,
        STATUS_USAGE = 2,
        LOCK_TRIES = 250, /* times LOCK_PAUSE_US: one that is just ending has 5 s to let go */
        LOCK_PAUSE_US = 20 * 1000,
};

typedef struct Arguments {
        const char *lives;
        bool ready;
} Arguments;

static void print_help(void) {
        (void)puts(
                "Usage: taskflow-agent [OPTION]...\n"
                "\n"
                "Owns the detached tasks of its user, and starts them when taskflowd(8) says so. Commands\n"
                "that need it start it, and it ends by itself; see 'taskflow agent'.\n"
                "\n"
                "  --lives WHERE    what 'taskflow agent' says of where it lives: systemd, session or\n"
                "                   detached\n"
                "  --ready          say on stdout, once, 'ready', or 'busy' if there is one already\n"
                "  --version        print the version\n"
                "  --help           print this");
}

/* Return: 0 go on, 1 done, or negative: wrong. */
static int parse_arguments(int argc, char **argv, Arguments *ret) {
        enum {
                ARG_LIVES = 256,
                ARG_READY,
                ARG_VERSION,
        };
        static const struct option options[] = {
                { "lives", required_argument, NULL, ARG_LIVES },
                { "ready", no_argument, NULL, ARG_READY },
                { "version", no_argument, NULL, ARG_VERSION },
                { "help", no_argument, NULL, 'h' },
                {},
        };
        int c;

        while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0)
                switch (c) {
                case ARG_LIVES:
                        ret->lives = optarg;
                        break;
                case ARG_READY:
                        ret->ready = true;
                        break;
                case ARG_VERSION:
                        (void)puts("taskflow-agent " TASKFLOW_VERSION);
                        return 1;
                case 'h':
                        print_help();
                        return 1;
                default:
                        return -EINVAL; /* getopt has said what */
                }
        if (optind < argc) {
                (void)fprintf(stderr,
                              "taskflow-agent: '%s' is not an option; see taskflow-agent --help\n",
                              argv[optind]);
                return -EINVAL;
        }
        if (strcmp(ret->lives, "systemd") != 0 && strcmp(ret->lives, "session") != 0 &&
            strcmp(ret->lives, "detached") != 0) {
                (void)fprintf(
                        stderr,
                        "taskflow-agent: --lives takes systemd, session or detached, not '%s'\n",
                        ret->lives);
                return -EINVAL;
        }
        return 0;
}

/* In a keeper whose command ended while no agent was there. */
static void start_agent(const char *folder) {
        Client *client = NULL;

        if (!client_agent_is_stopped() &&
            client_connect_agent(&client, CLIENT_START | CLIENT_QUIET, NULL) == 0)
                client_free(client);
}

/* Also the state folder above it, which tells machines that share a home from one another. */
static int make_folder(const char *folder, Error *error) {
        _cleanup_free_ char *state = NULL;
        struct stat st;
        int r;

        r = places_personal_state(&state, error);
        if (r == 0)
                r = places_check_state(error);
        if (r < 0)
                return r;
        r = fd_mkdir_p(folder, 0700);
        if (r >= 0)
                r = places_claim_state(state);
        if (r >= 0 && stat(folder, &st) < 0)
                r = -errno;
        if (r < 0)
                return error_set(error, r, "cannot make the folder '%s': %s", folder, strerror(-r));
        if (st.st_uid != geteuid())
                return error_set(error, -EPERM, "the folder '%s' belongs to another user (uid %u)",
                                 folder, st.st_uid);
        if ((st.st_mode & 0077) && chmod(folder, 0700) < 0)
                return error_set(error, -errno, "cannot make '%s' private: %s", folder,
                                 strerror(errno));
        return 0;
}

static bool somebody_listens(const char *folder) {
        _cleanup_free_ char *path = NULL;
        _cleanup_close_ int fd = -1;

        return asprintf(&path, "%s/sock", folder) >= 0 && connect_socket(path, &fd) == 0;
}

/* One agent a folder. Return: the lock; -EBUSY if another one is there; or negative errno. */
static int take_lock(const char *folder, Error *error) {
        _cleanup_free_ char *path = NULL;
        _cleanup_close_ int fd = -1;

        if (asprintf(&path, "%s/lock", folder) < 0)
                return error_set(error, -ENOMEM, "out of memory");
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return error_set(error, -errno, "cannot open '%s': %s", path, strerror(errno));

        /* One that is just ending still has the lock, but listens no more. */
        for (unsigned i = 0; i < LOCK_TRIES; i++) {
                if (flock(fd, LOCK_EX | LOCK_NB) == 0)
                        return TAKE_FD(fd);
                if (errno != EWOULDBLOCK)
                        return error_set(error, -errno, "cannot lock '%s': %s", path,
                                         strerror(errno));
                if (somebody_listens(folder))
                        break;
                (void)nanosleep(&(struct timespec){ .tv_nsec = LOCK_PAUSE_US * 1000L }, NULL);
        }
        return error_set(error, -EBUSY, "another agent uses the folder '%s'", folder);
}

/* As many descriptors as we may have: each running task is one. */
static void raise_nofile(void) {
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == limit.rlim_max)
                return;
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
}

static void block_signals(void) {
        sigset_t set;

        (void)sigemptyset(&set);
        (void)sigaddset(&set, SIGTERM);
        (void)sigaddset(&set, SIGINT);
        (void)sigaddset(&set, SIGHUP);
        (void)sigprocmask(SIG_BLOCK, &set, NULL);
        (void)signal(SIGPIPE, SIG_IGN);
}

static int on_end_signal(sd_event_source *source,
                         const struct signalfd_siginfo *si,
                         void *userdata) {
        return stop_by_signal(userdata);
}

static int add_signals(Agent *agent) {
        static const int signals[] = { SIGTERM, SIGINT, SIGHUP };
        int r = 0;

        for (size_t i = 0; i < ELEMENTSOF(signals) && r >= 0; i++)
                r = sd_event_add_signal(agent->event, NULL, signals[i], on_end_signal, agent);
        return r;
}

/* Tells whoever started us, and lets go of the pipe. */
static void say_started(const Arguments *arguments, const char *word) {
        int null_fd;

        if (!arguments->ready)
                return;
        (void)printf("%s\n", word);
        (void)fflush(stdout);
        null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
        if (null_fd >= 0) {
                (void)dup2(null_fd, STDOUT_FILENO);
                (void)fd_close(null_fd);
        }
}

/* Whoever starts it wants it to run. */
static void forget_stopped(const char *folder) {
        _cleanup_free_ char *path = NULL;

        if (asprintf(&path, "%s/stopped", folder) >= 0)
                (void)unlink(path);
}

/* Return: 0, 1: to begin anew, or negative errno with @error. */
static int serve(const Arguments *arguments, const char *folder, Nursery *nursery, Error *error) {
        _cleanup_(agent_freep) Agent *agent = NULL;
        int r;

        forget_stopped(folder);
        r = agent_new(&agent,
                      &(AgentOptions){
                              .folder = folder, .lives = arguments->lives, .nursery = nursery },
                      error);
        if (r < 0)
                return r;
        r = add_signals(agent);
        if (r < 0)
                return error_set(error, r, "cannot watch for signals: %s", strerror(-r));
        if (chdir("/") < 0)
                return error_set(error, -errno, "cannot change to /: %s", strerror(errno));
        say_started(arguments, "ready");
        r = sd_event_loop(agent->event);
        if (r < 0)
                return error_set(error, r, "the event loop failed: %s", strerror(-r));
        return agent->restart;
}

static int run(const Arguments *arguments, Nursery *own) {
        _cleanup_(nursery_freep) Nursery *nursery = own;
        _cleanup_free_ char *folder = NULL;
        _cleanup_close_ int lock_fd = -1;
        Error error = {};
        int r;

        r = client_agent_dir(&folder, &error);
        if (r >= 0)
                r = make_folder(folder, &error);
        if (r >= 0) {
                lock_fd = take_lock(folder, &error);
                r = lock_fd;
        }
        if (r == -EBUSY && arguments->ready) {
                say_started(arguments, "busy");
                return 0;
        }
        if (r >= 0)
                r = serve(arguments, folder, TAKE_PTR(nursery), &error);
        if (r < 0)
                say_error("%s", error.text);
        return r;
}

int main(int argc, char **argv) {
        Arguments arguments = { .lives = "detached" };
        Nursery *nursery;
        int r;

        r = parse_arguments(argc, argv, &arguments);
        if (r < 0)
                return STATUS_USAGE;
        if (r > 0)
                return 0;
        (void)prctl(PR_SET_NAME, "taskflow-agent"); /* also when it has started itself again */
        raise_nofile();
        r = nursery_start(&nursery, start_agent);
        if (r < 0) {
                say_error("cannot make the process that starts tasks: %s", strerror(-r));
                return STATUS_FAILED;
        }
        block_signals();
        r = run(&arguments, nursery);
        if (r > 0) {
                (void)execv("/proc/self/exe", argv);
                say_error("cannot start again: %s", strerror(errno));
                return STATUS_FAILED;
        }
        return r < 0 ? STATUS_FAILED : 0;
}
