/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * A machine has a thousand processes, of which a few hold nearly everything. So each is looked at cheaply first (statm), and closely
 * only if it may be among those.
 */

#include "probe/holders.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "probe/fields.h"
#include "util/cleanup.h"
#include "util/macro.h"
#include "util/proc-id.h"

enum {
        STEPS_MAX =
                1024, /* from a process up to the first one; more is a ring that changed while we read */
        PID_PATH_MAX = 32,
};

typedef struct Process {
        pid_t pid;
        pid_t parent;
        uint64_t start_ticks;
} Process;

typedef struct Processes {
        size_t n;
        size_t n_allocated;
        Process *items;
} Processes;

static void processes_done(Processes *processes) {
        free(processes->items);
}

static int add(Processes *processes, const Process *process) {
        if (processes->n == processes->n_allocated) {
                size_t n = MAX((size_t)256, processes->n_allocated * 2);
                Process *items = reallocarray(processes->items, n, sizeof(*items));

                if (!items)
                        return -ENOMEM;
                processes->items = items;
                processes->n_allocated = n;
        }
        processes->items[processes->n++] = *process;
        return 0;
}

/* The pid that a name in /proc is; 0: none. */
static pid_t pid_of(const char *name) {
        const char *p = name, *end = name + strlen(name);
        uint64_t value;

        if (fields_number(&p, end, &value) < 0 || p != end || value > INT_MAX)
                return 0;
        return (pid_t)value;
}

/* Return: 0, also if it has ended meanwhile, or negative errno. */
static int read_process(int proc_fd, pid_t pid, Processes *ret) {
        Process process = { .pid = pid };
        char path[PID_PATH_MAX];
        char text[1024 + 1];
        ssize_t n;

        (void)snprintf(path, sizeof(path), "%d/stat", pid);
        n = fields_read(proc_fd, path, text, sizeof(text) - 1);
        if (n < 0)
                return 0;
        text[n] = '\0';
        if (proc_stat_parse(text, &process.start_ticks, &process.parent) < 0)
                return 0;
        return add(ret, &process);
}

static int compare_processes(const void *a, const void *b) {
        const Process *x = a, *y = b;

        return (x->pid > y->pid) - (x->pid < y->pid);
}

static int scan(int proc_fd, Processes *ret) {
        const struct dirent *entry;
        DIR *dir;
        int fd;
        int r = 0;

        fd = openat(proc_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        dir = fdopendir(fd);
        if (!dir) {
                r = -errno;
                (void)close(fd);
                return r;
        }

        while (r == 0 && (errno = 0, entry = readdir(dir))) {
                pid_t pid = pid_of(entry->d_name);

                if (pid > 0)
                        r = read_process(proc_fd, pid, ret);
        }
        if (r == 0 && errno != 0)
                r = -errno;
        (void)closedir(dir);
        if (r == 0 && ret->n > 0)
                qsort(ret->items, ret->n, sizeof(Process), compare_processes);
        return r;
}

static bool is_root(pid_t pid, const pid_t *roots, size_t n_roots) {
        for (size_t i = 0; i < n_roots; i++)
                if (roots[i] == pid)
                        return true;
        return false;
}

static bool is_below(const Processes *processes,
                     const Process *process,
                     const pid_t *roots,
                     size_t n_roots) {
        for (unsigned i = 0; process && i < STEPS_MAX; i++) {
                const Process parent = { .pid = process->parent };

                if (is_root(process->pid, roots, n_roots))
                        return true;
                process = bsearch(&parent, processes->items, processes->n, sizeof(parent),
                                  compare_processes);
        }
        return false;
}

/* All of its pages in RAM, those of files too: it holds no more than that. */
static uint64_t read_resident(int proc_fd, pid_t pid) {
        uint64_t page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
        uint64_t numbers[2] = { 0 }; /* size, resident */
        char path[PID_PATH_MAX];
        char text[256];
        const char *p = text;
        ssize_t n;

        (void)snprintf(path, sizeof(path), "%d/statm", pid);
        n = fields_read(proc_fd, path, text, sizeof(text));
        if (n < 0)
                return 0;
        for (size_t i = 0; i < ELEMENTSOF(numbers); i++, p++)
                if (fields_number(&p, text + n, &numbers[i]) < 0 || p == text + n)
                        return 0;
        return MIN(numbers[1], UINT64_MAX / page_bytes) * page_bytes;
}

/* Return: 0, or negative errno if it has ended or may not be looked at. */
static int read_closely(int proc_fd, const Process *process, OutsideProcess *ret) {
        uint64_t anon_bytes = 0, shmem_bytes = 0;
        char path[PID_PATH_MAX];
        char text[FIELDS_TEXT_MAX];
        struct stat st;
        ssize_t n;

        (void)snprintf(path, sizeof(path), "%d/status", process->pid);
        n = fields_read(proc_fd, path, text, sizeof(text));
        if (n < 0)
                return (int)n;
        (void)fields_get_kib(text, (size_t)n, "RssAnon", &anon_bytes);
        (void)fields_get_kib(text, (size_t)n, "RssShmem", &shmem_bytes);
        (void)snprintf(path, sizeof(path), "%d", process->pid);
        if (fstatat(proc_fd, path, &st, 0) < 0)
                return -errno;

        *ret = (OutsideProcess){
                .pid = process->pid,
                .start_ticks = process->start_ticks,
                .uid = st.st_uid,
        };
        if (__builtin_add_overflow(anon_bytes, shmem_bytes, &ret->used_bytes))
                ret->used_bytes = UINT64_MAX - 1;
        return 0;
}

int holders_of_ram(int proc_fd, const pid_t *roots, size_t n_roots, Outsiders *ret) {
        _cleanup_(processes_done) Processes processes = {};
        Outsiders found = {};
        int r;

        r = scan(proc_fd, &processes);
        if (r < 0)
                return r;

        for (size_t i = 0; i < processes.n; i++) {
                const Process *process = &processes.items[i];
                uint64_t resident_bytes = read_resident(proc_fd, process->pid);
                OutsideProcess outsider;

                if (resident_bytes == 0 || is_below(&processes, process, roots, n_roots))
                        continue;
                if (found.n == OUTSIDERS_MAX &&
                    resident_bytes <= found.items[OUTSIDERS_MAX - 1].used_bytes) {
                        found.n_more++;
                        continue;
                }
                if (read_closely(proc_fd, process, &outsider) == 0)
                        outsiders_add(&found, &outsider);
        }

        *ret = found;
        return 0;
}
