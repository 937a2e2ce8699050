/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * File descriptors and whole files
 */

#include "util/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/macro.h"

enum {
        /* Most files of /proc fit at once; a larger one doubles it. */
        READ_START_SIZE = 4096,
};

int fd_close(int fd) {
        int saved = errno;

        /* Not repeated after EINTR: Linux has closed it by then, and it may be somebody else's. */
        if (fd >= 0)
                (void)close(fd);
        errno = saved;
        return -1;
}

/* Reads to the end of the file or until @n_buf bytes are there. */
static ssize_t read_full(int fd, char *buf, size_t n_buf) {
        size_t n = 0;

        while (n < n_buf) {
                ssize_t r = read(fd, buf + n, n_buf - n);

                if (r < 0 && errno == EINTR)
                        continue;
                if (r < 0)
                        return -errno;
                if (r == 0)
                        break;
                n += (size_t)r;
        }
        return (ssize_t)n;
}

bool fd_is_short_of(int fd, unsigned n) {
        _cleanup_close_ int lowest = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        struct rlimit limit = { 0 };

        (void)getrlimit(RLIMIT_NOFILE, &limit);
        return lowest < 0 || (rlim_t)lowest + n >= limit.rlim_cur;
}

int fd_read_file(int dir_fd, const char *path, char **ret, size_t *ret_n, size_t max) {
        _cleanup_close_ int fd = -1;
        _cleanup_free_ char *data = NULL;
        size_t size = READ_START_SIZE;
        size_t n = 0;

        /* Without O_NONBLOCK a FIFO that somebody put there would hold us up. */
        fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (fd < 0)
                return -errno;

        for (;;) {
                ssize_t r;
                char *larger;

                larger = realloc(data, size);
                if (!larger)
                        return -ENOMEM;
                data = larger;

                r = read_full(fd, data + n, size - 1 - n);
                if (r < 0)
                        return (int)r;
                n += (size_t)r;
                if (n > max)
                        return -EFBIG;
                if (n < size - 1)
                        break;
                size *= 2;
        }

        data[n] = '\0';
        *ret = TAKE_PTR(data);
        if (ret_n)
                *ret_n = n;
        return 0;
}

int fd_write_all(int fd, const void *data, size_t n) {
        const char *p = data;

        while (n > 0) {
                ssize_t r = write(fd, p, n);

                if (r < 0 && errno == EINTR)
                        continue;
                if (r < 0)
                        return -errno;
                if (r == 0)
                        return -EIO; /* no file does that; better than to go round for ever */
                p += r;
                n -= (size_t)r;
        }
        return 0;
}

int fd_write_at(int fd, const void *data, size_t n, size_t offset) {
        ssize_t written = TEMP_FAILURE_RETRY(pwrite(fd, data, n, (off_t)offset));

        if (written < 0)
                return -errno;
        return (size_t)written == n ? 0 : -ENOSPC;
}

int fd_set_nonblock(int fd, bool nonblock) {
        int flags = fcntl(fd, F_GETFL);
        int wanted;

        if (flags < 0)
                return -errno;

        wanted = nonblock ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
        if (wanted != flags && fcntl(fd, F_SETFL, wanted) < 0)
                return -errno;
        return 0;
}

static int make_folder(const char *path, mode_t mode) {
        struct stat st;
        int r;

        if (mkdir(path, mode) == 0)
                return 0;

        /* Not only EEXIST: on a read-only or automounted file system it may be another error. */
        r = -errno;
        if (stat(path, &st) < 0)
                return r;
        return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

int fd_mkdir_p(const char *path, mode_t mode) {
        _cleanup_free_ char *copy = NULL;
        int r;

        if (*path == '\0')
                return -ENOENT;

        copy = strdup(path);
        if (!copy)
                return -ENOMEM;

        for (char *p = copy + strspn(copy, "/"); (p = strchr(p, '/')); p += strspn(p, "/")) {
                *p = '\0';
                r = make_folder(copy, mode);
                if (r < 0)
                        return r;
                *p = '/';
        }
        return make_folder(copy, mode);
}

/* A name beside @path that nobody has and nobody can foresee; NULL with errno. */
static char *name_beside(const char *path) {
        uint64_t random;
        char *name;

        if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
                return NULL;
        return asprintf(&name, "%s.%016" PRIx64, path, random) < 0 ? NULL : name;
}

int fd_write_file_atomic(int dir_fd, const char *path, const void *data, size_t n, mode_t mode) {
        _cleanup_free_ char *name = NULL;
        _cleanup_close_ int fd = -1;
        int r;

        name = name_beside(path);
        if (!name)
                return -errno;

        fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return -errno;

        r = fd_write_all(fd, data, n);
        if (r == 0 && fchmod(fd, mode) < 0)
                r = -errno;
        if (r == 0 && renameat(dir_fd, name, dir_fd, path) < 0)
                r = -errno;
        if (r < 0)
                (void)unlinkat(dir_fd, name, 0);
        return r;
}
