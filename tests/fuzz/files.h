#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Samples that are several files
 *
 * One after the other: a line "@NAME", and what stands in it.
 */

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/fd.h"

enum {
        FILES_NAME_MAX = 64,
};

static inline void files_put(int folder_fd,
                             const char *const *names,
                             const char *name,
                             const char *text,
                             size_t n) {
        for (; *names; names++) {
                _cleanup_close_ int fd = -1;

                if (strcmp(*names, name) != 0)
                        continue;
                fd = openat(folder_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
                assert(fd >= 0 && fd_write_all(fd, text, n) == 0);
        }
}

/* The next line that begins with `@`, or the end. */
static inline const char *files_next(const char *at, const char *end) {
        while (at < end && *at != '@') {
                at = memchr(at, '\n', (size_t)(end - at));
                at = at ? at + 1 : end;
        }
        return at;
}

/* Makes those of @names (ended by NULL) that the sample has, and removes the others. */
static inline void files_put_all(int folder_fd,
                                 const char *const *names,
                                 const char *at,
                                 size_t n) {
        const char *end = at + n;

        for (size_t i = 0; names[i]; i++)
                (void)unlinkat(folder_fd, names[i], 0);
        for (at = files_next(at, end); at < end; at = files_next(at, end)) {
                const char *text = memchr(at, '\n', (size_t)(end - at));
                char name[FILES_NAME_MAX] = "";

                if (!text)
                        return;
                (void)snprintf(name, sizeof(name), "%.*s", (int)(text - at - 1), at + 1);
                at = files_next(text + 1, end);
                files_put(folder_fd, names, name, text + 1, (size_t)(at - text - 1));
        }
}
