/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * One scan of /proc brings every process with its parent; the tree is then found in memory, sorted
 * by parent. What the kernel knows of children directly (task/TID/children) is a build option that
 * some kernels lack.
 */

#include "probe/tree.h"

#include <assert.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "probe/cgroup.h"
#include "probe/fields.h"
#include "probe/ram.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/macro.h"

enum {
        OWNER_STEPS_MAX = 1024,
        CGROUP_PROCS_MAX = 1 << 20,

        /* Measured: 34 ms for 8 GiB in small pages. Huge pages are quicker. */
        PSS_US_PER_GIB = 4000,
};

typedef struct Process {
        pid_t pid;
        pid_t parent;
        bool dead; /* a zombie with no thread left */
        bool seen;
} Process;

typedef struct Processes {
        Process *items;
        size_t n;
        size_t n_allocated;
} Processes;

static Processes *processes_done(Processes *processes) {
        free(processes->items);
        *processes = (Processes){};
        return NULL;
}

static int processes_add(Processes *processes, const Process *process) {
        if (processes->n == processes->n_allocated) {
                size_t n = MAX(processes->n_allocated * 2, (size_t)256);
                Process *items = reallocarray(processes->items, n, sizeof(*items));

                if (!items)
                        return -ENOMEM;
                processes->items = items;
                processes->n_allocated = n;
        }
        processes->items[processes->n++] = *process;
        return 0;
}

/* Moves over @n fields, each with the blank behind it. */
static const char *skip_fields(const char *p, const char *end, unsigned n) {
        for (; p && n > 0; n--) {
                p = memchr(p, ' ', (size_t)(end - p));
                p = p ? p + 1 : NULL;
        }
        return p;
}

static int parse_int(const char *p, const char *end, int *ret) {
        uint64_t value;

        if (!p || fields_number(&p, end, &value) < 0 || value > INT_MAX)
                return -EBADMSG;
        if (p < end && *p != ' ' && *p != '\n')
                return -EBADMSG;
        *ret = (int)value;
        return 0;
}

int tree_parse_stat(const char *text, size_t n, TreeStat *ret) {
        const char *end = text + n;
        const char *p = memrchr(text, ')', n);
        int parent;
        int n_threads;

        /* `PID (NAME) STATE PPID …`: state is field 3, the parent 4, the threads 20. */
        if (!p || end - p < 4 || p[1] != ' ' || !isalpha((unsigned char)p[2]) || p[3] != ' ')
                return -EBADMSG;
        p += 2;
        if (parse_int(skip_fields(p, end, 1), end, &parent) < 0 ||
            parse_int(skip_fields(p, end, 17), end, &n_threads) < 0)
                return -EBADMSG;

        *ret = (TreeStat){ .state = *p, .parent = parent, .n_threads = (unsigned)n_threads };
        return 0;
}

static int read_stat(int proc_fd, pid_t pid, TreeStat *ret) {
        char path[32];
        char text[1024];
        ssize_t n;

        (void)snprintf(path, sizeof(path), "%d/stat", pid);
        n = fields_read(proc_fd, path, text, sizeof(text));
        if (n < 0)
                return (int)n;
        return tree_parse_stat(text, (size_t)n, ret);
}

/* The pid that a folder of /proc is of, or 0. */
static pid_t folder_pid(const char *name) {
        int pid;

        return parse_int(name, name + strlen(name), &pid) < 0 ? 0 : pid;
}

/* Every process there is. One that ends meanwhile, or is hidden from us, is not there. */
static int scan(int proc_fd, Processes *ret) {
        _cleanup_close_ int fd = -1;
        struct dirent *entry;
        DIR *dir;
        int r = 0;

        fd = openat(proc_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        dir = fdopendir(fd);
        if (!dir)
                return -errno;
        (void)TAKE_FD(fd); /* the stream's now */

        while (r >= 0 && (errno = 0, entry = readdir(dir))) {
                pid_t pid = folder_pid(entry->d_name);
                TreeStat stat;

                if (pid <= 0 || read_stat(proc_fd, pid, &stat) < 0)
                        continue;
                /*
                 * The first thread of a process may end long before the others: a zombie that
                 * lives.
                 */
                r = processes_add(ret,
                                  &(Process){ .pid = pid,
                                              .parent = stat.parent,
                                              .dead = stat.state == 'Z' && stat.n_threads <= 1 });
        }
        if (r >= 0 && errno != 0)
                r = -errno;
        (void)closedir(dir);
        return r;
}

static int compare_parents(const void *a, const void *b) {
        const Process *x = a;
        const Process *y = b;

        return (x->parent > y->parent) - (x->parent < y->parent);
}

/* The first process with this parent, in a list sorted by parents. */
static size_t first_child(const Processes *processes, pid_t parent) {
        size_t low = 0;
        size_t high = processes->n;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (processes->items[middle].parent < parent)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

static bool is_owned_by(int proc_fd, pid_t pid, uid_t uid) {
        struct stat st;
        char path[32];

        (void)snprintf(path, sizeof(path), "%d", pid);
        return fstatat(proc_fd, path, &st, 0) == 0 && st.st_uid == uid;
}

/*
 * Breadth first. Each entry is taken once, so that a scan during which a process changed its
 * parent, and which thus may show a ring, ends all the same.
 */
static size_t collect(Processes *processes, pid_t root, const Process **queue) {
        size_t n = 0;
        pid_t parent = root;

        for (size_t next = 0;; parent = queue[next++]->pid) {
                for (size_t i = first_child(processes, parent); i < processes->n; i++) {
                        Process *process = &processes->items[i];

                        if (process->parent != parent)
                                break;
                        if (process->seen || process->pid == root)
                                continue;
                        process->seen = true;
                        queue[n++] = process;
                }
                if (next == n)
                        return n;
        }
}

/* scan(), in the order that is searched. */
static int scan_sorted(int proc_fd, Processes *ret) {
        int r;

        r = scan(proc_fd, ret);
        if (r < 0)
                return r;
        if (ret->n > 0)
                qsort(ret->items, ret->n, sizeof(Process), compare_parents);
        return 0;
}

/* As tree_pids(), of a list that was sorted; what it takes it marks as seen. */
static ssize_t list_tree(int proc_fd, Processes *processes, pid_t root, uid_t uid, pid_t **ret) {
        _cleanup_free_ const Process **queue = calloc(processes->n + 1, sizeof(*queue));
        _cleanup_free_ pid_t *pids = calloc(processes->n + 1, sizeof(*pids));
        size_t n_queue;
        size_t n_pids = 0;

        if (!queue || !pids)
                return -ENOMEM;

        n_queue = collect(processes, root, queue);
        for (size_t i = 0; i < n_queue; i++)
                if (!queue[i]->dead && is_owned_by(proc_fd, queue[i]->pid, uid))
                        pids[n_pids++] = queue[i]->pid;

        *ret = n_pids > 0 ? TAKE_PTR(pids) : NULL;
        return (ssize_t)n_pids;
}

ssize_t tree_pids(int proc_fd, pid_t root, uid_t uid, pid_t **ret) {
        _cleanup_(processes_done) Processes processes = {};
        int r;

        r = scan_sorted(proc_fd, &processes);
        return r < 0 ? r : list_tree(proc_fd, &processes, root, uid, ret);
}

/* RAM of one process, as its status tells it. */
typedef struct Rss {
        uint64_t all_bytes; /* also file pages: what a walk for PSS has to look at */
        uint64_t anon_bytes;
        uint64_t shmem_bytes;
} Rss;

static int read_rss(int proc_fd, pid_t pid, Rss *ret) {
        char path[32];
        char text[FIELDS_TEXT_MAX];
        Rss rss = {};
        ssize_t n;

        (void)snprintf(path, sizeof(path), "%d/status", pid);
        n = fields_read(proc_fd, path, text, sizeof(text));
        if (n < 0)
                return (int)n;

        /* One that is about to be gone has none of these lines. */
        (void)fields_get_kib(text, (size_t)n, "VmRSS", &rss.all_bytes);
        (void)fields_get_kib(text, (size_t)n, "RssAnon", &rss.anon_bytes);
        (void)fields_get_kib(text, (size_t)n, "RssShmem", &rss.shmem_bytes);
        *ret = rss;
        return 0;
}

static int read_pss(int proc_fd, pid_t pid, uint64_t *ret_bytes) {
        char path[32];
        char text[FIELDS_TEXT_MAX];
        uint64_t anon_bytes;
        uint64_t shmem_bytes;
        ssize_t n;
        int r;

        (void)snprintf(path, sizeof(path), "%d/smaps_rollup", pid);
        n = fields_read(proc_fd, path, text, sizeof(text));
        if (n < 0)
                return (int)n;
        r = fields_get_kib(text, (size_t)n, "Pss_Anon", &anon_bytes);
        if (r < 0)
                return r;
        r = fields_get_kib(text, (size_t)n, "Pss_Shmem", &shmem_bytes);
        if (r < 0)
                return r;

        *ret_bytes = anon_bytes + shmem_bytes;
        return 0;
}

/* The time that PSS may take. */
typedef struct Budget {
        uint64_t end_us; /* CLOCK_BOOTTIME */
        uint64_t us_per_gib;
} Budget;

/* PSS of one process, if a walk over its pages fits into what is left of the time. */
static int read_pss_within(int proc_fd,
                           pid_t pid,
                           const Rss *rss,
                           Budget *budget,
                           uint64_t *ret_bytes) {
        uint64_t start_us = clock_boottime_us();
        uint64_t mib = rss->all_bytes / MIB;
        int r;

        if (start_us >= budget->end_us ||
            mib * budget->us_per_gib / 1024 >= budget->end_us - start_us)
                return -ETIME;

        r = read_pss(proc_fd, pid, ret_bytes);
        /* A slower machine, or a busy one: the next will take as long. */
        if (mib >= 64)
                budget->us_per_gib =
                        MAX(budget->us_per_gib, (clock_boottime_us() - start_us) * 1024 / mib);
        return r;
}

/* All that is taken of the machine's RAM; UINT64_MAX if that is not known. */
static uint64_t taken_bytes(int proc_fd) {
        char text[FIELDS_TEXT_MAX];
        uint64_t total_bytes;
        uint64_t available_bytes;
        ssize_t n;

        n = fields_read(proc_fd, "meminfo", text, sizeof(text));
        if (n < 0 || ram_parse_meminfo(text, (size_t)n, &total_bytes, &available_bytes) < 0)
                return UINT64_MAX;
        return total_bytes - available_bytes;
}

static int measure_processes(int proc_fd,
                             const pid_t *pids,
                             size_t n_pids,
                             uint64_t budget_us,
                             TreeUse *ret) {
        Budget budget = { .end_us = clock_boottime_us() + budget_us, .us_per_gib = PSS_US_PER_GIB };
        TreeUse use = { .method = TREE_METHOD_PSS };
        uint64_t shmem_max_bytes = 0;

        for (size_t i = 0; i < n_pids; i++) {
                uint64_t pss_bytes;
                Rss rss;

                if (read_rss(proc_fd, pids[i], &rss) < 0)
                        continue;
                use.n_processes++;
                if (rss.all_bytes == 0)
                        continue; /* about to be gone: there is nothing to look into */
                if (read_pss_within(proc_fd, pids[i], &rss, &budget, &pss_bytes) >= 0) {
                        use.memory_bytes += pss_bytes;
                        continue;
                }
                use.memory_bytes += rss.anon_bytes;
                shmem_max_bytes = MAX(shmem_max_bytes, rss.shmem_bytes);
                use.method = TREE_METHOD_RSS;
        }
        if (use.n_processes == 0)
                return -ESRCH;

        use.memory_bytes += shmem_max_bytes;
        /*
         * What forked processes share counts in each of them: no task holds more than is taken in
         * all.
         */
        if (use.method == TREE_METHOD_RSS && use.n_processes > 1)
                use.memory_bytes = MIN(use.memory_bytes, taken_bytes(proc_fd));
        *ret = use;
        return 0;
}

static int compare_pids(const void *a, const void *b) {
        const pid_t *x = a;
        const pid_t *y = b;

        return (*x > *y) - (*x < *y);
}

/* Whether the group holds these processes and no other, and has no groups below it. */
static bool holds_just(int group_fd, const pid_t *sorted, size_t n_pids) {
        _cleanup_free_ char *text = NULL;
        const char *p;
        const char *end;
        uint64_t below;
        char stat[1024];
        size_t n;
        ssize_t n_stat;
        size_t n_members = 0;

        n_stat = fields_read(group_fd, "cgroup.stat", stat, sizeof(stat));
        if (n_stat < 0 || fields_get(stat, (size_t)n_stat, "nr_descendants", &below) < 0 ||
            below > 0)
                return false;
        if (fd_read_file(group_fd, "cgroup.procs", &text, &n, CGROUP_PROCS_MAX) < 0)
                return false;

        end = text + n;
        for (p = text; p < end; p++) {
                uint64_t value;
                pid_t pid;

                if (fields_number(&p, end, &value) < 0 || value > INT_MAX || p == end || *p != '\n')
                        return false;
                pid = (pid_t)value;
                if (!bsearch(&pid, sorted, n_pids, sizeof(pid), compare_pids))
                        return false;
                n_members++;
        }
        return n_members == n_pids;
}

/* Where all of them are, if that is one group of v2 below the root and not the runner's own. */
static int common_group(int proc_fd,
                        pid_t root,
                        const pid_t *pids,
                        size_t n_pids,
                        CgroupPlace *ret) {
        CgroupPlace of_root;
        CgroupPlace place;

        if (cgroup_of(proc_fd, pids[0], ret) < 0 || !ret->v2 || strcmp(ret->path, "/") == 0)
                return -ENODATA;
        if (cgroup_of(proc_fd, root, &of_root) < 0 || strcmp(of_root.path, ret->path) == 0)
                return -ENODATA;
        for (size_t i = 1; i < n_pids; i++)
                if (cgroup_of(proc_fd, pids[i], &place) < 0 || strcmp(place.path, ret->path) != 0)
                        return -ENODATA;
        return 0;
}

int tree_measure_cgroup(int proc_fd,
                        int cgroup_fd,
                        pid_t root,
                        pid_t *pids,
                        size_t n_pids,
                        TreeUse *ret) {
        _cleanup_close_ int root_fd = -1;
        _cleanup_close_ int group_fd = -1;
        TreeUse use = { .method = TREE_METHOD_CGROUP, .n_processes = n_pids };
        CgroupPlace place;
        int r;

        assert(n_pids > 0);
        r = common_group(proc_fd, root, pids, n_pids, &place);
        if (r < 0)
                return r;
        root_fd = cgroup_open_root(cgroup_fd, &place);
        if (root_fd < 0)
                return -ENODATA;
        group_fd = cgroup_open(root_fd, place.path);
        if (group_fd < 0)
                return -ENODATA;

        qsort(pids, n_pids, sizeof(*pids), compare_pids);
        if (!holds_just(group_fd, pids, n_pids))
                return -ENODATA;
        r = cgroup_read_use(group_fd, &use.memory_bytes);
        if (r < 0)
                return -ENODATA;

        *ret = use;
        return 0;
}

/* Open folders to read from. */
typedef struct Sources {
        int proc_fd;
        int cgroup_fd; /* -1: none */
} Sources;

static int measure_pids(const Sources *from,
                        pid_t root,
                        pid_t *pids,
                        ssize_t n,
                        uint64_t budget_us,
                        TreeUse *ret) {
        if (n < 0)
                return (int)n;
        if (n == 0)
                return -ESRCH;
        if (from->cgroup_fd >= 0 &&
            tree_measure_cgroup(from->proc_fd, from->cgroup_fd, root, pids, (size_t)n, ret) >= 0)
                return 0;
        return measure_processes(from->proc_fd, pids, (size_t)n, budget_us, ret);
}

static int open_cgroups(void) {
        return open("/sys/fs/cgroup", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

int tree_measure(int proc_fd, pid_t root, uid_t uid, uint64_t budget_us, TreeUse *ret) {
        _cleanup_free_ pid_t *pids = NULL;
        _cleanup_close_ int cgroup_fd = -1;
        Sources from = { .proc_fd = proc_fd };
        ssize_t n;

        n = tree_pids(proc_fd, root, uid, &pids);
        if (n > 0)
                cgroup_fd = open_cgroups();
        from.cgroup_fd = cgroup_fd;
        return measure_pids(&from, root, pids, n, budget_us, ret);
}

int tree_measure_many(int proc_fd,
                      const pid_t *roots,
                      size_t n_roots,
                      uid_t uid,
                      uint64_t budget_us,
                      TreeUse *ret) {
        _cleanup_(processes_done) Processes processes = {};
        _cleanup_close_ int cgroup_fd = open_cgroups();
        const Sources from = { .proc_fd = proc_fd, .cgroup_fd = cgroup_fd };
        uint64_t end_us = clock_boottime_us() + budget_us;
        int r;

        r = scan_sorted(proc_fd, &processes);
        for (size_t i = 0; r >= 0 && i < n_roots; i++) {
                uint64_t now_us = clock_boottime_us();
                _cleanup_free_ pid_t *pids = NULL;
                ssize_t n;

                n = list_tree(proc_fd, &processes, roots[i], uid, &pids);
                r = measure_pids(&from, roots[i], pids, n, end_us > now_us ? end_us - now_us : 0,
                                 &ret[i]);
                if (r == -ESRCH) {
                        ret[i] = (TreeUse){};
                        r = 0;
                }
        }
        return r;
}

uint64_t tree_find_owner(int proc_fd,
                         pid_t pid,
                         tree_owner_fn owner,
                         void *userdata,
                         uid_t *ret_uid) {
        struct stat st;
        char path[32];

        (void)snprintf(path, sizeof(path), "%d", pid);
        if (pid <= 0 || fstatat(proc_fd, path, &st, 0) < 0)
                return 0;

        for (unsigned i = 0; i < OWNER_STEPS_MAX && pid > 0; i++) {
                uint64_t task_id = owner(pid, userdata);
                TreeStat stat;

                if (task_id != 0) {
                        if (ret_uid)
                                *ret_uid = st.st_uid;
                        return task_id;
                }
                if (read_stat(proc_fd, pid, &stat) < 0)
                        return 0;
                pid = stat.parent;
        }
        return 0;
}
