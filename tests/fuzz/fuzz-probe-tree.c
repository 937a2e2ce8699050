/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * A /proc and a /sys/fs/cgroup with any text in their files. A sample is such files one after the other: a line "@NAME", and what stands in
 * it. Figures come out that fit each other, or none.
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "probe/cgroup.h"
#include "probe/holders.h"
#include "probe/ram.h"
#include "probe/tree.h"
#include "util/cleanup.h"
#include "util/proc-id.h"

#include "files.h"
#include "folder.h"
#include "fuzz.h"

enum {
        ROOT = 10, /* a runner, with the process 11, and that with 12 */
};

/* Below the folder. */
static const char *const folders[] = {
        "proc",    "proc/self",    "proc/10",        "proc/11",
        "proc/12", "proc/spl",     "proc/spl/kstat", "proc/spl/kstat/zfs",
        "group",   "group/memory", "group/task",     "group/memory/task",
};

static const char *const names[] = {
        "proc/meminfo",
        "proc/self/cgroup",
        "proc/self/mountinfo",
        "proc/spl/kstat/zfs/arcstats",
        "proc/10/stat",
        "proc/10/cgroup",
        "proc/11/stat",
        "proc/11/statm",
        "proc/11/status",
        "proc/11/smaps_rollup",
        "proc/11/cgroup",
        "proc/12/stat",
        "proc/12/statm",
        "proc/12/status",
        "proc/12/smaps_rollup",
        "proc/12/cgroup",
        "group/cgroup.controllers",
        "group/memory.max",
        "group/memory.high",
        "group/memory.current",
        "group/memory.stat",
        "group/task/cgroup.procs",
        "group/task/memory.max",
        "group/task/memory.current",
        "group/task/memory.stat",
        "group/memory/memory.limit_in_bytes",
        "group/memory/memory.usage_in_bytes",
        "group/memory/memory.stat",
        "group/memory/task/memory.limit_in_bytes",
        "group/memory/task/memory.usage_in_bytes",
        "group/memory/task/memory.stat",
        NULL,
};

static int folder_fd = -1;

static void make_folders(void) {
        folder_fd = open(folder(), O_PATH | O_DIRECTORY | O_CLOEXEC);
        assert(folder_fd >= 0);
        for (size_t i = 0; i < ELEMENTSOF(folders); i++)
                assert(mkdirat(folder_fd, folders[i], 0700) == 0);
}

static void look_at_ram(const RamSource *source) {
        uint64_t room_bytes = 0;
        RamFigures ram;

        if (ram_read(source, &ram) == 0)
                assert(ram.available_bytes <= ram.total_bytes &&
                       (ram.total_bytes > 0 || ram.limited));
        (void)ram_read_own_cgroup(source, &room_bytes);
}

static void look_at_groups(const RamSource *source) {
        static const char *const groups[] = { "/", "/task", "/../group", "//x" };
        CgroupMemory memory;
        CgroupPlace place;
        uint64_t bytes;

        for (pid_t pid = ROOT; pid <= ROOT + 2; pid++)
                if (cgroup_of(source->proc_fd, pid, &place) == 0)
                        assert(place.path[0] == '/');
        for (size_t i = 0; i < ELEMENTSOF(groups); i++) {
                _cleanup_close_ int fd = cgroup_open(source->cgroup_fd, groups[i]);

                for (int v2 = 0; v2 <= 1 && fd >= 0; v2++)
                        if (cgroup_read_memory(fd, v2, &memory) == 0) {
                                assert(memory.reclaimable_bytes <= memory.used_bytes);
                                assert(cgroup_room_bytes(&memory) <= memory.limit_bytes);
                        }
                if (fd >= 0)
                        (void)cgroup_read_use(fd, &bytes);
        }
}

static uint64_t owner(pid_t pid, void *userdata) {
        return pid == ROOT ? 7 : 0;
}

static void look_at_tree(const RamSource *source) {
        pid_t pids[] = { ROOT + 2, ROOT + 1 }, roots[] = { ROOT, ROOT + 1 }, *found = NULL;
        TreeUse use, uses[ELEMENTSOF(roots)];
        uint64_t id;
        ssize_t n;
        uid_t uid;

        n = tree_pids(source->proc_fd, ROOT, getuid(), &found);
        assert(n <= 2);
        for (ssize_t i = 0; i < n; i++)
                assert(found[i] == ROOT + 1 || found[i] == ROOT + 2);
        free(found);
        if (tree_measure(source->proc_fd, ROOT, getuid(), US_PER_SEC, &use) == 0)
                assert(use.n_processes > 0);
        (void)tree_measure_many(source->proc_fd, roots, ELEMENTSOF(roots), getuid(), 0, uses);
        (void)tree_measure_cgroup(source->proc_fd, source->cgroup_fd, ROOT, pids, ELEMENTSOF(pids),
                                  &use);
        id = tree_find_owner(source->proc_fd, ROOT + 2, owner, NULL, &uid);
        assert(id == 0 || id == 7);
}

static void look_at_holders(const RamSource *source) {
        const pid_t root = ROOT + 1;
        Outsiders found;

        assert(holders_of_ram(source->proc_fd, NULL, 0, &found) == 0 && found.n <= 2);
        for (size_t i = 1; i < found.n; i++)
                assert(found.items[i - 1].used_bytes >= found.items[i].used_bytes);
        assert(holders_of_ram(source->proc_fd, &root, 1, &found) == 0 && found.n <= 1);
        for (size_t i = 0; i < found.n; i++)
                assert(found.items[i].pid == ROOT + 2 &&
                       found.items[i].used_bytes != OUTSIDER_BYTES_UNKNOWN);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
        RamSource source;

        if (folder_fd < 0)
                make_folders();
        files_put_all(folder_fd, names, (const char *)data, n);
        source.proc_fd = openat(folder_fd, "proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        source.cgroup_fd = openat(folder_fd, "group", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert(source.proc_fd >= 0 && source.cgroup_fd >= 0);
        look_at_ram(&source);
        look_at_groups(&source);
        look_at_tree(&source);
        look_at_holders(&source);
        ram_source_close(&source);
        return 0;
}
