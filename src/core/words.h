#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The words of a sentence
 *
 * A line that grows part by part, is cut where the room for it ends, and is always ended.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/explain.h"
#include "util/macro.h"
#include "util/units.h"

enum {
        WORDS_USER_MAX = 64,
};

typedef struct Words {
        char *buf;
        size_t n;
        size_t at; /* at most n - 1 */
        uint64_t now_boot_us;
        uid_t uid; /* whose task it is about; or EXPLAIN_UID_UNKNOWN */
        explain_user_fn user_name;
        void *userdata;
} Words;

/* A size, for as long as the buffer. */
typedef struct Bytes {
        char text[UNITS_FORMAT_MAX];
} Bytes;

void words_say(Words *words, const char *fmt, ...) _printf_(2, 3);

const char *words_bytes(Bytes *buf, uint64_t bytes);
const char *words_user(const Words *words, uid_t uid, char buf[static WORDS_USER_MAX]);

/* Whose task it is about: the name, or "its user" where that is not known. */
const char *words_own_user(const Words *words, char buf[static WORDS_USER_MAX]);

/* `task 12 of alice`, `task 12_3 of alice` */
void words_task(Words *words, const Holder *holder);

/* The tasks of a lack, `task 12 of alice, task 13 of bob and 2 more`; `another task` if it names none. */
void words_tasks(Words *words, const Lack *lack);

/* `45s`, rounded up: the last second before the end is not 0s. */
void words_until(Words *words, uint64_t until_boot_us);
