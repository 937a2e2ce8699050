/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * `taskflow run --dry-run`: the question without the command. There is none whose stdout it could be, so the answer goes there.
 */

#include <stdio.h>
#include <stdlib.h>

#include "client/client.h"
#include "runner/environment.h"
#include "runner/foreground.h"
#include "runner/own-room.h"
#include "util/cleanup.h"
#include "util/text.h"

enum {
        COULD_START = 0,
        WOULD_WAIT = 1,
};

static void say_reason(const RunRequest *request, const Reply *reply) {
        _cleanup_free_ char *visible = NULL;
        char sentence[4096] = "";

        if (reply->explain)
                explain_sentence(reply->explain, reply->boot_us, request->user_name, NULL, sentence,
                                 sizeof(sentence));
        visible = text_visible(sentence);
        (void)printf("it would wait%s%s\n", sentence[0] ? ": " : "", visible ? visible : "");
}

static int answer(const RunRequest *request, const Reply *reply) {
        char gpus[GPU_MAX * GPU_ID_MAX];

        if (reply->error != ERROR_NONE) {
                _cleanup_free_ char *message =
                        text_visible(reply->message ? reply->message : "refused");

                (void)fprintf(stderr, "taskflow: %s\n", message ? message : "refused");
                return RUN_STATUS_FAILED;
        }
        if (!reply->dry_run.could_start) {
                if (!request->quiet)
                        say_reason(request, reply);
                return WOULD_WAIT;
        }
        environment_gpu_list(reply->dry_run.gpus, reply->dry_run.n_gpus, gpus, sizeof(gpus));
        if (!request->quiet)
                (void)printf("it could start now%s%s\n",
                             reply->dry_run.n_gpus == 0 ? "" :
                             reply->dry_run.n_gpus == 1 ? ", on GPU " :
                                                          ", on GPUs ",
                             gpus);
        return COULD_START;
}

int foreground_dry_run(RunRequest *request) {
        _cleanup_(task_freep) Task *task = TAKE_PTR(request->task);
        _cleanup_(client_freep) Client *client = NULL;
        const Call call = {
                .type = CALL_DRY_RUN,
                .submit = { .task = task, .room_bytes = own_room_bytes(task) },
        };
        Error error = { 0 };
        Reply reply;
        int r;

        if (client_connect(&client, CLIENT_START | (request->quiet ? CLIENT_QUIET : 0), &error) !=
                    0 ||
            client_call(client, &call, &reply, &error) != 0) {
                (void)fprintf(stderr, "taskflow: %s\n", error.text);
                return RUN_STATUS_FAILED;
        }
        r = answer(request, &reply);
        reply_done(&reply);
        return r;
}
