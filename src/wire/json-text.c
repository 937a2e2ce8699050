/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Why not jansson, which reads our messages: building its tree in order to print it once costs ten times what writing the
 * text costs, and it refuses strings that are not UTF-8 instead of repairing them.
 */

#include "wire/json-text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/cleanup.h"
#include "util/macro.h"
#include "util/text.h"

enum {
        FIRST_BYTES = 512, /* most calls and replies fit */
};

void json_text_fail(JsonText *text, int r) {
        if (text->r == 0)
                text->r = r;
}

static bool grow(JsonText *text, size_t n_needed) {
        size_t n_allocated;
        char *bytes;

        n_allocated = MAX(n_needed, MAX(text->n_allocated * 2, (size_t)FIRST_BYTES));
        bytes = realloc(text->bytes, n_allocated);
        if (!bytes) {
                text->r = -ENOMEM;
                return false;
        }

        text->bytes = bytes;
        text->n_allocated = n_allocated;
        return true;
}

/* Room for @n more; NULL when there is none. */
static char *room(JsonText *text, size_t n) {
        if (text->r != 0)
                return NULL;

        if (n > text->max_bytes || text->n > text->max_bytes - n) {
                text->r = -E2BIG;
                return NULL;
        }

        if (text->n + n > text->n_allocated && !grow(text, text->n + n))
                return NULL;
        return text->bytes + text->n;
}

static void put(JsonText *text, const char *bytes, size_t n) {
        char *p;

        p = room(text, n);
        if (!p)
                return;

        memcpy(p, bytes, n);
        text->n += n;
}

/* Before each value and each key. */
static void put_comma(JsonText *text) {
        if (text->comma)
                put(text, ",", 1);
        text->comma = true;
}

void json_text_open(JsonText *text, char bracket) {
        put_comma(text);
        put(text, &bracket, 1);
        text->comma = false;
}

void json_text_close(JsonText *text, char bracket) {
        put(text, &bracket, 1);
        text->comma = true;
}

void json_text_key(JsonText *text, const char *key) {
        put_comma(text);
        put(text, "\"", 1);
        put(text, key, strlen(key));
        put(text, "\":", 2);
        text->comma = false;
}

void json_text_raw(JsonText *text, const char *json) {
        put_comma(text);
        put(text, json, strlen(json));
}

void json_text_null(JsonText *text) {
        json_text_raw(text, "null");
}

void json_text_bool(JsonText *text, bool value) {
        json_text_raw(text, value ? "true" : "false");
}

static void put_digits(JsonText *text, uint64_t value, bool negative) {
        char digits[24];
        size_t i = sizeof(digits);

        do
                digits[--i] = (char)('0' + value % 10);
        while ((value /= 10) > 0);
        if (negative)
                digits[--i] = '-';

        put_comma(text);
        put(text, digits + i, sizeof(digits) - i);
}

void json_text_int(JsonText *text, int64_t value) {
        put_digits(text, value < 0 ? -(uint64_t)value : (uint64_t)value, value < 0);
}

void json_text_uint(JsonText *text, uint64_t value) {
        put_digits(text, MIN(value, (uint64_t)INT64_MAX), false);
}

/* One character that may not stand in a string as it is. */
static void put_escaped(JsonText *text, unsigned char c) {
        static const char hex[] = "0123456789abcdef";
        static const char shorts[] = { ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f',
                                       ['\r'] = 'r', ['"'] = '"',  ['\\'] = '\\' };
        char escape[6] = { '\\', 'u', '0', '0', hex[c >> 4], hex[c & 0xf] };

        if (shorts[c]) {
                escape[1] = shorts[c];
                put(text, escape, 2);
        } else
                put(text, escape, sizeof(escape));
}

/* @s is UTF-8. */
static void put_string(JsonText *text, const char *s, size_t n) {
        size_t from = 0;

        put(text, "\"", 1);
        for (size_t i = 0; i < n; i++) {
                unsigned char c = (unsigned char)s[i];

                if (c >= 0x20 && c != '"' && c != '\\')
                        continue;

                put(text, s + from, i - from);
                put_escaped(text, c);
                from = i + 1;
        }
        put(text, s + from, n - from);
        put(text, "\"", 1);
}

void json_text_string(JsonText *text, const char *s, size_t max_bytes) {
        _cleanup_free_ char *repaired = NULL;
        size_t n;

        put_comma(text);
        n = strnlen(s, max_bytes + 1);
        if (n <= max_bytes && text_is_utf8(s, n)) {
                put_string(text, s, n);
                return;
        }

        /* What is cut off is not looked at: a very long text costs no more than a long one. */
        repaired = text_repair_utf8(s, n, max_bytes);
        if (!repaired) {
                json_text_fail(text, -ENOMEM);
                return;
        }
        put_string(text, repaired, strlen(repaired));
}

int json_text_take(JsonText *text, char **ret, size_t *ret_n) {
        put(text, "", 1);
        if (text->r != 0) {
                free(text->bytes);
                text->bytes = NULL;
                return text->r;
        }

        *ret = TAKE_PTR(text->bytes);
        if (ret_n)
                *ret_n = text->n - 1;
        return 0;
}
