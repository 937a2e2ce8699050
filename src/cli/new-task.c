/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "cli/new-task.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/shell-line.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/macro.h"
#include "util/strv.h"
#include "util/text.h"
#include "util/units.h"

#define SHELL_DEFAULT "/bin/sh"

enum {
        KEY_TIME_BYTES = 6, /* of milliseconds since 1970, as in UUIDs of version 7 */
};

/*
 * Nobody else's. It begins with the time and the rest is random: so keys rise, and the indexes of them are written at their end and not
 * at a page of their own for each of a hundred thousand.
 */
static int make_key(uint8_t key[static TASK_KEY_BYTES], Error *error) {
        uint64_t realtime_ms = clock_realtime_us() / US_PER_MSEC;

        if (getrandom(key, TASK_KEY_BYTES, 0) != TASK_KEY_BYTES)
                return error_set(error, -errno, "no random numbers: %s", strerror(errno));
        for (unsigned i = KEY_TIME_BYTES; i-- > 0; realtime_ms >>= 8)
                key[i] = (uint8_t)realtime_ms;
        return 0;
}

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
static int show_words(Task *task, char *const *words) {
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

static int show_command(Task *task, char *const *words, const char *cwd) {
        _cleanup_free_ char *joined = strv_join(words, " ");

        if (!joined)
                return -ENOMEM;
        task->command = shown(joined, TASK_TEXT_MAX);
        task->cwd = shown(cwd ? cwd : "", TASK_TEXT_MAX);
        if (!task->command || !task->cwd)
                return -ENOMEM;
        return show_words(task, words);
}

/* What is executed. */
static int set_argv(NewTask *task, char *const *words) {
        const char *shell;

        if (words[0] && words[1]) {
                task->argv = strv_dup(words);
                return task->argv ? 0 : -ENOMEM;
        }

        shell = find_shell();
        task->argv = strv_dup((char *const[]){ (char *)(uintptr_t)shell, (char[]){ "-c" },
                                               words[0] ? words[0] : (char[]){ "" }, NULL });
        if (!task->argv)
                return -ENOMEM;
        return words[0] ? shell_line_split(words[0], shell, environ, &task->plain_argv) : 0;
}

/* Relative to the folder of whoever asks; the daemon is shown it, and only the agent gets the very bytes. */
static int set_output(NewTask *task, const char *output, const char *cwd, Error *error) {
        if (!output)
                return 0;
        if (output[0] != '/' && !cwd)
                return error_set(error, -ENOENT, "-o %s: the current folder was removed", output);
        if (output[0] == '/')
                task->output = strdup(output);
        else if (asprintf(&task->output, "%s/%s", cwd, output) < 0)
                task->output = NULL;
        if (!task->output)
                return error_set(error, -ENOMEM, "out of memory");
        if (strlen(task->output) >= TASK_TEXT_MAX)
                return error_set(error, -ENAMETOOLONG, "-o: the path has more than %d bytes",
                                 TASK_TEXT_MAX - 1);

        task->task->output = shown(task->output, TASK_TEXT_MAX);
        return task->task->output ? 0 : error_set(error, -ENOMEM, "out of memory");
}

int new_task_make(const RunOptions *options, char *const *words, NewTask *ret, Error *error) {
        _cleanup_(new_task_done) NewTask task = { .task = task_new() };
        _cleanup_free_ char *cwd = getcwd(NULL, 0);
        int r;

        if (!task.task)
                return error_set(error, -ENOMEM, "out of memory");
        r = run_options_apply(options, task.task, error);
        if (r < 0)
                return r;
        if (show_command(task.task, words, cwd) < 0 || set_argv(&task, words) < 0)
                return error_set(error, -ENOMEM, "out of memory");
        if (task.task->detached)
                r = set_output(&task, options->output, cwd, error);
        if (r < 0)
                return r;
        r = make_key(task.task->key, error);
        if (r < 0)
                return r;

        *ret = task;
        task = (NewTask){ 0 };
        return 0;
}

void new_task_done(NewTask *task) {
        (void)task_free(task->task);
        (void)strv_free(task->argv);
        (void)strv_free(task->plain_argv);
        free(task->output);
        *task = (NewTask){ 0 };
}
