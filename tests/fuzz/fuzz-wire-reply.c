/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Replies: the first byte says to which call, the others are the message. Whatever is read can be written (unless the
 * defaults that it left out make it too long), reads as the same again, and can be shown.
 */

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "wire/message.h"

#include "fuzz.h"

/* In the forms of `--json`. */
static void show(const Reply *reply) {
        char *text = NULL;

        if (reply->explain) {
                char sentence[128];

                explain_sentence(reply->explain, reply->boot_us, NULL, NULL, sentence,
                                 sizeof(sentence));
                assert(memchr(sentence, 0, sizeof(sentence)));
        }
        if (reply->error != ERROR_NONE)
                return;

        if (reply->to == CALL_STATUS) {
                assert(machine_status_json(&reply->status, NULL, &text) == 0);
                free(text);
        }
        if (reply->to != CALL_LIST)
                return;
        for (size_t i = 0; i < reply->list.n; i++) {
                assert(task_view_json(&reply->list.tasks[i], "alice", NULL, &text) == 0);
                free(text);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
        char *first = NULL, *second = NULL;
        Error error = { "" };
        size_t n_first, n_second;
        Reply reply, again;
        CallType to;
        int r;

        if (n == 0)
                return 0;

        to = (CallType)((data[0] - (unsigned)'A') % N_CALL_TYPES);
        r = reply_decode(to, (const char *)data + 1, n - 1, &reply, &error);
        if (r != 0) {
                assert(r == MESSAGE_E_BAD && error.text[0] != '\0');
                return 0;
        }

        show(&reply);
        if (reply_encode(&reply, &first, &n_first) == 0) {
                assert(!message_is_call(first, n_first));
                assert(reply_decode(to, first, n_first, &again, &error) == 0);
                assert(reply_encode(&again, &second, &n_second) == 0);
                assert(n_first == n_second && memcmp(first, second, n_first) == 0);
                reply_done(&again);
        }

        free(first);
        free(second);
        reply_done(&reply);
        return 0;
}
