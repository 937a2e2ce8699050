/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "util/nul-text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/cleanup.h"
#include "util/macro.h"
#include "util/strv.h"
#include "util/units.h"

enum {
        ROOM_START = 4096, /* most lists fit at once */
};

static void put(NulWriter *writer, const void *bytes, size_t n) {
        size_t n_room = MAX(writer->n_room, (size_t)ROOM_START);
        char *larger;

        if (writer->failed || n == 0)
                return;
        if (n > SIZE_MAX / 4 - writer->n) {
                writer->failed = true;
                return;
        }
        while (n_room < writer->n + n)
                n_room *= 2;
        if (n_room != writer->n_room) {
                larger = realloc(writer->bytes, n_room);
                if (!larger) {
                        writer->failed = true;
                        return;
                }
                writer->bytes = larger;
                writer->n_room = n_room;
        }
        (void)memcpy(writer->bytes + writer->n, bytes, n);
        writer->n += n;
}

void nul_put_text(NulWriter *writer, const char *s) {
        put(writer, s, strlen(s) + 1);
}

/* Some forty of them go with each task that is queued: printf() would be half of what the client computes. */
void nul_put_number(NulWriter *writer, uint64_t number) {
        char text[24];
        char *begin = text + sizeof(text);

        *--begin = '\0';
        do
                *--begin = (char)('0' + number % 10);
        while ((number /= 10) > 0);
        put(writer, begin, (size_t)(text + sizeof(text) - begin));
}

void nul_put_vector(NulWriter *writer, char *const *v) {
        nul_put_number(writer, strv_n(v));
        for (size_t i = 0; v && v[i]; i++)
                nul_put_text(writer, v[i]);
}

void nul_put_bytes(NulWriter *writer, const void *bytes, size_t n) {
        nul_put_number(writer, n);
        put(writer, bytes, n);
}

int nul_writer_take(NulWriter *writer, char **ret, size_t *ret_n) {
        if (!writer->bytes && !writer->failed)
                writer->bytes = calloc(1, 1);
        if (!writer->bytes || writer->failed) {
                nul_writer_done(writer);
                return -ENOMEM;
        }
        *ret_n = writer->n;
        *ret = TAKE_PTR(writer->bytes);
        *writer = (NulWriter){ 0 };
        return 0;
}

void nul_writer_done(NulWriter *writer) {
        free(writer->bytes);
        *writer = (NulWriter){ 0 };
}

bool nul_get_text(NulReader *reader, const char **ret) {
        size_t n = (size_t)(reader->end - reader->at);
        const char *nul = n > 0 ? memchr(reader->at, '\0', n) : NULL;

        if (!nul)
                return false;
        *ret = reader->at;
        reader->at = nul + 1;
        return true;
}

bool nul_get_number(NulReader *reader, uint64_t min, uint64_t max, uint64_t *ret) {
        NulReader before = *reader;
        const char *text;

        if (nul_get_text(reader, &text) && units_parse_uint(text, min, max, ret, NULL) == 0)
                return true;
        *reader = before;
        return false;
}

bool nul_get_bytes(NulReader *reader, const char **ret, size_t *ret_n) {
        NulReader before = *reader;
        uint64_t n;

        if (!nul_get_number(reader, 0, SIZE_MAX, &n) || n > (size_t)(reader->end - reader->at)) {
                *reader = before;
                return false;
        }
        *ret = reader->at;
        *ret_n = (size_t)n;
        reader->at += n;
        return true;
}

bool nul_get_vector(NulReader *reader, size_t max, char ***ret) {
        _cleanup_free_ char **v = NULL;
        NulReader before = *reader;
        const char *text;
        uint64_t n;

        /* A string is a byte at least. */
        if (!nul_get_number(reader, 0, max, &n) || n > (size_t)(reader->end - reader->at))
                goto refuse;
        v = calloc((size_t)n + 1, sizeof(*v));
        if (!v)
                goto refuse;
        for (size_t i = 0; i < n; i++) {
                if (!nul_get_text(reader, &text))
                        goto refuse;
                v[i] = (char *)(uintptr_t)text;
        }
        *ret = TAKE_PTR(v);
        return true;

refuse:
        *reader = before;
        return false;
}
