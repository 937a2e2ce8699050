/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Text that strangers wrote
 */

#include "util/text.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/macro.h"

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

enum {
        /* One byte becomes at most `\xff`, a character of three bytes `\u202e`, of four `\U000e0001`. */
        MAX_GROWTH = 4,
};

typedef struct Range {
        uint32_t first;
        uint32_t last;
} Range;

/* Characters that a person does not see, or that change how others are shown. */
static const Range invisible[] = {
        { 0x0080, 0x009f },   /* C1 controls: 0x9b alone is CSI */
        { 0x00ad, 0x00ad },   /* soft hyphen */
        { 0x061c, 0x061c },   /* Arabic letter mark */
        { 0x180e, 0x180e },   /* Mongolian vowel separator */
        { 0x200b, 0x200f },   /* zero widths, direction marks */
        { 0x2028, 0x202e },   /* line and paragraph separator, embeddings and overrides */
        { 0x2060, 0x206f },   /* word joiner, isolates, deprecated format characters */
        { 0xfeff, 0xfeff },   /* byte order mark */
        { 0xfff9, 0xfffb },   /* interlinear annotation */
        { 0xe0000, 0xe007f }, /* tags */
};

/*
 * The character at the start of @s, n > 0. Returns its length, or minus the length of what cannot
 * become one: the longest start of a character, at least one byte.
 */
static int decode(const unsigned char *s, size_t n, uint32_t *ret) {
        uint32_t c = s[0];
        unsigned char low = 0x80;
        unsigned char high = 0xbf;
        int length;

        if (c < 0x80) {
                *ret = c;
                return 1;
        }
        if (c < 0xc2 || c > 0xf4)
                return -1;

        length = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
        c &= 0x3fU >> (length - 1);

        /* The second byte's bounds rule out overlong forms, surrogates, and what is beyond U+10FFFF. */
        if (s[0] == 0xe0)
                low = 0xa0;
        else if (s[0] == 0xed)
                high = 0x9f;
        else if (s[0] == 0xf0)
                low = 0x90;
        else if (s[0] == 0xf4)
                high = 0x8f;

        for (int i = 1; i < length; i++) {
                if ((size_t)i >= n || s[i] < low || s[i] > high)
                        return -i;
                c = c << 6 | (s[i] & 0x3fU);
                low = 0x80;
                high = 0xbf;
        }

        *ret = c;
        return length;
}

bool text_is_utf8(const char *bytes, size_t n) {
        const unsigned char *s = (const unsigned char *)bytes;
        uint32_t c;

        for (size_t i = 0; i < n;) {
                int length = decode(s + i, n - i, &c);

                if (length < 0)
                        return false;
                i += (size_t)length;
        }
        return true;
}

char *text_repair_utf8(const char *bytes, size_t n, size_t max) {
        const unsigned char *s = (const unsigned char *)bytes;
        size_t n_out = 0;
        uint32_t c;
        char *out;

        n = strnlen(bytes, n);
        /* A bad byte becomes three; and nobody gets more than asked for. */
        out = malloc((n > max / 3 ? max : n * 3) + 1);
        if (!out)
                return NULL;

        for (size_t i = 0; i < n;) {
                int length = decode(s + i, n - i, &c);
                const char *from = length < 0 ? REPLACEMENT : bytes + i;
                size_t n_from = length < 0 ? strlen(REPLACEMENT) : (size_t)length;

                if (n_from > max - n_out)
                        break;
                memcpy(out + n_out, from, n_from);
                n_out += n_from;
                i += (size_t)abs(length);
        }

        out[n_out] = '\0';
        return out;
}

static bool is_invisible(uint32_t c) {
        for (size_t i = 0; i < ELEMENTSOF(invisible); i++)
                if (c >= invisible[i].first && c <= invisible[i].last)
                        return true;
        return false;
}

char *text_visible(const char *s) {
        size_t n = strlen(s);
        size_t size = n * MAX_GROWTH + 1;
        size_t n_out = 0;
        char *out;

        out = malloc(size);
        if (!out)
                return NULL;

        for (size_t i = 0; i < n;) {
                uint32_t c = 0;
                int length = decode((const unsigned char *)s + i, n - i, &c);
                size_t n_step = (size_t)abs(length);
                char *to = out + n_out;
                size_t room = size - n_out;

                if (length < 0) {
                        n_step = 1;
                        (void)snprintf(to, room, "\\x%02x", (unsigned)(unsigned char)s[i]);
                } else if (c < 0x20 || c == 0x7f) {
                        (void)snprintf(to, room, "^%c", (int)(c ^ 0x40));
                } else if (is_invisible(c)) {
                        (void)snprintf(to, room, c > 0xffff ? "\\U%08x" : "\\u%04x", c);
                } else {
                        memcpy(to, s + i, n_step);
                        to[n_step] = '\0';
                }
                n_out += strlen(to);
                i += n_step;
        }

        out[n_out] = '\0';
        return out;
}
