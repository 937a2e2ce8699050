#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Control groups, as far as memory goes
 *
 * The memory controller lives in one hierarchy: the unified one (v2), or one of its own (v1). Both
 * are read through a descriptor of /sys/fs/cgroup, and nothing is ever written.
 */

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
        CGROUP_CONTROLLERS_MAX = 128,
};

/* Where a process is in the hierarchy that counts memory. */
typedef struct CgroupPlace {
        bool v2;
        char controllers
                [CGROUP_CONTROLLERS_MAX]; /* v1: what shares the hierarchy, which names its mount */
        char path[PATH_MAX];              /* from the root that we see, `/` for the root itself */
} CgroupPlace;

/* The memory of one group and all below it. */
typedef struct CgroupMemory {
        uint64_t limit_bytes;       /* UINT64_MAX: none; then the rest was not read and is 0 */
        uint64_t used_bytes;        /* with its file cache */
        uint64_t reclaimable_bytes; /* at most used: the kernel drops it before it refuses memory */
} CgroupMemory;

/**
 * cgroup_parse() - find the memory controller in the text of /proc/PID/cgroup
 * @text:       borrowed; needs no NUL
 * @n:          number of bytes
 * @ret:        set on success
 *
 * Return: 0, -ENODATA if nothing there counts memory, or -EBADMSG.
 */
int cgroup_parse(const char *text, size_t n, CgroupPlace *ret);

/**
 * cgroup_of() - where a process is
 * @proc_fd:    of /proc
 * @pid:        the process; 0 for the caller
 * @ret:        set on success
 *
 * Return: 0, -ENODATA if nothing counts memory, or a negative errno.
 */
int cgroup_of(int proc_fd, pid_t pid, CgroupPlace *ret);

/**
 * cgroup_open_root() - open the root of the hierarchy that counts memory
 * @cgroup_fd:  of /sys/fs/cgroup
 * @place:      says which hierarchy
 *
 * Return: a descriptor of the folder, or a negative errno.
 */
int cgroup_open_root(int cgroup_fd, const CgroupPlace *place);

/**
 * cgroup_open() - open a group
 * @root_fd:    from cgroup_open_root()
 * @path:       as in CgroupPlace
 *
 * Return: a descriptor of the folder; -ENOENT if we do not see it; or a negative errno.
 */
int cgroup_open(int root_fd, const char *path);

/**
 * cgroup_read_memory() - limit and use of one group
 * @dir_fd:     the group's folder
 * @v2:         which files to expect
 * @ret:        set on success
 *
 * The limit is the smaller of memory.max and memory.high. A group without the files, as the
 * machine's own root, has no limit.
 *
 * Return: 0, or a negative errno.
 */
int cgroup_read_memory(int dir_fd, bool v2, CgroupMemory *ret);

/* What is left within a limit: limit - (used - reclaimable); UINT64_MAX without one. */
uint64_t cgroup_room_bytes(const CgroupMemory *memory);

/**
 * cgroup_read_use() - what MemAvailable loses by a group: anon + shmem + kernel, less what can be
 * dropped of it
 * @dir_fd:     the folder of a group of v2
 * @ret_bytes:  set on success
 *
 * Return: 0, -ENODATA if memory is not counted there, or a negative errno.
 */
int cgroup_read_use(int dir_fd, uint64_t *ret_bytes);
