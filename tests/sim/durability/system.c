/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "system.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "daemon/gpu-watch.h"
#include "daemon/log.h"
#include "daemon/server.h"
#include "probe/ram.h"
#include "util/boot.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/proc-id.h"

#include "check.h"
#include "links.h"
#include "world.h"

/* Linked in place of these by --wrap: their files have other functions, which are real. */
/* NOLINTBEGIN(bugprone-reserved-identifier, readability-identifier-naming): the linker's names */
int __wrap_fd_read_file(int dir_fd, const char *path, char **ret, size_t *ret_n, size_t max);
int __wrap_stat64(const char *path, struct stat *ret);
int __wrap_stat(const char *path, struct stat *ret);
bool __wrap_core_next_in_row(const Core *core, uint64_t id, PlanOffer *ret);
bool __real_core_next_in_row(const Core *core, uint64_t id, PlanOffer *ret);
/* NOLINTEND(bugprone-reserved-identifier, readability-identifier-naming) */

enum {
        PID_FIRST = 100,
        PIDS = 200, /* few, so that they come again */
        PROCS_MAX = 1 << 16,
};

typedef struct Process {
        pid_t pid;
        uint64_t ticks;
        Proc parent;
        uid_t uid;
        bool alive;
} Process;

static struct {
        Process procs[PROCS_MAX];
        Proc n;
        Proc by_pid[PIDS];
        unsigned next_pid;
} all;

void system_begin(void) {
        all.n = 1;
        all.next_pid = 0;
        memset(all.by_pid, 0, sizeof(all.by_pid));
}

void system_end(void) {
}

Proc proc_fork(Proc parent, uid_t uid) {
        Proc proc = all.n++;
        unsigned at;

        if (all.n == PROCS_MAX)
                abort();
        do
                at = all.next_pid++ % PIDS;
        while (all.by_pid[at] && all.procs[all.by_pid[at]].alive);
        all.by_pid[at] = proc;
        all.procs[proc] = (Process){ .pid = (pid_t)(PID_FIRST + at),
                                     .ticks = world_boot_us() / 10000,
                                     .parent = parent,
                                     .uid = uid,
                                     .alive = true };
        return proc;
}

void proc_exit(Proc proc) {
        all.procs[proc].alive = false;
}

void proc_exit_all(void) {
        for (Proc proc = 1; proc < all.n; proc++)
                all.procs[proc].alive = false;
}

bool proc_is_alive(Proc proc) {
        return proc != 0 && all.procs[proc].alive;
}

pid_t proc_pid(Proc proc) {
        return proc ? all.procs[proc].pid : 0;
}

uint64_t proc_ticks(Proc proc) {
        return proc ? all.procs[proc].ticks : 0;
}

static Proc find_pid(pid_t pid) {
        Proc proc = pid >= PID_FIRST && pid < PID_FIRST + PIDS ? all.by_pid[pid - PID_FIRST] : 0;

        return proc_is_alive(proc) ? proc : 0;
}

Proc proc_find(pid_t pid, uint64_t ticks) {
        Proc proc = find_pid(pid);

        return proc && all.procs[proc].ticks == ticks ? proc : 0;
}

/* -- util -- */

uint64_t clock_realtime_us(void) {
        return UINT64_C(1700000000) * US_PER_SEC + world.now_us;
}

uint64_t clock_boottime_us(void) {
        return world_boot_us();
}

int clock_format_iso(char *buf, size_t n, uint64_t realtime_us) {
        (void)snprintf(buf, n, "%" PRIu64, realtime_us);
        return 0;
}

void system_boot_id(char ret[static 37]) {
        (void)snprintf(ret, 37, "%08x-0000-4000-8000-000000000000",
                       world.mutant == MUTANT_BOOT_IGNORED ? 1 : world.boot);
}

int boot_id_read(char ret[static BOOT_ID_SIZE]) {
        system_boot_id(ret);
        return 0;
}

int proc_start_ticks(pid_t pid, uint64_t *ret, pid_t *ret_ppid) {
        Proc proc = find_pid(pid);

        if (!proc)
                return -ESRCH;
        *ret = all.procs[proc].ticks;
        if (ret_ppid)
                *ret_ppid = proc_is_alive(all.procs[proc].parent) ?
                                    proc_pid(all.procs[proc].parent) :
                                    1;
        return 0;
}

/* Of a path that is a folder and a number; -1: it is another one. */
static int number_in(const char *path, const char *folder) {
        size_t n = strlen(folder);

        if (strncmp(path, folder, n) != 0 || path[n] < '0' || path[n] > '9')
                return -1;
        return (int)strtol(path + n, NULL, 10);
}

int __wrap_fd_read_file(int dir_fd, const char *path, char **ret, size_t *ret_n, size_t max) {
        int fd = number_in(path, "/proc/self/fdinfo/");
        int n;

        if (fd < FD_PIDFD)
                return -ENOENT;
        n = asprintf(ret, "pos:\t0\nPid:\t%d\n",
                     proc_is_alive((Proc)(fd - FD_PIDFD)) ? proc_pid((Proc)(fd - FD_PIDFD)) : -1);
        if (n < 0)
                return -ENOMEM;
        if (ret_n)
                *ret_n = (size_t)n;
        return 0;
}

int __wrap_stat64(const char *path, struct stat *ret) {
        Proc proc = find_pid(number_in(path, "/proc/"));

        if (!proc)
                return -1;
        *ret = (struct stat){ .st_uid = all.procs[proc].uid };
        return 0;
}

int __wrap_stat(const char *path, struct stat *ret) {
        return __wrap_stat64(path, ret);
}

/* -- the core, where it is broken on purpose -- */

bool __wrap_core_next_in_row(const Core *core, uint64_t id, PlanOffer *ret) {
        if (!__real_core_next_in_row(core, id, ret))
                return false;
        if (world.mutant == MUTANT_ROW_NEWEST && ret->index < 0)
                ret->task_id = check_newest_equal(ret->task_id);
        return true;
}

int pidfd_open(pid_t pid, unsigned flags) {
        Proc proc = find_pid(pid);

        if (!proc) {
                errno = ESRCH;
                return -1;
        }
        return proc_fd(proc);
}

int getsockopt(int fd, int level, int optname, void *restrict optval, socklen_t *restrict optlen) {
        struct ucred *cred = optval;

        if (optname != SO_PEERCRED) {
                errno = ENOPROTOOPT;
                return -1;
        }
        links_credentials(fd, &cred->pid, &cred->uid);
        cred->gid = cred->uid;
        *optlen = sizeof(*cred);
        return 0;
}

/* -- probe -- */

int ram_source_open(RamSource *ret) {
        *ret = (RamSource){ .proc_fd = -1, .cgroup_fd = -1 };
        return 0;
}

void ram_source_close(RamSource *source) {
}

int ram_read(const RamSource *source, RamFigures *ret) {
        *ret = (RamFigures){ .total_bytes = WORLD_RAM_BYTES,
                             .available_bytes = WORLD_RAM_BYTES - check_ram_used_bytes() };
        if (world.mutant == MUTANT_RAM_UNSEEN)
                ret->available_bytes = WORLD_RAM_BYTES;
        return 0;
}

/* -- the daemon's own: there are no GPUs, no sockets and no log -- */

int gpu_watch_new(GpuWatch **ret,
                  sd_event *event,
                  const GpuSources *sources,
                  gpu_watch_fn on_report,
                  void *userdata) {
        *ret = NULL;
        return 0;
}

GpuWatch *gpu_watch_free(GpuWatch *watch) {
        return NULL;
}

int gpu_watch_ask(GpuWatch *watch, uint64_t ticket) {
        return -ENODEV;
}

void gpu_watch_idle(GpuWatch *watch) {
}

int gpu_watch_set_sources(GpuWatch *watch, const GpuSources *sources) {
        return 0;
}

void daemon_on_gpus(const GpuReport *report, const char *why, uint64_t ticket, void *userdata) {
}

int server_new(Server **ret, Daemon *daemon) {
        *ret = NULL;
        return 0;
}

Server *server_free(Server *server) {
        return NULL;
}

bool server_close_if_unused(Server *server) {
        return false;
}

void log_error(const char *fmt, ...) {
}

void log_warning(const char *fmt, ...) {
}

void log_info(const char *fmt, ...) {
}

void log_about(int level, LogSubject subject, const char *fmt, ...) {
}
