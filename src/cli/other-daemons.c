/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "cli/other-daemons.h"

#include <ctype.h>
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/command.h"
#include "util/cleanup.h"

/* Whether a process is called taskflowd and is another user's; its user. */
static bool is_other_daemon(int proc_fd, const char *pid, uid_t *ret) {
        _cleanup_free_ char *name = NULL;
        char path[64];
        struct stat st;

        (void)snprintf(path, sizeof(path), "%.20s/comm", pid);
        if (fd_read_file(proc_fd, path, &name, NULL, 64) < 0 || strcmp(name, "taskflowd\n") != 0)
                return false;
        if (fstatat(proc_fd, pid, &st, 0) < 0 || st.st_uid == getuid())
                return false;

        *ret = st.st_uid;
        return true;
}

size_t other_daemons(char names[static OTHER_DAEMONS_NAMES_MAX]) {
        DIR *proc = opendir("/proc");
        size_t n_found = 0;

        names[0] = '\0';
        if (!proc)
                return 0;

        for (const struct dirent *entry; n_found < OTHER_DAEMONS_MAX && (entry = readdir(proc));) {
                size_t n = strlen(names);
                char name[64];
                uid_t uid;

                if (!isdigit((unsigned char)entry->d_name[0]) ||
                    !is_other_daemon(dirfd(proc), entry->d_name, &uid))
                        continue;
                (void)snprintf(names + n, OTHER_DAEMONS_NAMES_MAX - n, "%s%s",
                               n_found++ ? ", " : "", cli_user_name(uid, name, sizeof(name), NULL));
        }
        (void)closedir(proc);
        return n_found;
}
