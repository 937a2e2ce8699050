/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "cli/log-file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/fd.h"
#include "util/macro.h"
#include "util/text.h"

enum {
        BLOCK_BYTES = 64 * 1024,
};

/* Where what was not cut off begins, at the latest; 0 if its beginning is there. */
static off_t front_of(const LogFile *file, off_t size) {
        off_t data = lseek(file->fd, 0, SEEK_DATA);

        if (data >= 0)
                return data;
        return errno == ENXIO ? size : 0; /* a hole to the end; or a file system that has none */
}

int log_file_open(LogFile *file, const char *path, Error *error) {
        struct stat st;
        int fd;

        /* Not to wait for whoever would write to a FIFO. */
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (fd < 0)
                return error_set(error, -errno, "cannot read '%s': %s", path, strerror(errno));
        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
                (void)fd_close(fd);
                return error_set(error, -EINVAL,
                                 "'%s' is no regular file, and keeps nothing of what went there",
                                 path);
        }

        file->fd = fd;
        file->path = path;
        file->pos = front_of(file, st.st_size);
        file->in_hole = file->pos > 0;
        return 0;
}

void log_file_done(LogFile *file) {
        file->fd = fd_close(file->fd);
}

static ssize_t read_at(const LogFile *file, char *buf, size_t n, off_t pos) {
        ssize_t r;

        do
                r = pread(file->fd, buf, n, pos);
        while (r < 0 && errno == EINTR);
        return r < 0 ? -errno : r;
}

/* Counts newlines from the end; that behind the last line is none between two. */
int log_file_skip_to_last(LogFile *file, uint64_t n_lines) {
        off_t front = file->pos;
        uint64_t n_newlines = 0;
        char buf[BLOCK_BYTES];
        struct stat st;
        off_t end;

        if (fstat(file->fd, &st) < 0)
                return -errno;
        end = MAX(st.st_size, front);
        file->pos = end;
        if (n_lines == 0)
                return 0;

        for (off_t at = end; at > front;) {
                size_t n = (size_t)MIN(at - front, (off_t)sizeof(buf));
                ssize_t r = read_at(file, buf, n, at - (off_t)n);

                if (r < 0)
                        return (int)r;
                for (size_t i = (size_t)r; i > 0; i--) {
                        off_t here = at - (off_t)n + (off_t)i;

                        if (buf[i - 1] != '\n' || here == end || ++n_newlines < n_lines)
                                continue;
                        file->pos = here;
                        file->in_hole = false;
                        return 0;
                }
                at -= (off_t)n;
        }
        file->pos = front;
        return 0;
}

static int write_out(const char *bytes, size_t n, Error *error) {
        while (n > 0) {
                ssize_t r = write(STDOUT_FILENO, bytes, n);

                if (r >= 0) {
                        bytes += r;
                        n -= (size_t)r;
                } else if (errno == EAGAIN) {
                        (void)poll(&(struct pollfd){ .fd = STDOUT_FILENO, .events = POLLOUT }, 1,
                                   -1);
                } else if (errno != EINTR) {
                        return error_set(error, -errno, "cannot write to stdout: %s",
                                         strerror(errno));
                }
        }
        return 0;
}

/* Bytes at the end that may be the start of a longer character. */
static size_t n_unfinished(const char *s, size_t n) {
        for (size_t i = 1; i <= MIN(n, (size_t)3); i++) {
                unsigned char c = (unsigned char)s[n - i];
                size_t length = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;

                if ((c & 0xc0) == 0x80)
                        continue;
                return length > i ? i : 0;
        }
        return 0;
}

/* Line ends and tabs are what they are, all else as text_visible() has it. @s has room for a NUL at @n. */
static int write_visible(char *s, size_t n, Error *error) {
        for (size_t i = 0; i < n;) {
                size_t n_text = i;
                int r;

                while (n_text < n && s[n_text] != '\n' && s[n_text] != '\t' && s[n_text] != '\0')
                        n_text++;
                if (n_text > i) {
                        _cleanup_free_ char *visible = NULL;
                        char end = s[n_text];

                        s[n_text] = '\0';
                        visible = text_visible(s + i);
                        s[n_text] = end;
                        if (!visible)
                                return error_set(error, -ENOMEM, "out of memory");
                        r = write_out(visible, strlen(visible), error);
                } else {
                        r = s[i] == '\0' ? write_out("^@", 2, error) : write_out(s + i, 1, error);
                        n_text++;
                }
                if (r < 0)
                        return r;
                i = n_text;
        }
        return 0;
}

static int print_visible(LogFile *file, const char *bytes, size_t n, bool last, Error *error) {
        char buf[sizeof(file->held) + BLOCK_BYTES + 1];
        size_t n_held;

        (void)memcpy(buf, file->held, file->n_held);
        (void)memcpy(buf + file->n_held, bytes, n);
        n += file->n_held;
        n_held = last ? 0 : n_unfinished(buf, n);
        (void)memcpy(file->held, buf + n - n_held, n_held);
        file->n_held = n_held;
        return write_visible(buf, n - n_held, error);
}

/* It was cut at its front while it was read, or cut short. Return: whether to read again. */
static bool find_place(LogFile *file, bool reads_nul) {
        struct stat st;
        off_t front;

        if (fstat(file->fd, &st) < 0)
                return false;
        if (st.st_size < file->pos) {
                file->pos = 0;
                file->in_hole = true;
                return true;
        }
        if (!reads_nul)
                return false;
        front = front_of(file, st.st_size);
        if (front <= file->pos)
                return false;
        file->pos = front;
        file->in_hole = true;
        return true;
}

int log_file_print(LogFile *file, bool last, Error *error) {
        char buf[BLOCK_BYTES];

        for (;;) {
                ssize_t n = read_at(file, buf, sizeof(buf), file->pos);
                size_t skip = 0;
                int r;

                if (n < 0)
                        return error_set(error, (int)n, "cannot read '%s': %s", file->path,
                                         strerror((int)-n));
                if ((n == 0 || buf[0] == '\0') && find_place(file, n > 0))
                        continue;
                if (n == 0)
                        break;

                while (file->in_hole && skip < (size_t)n && buf[skip] == '\0')
                        skip++;
                file->in_hole = skip == (size_t)n;
                file->pos += n;
                r = file->visible ?
                            print_visible(file, buf + skip, (size_t)n - skip, false, error) :
                            write_out(buf + skip, (size_t)n - skip, error);
                if (r < 0)
                        return r;
        }
        return last && file->n_held > 0 ? print_visible(file, "", 0, true, error) : 0;
}
