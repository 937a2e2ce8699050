/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * A stand-in for NVIDIA's kernel module, below NVIDIA's own library
 *
 *     LD_PRELOAD=libnvidia-kernel.so TASKFLOW_TEST_NVML=SCRIPT program…
 *
 * What libnvidia-ml.so.1 opens of the driver, and asks it by ioctl(), is answered from the script
 * that nvml.c describes: of its statements these count here: gpu, uuid, name, total, used,
 * reserved, process, mode, unified, mig, instance, lost, `init 9` (there is no driver), `init 18` (it is of
 * another version than the library), and `hang` and `slow` of nvmlInit_v2, of
 * nvmlDeviceGetMemoryInfo_v2 and of all. Programs that took memory through hold.c count, too.
 *
 * Known by trial with the libraries of drivers 390 to 550; numbers and layouts are those of the
 * headers that NVIDIA publishes with its kernel modules. What the library need not be told to
 * answer taskflow is "not supported".
 */

/* open() and open64() are two here, and neither is a macro. */
#undef _FILE_OFFSET_BITS
#undef _TIME_BITS
#undef _FORTIFY_SOURCE

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "nvidia-module.h"
#include "nvml-script.h"

#define EXPORT __attribute__((visibility("default")))

/* Of a function that is not ours alone: the next one of that name. */
#define REAL(name) ((__typeof__(&(name)))next(#name))

enum {
        FDS_MAX = 4096,
        NVIDIA_MAJOR = 195,
        CONTROL_MINOR = 255,
        CAPABILITY_MINOR = 5,
        /* the number of an ioctl() that has another one in its argument: number, size, pointer */
        ESC_XFER = 211,
};

static bool is_ours[FDS_MAX]; /* descriptors of the driver's devices */

static void *next(const char *name) {
        void *function = dlsym(RTLD_NEXT, name);

        if (!function)
                abort();
        return function;
}

static bool begins_with(const char *path, const char *start) {
        return strncmp(path, start, strlen(start)) == 0;
}

static bool is_nvidia(const char *path) {
        return begins_with(path, "/dev/nvidia");
}

/* The minor number of a device that there is, or -1. */
static int minor_of(const char *path) {
        const char *name = path + strlen("/dev/nvidia");
        char *end;
        long number;

        if (module_init_status() == DRIVER_NOT_LOADED)
                return -1;
        if (strcmp(name, "ctl") == 0)
                return CONTROL_MINOR;
        if (begins_with(name, "-caps/"))
                return CAPABILITY_MINOR;
        number = strtol(name, &end, 10);
        return end > name && *end == '\0' && number >= 0 && number < (long)module_count_gpus() ?
                       (int)number :
                       -1;
}

/* What is read in place of a file, or NULL. */
static char *text_of(const char *path) {
        static char params[] = "ModifyDeviceFiles: 0\nDeviceFileUID: 0\nDeviceFileGID: 0\n"
                               "DeviceFileMode: 438\n";
        static char devices[] = "Character devices:\n195 nvidia\n195 nvidiactl\n"
                                "235 nvidia-caps\n\nBlock devices:\n";
        /* the right to an instance of a GPU: all have it */
        static char capability[] = "DeviceFileMinor: 5\nDeviceFileMode: 292\n"
                                   "DeviceFileModify: 0\n";

        if (strcmp(path, "/proc/driver/nvidia/params") == 0)
                return params;
        if (begins_with(path, "/proc/driver/nvidia/capabilities/"))
                return capability;
        return strcmp(path, "/proc/devices") == 0 ? devices : NULL;
}

static int open_device(const char *path, int flags) {
        int fd;

        if (minor_of(path) < 0) {
                errno = ENOENT;
                return -1;
        }
        fd = (int)syscall(SYS_openat, AT_FDCWD, "/dev/null", flags | O_CLOEXEC);
        if (fd >= 0 && fd < FDS_MAX)
                is_ours[fd] = true;
        return fd;
}

static int open_at(int folder, const char *path, int flags, mode_t mode) {
        return is_nvidia(path) ? open_device(path, flags) :
                                 (int)syscall(SYS_openat, folder, path, flags, mode);
}

#define MODE_ARGUMENT(flags, mode)           \
        do {                                 \
                va_list args;                \
                va_start(args, flags);       \
                mode = va_arg(args, mode_t); \
                va_end(args);                \
        } while (0)

EXPORT int open(const char *file, int oflag, ...) {
        mode_t mode;

        MODE_ARGUMENT(oflag, mode);
        return open_at(AT_FDCWD, file, oflag, mode);
}

EXPORT int open64(const char *file, int oflag, ...) {
        mode_t mode;

        MODE_ARGUMENT(oflag, mode);
        return open_at(AT_FDCWD, file, oflag, mode);
}

EXPORT int openat(int fd, const char *file, int oflag, ...) {
        mode_t mode;

        MODE_ARGUMENT(oflag, mode);
        return open_at(fd, file, oflag, mode);
}

EXPORT int close(int fd) {
        if (fd >= 0 && fd < FDS_MAX)
                is_ours[fd] = false;
        return (int)syscall(SYS_close, fd);
}

EXPORT FILE *fopen(const char *filename, const char *modes) {
        char *text = text_of(filename);

        return text ? fmemopen(text, strlen(text), "r") : REAL(fopen)(filename, modes);
}

EXPORT int ioctl(int fd, unsigned long request, ...) {
        unsigned number = (unsigned)(request & 0xff);
        size_t n_bytes = request >> 16 & 0x3fff;
        uint32_t *words;
        va_list args;

        va_start(args, request);
        words = va_arg(args, uint32_t *);
        va_end(args);
        if (fd < 0 || fd >= FDS_MAX || !is_ours[fd])
                return (int)syscall(SYS_ioctl, fd, request, words);
        if (number == ESC_XFER) {
                number = words[0];
                n_bytes = words[1];
                (void)memcpy(&words, words + 2, sizeof(words));
        }
        return module_ioctl(number, words, n_bytes);
}

EXPORT int access(const char *name, int type) {
        if (text_of(name) || (is_nvidia(name) && minor_of(name) >= 0))
                return 0;
        return (int)syscall(SYS_faccessat, AT_FDCWD, name, type);
}

/* NOLINTBEGIN(readability-identifier-naming,bugprone-reserved-identifier) */

/* Old programs, as NVIDIA's libraries are, know stat() by this name. */
EXPORT int __xstat(int version, const char *path, struct stat *ret);
EXPORT int __xstat(int version, const char *path, struct stat *ret) {
        int minor = is_nvidia(path) ? minor_of(path) : -1;

        (void)version;
        if (!is_nvidia(path))
                return fstatat(AT_FDCWD, path, ret, 0);
        if (minor < 0) {
                errno = ENOENT;
                return -1;
        }
        *ret = (struct stat){ .st_mode = S_IFCHR | 0666,
                              .st_rdev = makedev(NVIDIA_MAJOR, (unsigned)minor) };
        return 0;
}

/* As root it would make, change and remove device files. */

static bool is_device(const char *path) {
        return begins_with(path, "/dev/");
}

EXPORT int unlink(const char *name) {
        return is_device(name) ? 0 : (int)syscall(SYS_unlinkat, AT_FDCWD, name, 0);
}

EXPORT int mkdir(const char *path, mode_t mode) {
        return is_nvidia(path) ? 0 : (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}

EXPORT int chmod(const char *file, mode_t mode) {
        return is_device(file) ? 0 : (int)syscall(SYS_fchmodat, AT_FDCWD, file, mode);
}

EXPORT int chown(const char *file, uid_t owner, gid_t group) {
        return is_device(file) ? 0 : (int)syscall(SYS_fchownat, AT_FDCWD, file, owner, group, 0);
}

EXPORT int symlink(const char *from, const char *to) {
        return is_device(to) ? 0 : (int)syscall(SYS_symlinkat, from, AT_FDCWD, to);
}

EXPORT int __xmknod(int version, const char *path, mode_t mode, dev_t *device);
EXPORT int __xmknod(int version, const char *path, mode_t mode, dev_t *device) {
        (void)version;
        return is_device(path) ? 0 : (int)syscall(SYS_mknodat, AT_FDCWD, path, mode, *device);
}

/* NOLINTEND(readability-identifier-naming,bugprone-reserved-identifier) */
