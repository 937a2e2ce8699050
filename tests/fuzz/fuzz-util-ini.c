/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Any file: a key and a value that arrive stand in the text, on the line that is named.
 */

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "util/ini-file.h"

#include "fuzz.h"

typedef struct Text {
        const char *data;
        size_t n;
} Text;

static int take(void *userdata,
                const char *section,
                const char *key,
                const char *value,
                unsigned line,
                Error *error) {
        const Text *text = userdata;
        const char *start = text->data;
        const char *end = text->data + text->n;
        const char *stop;
        size_t n;

        assert(line > 0 && strlen(section) < 50 && *key != '\0');
        for (unsigned i = 1; i < line; i++) {
                start = memchr(start, '\n', (size_t)(end - start));
                assert(start);
                start++;
        }
        stop = memchr(start, '\n', (size_t)(end - start));
        n = (size_t)((stop ? stop : end) - start);

        assert(memmem(start, n, key, strlen(key)));
        assert(memmem(start, n, value, strlen(value)));
        return strcmp(value, "refused") == 0 ? error_set(error, -EINVAL, "'%s'", value) : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
        Text text = { (const char *)data, n };
        Error error = {};
        int r;

        r = ini_file_parse("sample", text.data, n, take, &text, &error);
        assert((r == 0) == (error.text[0] == '\0'));
        return 0;
}
