/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * taskflow run: waits for room, then runs a command in this terminal.
 *
 * This file turns words into a task and into what is to be executed; runner/ does the rest.
 */

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/run-options.h"
#include "cli/shell-line.h"
#include "cli/task-file.h"
#include "runner/foreground.h"
#include "util/cleanup.h"
#include "util/macro.h"
#include "util/strv.h"
#include "util/text.h"
#include "util/units.h"

#define SHELL_DEFAULT "/bin/sh"

enum {
        MINUTE_SECONDS = 60,
        SHELL_WORDS = 4, /* the shell, -c, the line, NULL */
};

/* Accounts that nobody logs in to have a shell that runs nothing. */
static bool is_usable(const char *shell) {
        const char *name = shell ? strrchr(shell, '/') : NULL;
        struct stat st;

        if (!name || shell[0] != '/' || strcmp(name, "/false") == 0 ||
            strcmp(name, "/nologin") == 0)
                return false;
        return stat(shell, &st) == 0 && S_ISREG(st.st_mode) && access(shell, X_OK) == 0;
}

static const char *find_shell(void) {
        const char *shell = getenv("SHELL");

        return is_usable(shell) ? shell : SHELL_DEFAULT;
}

static char *shown(const char *s, size_t max) {
        return text_repair_utf8(s, strlen(s), max);
}

/* The words as they are shown: together no more than a shown text may be. */
static int show_words(Task *task, char **words) {
        size_t n_left = TASK_TEXT_MAX;
        size_t n = strv_n(words);

        task->argv = calloc(n + 1, sizeof(*task->argv));
        if (!task->argv)
                return -ENOMEM;
        for (size_t i = 0; i < n && n_left > 0; i++) {
                task->argv[i] = shown(words[i], n_left);
                if (!task->argv[i])
                        return -ENOMEM;
                n_left -= MIN(n_left, strlen(task->argv[i]) + 1);
        }
        return 0;
}

static int show_command(Task *task, char **words) {
        _cleanup_free_ char *joined = strv_join(words, " ");
        _cleanup_free_ char *cwd = getcwd(NULL, 0);

        if (!joined)
                return -ENOMEM;
        task->command = shown(joined, TASK_TEXT_MAX);
        task->cwd = shown(cwd ? cwd : "", TASK_TEXT_MAX);
        if (!task->command || !task->cwd)
                return -ENOMEM;
        return show_words(task, words);
}

static int make_task(const RunOptions *options, char **words, Task **ret, Error *error) {
        _cleanup_(task_freep) Task *task = task_new();
        int r;

        if (!task)
                return error_set(error, -ENOMEM, "out of memory");
        r = run_options_apply(options, task, error);
        if (r < 0)
                return r;
        if (show_command(task, words) < 0)
                return error_set(error, -ENOMEM, "out of memory");
        if (getrandom(task->key, sizeof(task->key), 0) != sizeof(task->key))
                return error_set(error, -errno, "no random numbers: %s", strerror(errno));
        *ret = TAKE_PTR(task);
        return 0;
}

/* In other queues a bare number is minutes. */
static void say_unit(const RunOptions *options) {
        const char *word = options->time.word;

        if (options->quiet.set || !word || strspn(word, "0123456789") != strlen(word) ||
            options->time.us >= MINUTE_SECONDS * US_PER_SEC || !isatty(STDERR_FILENO))
                return;
        (void)fprintf(stderr, "taskflow: -t %s = %s seconds\n", word, word);
}

static int run_task(const RunOptions *options, char **words) {
        char *shell_words[SHELL_WORDS] = { (char *)(uintptr_t)find_shell(),
                                           (char *)(uintptr_t) "-c", words[0], NULL };
        RunRequest request = {
                .argv = words[1] ? words : shell_words,
                .wait_us = options->wait.word ? options->wait.us : TASK_TIME_INF,
                .quiet = options->quiet.set,
                .user_name = cli_user_name,
        };
        _cleanup_(strv_freep) char **plain_words = NULL;
        Error error = { 0 };

        if (!words[1] && shell_line_split(words[0], shell_words[0], environ, &plain_words) < 0)
                return cli_fail(RUN_STATUS_FAILED, "run: out of memory");
        request.plain_argv = plain_words;
        if (make_task(options, words, &request.task, &error) < 0)
                return cli_fail(RUN_STATUS_FAILED, "run: %s", error.text);
        say_unit(options);
        return options->dry_run ? foreground_dry_run(&request) : foreground_run(&request);
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
        .summary = "wait until there is room, then run a command here",
        .description =
                "Waits until the machine has free what the command needs, then runs it as a child in this "
                "terminal, folder and environment, and exits with its status. One argument is a line for your "
                "shell; several are executed as they are.\n\n"
                "SIZE: 512M, 5G, 1.5T; K M G T P are powers of 1024. TIME: 90s, 10m, 2h, 1h30m, inf; a bare number "
                "is seconds.\n\n"
                "Status: the command's own; 124 time limit; 125 taskflow itself failed; 126 the command cannot be "
                "run; 127 it was not found.",
        .opts = run_opts,
        .max_operands = -1,
        .stop_at_operand = true,
        .usage_status = RUN_STATUS_FAILED,
        .values_size = sizeof(RunOptions),
        .run = run_run,
};
