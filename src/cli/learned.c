/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "cli/learned.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/session.h"
#include "core/gpu-word.h"
#include "core/signature.h"
#include "util/cleanup.h"
#include "util/macro.h"
#include "util/text.h"
#include "util/units.h"

enum {
        MARGIN_PCT = 20,
};

bool learned_is_auto(const char *word) {
        return strcmp(word, "auto") == 0;
}

static bool gpu_is_auto(const RunOptions *options, size_t i) {
        const char *rest = options->gpus[i] + gpu_word_length(options->gpus[i]);

        return *rest == ':' && learned_is_auto(rest + 1);
}

static bool memory_is_auto(const RunOptions *options) {
        return options->memory.word && learned_is_auto(options->memory.word);
}

static bool has_auto(const RunOptions *options) {
        for (size_t i = 0; i < options->n_gpus; i++)
                if (gpu_is_auto(options, i))
                        return true;
        return memory_is_auto(options);
}

static int ask(Client **client, Task *task, Reply *reply, Error *error) {
        const Call call = {
                .type = CALL_LEARNED,
                .submit = { .task = task, .room_bytes = UINT64_MAX },
        };
        int r = 0;

        if (!*client)
                r = session_connect(client, CLIENT_START, error);
        if (r == 0)
                r = client_call(*client, &call, reply, error);
        if (r != 0)
                return r < 0 ? r : -ECONNREFUSED;
        if (reply->error != ERROR_NONE)
                return error_set(error, -EPROTO, "%s",
                                 reply->message ? reply->message :
                                                  error_name_to_string(reply->error));
        return 0;
}

/* "the last 3 runs of 'python train.py'", "no run of …" */
static int name_runs(const Task *task, unsigned n_runs, char buf[static 256]) {
        char label[SIGNATURE_LABEL_MAX];
        _cleanup_free_ char *visible = NULL;

        (void)signature_of(task, label);
        visible = text_visible(label);
        if (!visible)
                return -ENOMEM;
        if (n_runs == 0)
                (void)snprintf(buf, 256, "no run of '%.160s'", visible);
        else if (n_runs == 1)
                (void)snprintf(buf, 256, "the last run of '%.160s'", visible);
        else
                (void)snprintf(buf, 256, "the last %u runs of '%.160s'", n_runs, visible);
        return 0;
}

/* Rounded up to whole MiB, for people. */
static uint64_t with_margin(uint64_t peak_bytes) {
        uint64_t more = peak_bytes / 100 * MARGIN_PCT + peak_bytes % 100 * MARGIN_PCT / 100;

        return (MIN(peak_bytes, (uint64_t)INT64_MAX / 2) + more + MIB - 1) / MIB * MIB;
}

static int fill(const RunOptions *options,
                const char *what,
                uint64_t peak_bytes,
                const char *runs,
                uint64_t *ret,
                Error *error) {
        char asked[UNITS_FORMAT_MAX], peak[UNITS_FORMAT_MAX];

        if (peak_bytes == 0)
                return error_set(error, -ENODATA,
                                 "%s: it is not known of %s what it took there; say a SIZE", what,
                                 runs);
        *ret = with_margin(peak_bytes);
        if (!options->quiet.set)
                (void)fprintf(stderr, "taskflow: %s: %s, because %s took %s at most\n", what,
                              units_format_bytes(asked, sizeof(asked), *ret), runs,
                              units_format_bytes(peak, sizeof(peak), peak_bytes));
        return 0;
}

static int fill_all(const RunOptions *options, Task *task, const Reply *reply, Error *error) {
        char runs[256], what[GPU_WANT_MAX + 16];
        int r = 0;

        if (name_runs(task, reply->learned.n_runs, runs) < 0)
                return error_set(error, -ENOMEM, "out of memory");
        if (reply->learned.n_runs == 0)
                return error_set(error, -ENODATA,
                                 "auto: %s is remembered that succeeded and took 30 s or more; say "
                                 "a SIZE this time",
                                 runs);
        if (memory_is_auto(options))
                r = fill(options, "-m auto", reply->learned.memory_peak_bytes, runs,
                         &task->needs.memory_bytes, error);
        for (size_t i = 0; i < options->n_gpus && r == 0; i++) {
                if (!gpu_is_auto(options, i))
                        continue;
                (void)snprintf(what, sizeof(what), "--gpu %s", options->gpus[i]);
                r = fill(options, what, reply->learned.gpu_peak_bytes, runs,
                         &task->needs.gpus[i].bytes, error);
        }
        return r;
}

int learned_fill(const RunOptions *options, Task *task, Client **client, Error *error) {
        _cleanup_(reply_done) Reply reply = { 0 };
        int r;

        if (!has_auto(options))
                return 0;
        r = ask(client, task, &reply, error);
        return r < 0 ? r : fill_all(options, task, &reply, error);
}
