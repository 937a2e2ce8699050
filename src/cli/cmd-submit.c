/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * taskflow submit: queue a task for each line of a file.
 *
 * Lines go to the agent in parts, each all or nothing, and the ids of a part are printed as soon as it is queued: so the file may be
 * as long as one likes, and whoever reads the ids knows at each moment what is queued.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/learned.h"
#include "cli/lines.h"
#include "cli/new-task.h"
#include "cli/output.h"
#include "cli/queue-tasks.h"
#include "cli/run-options.h"
#include "cli/task-file.h"
#include "core/ref.h"
#include "runner/foreground.h"
#include "util/cleanup.h"
#include "util/macro.h"

typedef struct Submission {
        const RunOptions *options;
        TaskQueue queue;
        Client *client; /* owned; of learned_fill() */
        uint64_t n_queued;
        /* the part that is being read */
        size_t n;
        size_t n_bytes;
        uint64_t first_line; /* of the part; of an empty one: of the next line */
        NewTask tasks[QUEUE_TASKS_MAX];
} Submission;

static void drop_part(Submission *submission) {
        for (size_t i = 0; i < submission->n; i++)
                new_task_done(&submission->tasks[i]);
        submission->n = 0;
        submission->n_bytes = 0;
}

static void submission_done(Submission *submission) {
        drop_part(submission);
        queue_tasks_done(&submission->queue);
        (void)client_free(submission->client);
}

/* The end of it: what is queued, and from which line on nothing is. */
static int refuse(const Submission *submission, const char *why) {
        if (submission->n_queued == 0)
                return cli_fail(RUN_STATUS_FAILED, "%s; nothing was queued", why);
        return cli_fail(RUN_STATUS_FAILED,
                        "%s; the %" PRIu64 " task%s before line %" PRIu64
                        " were queued, and none from there on",
                        why, submission->n_queued, submission->n_queued == 1 ? "" : "s",
                        submission->first_line);
}

/* Queues the part, and prints its ids. Return: 0, or an exit status after saying what is wrong. */
static int send_part(Submission *submission, uint64_t next_line) {
        uint64_t ids[QUEUE_TASKS_MAX];
        Error error;
        int r;

        if (submission->n == 0)
                return 0;
        r = queue_tasks(&submission->queue, submission->tasks, submission->n, ids, &error);
        if (r == -EINPROGRESS)
                return cli_fail(RUN_STATUS_FAILED,
                                "%s; the %" PRIu64 " before line %" PRIu64
                                " were queued, and none from line %" PRIu64 " on",
                                error.text, submission->n_queued, submission->first_line,
                                next_line);
        if (r < 0)
                return refuse(submission, error.text);

        for (size_t i = 0; i < submission->n; i++) {
                char buf[TASK_REF_FORMAT_MAX];

                (void)puts(task_ref_format(buf, sizeof(buf), ids[i]));
        }
        submission->n_queued += submission->n;
        drop_part(submission);
        submission->first_line = next_line;
        /* Who reads the ids has gone: he would not know of those that are still to come. */
        return output_finish(CLI_STATUS_DONE) == 0 ? 0 : refuse(submission, "stopped");
}

/* Return: as send_part(). */
static int add_line(Submission *submission, const char *line, uint64_t number) {
        char *words[] = { (char *)(uintptr_t)line, NULL };
        _cleanup_(new_task_done) NewTask task = { 0 };
        size_t n_bytes;
        Error error;

        if (new_task_make(submission->options, words, &task, &error) < 0 ||
            learned_fill(submission->options, task.task, &submission->client, &error) < 0) {
                error_prefix(&error, "line %" PRIu64 ": ", number);
                return refuse(submission, error.text);
        }

        n_bytes = queue_tasks_bytes(&task);
        if (submission->n == QUEUE_TASKS_MAX ||
            (submission->n > 0 && submission->n_bytes + n_bytes > QUEUE_BYTES_MAX)) {
                int status = send_part(submission, number);

                if (status != 0)
                        return status;
        }

        submission->tasks[submission->n++] = task;
        submission->n_bytes += n_bytes;
        task = (NewTask){ 0 };
        return 0;
}

static int submit_lines(Submission *submission, int fd, const char *name) {
        _cleanup_(lines_freep) Lines *lines = NULL;
        uint64_t number = 0;
        int status = 0;
        int r;

        if (lines_new(&lines, fd) < 0)
                return cli_fail(RUN_STATUS_FAILED, "submit: out of memory");

        while (status == 0) {
                const char *line;
                Error error;

                r = lines_next(lines, &line, &number, &error);
                if (r == LINES_E_END)
                        return send_part(submission, number);
                if (r < 0) {
                        if (r == -EINVAL)
                                error_prefix(&error, "line %" PRIu64 " of '%s' ", number, name);
                        else
                                error_prefix(&error, "cannot read '%s': ", name);
                        return refuse(submission, error.text);
                }
                status = add_line(submission, line, number);
        }
        return status;
}

static int open_file(const char *path, int *ret) {
        int fd = strcmp(path, "-") == 0 ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);

        if (fd < 0)
                return cli_fail(RUN_STATUS_FAILED, "submit: cannot open '%s': %s", path,
                                strerror(errno));
        (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
        *ret = fd;
        return 0;
}

static int submit_run(const Command *command, void *values, _unused_ int n, char **operands) {
        _cleanup_(task_file_done) TaskFile file = { 0 };
        _cleanup_(submission_done) Submission submission = { .first_line = 1 };
        _cleanup_close_ int fd = -1;
        RunOptions *options = values;
        Error error = { 0 };
        int status;

        if (options->from) {
                if (task_file_load(options->from, &file, &error) < 0)
                        return cli_fail(RUN_STATUS_FAILED, "%s: %s", command->name, error.text);
                run_options_merge(options, &file.options);
        }
        options->detach = (RunFlag){ .word = "yes", .set = true };
        if (run_options_check(options, &error) < 0)
                return cli_fail(RUN_STATUS_FAILED, "%s: %s", command->name, error.text);

        status = open_file(operands[0], &fd);
        if (status != 0)
                return status;
        submission.options = options;
        submission.queue.quiet = options->quiet.set;
        submission.queue.wait_given = options->wait.word != NULL;
        submission.queue.wait_us = options->wait.us;
        return submit_lines(&submission, fd, operands[0]);
}

const Command command_submit = {
        .name = "submit",
        .operands = "FILE|-",
        .summary = "queue a detached task for each line of a file",
        .description =
                "Each line is a line for your shell, as the one argument of 'taskflow run -D'; empty ones and those "
                "that begin with # are passed over. '-' is stdin. The options are those of 'run', and hold for each "
                "task. Prints the ids, one a line.\n\n"
                "Status: 0 all are queued; 125 if not, and it says from which line on.",
        .opts = submit_opts,
        .min_operands = 1,
        .max_operands = 1,
        .usage_status = RUN_STATUS_FAILED,
        .values_size = sizeof(RunOptions),
        .run = submit_run,
};
