/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "probe/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "probe/fields.h"
#include "util/cleanup.h"
#include "util/macro.h"

/* v1 has no word for "no limit": it shows the largest whole number of pages. */
#define V1_NO_LIMIT_BYTES (UINT64_C(1) << 62)

/* Whether a list with commas has a word. */
static bool list_has(const char *list, size_t n, const char *word) {
        const size_t n_word = strlen(word);
        const char *end = list + n;

        while (list < end) {
                const char *comma = memchr(list, ',', (size_t)(end - list));
                const char *word_end = comma ? comma : end;

                if ((size_t)(word_end - list) == n_word && memcmp(list, word, n_word) == 0)
                        return true;
                list = word_end + 1;
        }
        return false;
}

static int copy_text(char *ret, size_t n_ret, const char *text, size_t n) {
        if (n >= n_ret || memchr(text, '\0', n))
                return -EBADMSG;
        memcpy(ret, text, n);
        ret[n] = '\0';
        return 0;
}

/*
 * One line, `ID:CONTROLLERS:PATH`; the path may hold colons of its own. 1 if it is v1's line of the
 * memory controller, 2 if it is v2's, 0 if it is another.
 */
static int parse_line(const char *line, size_t n, CgroupPlace *ret) {
        const char *end = line + n;
        const char *controllers = memchr(line, ':', n);
        const char *path;
        size_t n_controllers;
        int r;

        if (!controllers)
                return -EBADMSG;
        controllers++;
        path = memchr(controllers, ':', (size_t)(end - controllers));
        if (!path)
                return -EBADMSG;
        n_controllers = (size_t)(path - controllers);
        path++;

        ret->v2 = n_controllers == 0 && line[0] == '0';
        if (!ret->v2 && !list_has(controllers, n_controllers, "memory"))
                return 0;

        r = copy_text(ret->controllers, sizeof(ret->controllers), controllers, n_controllers);
        if (r < 0)
                return r;
        r = copy_text(ret->path, sizeof(ret->path), path, (size_t)(end - path));
        if (r < 0)
                return r;
        if (ret->path[0] != '/')
                return -EBADMSG;
        return ret->v2 ? 2 : 1;
}

int cgroup_parse(const char *text, size_t n, CgroupPlace *ret) {
        const char *end = text + n;
        bool found = false;

        for (const char *line = text; line < end;) {
                const char *newline = memchr(line, '\n', (size_t)(end - line));
                const char *line_end = newline ? newline : end;
                CgroupPlace place;
                int r;

                r = parse_line(line, (size_t)(line_end - line), &place);
                if (r < 0)
                        return r;
                if (r > 0) {
                        *ret = place;
                        found = true;
                }
                /* A controller is in one hierarchy only, and v2's line stands there in any case. */
                if (r == 1)
                        break;
                line = line_end + 1;
        }
        return found ? 0 : -ENODATA;
}

int cgroup_of(int proc_fd, pid_t pid, CgroupPlace *ret) {
        char text[FIELDS_TEXT_MAX];
        char path[32] = "self/cgroup";
        ssize_t n;

        if (pid != 0)
                (void)snprintf(path, sizeof(path), "%d/cgroup", pid);
        n = fields_read(proc_fd, path, text, sizeof(text));
        if (n < 0)
                return (int)n;
        return cgroup_parse(text, (size_t)n, ret);
}

static int open_folder(int dir_fd, const char *path) {
        int fd = openat(dir_fd, path, O_PATH | O_DIRECTORY | O_CLOEXEC);

        return fd < 0 ? -errno : fd;
}

int cgroup_open_root(int cgroup_fd, const CgroupPlace *place) {
        int fd;

        if (!place->v2) {
                fd = open_folder(cgroup_fd, place->controllers);
                return fd == -ENOENT ? open_folder(cgroup_fd, "memory") : fd;
        }

        /* v2 is all of /sys/fs/cgroup, or beside v1's hierarchies a folder of its own. */
        if (faccessat(cgroup_fd, "cgroup.controllers", F_OK, 0) < 0) {
                fd = open_folder(cgroup_fd, "unified");
                if (fd != -ENOENT)
                        return fd;
        }
        return open_folder(cgroup_fd, ".");
}

/* Whether a component of the path is `..`: a group outside of what we see. */
static bool leads_out(const char *path) {
        for (const char *p = strstr(path, "/.."); p; p = strstr(p + 1, "/.."))
                if (p[3] == '/' || p[3] == '\0')
                        return true;
        return false;
}

int cgroup_open(int root_fd, const char *path) {
        if (leads_out(path))
                return -ENOENT;
        while (*path == '/')
                path++;
        return open_folder(root_fd, *path ? path : ".");
}

/* A file of one number or the word `max`. A file that is not there sets no limit. */
static int read_limit(int dir_fd, const char *name, uint64_t *ret) {
        char text[64];
        const char *p = text;
        ssize_t n;

        n = fields_read(dir_fd, name, text, sizeof(text));
        if (n == -ENOENT || (n >= 3 && memcmp(text, "max", 3) == 0)) {
                *ret = UINT64_MAX;
                return 0;
        }
        return n < 0 ? (int)n : fields_number(&p, text + n, ret);
}

static int read_number(int dir_fd, const char *name, uint64_t *ret) {
        char text[64];
        const char *p = text;
        ssize_t n;

        n = fields_read(dir_fd, name, text, sizeof(text));
        return n < 0 ? (int)n : fields_number(&p, text + n, ret);
}

/* The sum of some lines; those that are missing (an older kernel) count for nothing. */
static uint64_t sum_fields(const char *text, size_t n, const char *const names[]) {
        uint64_t sum = 0;

        for (size_t i = 0; names[i]; i++) {
                uint64_t value;

                if (fields_get(text, n, names[i], &value) < 0)
                        continue;
                if (__builtin_add_overflow(sum, value, &sum))
                        return UINT64_MAX;
        }
        return sum;
}

static int read_use_v2(int dir_fd, CgroupMemory *memory) {
        static const char *const reclaimable[] = { "inactive_file", "active_file",
                                                   "slab_reclaimable", NULL };
        char text[FIELDS_TEXT_MAX];
        ssize_t n;
        int r;

        r = read_number(dir_fd, "memory.current", &memory->used_bytes);
        if (r < 0)
                return r;
        n = fields_read(dir_fd, "memory.stat", text, sizeof(text));
        if (n < 0)
                return (int)n;

        memory->reclaimable_bytes =
                MIN(sum_fields(text, (size_t)n, reclaimable), memory->used_bytes);
        return 0;
}

static int read_memory_v2(int dir_fd, CgroupMemory *ret) {
        CgroupMemory memory = {};
        uint64_t high;
        int r;

        r = read_limit(dir_fd, "memory.max", &memory.limit_bytes);
        if (r < 0)
                return r;
        r = read_limit(dir_fd, "memory.high", &high);
        if (r < 0)
                return r;

        /* Above memory.high nothing is refused, but everything crawls: no place to start a task. */
        memory.limit_bytes = MIN(memory.limit_bytes, high);
        if (memory.limit_bytes != UINT64_MAX) {
                r = read_use_v2(dir_fd, &memory);
                if (r < 0)
                        return r;
        }

        *ret = memory;
        return 0;
}

/* The limit that holds for a group of v1, also one further up, where a container's mount ends. */
static int read_limit_v1(int dir_fd, const char *stat, size_t n, uint64_t *ret) {
        uint64_t above;
        uint64_t limit;
        int r;

        r = read_limit(dir_fd, "memory.limit_in_bytes", &limit);
        if (r < 0)
                return r;
        if (fields_get(stat, n, "hierarchical_memory_limit", &above) == 0)
                limit = MIN(limit, above);

        *ret = limit >= V1_NO_LIMIT_BYTES ? UINT64_MAX : limit;
        return 0;
}

static int read_memory_v1(int dir_fd, CgroupMemory *ret) {
        static const char *const reclaimable[] = { "total_inactive_file", "total_active_file",
                                                   NULL };
        char text[FIELDS_TEXT_MAX];
        CgroupMemory memory = { .limit_bytes = UINT64_MAX };
        ssize_t n;
        int r;

        /* Only the machine's root has this file, and it can't be limited. */
        if (faccessat(dir_fd, "release_agent", F_OK, 0) == 0) {
                *ret = memory;
                return 0;
        }

        n = fields_read(dir_fd, "memory.stat", text, sizeof(text));
        if (n < 0 && n != -ENOENT)
                return (int)n;

        n = MAX(n, 0);
        r = read_limit_v1(dir_fd, text, (size_t)n, &memory.limit_bytes);
        if (r < 0)
                return r;
        if (memory.limit_bytes != UINT64_MAX) {
                r = read_number(dir_fd, "memory.usage_in_bytes", &memory.used_bytes);
                if (r < 0)
                        return r;
                memory.reclaimable_bytes =
                        MIN(sum_fields(text, (size_t)n, reclaimable), memory.used_bytes);
        }

        *ret = memory;
        return 0;
}

int cgroup_read_memory(int dir_fd, bool v2, CgroupMemory *ret) {
        return v2 ? read_memory_v2(dir_fd, ret) : read_memory_v1(dir_fd, ret);
}

uint64_t cgroup_room_bytes(const CgroupMemory *memory) {
        uint64_t held_bytes = memory->used_bytes - memory->reclaimable_bytes;

        if (memory->limit_bytes == UINT64_MAX)
                return UINT64_MAX;
        return memory->limit_bytes - MIN(memory->limit_bytes, held_bytes);
}

int cgroup_read_use(int dir_fd, uint64_t *ret_bytes) {
        static const char *const base[] = { "anon", "shmem", NULL };
        static const char *const kernel_parts[] = { "kernel_stack",       "pagetables", "percpu",
                                                    "slab_unreclaimable", "sock",       NULL };
        char text[FIELDS_TEXT_MAX];
        uint64_t use_bytes;
        uint64_t kernel_bytes;
        uint64_t reclaimable_bytes;
        ssize_t n;

        n = fields_read(dir_fd, "memory.stat", text, sizeof(text));
        if (n == -ENOENT)
                return -ENODATA;
        if (n < 0)
                return (int)n;

        use_bytes = sum_fields(text, (size_t)n, base);
        /* `kernel` is there since 5.18; MemAvailable counts reclaimable slab as available. */
        if (fields_get(text, (size_t)n, "kernel", &kernel_bytes) < 0)
                kernel_bytes = sum_fields(text, (size_t)n, kernel_parts);
        else if (fields_get(text, (size_t)n, "slab_reclaimable", &reclaimable_bytes) == 0)
                kernel_bytes -= MIN(kernel_bytes, reclaimable_bytes);
        if (__builtin_add_overflow(use_bytes, kernel_bytes, &use_bytes))
                return -ERANGE;

        *ret_bytes = use_bytes;
        return 0;
}
