#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Which process, for ever
 *
 * A pid alone is used again. With the machine's boot and the process's start it names one process
 * and no other, also in a file that is read much later.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "util/boot.h"

typedef struct ProcId {
        char boot_id[BOOT_ID_SIZE];
        pid_t pid;
        uint64_t start_ticks; /* after boot, in clock ticks: field 22 of /proc/PID/stat */
} ProcId;

/**
 * proc_start_ticks() - when a process started
 * @pid:        the process
 * @ret:        set to its start in clock ticks after boot
 * @ret_ppid:   set to its parent; may be NULL
 *
 * Return: 0, -ESRCH if there is no such process, -EBADMSG if /proc is not as expected, or another
 * negative errno.
 */
int proc_start_ticks(pid_t pid, uint64_t *ret, pid_t *ret_ppid);

/**
 * proc_stat_parse() - find start and parent in the text of /proc/PID/stat
 * @text:       the content of the file; the name in it may hold anything, also `) R 1`
 * @ret:        set to the start in clock ticks after boot
 * @ret_ppid:   set to the parent; may be NULL
 *
 * Return: 0, or -EBADMSG if it is no such text.
 */
int proc_stat_parse(const char *text, uint64_t *ret, pid_t *ret_ppid);

/**
 * proc_id_read() - name a process for ever
 * @pid:        the process
 * @ret:        set to its identity
 *
 * Return: 0, -ESRCH if there is no such process, or a negative errno.
 */
int proc_id_read(pid_t pid, ProcId *ret);

/**
 * proc_id_is_alive() - whether the very process is still there
 * @id:         who
 *
 * A zombie counts: its status is not collected yet. So does one whose /proc cannot be read for
 * another reason than that it is gone.
 */
bool proc_id_is_alive(const ProcId *id);
