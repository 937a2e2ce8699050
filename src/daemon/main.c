/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * taskflowd: options, signals; then the loop.
 *
 * A personal daemon is started by the first `taskflow run` with --personal and its stdout on a pipe: "ready" tells that the socket
 * answers, "busy" that another daemon has this state already. The machine's daemon is started by systemd, with its socket, and tells it
 * how far it is (sd_notify(3)). By hand it is either of the two in the foreground: setup.c.
 */

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>

#include "daemon/daemon.h"
#include "daemon/log.h"
#include "daemon/server.h"
#include "daemon/setup.h"
#include "probe/gpu-process.h"
#include "util/cleanup.h"
#include "util/fd.h"

#include "config.h"

enum {
        STATUS_FAILED = 1,
        STATUS_USAGE = 2,
        LAST_ANSWERS_US = 100 * 1000,
};

typedef struct Arguments {
        SetupOptions setup;
        bool check_config;
        bool recover;
} Arguments;

static void print_help(void) {
        (void)puts(
                "Usage: taskflowd [OPTION]...\n"
                "\n"
                "Decides which of the tasks that people queue with taskflow(1) may start. Stays in the\n"
                "foreground and logs to stderr. As the user 'taskflow', with --socket or a socket that systemd\n"
                "passes it serves everybody; else it is a personal daemon: its user's alone.\n"
                "\n"
                "  --config FILE    settings to read; they must be there\n"
                "  --socket PATH    listen here, for everybody\n"
                "  --state DIR      keep tasks and history here\n"
                "  --check-config   say whether the settings are right, and end\n"
                "  --recover        take over what can be read of a damaged database\n"
                "  --version        print the version\n"
                "  --help           print this");
}

/* Return: 0 go on, 1 done, or negative: wrong. */
static int parse_arguments(int argc, char **argv, Arguments *ret) {
        enum {
                ARG_CONFIG = 256,
                ARG_SOCKET,
                ARG_STATE,
                ARG_CHECK,
                ARG_RECOVER,
                ARG_PERSONAL,
                ARG_VERSION,
        };
        static const struct option options[] = {
                { "config", required_argument, NULL, ARG_CONFIG },
                { "socket", required_argument, NULL, ARG_SOCKET },
                { "state", required_argument, NULL, ARG_STATE },
                { "check-config", no_argument, NULL, ARG_CHECK },
                { "recover", no_argument, NULL, ARG_RECOVER },
                { "personal", no_argument, NULL, ARG_PERSONAL },
                { "version", no_argument, NULL, ARG_VERSION },
                { "help", no_argument, NULL, 'h' },
                {},
        };
        int c;

        while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0)
                switch (c) {
                case ARG_CONFIG:
                        ret->setup.config = optarg;
                        break;
                case ARG_SOCKET:
                        ret->setup.socket = optarg;
                        break;
                case ARG_STATE:
                        ret->setup.state = optarg;
                        break;
                case ARG_CHECK:
                        ret->check_config = true;
                        break;
                case ARG_RECOVER:
                        ret->recover = true;
                        break;
                case ARG_PERSONAL:
                        ret->setup.personal = true;
                        break;
                case ARG_VERSION:
                        (void)puts("taskflowd " TASKFLOW_VERSION);
                        return 1;
                case 'h':
                        print_help();
                        return 1;
                default:
                        return -EINVAL; /* getopt has said what */
                }
        if (optind < argc) {
                (void)fprintf(stderr, "taskflowd: '%s' is not an option; see taskflowd --help\n",
                              argv[optind]);
                return -EINVAL;
        }
        if (ret->setup.personal && ret->setup.socket) {
                (void)fprintf(stderr, "taskflowd: --personal and --socket exclude each other\n");
                return -EINVAL;
        }
        return 0;
}

/* As many descriptors as we may have: each connection is one (decisions.md 19). */
static void raise_nofile(void) {
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == limit.rlim_max)
                return;
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
                log_warning("cannot raise the limit of open files: %s", strerror(errno));
}

static int on_answered(sd_event_source *source, uint64_t usec, void *userdata) {
        return sd_event_exit(sd_event_source_get_event(source), 0);
}

/* Whoever was let in has asked by then, and has an answer; all others wait for the next daemon. */
static int on_end_signal(sd_event_source *source,
                         const struct signalfd_siginfo *si,
                         void *userdata) {
        Daemon *daemon = userdata;

        (void)sd_notify(0, "STOPPING=1");
        if (server_leave_rest(daemon->server) &&
            sd_event_add_time_relative(daemon->event, NULL, CLOCK_MONOTONIC, LAST_ANSWERS_US, 0,
                                       on_answered, NULL) >= 0)
                return 0;
        return sd_event_exit(daemon->event, 0);
}

static int on_reload_signal(sd_event_source *source,
                            const struct signalfd_siginfo *si,
                            void *userdata) {
        (void)sd_notify(0, "RELOADING=1");
        daemon_reload(userdata);
        (void)sd_notify(0, "READY=1");
        return 0;
}

static int add_signals(Daemon *daemon) {
        int r;

        r = sd_event_add_signal(daemon->event, NULL, SIGTERM, on_end_signal, daemon);
        if (r < 0)
                return r;
        r = sd_event_add_signal(daemon->event, NULL, SIGINT, on_end_signal, daemon);
        if (r < 0)
                return r;
        return sd_event_add_signal(daemon->event, NULL, SIGHUP, on_reload_signal, daemon);
}

/* Before anything else, so that no thread of a library starts without it. */
static void block_signals(void) {
        sigset_t set;

        (void)sigemptyset(&set);
        (void)sigaddset(&set, SIGTERM);
        (void)sigaddset(&set, SIGINT);
        (void)sigaddset(&set, SIGHUP);
        (void)sigaddset(&set, SIGCHLD);
        (void)sigprocmask(SIG_BLOCK, &set, NULL);
        (void)signal(SIGPIPE, SIG_IGN);
}

/* Tells whoever started a personal daemon, and lets go of the pipe. */
static void say_started(const Arguments *arguments, const char *word) {
        int null_fd;

        if (!arguments->setup.personal)
                return;
        (void)printf("%s\n", word);
        (void)fflush(stdout);
        null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
        if (null_fd >= 0) {
                (void)dup2(null_fd, STDOUT_FILENO);
                (void)fd_close(null_fd);
        }
}

static int listen_everywhere(Daemon *daemon, Setup *setup, Error *error) {
        int r;

        if (setup->passed_fd >= 0)
                return server_adopt(daemon->server, TAKE_FD(setup->passed_fd), setup->sockets[0],
                                    error);
        for (size_t i = 0; i < ELEMENTSOF(setup->sockets) && setup->sockets[i]; i++) {
                r = server_listen(daemon->server, setup->sockets[i], setup->personal ? 0600 : 0666,
                                  i > 0, error);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int serve(const Arguments *arguments, Setup *setup, Error *error) {
        _cleanup_(daemon_freep) Daemon *daemon = NULL;
        int r;

        r = daemon_new(&daemon,
                       &(DaemonOptions){
                               .settings_path = setup->settings_path,
                               .settings_required = arguments->setup.config != NULL,
                               .personal = setup->personal,
                               .state_dir = setup->state_dir,
                               .recover = arguments->recover,
                       },
                       error);
        if (r < 0)
                return r;
        r = add_signals(daemon);
        if (r < 0)
                return error_set(error, r, "cannot watch for signals: %s", strerror(-r));
        r = listen_everywhere(daemon, setup, error);
        if (r < 0)
                return r;
        if (chdir("/") < 0)
                return error_set(error, -errno, "cannot change to /: %s", strerror(errno));
        if (!setup->personal && geteuid() == 0)
                log_warning(
                        "this is root, and nothing here needs a privilege: a user of its own would do");
        log_info("taskflowd " TASKFLOW_VERSION " listens on %s", setup->sockets[0]);
        say_started(arguments, "ready");
        (void)sd_notify(0, "READY=1\nSTATUS=version " TASKFLOW_VERSION);
        r = sd_event_loop(daemon->event);
        if (r < 0 && store_is_broken(daemon->store))
                return error_set(
                        error, r,
                        "what was written to '%s' may not be on the disk: %s; ending, so that "
                        "the next taskflowd goes on from what is there",
                        setup->state_dir, strerror(-r));
        return r < 0 ? error_set(error, r, "the event loop failed: %s", strerror(-r)) : 0;
}

static int check_config(const Setup *setup, bool required, Error *error) {
        Settings settings;
        int r;

        r = settings_load(&settings, setup->settings_path, required, setup->personal, error);
        if (r < 0)
                return r;
        settings_done(&settings);
        (void)printf("the settings are right%s%s\n", setup->settings_path ? ": " : "",
                     setup->settings_path ? setup->settings_path : "");
        return 0;
}

static int run(const Arguments *arguments) {
        _cleanup_(setup_done) Setup setup = SETUP_NULL;
        Error error = {};
        int r;

        r = setup_find(&arguments->setup, &setup, &error);
        if (r >= 0 && arguments->check_config) {
                r = check_config(&setup, arguments->setup.config != NULL, &error);
        } else if (r >= 0) {
                r = setup_prepare(&arguments->setup, &setup, &error);
                if (r == -EBUSY && arguments->setup.personal) {
                        say_started(arguments, "busy");
                        return 0;
                }
                if (r >= 0)
                        r = serve(arguments, &setup, &error);
        }
        if (r < 0) {
                log_error("%s", error.text);
                (void)sd_notifyf(0, "STATUS=%s", error.text);
        }
        return r < 0 ? STATUS_FAILED : 0;
}

int main(int argc, char **argv) {
        Arguments arguments = {};
        int r;

        if (argc == GPU_PROCESS_ARGC && strcmp(argv[1], GPU_PROCESS_ARGUMENT) == 0)
                return gpu_process_main(argv);
        r = parse_arguments(argc, argv, &arguments);
        if (r < 0)
                return STATUS_USAGE;
        if (r > 0)
                return 0;
        block_signals();
        raise_nofile();
        return run(&arguments);
}
