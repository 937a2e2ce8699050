/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Which process, for ever
 */

#include "util/proc-id.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "util/cleanup.h"
#include "util/fd.h"
#include "util/units.h"

enum {
        /* Numbered as in proc(5); 2 is the name, which ends at the last `)`. */
        FIELD_STATE = 3,
        FIELD_PPID = 4,
        FIELD_STARTTIME = 22,
        /* Fifty-two numbers of twenty digits and a name of 64 bytes stay far below it. */
        MAX_STAT_BYTES = 4096,
};

int proc_stat_parse(const char *text, uint64_t *ret, pid_t *ret_ppid) {
        _cleanup_free_ char *rest = NULL;
        const char *name_end = strrchr(text, ')');
        uint64_t ppid = 0;
        uint64_t start = 0;
        char *saved = NULL;
        int field = FIELD_STATE;
        int r;

        if (!name_end)
                return -EBADMSG;

        rest = strdup(name_end + 1);
        if (!rest)
                return -ENOMEM;

        for (char *word = strtok_r(rest, " \n", &saved); word && field <= FIELD_STARTTIME;
             word = strtok_r(NULL, " \n", &saved), field++) {
                r = 0;
                if (field == FIELD_PPID)
                        r = units_parse_uint(word, 0, INT_MAX, &ppid, NULL);
                else if (field == FIELD_STARTTIME)
                        r = units_parse_uint(word, 0, UINT64_MAX, &start, NULL);
                if (r < 0)
                        return -EBADMSG;
        }
        if (field <= FIELD_STARTTIME)
                return -EBADMSG;

        *ret = start;
        if (ret_ppid)
                *ret_ppid = (pid_t)ppid;
        return 0;
}

int proc_start_ticks(pid_t pid, uint64_t *ret, pid_t *ret_ppid) {
        _cleanup_free_ char *text = NULL;
        char path[64];
        int r;

        if (pid <= 0)
                return -ESRCH;

        (void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
        r = fd_read_file(AT_FDCWD, path, &text, NULL, MAX_STAT_BYTES);
        if (r == -ENOENT)
                return -ESRCH;
        if (r < 0)
                return r;

        return proc_stat_parse(text, ret, ret_ppid);
}

int proc_id_read(pid_t pid, ProcId *ret) {
        ProcId id = { .pid = pid };
        int r;

        r = boot_id_read(id.boot_id);
        if (r < 0)
                return r;

        r = proc_start_ticks(pid, &id.start_ticks, NULL);
        if (r < 0)
                return r;

        *ret = id;
        return 0;
}

bool proc_id_is_alive(const ProcId *id) {
        ProcId now;
        int r;

        r = proc_id_read(id->pid, &now);
        if (r < 0)
                return r != -ESRCH;

        return now.start_ticks == id->start_ticks && strcmp(now.boot_id, id->boot_id) == 0;
}
