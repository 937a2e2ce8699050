/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Any file: what is read can be asked for, and what is saved of it reads back to the very same text.
 */

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "cli/task-file.h"
#include "util/cleanup.h"

#include "fuzz.h"

static void check(const RunOptions *options) {
        _cleanup_(task_freep) Task *task = task_new();
        _cleanup_(task_file_done) TaskFile again = { 0 };
        _cleanup_free_ char *text = NULL;
        _cleanup_free_ char *twice = NULL;
        Error error = { 0 };
        size_t n_twice;
        size_t n;

        assert(task);
        assert(run_options_apply(options, task, &error) == 0);
        assert(task->needs.n_gpus == options->n_gpus && task->priority <= TASK_PRIORITY_MAX);

        if (task_file_text(options, &text, &n, &error) < 0) {
                assert(error.text[0] !=
                       '\0'); /* a line of the greatest length has no room for our blanks */
                return;
        }
        assert(task_file_parse("again", text, n, &again, &error) == 0);
        assert(task_file_text(&again.options, &twice, &n_twice, &error) == 0);
        assert(n == n_twice && memcmp(text, twice, n) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
        _cleanup_(task_file_done) TaskFile file = { 0 };
        Error error = { 0 };

        if (task_file_parse("file", (const char *)data, n, &file, &error) == 0)
                check(&file.options);
        else
                assert(error.text[0] != '\0');
        return 0;
}
