/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "agent/epoch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/clock.h"
#include "util/fd.h"

#define LOCK_PAUSE_US US_PER_MSEC

/* Not by waiting in the kernel, which nothing but a signal would end. */
static int lock_alone(int fd, uint64_t wait_us) {
        uint64_t until_us = clock_boottime_us() + wait_us;

        for (;;) {
                if (flock(fd, LOCK_EX | LOCK_NB) == 0)
                        return 0;
                if (errno != EWOULDBLOCK && errno != EINTR)
                        return -errno;
                if (clock_boottime_us() >= until_us)
                        return -ETIMEDOUT;
                (void)nanosleep(&(struct timespec){ .tv_nsec = LOCK_PAUSE_US * NS_PER_USEC }, NULL);
        }
}

/* In place: on a full disk too, if there was one before. */
static int put_number(int fd, uint64_t *ret) {
        uint64_t number;
        int r;

        if (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number))
                return -errno;
        r = fd_write_at(fd, &number, sizeof(number), 0);
        if (r == 0)
                *ret = number;
        return r;
}

int epoch_begin(const char *folder, uint64_t wait_us, uint64_t *ret, Error *error) {
        _cleanup_free_ char *path = NULL;
        _cleanup_close_ int fd = -1;
        int r;

        if (asprintf(&path, "%s/epoch", folder) < 0)
                return error_set(error, -ENOMEM, "out of memory");
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        r = fd < 0 ? -errno : lock_alone(fd, wait_us);
        if (r == -ETIMEDOUT)
                return error_set(
                        error, r,
                        "a process (taskflow-keeper) that is about to start a task is held up, and "
                        "has '%s' locked: try again, or kill it",
                        path);
        if (r == 0)
                r = put_number(fd, ret);
        return r < 0 ? error_set(error, r, "cannot write '%s': %s", path, strerror(-r)) : 0;
}

int epoch_enter(int *ret_fd, int folder_fd, uint64_t epoch) {
        _cleanup_close_ int fd = -1;
        uint64_t number = 0;
        ssize_t n;

        fd = openat(folder_fd, "epoch", O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (fd < 0 || TEMP_FAILURE_RETRY(flock(fd, LOCK_SH)) < 0)
                return -errno;
        n = TEMP_FAILURE_RETRY(pread(fd, &number, sizeof(number), 0));
        if (n < 0)
                return -errno;
        if (n != (ssize_t)sizeof(number) || number != epoch)
                return EPOCH_E_OVER;
        *ret_fd = TAKE_FD(fd);
        return 0;
}
