/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * taskflow run: waits for room, then runs a command in this terminal; or, with -D, queues it.
 *
 * This file turns words into a task and into what is to be executed; runner/ does the rest for one in this terminal, and the
 * user's agent for a detached one.
 */

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/learned.h"
#include "cli/new-task.h"
#include "cli/output.h"
#include "cli/queue-tasks.h"
#include "cli/run-options.h"
#include "cli/session.h"
#include "cli/task-file.h"
#include "cli/view.h"
#include "core/ref.h"
#include "runner/foreground.h"
#include "util/cleanup.h"
#include "util/macro.h"
#include "util/units.h"

enum {
        MINUTE_SECONDS = 60,
};

/* In other queues a bare number is minutes. */
static void say_unit(const RunOptions *options) {
        const char *word = options->time.word;

        if (options->quiet.set || !word || strspn(word, "0123456789") != strlen(word) ||
            options->time.us >= MINUTE_SECONDS * US_PER_SEC || !isatty(STDERR_FILENO))
                return;
        (void)fprintf(stderr, "taskflow: -t %s = %s seconds\n", word, word);
}

static int run_here(const RunOptions *options, NewTask *task) {
        RunRequest request = {
                .task = TAKE_PTR(task->task),
                .argv = task->argv,
                .plain_argv = task->plain_argv,
                .wait_us = options->wait.word ? options->wait.us : TASK_TIME_INF,
                .quiet = options->quiet.set,
                .user_name = cli_user_name,
        };

        return options->dry_run ? foreground_dry_run(&request) : foreground_run(&request);
}

/* The task is queued, whatever becomes of this. */
static int print_json(uint64_t id) {
        _cleanup_(client_freep) Client *client = NULL;
        _cleanup_(reply_done) Reply reply = { 0 };
        const Call call = { .type = CALL_SHOW, .show = { .id = id } };
        char buf[TASK_REF_FORMAT_MAX];
        Error error;

        if (session_connect(&client, CLIENT_START | CLIENT_QUIET, &error) != 0)
                (void)cli_fail(0, "%s", error.text);
        else if (session_call(client, &call, &reply) == 0 && reply.list.n == 1 &&
                 view_print_json(&reply.list.tasks[0], view_now_boot_us(&reply)) == 0) {
                (void)putchar('\n');
                return output_finish(CLI_STATUS_DONE) == 0 ? 0 : RUN_STATUS_FAILED;
        }
        return cli_fail(RUN_STATUS_FAILED, "task %s was queued, but cannot be shown",
                        task_ref_format(buf, sizeof(buf), id));
}

static int queue_it(const RunOptions *options, NewTask *task) {
        _cleanup_(queue_tasks_done) TaskQueue queue = {
                .quiet = options->quiet.set,
                .wait_given = options->wait.word != NULL,
                .wait_us = options->wait.us,
        };
        char buf[TASK_REF_FORMAT_MAX];
        uint64_t id = 0;
        Error error;

        if (queue_tasks(&queue, task, 1, &id, &error) < 0)
                return cli_fail(RUN_STATUS_FAILED, "%s", error.text);
        if (options->json.set)
                return print_json(id);
        (void)puts(task_ref_format(buf, sizeof(buf), id));
        if (output_finish(CLI_STATUS_DONE) != 0)
                return cli_fail(RUN_STATUS_FAILED, "task %s was queued", buf);
        return CLI_STATUS_DONE;
}

static int run_task(RunOptions *options, char **words) {
        _cleanup_(new_task_done) NewTask task = { 0 };
        _cleanup_(client_freep) Client *client = NULL;
        Error error = { 0 };

        if (run_options_check(options, &error) < 0)
                return cli_fail(RUN_STATUS_FAILED, "run: %s", error.text);
        if (options->dry_run) /* a question of room: who would run it makes no difference */
                options->detach.set = false;
        if (new_task_make(options, words, &task, &error) < 0)
                return cli_fail(RUN_STATUS_FAILED, "run: %s", error.text);
        if (learned_fill(options, task.task, &client, &error) < 0)
                return cli_fail(RUN_STATUS_FAILED, "run: %s", error.text);
        client = client_free(client);
        say_unit(options);
        return options->detach.set ? queue_it(options, &task) : run_here(options, &task);
}

static int run_run(const Command *command, void *values, int n_operands, char **operands) {
        _cleanup_(task_file_done) TaskFile file = { 0 };
        char *nothing[] = { (char[]){ "" }, NULL }; /* a question needs no command */
        RunOptions *options = values;
        Error error = { 0 };

        if (options->from) {
                if (task_file_load(options->from, &file, &error) < 0)
                        return cli_fail(RUN_STATUS_FAILED, "run: %s", error.text);
                run_options_merge(options, &file.options);
        }
        if (options->save && task_file_save(options->save, options, &error) < 0)
                return cli_fail(RUN_STATUS_FAILED, "run: %s", error.text);
        if (n_operands == 0 && options->save)
                return CLI_STATUS_DONE;
        if (n_operands > 0)
                return run_task(options, operands);
        if (options->dry_run)
                return run_task(options, nothing);
        return cli_fail(RUN_STATUS_FAILED, "run: %s is missing; see 'taskflow %s --help'",
                        command->operands, command->name);
}

const Command command_run = {
        .name = "run",
        .operands = "COMMAND [ARG]...",
        .summary = "wait until there is room, then run a command: here, or detached (-D)",
        .description =
                "Waits until the machine has free what the command needs, then runs it as a child in this "
                "terminal, folder and environment, and exits with its status. One argument is a line for your "
                "shell; several are executed as they are. With -D it is queued, and runs without a terminal: "
                "'taskflow logs' shows what it prints.\n\n"
                "SIZE: 512M, 5G, 1.5T; K M G T P are powers of 1024. TIME: 90s, 10m, 2h, 1h30m, inf; a bare number "
                "is seconds. SET: 0-9, 1-3,7; each element finds its number in TASKFLOW_ARRAY_INDEX.\n\n"
                "Status: the command's own; 124 time limit; 125 taskflow itself failed; 126 the command cannot be "
                "run; 127 it was not found.",
        .opts = run_opts,
        .max_operands = -1,
        .stop_at_operand = true,
        .usage_status = RUN_STATUS_FAILED,
        .values_size = sizeof(RunOptions),
        .run = run_run,
};
