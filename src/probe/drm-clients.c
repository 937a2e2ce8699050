/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "probe/drm-clients.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "probe/fields.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/macro.h"

#define SCAN_EVERY_US (5 * US_PER_SEC)

enum {
        PROCESSES_MAX = 65536, /* that are looked at */
        FILES_MAX = 4096,      /* of one of them */
};

/* One word on a line of its own. */
static bool has_word(const char *text, size_t n, const char *name, const char *word) {
        const char *end = NULL, *p = fields_find(text, n, name, &end);

        return p && (size_t)(end - p) == strlen(word) && memcmp(p, word, strlen(word)) == 0;
}

/* Bytes, or KiB or MiB, as the kernel chooses. */
static bool get_size(const char *text, size_t n, const char *name, uint64_t *ret) {
        const char *end = NULL, *p = fields_find(text, n, name, &end);
        uint64_t value, unit = 1;

        if (!p || fields_number(&p, end, &value) < 0)
                return false;
        while (p < end && *p == ' ')
                p++;
        if (end - p == 3 && memcmp(p, "KiB", 3) == 0)
                unit = KIB;
        else if (end - p == 3 && memcmp(p, "MiB", 3) == 0)
                unit = MIB;
        else if (p != end)
                return false;
        return !__builtin_mul_overflow(value, unit, ret);
}

bool drm_client_parse(const char *text, size_t n, const char *driver, DrmClient *ret) {
        char address[DRM_ADDRESS_MAX];
        const char *end = NULL, *p;

        if (!has_word(text, n, "drm-driver", driver))
                return false;
        p = fields_find(text, n, "drm-pdev", &end);
        if (!p || (size_t)(end - p) >= sizeof(address))
                return false;
        (void)memcpy(address, p, (size_t)(end - p));
        address[end - p] = '\0';
        if (!drm_parse_address(address, &ret->address) ||
            fields_get(text, n, "drm-client-id", &ret->id) < 0)
                return false;

        /* By the name that amdgpu had for it first, or by that which all have now. */
        return get_size(text, n, "drm-memory-vram", &ret->vram_bytes) ||
               get_size(text, n, "drm-resident-vram", &ret->vram_bytes);
}

static DIR *open_folder(int dir_fd, const char *path) {
        int fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *dir = fd < 0 ? NULL : fdopendir(fd);

        if (fd >= 0 && !dir)
                (void)fd_close(fd);
        return dir;
}

static bool is_device(int dir_fd, const char *name) {
        static const char devices[] = "/dev/dri/";
        char link[sizeof(devices)];

        return readlinkat(dir_fd, name, link, sizeof(link)) == (ssize_t)sizeof(link) &&
               memcmp(link, devices, strlen(devices)) == 0;
}

static void scan_process(DrmClients *clients, const char *name, pid_t pid) {
        char path[NAME_MAX + sizeof("/fd")];
        unsigned n_entries = 0;
        struct dirent *entry;
        uint64_t fd;
        DIR *dir;

        (void)snprintf(path, sizeof(path), "%s/fd", name);
        dir = open_folder(clients->proc_fd, path);
        if (!dir)
                return;
        while (n_entries++ < FILES_MAX && clients->n < DRM_CLIENTS_MAX && (entry = readdir(dir)))
                if (is_device(dirfd(dir), entry->d_name) &&
                    drm_parse_number(entry->d_name, strlen(entry->d_name), 10, &fd) == 0 &&
                    fd <= INT_MAX)
                        clients->files[clients->n++] =
                                (DrmClientFile){ .pid = pid, .fd = (unsigned)fd };
        (void)closedir(dir);
}

static void scan(DrmClients *clients) {
        unsigned n_entries = 0;
        struct dirent *entry;
        uint64_t pid;
        DIR *dir;

        clients->n = 0;
        dir = open_folder(clients->proc_fd, ".");
        if (!dir)
                return;
        while (n_entries++ < PROCESSES_MAX && (entry = readdir(dir)))
                if (drm_parse_number(entry->d_name, strlen(entry->d_name), 10, &pid) == 0 &&
                    pid > 0 && pid <= INT_MAX)
                        scan_process(clients, entry->d_name, (pid_t)pid);
        (void)closedir(dir);
}

/* What is open there now may be something else: it says so itself. */
static bool read_client(const DrmClients *clients,
                        const DrmClientFile *file,
                        const char *driver,
                        DrmClient *ret) {
        char path[sizeof("2147483647/fdinfo/4294967295")];
        char text[FIELDS_TEXT_MAX];
        ssize_t n;

        (void)snprintf(path, sizeof(path), "%d/fdinfo/%u", file->pid, file->fd);
        n = fields_read(clients->proc_fd, path, text, sizeof(text));
        return n >= 0 && drm_client_parse(text, (size_t)n, driver, ret);
}

static bool is_same(const DrmClient *a, const DrmClient *b) {
        return a->id == b->id && drm_compare_addresses(&a->address, &b->address) == 0;
}

void drm_clients_read(DrmClients *clients,
                      const char *driver,
                      uint64_t now_us,
                      drm_client_fn fn,
                      void *userdata) {
        DrmClient seen[DRM_CLIENTS_MAX];
        unsigned n = 0;

        if (clients->scanned_us == 0 || now_us - clients->scanned_us >= SCAN_EVERY_US) {
                scan(clients);
                clients->scanned_us = now_us;
        }
        for (unsigned i = 0; i < clients->n; i++) {
                unsigned k = 0;

                if (!read_client(clients, &clients->files[i], driver, &seen[n]))
                        continue;
                while (k < n && !is_same(&seen[k], &seen[n]))
                        k++;
                if (k == n)
                        fn(clients->files[i].pid, &seen[n++], userdata);
        }
}
