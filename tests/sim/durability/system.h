#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The system that the daemon believes to run on
 *
 * Processes with pids that are used again, pidfds, the boot id, the clocks, RAM: in place of those of util/ and probe/.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum {
        FD_PIDFD = 1 << 24, /* the first number of a pidfd: + the number of the process */
        FD_LINK = 1 << 20,  /* the first number of a connection */
};

/* One process: a number that is never used again, as a pid with a start time is. 0: none. */
typedef uint32_t Proc;

void system_begin(void);
void system_end(void);

Proc proc_fork(Proc parent, uid_t uid);
void proc_exit(Proc proc); /* no-op for one that has ended */
void proc_exit_all(void);
bool proc_is_alive(Proc proc);
pid_t proc_pid(Proc proc);
uint64_t proc_ticks(Proc proc);

/* The living process that has this pid and start. */
Proc proc_find(pid_t pid, uint64_t ticks);

static inline int proc_fd(Proc proc) {
        return (int)(FD_PIDFD + proc);
}

/* What the commands hold altogether now: that of check.h. */
void system_boot_id(char ret[static 37]);
