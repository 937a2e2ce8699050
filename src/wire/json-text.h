#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * JSON as text
 *
 * Writes JSON into a buffer that grows, piece by piece. What fails first stays in `r` and makes everything after it do
 * nothing, so that only the end needs a check. Strings may be any bytes: what is not UTF-8 becomes U+FFFD.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct JsonText {
        char *bytes; /* owned; not ended by a NUL before json_text_take() */
        size_t n;
        size_t n_allocated;
        size_t max_bytes; /* -E2BIG beyond it */
        int r;            /* 0, -ENOMEM or -E2BIG */
        bool comma;       /* something stands before, on this level */
} JsonText;

#define JSON_TEXT_NULL(_max_bytes)        \
        (JsonText) {                      \
                .max_bytes = (_max_bytes) \
        }

/* '{' or '[', and '}' or ']' */
void json_text_open(JsonText *text, char bracket);
void json_text_close(JsonText *text, char bracket);

/* The key of the value that comes next: plain ASCII without quotes. */
void json_text_key(JsonText *text, const char *key);

void json_text_null(JsonText *text);
void json_text_bool(JsonText *text, bool value);
void json_text_int(JsonText *text, int64_t value);

/* Beyond 2^63 - 1, which is what JSON readers can be trusted with, it is 2^63 - 1. */
void json_text_uint(JsonText *text, uint64_t value);

/**
 * json_text_string() - any bytes as a string
 * @max_bytes:  what is longer is cut, in front of a character; less than SIZE_MAX
 */
void json_text_string(JsonText *text, const char *s, size_t max_bytes);

/* Remembers that something failed, unless something did before. */
void json_text_fail(JsonText *text, int r);

/* JSON as it is. */
void json_text_raw(JsonText *text, const char *json);

/**
 * json_text_take() - the end
 * @ret:        set to what was written, with a NUL behind it, to be freed
 * @ret_n:      set to its length; may be NULL
 *
 * Return: 0, or what failed; then everything is freed.
 */
int json_text_take(JsonText *text, char **ret, size_t *ret_n);
