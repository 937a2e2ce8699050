/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * taskflow logs: what a detached task has printed.
 *
 * The daemon knows where the output goes, and the file is read from here, as oneself. To follow it is to read on whenever the kernel
 * says that it has grown, until the daemon says that the task has ended; a file system that tells nothing of that kind is looked at
 * each second.
 */

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/log-file.h"
#include "cli/output.h"
#include "cli/session.h"
#include "core/output.h"
#include "core/ref.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/macro.h"
#include "util/units.h"

enum {
        LOOK_MS = 1000,
};

typedef struct Values {
        bool follow;
        bool lines_given;
        uint64_t n_lines;
} Values;

static int parse_lines(_unused_ const Opt *opt, const char *word, void *target, Error *error) {
        Values *values = target;

        values->lines_given = true;
        return units_parse_uint(word, 0, INT64_MAX, &values->n_lines, error);
}

static const Opt opts[] = {
        { 'f', "follow", NULL, "go on until the task has ended", opt_parse_flag,
          offsetof(Values, follow), NULL },
        { 'n', "lines", "LINES", "begin with the last LINES lines", parse_lines, 0, NULL },
        { 0 },
};

/* What is followed. */
typedef struct Watch {
        uint64_t id;
        Client *client; /* owned; NULL: the daemon has gone */
        bool asked;     /* to be told of the end */
        bool started;   /* at least once */
        bool ended;
        uint64_t retry_boot_us;
        int inotify_fd; /* owned; -1: none can be had */
        bool file_watched;
} Watch;

static void watch_done(Watch *watch) {
        (void)client_free(watch->client);
        watch->inotify_fd = fd_close(watch->inotify_fd);
}

/* The file itself once it is open, before that the folder where it will appear. */
static void watch_file(Watch *watch, const LogFile *file, const char *path) {
        char buf[PATH_MAX];

        if (watch->file_watched)
                return;
        if (watch->inotify_fd < 0)
                watch->inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
        if (watch->inotify_fd < 0)
                return;

        if (file->fd >= 0) {
                (void)snprintf(buf, sizeof(buf), "/proc/self/fd/%d", file->fd);
                (void)inotify_add_watch(watch->inotify_fd, buf, IN_MODIFY);
                watch->file_watched = true;
                return;
        }
        (void)snprintf(buf, sizeof(buf), "%.*s", (int)(strrchr(path, '/') - path) + 1, path);
        (void)inotify_add_watch(watch->inotify_fd, buf, IN_CREATE | IN_MOVED_TO);
}

/* The daemon went away: the output goes on, and so do we. */
static void lose_daemon(Watch *watch) {
        watch->client = client_free(watch->client);
        watch->asked = false;
        watch->retry_boot_us = clock_boottime_us() + LOOK_MS * US_PER_MSEC;
}

static void ask_for_end(Watch *watch) {
        const Call call = { .type = CALL_WAIT, .wait = { .ids = { .n = 1, .ids = &watch->id } } };
        Error error;

        if (!watch->client &&
            (clock_boottime_us() < watch->retry_boot_us ||
             session_connect(&watch->client, CLIENT_START | CLIENT_QUIET, &error) != 0)) {
                watch->client = NULL;
                return;
        }
        if (!watch->asked && client_send(watch->client, &call, -1, NULL) != 0)
                lose_daemon(watch);
        else
                watch->asked = true;
}

static void hear_of_end(Watch *watch) {
        Reply reply;
        int r;

        if (!watch->client)
                return;
        r = session_receive(watch->client, clock_boottime_us(), &reply, NULL);
        if (r == SESSION_E_TIMEOUT)
                return;
        if (r != 0) {
                lose_daemon(watch);
                return;
        }
        /* Also if it does not know the task any more. */
        watch->ended = true;
        if (reply.error == ERROR_NONE && reply.wait.n == 1)
                watch->started = reply.wait.tasks[0].task->started_at_us > 0;
        reply_done(&reply);
}

static void wait_for_news(Watch *watch) {
        struct pollfd fds[] = { { .fd = watch->inotify_fd, .events = POLLIN }, { .fd = -1 } };
        char events[4096];

        ask_for_end(watch);
        if (watch->client)
                fds[1] = (struct pollfd){ .fd = client_fd(watch->client),
                                          .events = client_poll_events(watch->client) };
        (void)poll(fds, ELEMENTSOF(fds), LOOK_MS);
        while (watch->inotify_fd >= 0 && read(watch->inotify_fd, events, sizeof(events)) > 0)
                ;
        hear_of_end(watch);
}

static int fail(const Task *task, const char *why) {
        char buf[TASK_REF_FORMAT_MAX];

        return cli_fail(CLI_STATUS_REFUSED, "task %s %s",
                        task_ref_format(buf, sizeof(buf), task->id), why);
}

/* There is no file. */
static int refuse_missing(const Watch *watch, const Task *task, const Error *error) {
        if (watch->started)
                return cli_fail(CLI_STATUS_REFUSED, "logs: %s", error->text);
        if (watch->ended)
                return fail(task, "has no output: it never started");
        return fail(task, "has not started yet; with -f its output is waited for");
}

/* Opens it if it is there. Return: 0, or an exit status after saying what is wrong. */
static int open_file(LogFile *file, const char *path, const Values *values, Error *error) {
        int r;

        error->text[0] = '\0';
        if (file->fd >= 0)
                return 0;
        r = log_file_open(file, path, error);
        if (r == -ENOENT)
                return 0;
        if (r < 0)
                return cli_fail(CLI_STATUS_REFUSED, "logs: %s", error->text);
        if (values->lines_given && log_file_skip_to_last(file, values->n_lines) < 0)
                return cli_fail(CLI_STATUS_REFUSED, "logs: cannot read '%s'", path);
        return 0;
}

/* Prints it, and goes on until @watch says that it has ended. */
static int print_log(Watch *watch, const Task *task, const char *path, const Values *values) {
        _cleanup_(log_file_done) LogFile file = LOG_FILE_NULL;
        Error error;

        file.visible = task->uid != getuid() && output_is_terminal();
        for (;;) {
                /* Known before the file is read: then all is printed that was written before the end. */
                bool last = watch->ended || !values->follow;
                int status;

                status = open_file(&file, path, values, &error);
                if (status != 0)
                        return status;
                if (!last) /* before it is read, so that nothing is missed between */
                        watch_file(watch, &file, path);
                if (file.fd >= 0 && log_file_print(&file, last, &error) < 0)
                        return cli_fail(CLI_STATUS_REFUSED, "logs: %s", error.text);
                if (!last) {
                        wait_for_news(watch);
                        continue;
                }
                return file.fd >= 0 ? CLI_STATUS_DONE : refuse_missing(watch, task, &error);
        }
}

static void refuse_array(const Task *task) {
        uint64_t id = task_ref_id(task->id);

        (void)cli_fail(CLI_STATUS_REFUSED,
                       "task %" PRIu64 " is an array, and each element has a log of its own: "
                       "%" PRIu64 "_%u to %" PRIu64 "_%u",
                       id, id, task->array->first, id, task->array->last);
}

/* Where its output goes, to be freed; NULL after saying why there is none. */
static char *find_path(const TaskView *view) {
        const Task *task = view->task;
        char *path = NULL;

        if (task->array)
                refuse_array(task);
        else if (!task->detached)
                (void)fail(task,
                           "has no log: it was started by 'taskflow run', and its output is in "
                           "its own terminal");
        else if (view->hidden)
                (void)fail(task, "is somebody else's, and the settings keep its output hidden");
        else if (!task->output || task->output[0] != '/')
                (void)fail(task, "has no log that is known");
        else if (!(path = output_expand(task->output, task->id, task->name)))
                (void)cli_fail(CLI_STATUS_REFUSED, "out of memory");
        return path;
}

static int logs_run(const Command *command, void *v, _unused_ int n, char **operands) {
        _cleanup_(watch_done) Watch watch = { .inotify_fd = -1 };
        _cleanup_(reply_done) Reply reply = { 0 };
        _cleanup_free_ char *path = NULL;
        Call call = { .type = CALL_SHOW };
        const Task *task;
        Error error;
        int status;

        if (cli_parse_id(operands[0], &call.show.id, &error) < 0)
                return cli_fail(CLI_STATUS_USAGE, "%s: %s", command->name, error.text);

        status = session_open(&watch.client, SESSION_ACT);
        if (status != 0)
                return status;
        if (!watch.client)
                return session_no_task(call.show.id);

        status = session_call(watch.client, &call, &reply);
        if (status != 0)
                return status;
        if (reply.list.n != 1)
                return session_no_task(call.show.id);

        path = find_path(&reply.list.tasks[0]);
        if (!path)
                return CLI_STATUS_REFUSED;
        task = reply.list.tasks[0].task;
        watch.id = call.show.id;
        watch.started = task->started_at_us > 0;
        watch.ended = task_state_is_final(task->state);
        return print_log(&watch, task, path, v);
}

const Command command_logs = {
        .name = "logs",
        .operands = "ID",
        .summary = "print the output of a detached task",
        .description =
                "Prints what the task has written to stdout and stderr. With -f it goes on until the task has ended.",
        .opts = opts,
        .min_operands = 1,
        .max_operands = 1,
        .usage_status = CLI_STATUS_USAGE,
        .values_size = sizeof(Values),
        .run = logs_run,
};
