/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "probe/fields.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/macro.h"

ssize_t fields_read(int dir_fd, const char *path, char *buf, size_t n_buf) {
        _cleanup_close_ int fd = -1;
        size_t n = 0;

        /* O_NONBLOCK: should the file be a FIFO, waiting for its writer would be for ever. */
        fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (fd < 0)
                return -errno;

        while (n < n_buf) {
                ssize_t k = read(fd, buf + n, n_buf - n);

                if (k < 0 && errno == EINTR)
                        continue;
                if (k < 0)
                        return -errno;
                if (k == 0)
                        break;
                n += (size_t)k;
        }
        return (ssize_t)n;
}

static const char *skip_blanks(const char *p, const char *end) {
        while (p < end && (*p == ' ' || *p == '\t'))
                p++;
        return p;
}

static bool is_separator(const char *p, const char *end) {
        return p < end && (*p == ':' || *p == ' ' || *p == '\t');
}

const char *fields_find(const char *text, size_t n, const char *name, const char **ret_end) {
        const size_t n_name = strlen(name);
        const char *end = text + n;

        for (const char *line = text; line < end;) {
                const char *newline = memchr(line, '\n', (size_t)(end - line));
                const char *line_end = newline ? newline : end;

                if ((size_t)(line_end - line) > n_name && memcmp(line, name, n_name) == 0 &&
                    is_separator(line + n_name, line_end)) {
                        *ret_end = line_end;
                        return skip_blanks(line + n_name + 1, line_end);
                }
                line = line_end + 1;
        }
        return NULL;
}

int fields_number(const char **p, const char *end, uint64_t *ret) {
        const char *s = *p;
        uint64_t value = 0;

        if (s >= end || *s < '0' || *s > '9')
                return -EBADMSG;
        for (; s < end && *s >= '0' && *s <= '9'; s++)
                if (__builtin_mul_overflow(value, UINT64_C(10), &value) ||
                    __builtin_add_overflow(value, (uint64_t)(*s - '0'), &value))
                        return -ERANGE;

        *p = s;
        *ret = value;
        return 0;
}

/* A number, then @unit, and nothing more but blanks. */
static int get(const char *text, size_t n, const char *name, const char *unit, uint64_t *ret) {
        const size_t n_unit = strlen(unit);
        const char *end = NULL;
        const char *p = fields_find(text, n, name, &end);
        uint64_t value;
        int r;

        if (!p)
                return -ENODATA;

        r = fields_number(&p, end, &value);
        if (r < 0)
                return r;

        p = skip_blanks(p, end);
        if ((size_t)(end - p) < n_unit || memcmp(p, unit, n_unit) != 0)
                return -EBADMSG;
        if (skip_blanks(p + n_unit, end) != end)
                return -EBADMSG;

        *ret = value;
        return 0;
}

int fields_get(const char *text, size_t n, const char *name, uint64_t *ret) {
        return get(text, n, name, "", ret);
}

int fields_get_kib(const char *text, size_t n, const char *name, uint64_t *ret_bytes) {
        uint64_t kib;
        uint64_t bytes;
        int r;

        r = get(text, n, name, "kB", &kib);
        if (r < 0)
                return r;
        if (__builtin_mul_overflow(kib, KIB, &bytes))
                return -ERANGE;

        *ret_bytes = bytes;
        return 0;
}
