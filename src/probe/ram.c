/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "probe/ram.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "probe/cgroup.h"
#include "probe/fields.h"
#include "util/cleanup.h"
#include "util/macro.h"

enum {
        /* A table of mounts has a line of some hundred bytes for each; beyond this nobody looks. */
        MOUNTINFO_MAX = 4 << 20,
};

/* The inode of the first pid namespace, a constant of the kernel (PROC_PID_INIT_INO). */
static const char first_pid_namespace[] = "pid:[4026531836]";

int ram_source_open(RamSource *ret) {
        _cleanup_close_ int proc_fd = -1;
        _cleanup_close_ int cgroup_fd = -1;

        proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (proc_fd < 0)
                return -errno;
        cgroup_fd = open("/sys/fs/cgroup", O_PATH | O_DIRECTORY | O_CLOEXEC);

        *ret = (RamSource){ .proc_fd = TAKE_FD(proc_fd), .cgroup_fd = TAKE_FD(cgroup_fd) };
        return 0;
}

void ram_source_close(RamSource *source) {
        source->proc_fd = fd_close(source->proc_fd);
        source->cgroup_fd = fd_close(source->cgroup_fd);
}

int ram_parse_meminfo(const char *text,
                      size_t n,
                      uint64_t *ret_total_bytes,
                      uint64_t *ret_available_bytes) {
        uint64_t total_bytes;
        uint64_t available_bytes;

        if (fields_get_kib(text, n, "MemTotal", &total_bytes) < 0 || total_bytes == 0 ||
            fields_get_kib(text, n, "MemAvailable", &available_bytes) < 0)
                return -ENODATA;

        *ret_total_bytes = total_bytes;
        *ret_available_bytes = MIN(available_bytes, total_bytes);
        return 0;
}

/* A line is name, type, value; 4 is the type of the unsigned numbers of 64 bits. */
static int arcstat(const char *text, size_t n, const char *name, uint64_t *ret) {
        const char *end = NULL;
        const char *p = fields_find(text, n, name, &end);
        uint64_t type;

        if (!p || fields_number(&p, end, &type) < 0 || type != 4)
                return -ENODATA;
        while (p < end && *p == ' ')
                p++;
        if (fields_number(&p, end, ret) < 0 || p != end)
                return -ENODATA;
        return 0;
}

int ram_parse_arcstats(const char *text, size_t n, uint64_t *ret_reclaimable_bytes) {
        uint64_t size_bytes;
        uint64_t min_bytes;

        if (arcstat(text, n, "size", &size_bytes) < 0 || arcstat(text, n, "c_min", &min_bytes) < 0)
                return -ENODATA;

        *ret_reclaimable_bytes = size_bytes - MIN(size_bytes, min_bytes);
        return 0;
}

/* Whether lxcfs shows us a meminfo of its own making. */
static bool has_lxcfs_meminfo(int proc_fd) {
        static const char mount_point[] = " /proc/meminfo ";
        _cleanup_free_ char *text = NULL;

        if (fd_read_file(proc_fd, "self/mountinfo", &text, NULL, MOUNTINFO_MAX) < 0)
                return true; /* not known: the cautious answer */

        for (char *p = strstr(text, mount_point); p; p = strstr(p + 1, mount_point)) {
                const char *newline = strchrnul(p, '\n');
                const char *lxcfs = strstr(p, " fuse.lxcfs ");

                if (lxcfs && lxcfs < newline)
                        return true;
        }
        return false;
}

/*
 * In a container arcstats show the whole machine's, while what we see of its RAM may be a part:
 * nothing can be said then.
 */
static bool is_contained(int proc_fd) {
        char link[64];
        ssize_t n;

        n = readlinkat(proc_fd, "self/ns/pid", link, sizeof(link));
        if (n != (ssize_t)strlen(first_pid_namespace) ||
            memcmp(link, first_pid_namespace, (size_t)n) != 0)
                return true;
        return has_lxcfs_meminfo(proc_fd);
}

/* What ZFS's cache would give back. MemAvailable takes it for used. */
static uint64_t arc_reclaimable_bytes(int proc_fd) {
        char text[FIELDS_TEXT_MAX];
        uint64_t bytes;
        ssize_t n;

        n = fields_read(proc_fd, "spl/kstat/zfs/arcstats", text, sizeof(text));
        if (n < 0 || ram_parse_arcstats(text, (size_t)n, &bytes) < 0 || is_contained(proc_fd))
                return 0;
        return bytes;
}

/* The container's limit, if there is one: what is at the root of the hierarchy that we see. */
static int read_container(const RamSource *source, CgroupMemory *ret) {
        _cleanup_close_ int root_fd = -1;
        CgroupPlace place;
        int r;

        *ret = (CgroupMemory){ .limit_bytes = UINT64_MAX };
        if (source->cgroup_fd < 0 || cgroup_of(source->proc_fd, 0, &place) < 0)
                return 0;
        root_fd = cgroup_open_root(source->cgroup_fd, &place);
        if (root_fd < 0)
                return 0;

        r = cgroup_read_memory(root_fd, place.v2, ret);
        return r == -ENOENT ? 0 : r;
}

int ram_read(const RamSource *source, RamFigures *ret) {
        char text[FIELDS_TEXT_MAX];
        RamFigures figures = {};
        CgroupMemory container;
        ssize_t n;
        int r;

        n = fields_read(source->proc_fd, "meminfo", text, sizeof(text));
        if (n < 0)
                return (int)n;
        r = ram_parse_meminfo(text, (size_t)n, &figures.total_bytes, &figures.available_bytes);
        if (r < 0)
                return r;

        r = read_container(source, &container);
        if (r < 0)
                return r;

        figures.limited = container.limit_bytes < figures.total_bytes;
        if (figures.limited) {
                figures.total_bytes = container.limit_bytes;
                figures.available_bytes =
                        MIN(figures.available_bytes, cgroup_room_bytes(&container));
        } else {
                uint64_t arc_bytes = arc_reclaimable_bytes(source->proc_fd);
                uint64_t taken_bytes = figures.total_bytes - figures.available_bytes;

                figures.available_bytes += MIN(arc_bytes, taken_bytes);
        }

        *ret = figures;
        return 0;
}

/* Take the last component off a path; the root stays as it is. */
static void to_parent(char *path) {
        char *slash = strrchr(path, '/');

        if (slash)
                slash[slash == path ? 1 : 0] = '\0';
}

/* The room at one level. A group that is gone, or lies outside of what we see, sets no limit. */
static int read_level(int root_fd, const CgroupPlace *place, uint64_t *ret_room_bytes) {
        _cleanup_close_ int fd = -1;
        CgroupMemory memory;
        int r;

        *ret_room_bytes = UINT64_MAX;
        fd = cgroup_open(root_fd, place->path);
        if (fd == -ENOENT)
                return 0;
        if (fd < 0)
                return fd;

        r = cgroup_read_memory(fd, place->v2, &memory);
        if (r == -ENOENT || r == -ENODEV)
                return 0; /* removed while we looked */
        if (r < 0)
                return r;

        *ret_room_bytes = cgroup_room_bytes(&memory);
        return 0;
}

int ram_read_own_cgroup(const RamSource *source, uint64_t *ret_room_bytes) {
        _cleanup_close_ int root_fd = -1;
        uint64_t room_bytes = UINT64_MAX;
        CgroupPlace place;
        bool at_root;
        int r;

        r = source->cgroup_fd < 0 ? -ENODATA : cgroup_of(source->proc_fd, 0, &place);
        if (r == -ENODATA || r == -ENOENT) {
                *ret_room_bytes = UINT64_MAX;
                return 0;
        }
        if (r < 0)
                return r;

        root_fd = cgroup_open_root(source->cgroup_fd, &place);
        if (root_fd < 0 && root_fd != -ENOENT)
                return root_fd;

        do {
                uint64_t level_bytes = UINT64_MAX;

                at_root = strcmp(place.path, "/") == 0;
                r = root_fd < 0 ? 0 : read_level(root_fd, &place, &level_bytes);
                if (r < 0)
                        return r;
                room_bytes = MIN(room_bytes, level_bytes);
                to_parent(place.path);
        } while (!at_root);

        *ret_room_bytes = room_bytes;
        return 0;
}
