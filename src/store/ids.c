/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The file is one decimal number of fixed width and a newline, written in place: so few bytes inside one
 * sector are written whole or not at all, need no room on a full disk, and a person can read them.
 */

#include "store/ids.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/fd.h"
#include "util/units.h"

enum {
        DIGITS = 20,
        FILE_BYTES = DIGITS + 1,
};

static const char file_name[] = "taskflow.ids";

static uint64_t parse(char text[static FILE_BYTES + 1], ssize_t n) {
        uint64_t id;

        if (n != FILE_BYTES || text[DIGITS] != '\n')
                return 0;
        text[DIGITS] = '\0';
        if (units_parse_uint(text, 1, IDS_MAX, &id, NULL) < 0)
                return 0;
        return id;
}

int ids_open(Ids *ret, int dir_fd) {
        char text[FILE_BYTES + 1];
        Ids ids = IDS_NULL;
        ssize_t n;
        int r;

        ids.fd = openat(dir_fd, file_name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (ids.fd < 0)
                return -errno;

        n = pread(ids.fd, text, sizeof(text), 0);
        if (n < 0 || fchmod(ids.fd, 0600) < 0) {
                r = -errno;
                ids_done(&ids);
                return r;
        }

        ids.end = parse(text, n);
        ids.next = ids.end;
        ids.known = ids.end > 0;
        *ret = ids;
        return 0;
}

void ids_done(Ids *ids) {
        ids->fd = fd_close(ids->fd);
}

void ids_raise(Ids *ids, uint64_t id) {
        ids->next = MAX(ids->next, id);
}

static int reserve(Ids *ids, uint64_t end) {
        char text[FILE_BYTES + 1];
        int r;

        (void)snprintf(text, sizeof(text), "%0*" PRIu64 "\n", DIGITS, end);

        r = fd_write_at(ids->fd, text, FILE_BYTES, 0);
        if (r < 0)
                return r;
        if (fdatasync(ids->fd) < 0)
                return -errno;

        ids->end = end;
        return 0;
}

int ids_keep(Ids *ids) {
        return ids->known ? 0 : reserve(ids, ids->next);
}

int ids_take(Ids *ids, unsigned block, uint64_t *ret) {
        int r;

        if (ids->next >= ids->end) {
                if (ids->next > IDS_MAX - block)
                        return -EOVERFLOW;
                r = reserve(ids, ids->next + block);
                if (r < 0)
                        return r;
        }

        *ret = ids->next++;
        return 0;
}
