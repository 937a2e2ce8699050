/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * INI files
 *
 * inih calls a reader for each line and then, at once, the handler for the value in it. So the
 * reader here counts the lines, and is the place to refuse what inih would silently read in
 * another way than a person meant it:
 *
 *   - a line that is longer than its buffer (it would become two);
 *   - an indented line (it would continue the value above);
 *   - ` ;` behind a value (it and the rest would be dropped as a comment);
 *   - text behind `[section]`, and long section names (both would be cut off);
 *   - `key: value` (in `gpu 0:10G`, where only the `=` is missing, `gpu 0` would be the key);
 *   - NUL and other control characters.
 *
 * inih goes on after an error, so the reader also tells lines apart that are nothing at all, and
 * ends the file at the first refusal.
 */

#include "util/ini-file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdbool.h>
#include <string.h>

#include "util/cleanup.h"
#include "util/fd.h"
#include "util/macro.h"

#define BYTE_ORDER_MARK "\xef\xbb\xbf"

enum {
        /* A settings file has a few KiB; one that is larger is something else. */
        MAX_FILE_BYTES = 1 << 20,
        /* inih keeps a section in 50 bytes with its NUL and cuts what is longer. */
        MAX_SECTION_BYTES = 49,
};

typedef struct Reader {
        const char *name;
        const char *text;
        size_t n_left;
        unsigned line;
        ini_file_fn fn;
        void *userdata;
        Error *error;
        int r; /* the refusal that ended the reading */
} Reader;

static bool starts_with_mark(const char *text, size_t n) {
        size_t n_mark = strlen(BYTE_ORDER_MARK);

        return n >= n_mark && memcmp(text, BYTE_ORDER_MARK, n_mark) == 0;
}

static int check_bytes(const char *line, size_t n, Error *error) {
        for (size_t i = 0; i < n; i++) {
                unsigned char c = (unsigned char)line[i];
                bool is_dos_end = c == '\r' && i == n - 1;

                if (c == '\0')
                        return error_set(error, -EINVAL, "there is a NUL byte in it");
                if ((c < 0x20 && c != '\t' && !is_dos_end) || c == 0x7f)
                        return error_set(error, -EINVAL,
                                         "there is a control character (0x%02x) in it",
                                         (unsigned)c);
                if (c == ';' && i > 0 && (line[i - 1] == ' ' || line[i - 1] == '\t'))
                        return error_set(
                                error, -EINVAL,
                                "there is a ';' behind a space; put a comment on a line of its own");
        }
        return 0;
}

static int check_section(const char *line, size_t n, Error *error) {
        const char *end = memchr(line, ']', n);
        size_t n_name;

        if (!end)
                return error_set(error, -EINVAL, "the ']' is missing");

        n_name = (size_t)(end - line) - 1;
        if (n_name > MAX_SECTION_BYTES)
                return error_set(error, -EINVAL, "the section's name is longer than %d bytes",
                                 MAX_SECTION_BYTES);
        if (end + 1 < line + n)
                return error_set(error, -EINVAL, "there is something behind the ']'");
        return 0;
}

/* @line has no end of line, @n may be 0. */
static int check_line(const char *line, size_t n, Error *error) {
        const char *equals;
        const char *colon;
        int r;

        while (n > 0 && strchr(" \t\r", line[n - 1]) && line[n - 1] != '\0')
                n--;
        if (n == 0)
                return 0;

        /* A comment may hold anything but what would end it early. */
        if (line[0] == '#' || line[0] == ';')
                return memchr(line, '\0', n) ?
                               error_set(error, -EINVAL, "there is a NUL byte in it") :
                               0;

        /* The one at the start of the file is gone by now; inih would skip another. */
        if (starts_with_mark(line, n))
                return error_set(error, -EINVAL, "it starts with a byte order mark");
        r = check_bytes(line, n, error);
        if (r < 0)
                return r;
        if (line[0] == ' ' || line[0] == '\t')
                return error_set(
                        error, -EINVAL,
                        "it starts with a space; write each 'key = value' on one line, from the first column");
        if (line[0] == '[')
                return check_section(line, n, error);

        equals = memchr(line, '=', n);
        if (!equals)
                return error_set(error, -EINVAL, "it is neither '[section]' nor 'key = value'");
        if (equals == line)
                return error_set(error, -EINVAL, "there is no key in front of the '='");
        colon = memchr(line, ':', n);
        if (colon && colon < equals)
                return error_set(error, -EINVAL, "there is a ':' in the key");
        return 0;
}

static void refuse(Reader *reader, int r, const Error *why) {
        reader->r = r;
        (void)error_set(reader->error, r, "'%s' line %u: %s", reader->name, reader->line,
                        why->text);
}

/* Like fgets(): one line with its newline into @buf, or NULL at the end. */
static char *read_line(char *buf, int size, void *stream) {
        Reader *reader = stream;
        Error why = {};
        const char *end;
        size_t n;
        int r;

        if (reader->r < 0 || reader->n_left == 0)
                return NULL;

        end = memchr(reader->text, '\n', reader->n_left);
        n = end ? (size_t)(end - reader->text) : reader->n_left;
        reader->line++;

        r = check_line(reader->text, n, &why);
        if (r == 0 && n + 2 > (size_t)size)
                r = error_set(&why, -EINVAL, "it is longer than %d bytes", size - 2);
        if (r < 0) {
                refuse(reader, r, &why);
                return NULL;
        }

        memcpy(buf, reader->text, n);
        buf[n] = '\n';
        buf[n + 1] = '\0';
        reader->text += n + (end ? 1 : 0);
        reader->n_left -= n + (end ? 1 : 0);
        return buf;
}

static int on_value(void *userdata, const char *section, const char *key, const char *value) {
        Reader *reader = userdata;
        Error why = {};
        int r;

        r = reader->fn(reader->userdata, section, key, value, reader->line, &why);
        if (r < 0) {
                if (why.text[0] == '\0')
                        (void)error_set(&why, r, "%s", strerror(-r));
                refuse(reader, r, &why);
        }
        return 1; /* inih would only count it; the next read_line() ends the file */
}

int ini_file_parse(const char *name,
                   const char *text,
                   size_t n,
                   ini_file_fn fn,
                   void *userdata,
                   Error *error) {
        Reader reader = {
                .name = name,
                .text = text,
                .n_left = n,
                .fn = fn,
                .userdata = userdata,
                .error = error,
        };
        int r;

        if (starts_with_mark(text, n)) {
                reader.text += strlen(BYTE_ORDER_MARK);
                reader.n_left -= strlen(BYTE_ORDER_MARK);
        }

        r = ini_parse_stream(read_line, &reader, on_value, &reader);
        if (reader.r < 0)
                return reader.r;
        if (r < 0)
                return error_set(error, -ENOMEM, "'%s': out of memory", name);
        if (r > 0)
                return error_set(error, -EINVAL,
                                 "'%s' line %d: it is neither '[section]' nor 'key = value'", name,
                                 r);
        return 0;
}

int ini_file_load(const char *path, ini_file_fn fn, void *userdata, Error *error) {
        _cleanup_free_ char *text = NULL;
        size_t n = 0;
        int r;

        r = fd_read_file(AT_FDCWD, path, &text, &n, MAX_FILE_BYTES);
        if (r < 0)
                return error_set(error, r, "cannot read '%s': %s", path, strerror(-r));

        return ini_file_parse(path, text, n, fn, userdata, error);
}
