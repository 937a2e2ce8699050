/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "cli/lines.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
        READ_BYTES = 64 * 1024,
};

struct Lines {
        int fd;
        bool at_end;     /* of the file */
        uint64_t number; /* of the line before */
        size_t start;    /* of what was not given out yet */
        size_t scanned;  /* up to here there is no newline */
        size_t end;
        char buf[LINES_BYTES_MAX + 1 + READ_BYTES];
};

int lines_new(Lines **ret, int fd) {
        Lines *lines = malloc(sizeof(*lines));

        if (!lines)
                return -ENOMEM;
        /* Not the buffer: most of it may never be touched. */
        lines->fd = fd;
        lines->at_end = false;
        lines->number = 0;
        lines->start = lines->scanned = lines->end = 0;
        *ret = lines;
        return 0;
}

Lines *lines_free(Lines *lines) {
        free(lines);
        return NULL;
}

/* More bytes behind those that are there, which move to the front. */
static int fill(Lines *lines, Error *error) {
        ssize_t n;

        (void)memmove(lines->buf, lines->buf + lines->start, lines->end - lines->start);
        lines->end -= lines->start;
        lines->scanned -= lines->start;
        lines->start = 0;

        for (;;) {
                n = read(lines->fd, lines->buf + lines->end, READ_BYTES);
                if (n < 0 && errno == EAGAIN) /* somebody made a terminal's description so */
                        (void)poll(&(struct pollfd){ .fd = lines->fd, .events = POLLIN }, 1, -1);
                else if (n >= 0 || errno != EINTR)
                        break;
        }
        if (n < 0)
                return error_set(error, -errno, "%s", strerror(errno));
        lines->end += (size_t)n;
        lines->at_end = n == 0;
        return 0;
}

/* How many bytes the next line has, once it is there to its end. Return: 0, LINES_E_END, or negative errno. */
static int find_end(Lines *lines, size_t *ret_n, Error *error) {
        for (;;) {
                const char *newline =
                        memchr(lines->buf + lines->scanned, '\n', lines->end - lines->scanned);
                int r;

                lines->scanned = newline ? (size_t)(newline - lines->buf) : lines->end;
                *ret_n = lines->scanned - lines->start;
                if (*ret_n > LINES_BYTES_MAX)
                        return error_set(error, -EINVAL,
                                         "is longer than the 128 KiB that one argument may have");
                if (newline)
                        return 0;
                if (lines->at_end)
                        return *ret_n > 0 ? 0 : LINES_E_END;
                r = fill(lines, error);
                if (r < 0)
                        return r;
        }
}

static bool is_command(const char *line) {
        line += strspn(line, " \t\r\v\f");
        return line[0] != '\0' && line[0] != '#';
}

int lines_next(Lines *lines, const char **ret, uint64_t *ret_number, Error *error) {
        for (;;) {
                char *line;
                size_t n;
                int r;

                *ret_number = lines->number + 1;
                r = find_end(lines, &n, error);
                if (r != 0)
                        return r;

                line = lines->buf + lines->start;
                lines->number++;
                if (memchr(line, '\0', n))
                        return error_set(error, -EINVAL, "has a NUL byte");
                line[n] = '\0';
                if (lines->scanned < lines->end) /* its newline */
                        lines->scanned++;
                lines->start = lines->scanned;
                if (!is_command(line))
                        continue;
                *ret = line;
                return 0;
        }
}
