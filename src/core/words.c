/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "core/words.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "core/sat.h"

void words_say(Words *words, const char *fmt, ...) {
        va_list args;
        int r;

        va_start(args, fmt);
        r = vsnprintf(words->buf + words->at, words->n - words->at, fmt, args);
        va_end(args);

        if (r > 0)
                words->at = MIN(words->at + (size_t)r, words->n - 1);
}

const char *words_bytes(Bytes *buf, uint64_t bytes) {
        return units_format_bytes(buf->text, sizeof(buf->text), bytes);
}

const char *words_user(const Words *words, uid_t uid, char buf[static WORDS_USER_MAX]) {
        if (words->user_name)
                return words->user_name(uid, buf, WORDS_USER_MAX, words->userdata);

        (void)snprintf(buf, WORDS_USER_MAX, "uid %u", (unsigned)uid);
        return buf;
}

const char *words_own_user(const Words *words, char buf[static WORDS_USER_MAX]) {
        return words->uid == EXPLAIN_UID_UNKNOWN ? "its user" : words_user(words, words->uid, buf);
}

void words_task(Words *words, const Holder *holder) {
        char user[WORDS_USER_MAX];

        words_say(words, "task %" PRIu64, task_ref_id(holder->task_id));
        if (task_ref_index(holder->task_id) >= 0)
                words_say(words, "_%" PRId64, task_ref_index(holder->task_id));
        words_say(words, " of %s", words_user(words, holder->uid, user));
}

void words_tasks(Words *words, const Lack *lack) {
        for (size_t i = 0; i < lack->n_holders; i++) {
                words_say(words, "%s", i > 0 ? ", " : "");
                words_task(words, &lack->holders[i]);
        }
        if (lack->n_more_holders > 0)
                words_say(words, " and %zu more", lack->n_more_holders);
        if (lack->n_holders == 0)
                words_say(words, "another task");
}

void words_until(Words *words, uint64_t until_boot_us) {
        char text[UNITS_FORMAT_MAX];
        uint64_t left_us = sat_sub(until_boot_us, words->now_boot_us);

        left_us = sat_add(left_us, US_PER_SEC - 1);
        words_say(words, "%s", units_format_duration(text, sizeof(text), left_us));
}
