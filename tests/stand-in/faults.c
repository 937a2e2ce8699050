/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * faults - a machine on which things go wrong, for the programs that it is preloaded into
 *
 *     LD_PRELOAD=libfaults.so FAULTS=FOLDER program…
 *
 *     FOLDER/clock    seconds by which somebody has set the clock on (or, negative, back)
 *     FOLDER/pressure what is read in place of /proc/pressure/memory
 *     FOLDER/sync     while it is there no fsync() or fdatasync() of a file whose path has the text in it succeeds: EIO
 *     FOLDER/slow     milliseconds that each of them takes besides
 *     FOLDER/wsl      while it is there this is WSL: there is /dev/dxg, and this folder is /usr/lib/wsl/lib
 *
 * The folder is looked into at each call. CLOCK_MONOTONIC and CLOCK_BOOTTIME are as they are, as on a real machine.
 */

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

/* What a file of the folder says; false: it is not there. */
static bool said(const char *name, char *buf, size_t n) {
        const char *folder = getenv("FAULTS");
        int saved = errno, fd;
        char path[PATH_MAX];
        ssize_t length;

        if (!folder || snprintf(path, sizeof(path), "%s/%s", folder, name) >= (int)sizeof(path))
                return false;
        fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
        if (fd < 0) {
                errno = saved;
                return false;
        }
        length = syscall(SYS_read, fd, buf, n - 1);
        (void)syscall(SYS_close, fd);
        buf[length > 0 ? length : 0] = '\0';
        buf[strcspn(buf, "\n")] = '\0';
        errno = saved;
        return true;
}

/* Where a path of WSL is instead; @path itself, if it is none. */
static const char *on_wsl(const char *path, char buf[static PATH_MAX]) {
        static const char libraries[] = "/usr/lib/wsl/lib/";
        const char *folder = getenv("FAULTS"), *name = NULL;

        if (path && strcmp(path, "/dev/dxg") == 0)
                name = "";
        else if (path && strncmp(path, libraries, strlen(libraries)) == 0)
                name = path + strlen(libraries);
        if (!folder || !name || snprintf(buf, PATH_MAX, "%s/wsl/%s", folder, name) >= PATH_MAX)
                return path;
        return buf;
}

EXPORT int access(const char *name, int type) {
        char buf[PATH_MAX];

        return (int)syscall(SYS_faccessat, AT_FDCWD, on_wsl(name, buf), type);
}

typedef void *(*dlopen_fn)(const char *, int);

EXPORT void *dlopen(const char *file, int mode) {
        static dlopen_fn real;
        char buf[PATH_MAX];

        if (!real)
                real = (dlopen_fn)dlsym(RTLD_NEXT, "dlopen");
        return real(on_wsl(file, buf), mode);
}

typedef int (*clock_gettime_fn)(clockid_t, struct timespec *);

EXPORT int clock_gettime(clockid_t clock_id, struct timespec *tp) {
        static clock_gettime_fn real;
        char text[32];
        int r;

        if (!real)
                real = (clock_gettime_fn)dlsym(RTLD_NEXT, "clock_gettime");
        r = real(clock_id, tp);
        if (r == 0 && (clock_id == CLOCK_REALTIME || clock_id == CLOCK_REALTIME_COARSE) &&
            said("clock", text, sizeof(text)))
                tp->tv_sec += strtol(text, NULL, 10);
        return r;
}

EXPORT time_t time(time_t *timer) {
        struct timespec now = { 0 };

        (void)clock_gettime(CLOCK_REALTIME, &now);
        if (timer)
                *timer = now.tv_sec;
        return now.tv_sec;
}

EXPORT int gettimeofday(struct timeval *restrict tv, void *restrict tz) {
        struct timespec now = { 0 };

        (void)clock_gettime(CLOCK_REALTIME, &now);
        *tv = (struct timeval){ .tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000 };
        return 0;
}

static bool fails(int fd) {
        char text[PATH_MAX], link[64], path[PATH_MAX];
        ssize_t n;

        if (!said("sync", text, sizeof(text)))
                return false;
        (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        n = readlink(link, path, sizeof(path) - 1);
        path[n > 0 ? n : 0] = '\0';
        if (!strstr(path, text))
                return false;
        errno = EIO;
        return true;
}

static void wait_slowly(void) {
        struct timespec left = {};
        char text[16];
        long ms;

        if (!said("slow", text, sizeof(text)))
                return;
        ms = strtol(text, NULL, 10);
        left.tv_sec = ms / 1000;
        left.tv_nsec = ms % 1000 * 1000000;
        while (nanosleep(&left, &left) < 0 && errno == EINTR)
                continue;
}

EXPORT int fsync(int fd) {
        wait_slowly();
        return fails(fd) ? -1 : (int)syscall(SYS_fsync, fd);
}

EXPORT int fdatasync(int fildes) {
        wait_slowly();
        return fails(fildes) ? -1 : (int)syscall(SYS_fdatasync, fildes);
}

/* By the name that a program with large files calls it; its header may have it inline, under the other. */
EXPORT int faulty_openat(int dir_fd, const char *path, int flags, ...) __asm__("openat64");

int faulty_openat(int dir_fd, const char *path, int flags, ...) {
        const char *folder = getenv("FAULTS");
        char instead[PATH_MAX];
        mode_t mode = 0;
        va_list args;
        int fd;

        if (flags & (O_CREAT | __O_TMPFILE)) {
                va_start(args, flags);
                mode = va_arg(args, mode_t);
                va_end(args);
        }

        if (folder && strcmp(path, "pressure/memory") == 0 &&
            snprintf(instead, sizeof(instead), "%s/pressure", folder) < (int)sizeof(instead)) {
                fd = (int)syscall(SYS_openat, AT_FDCWD, instead, flags, mode);
                if (fd >= 0)
                        return fd;
        }

        return (int)syscall(SYS_openat, dir_fd, path, flags, mode);
}
