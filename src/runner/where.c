/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "runner/where.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71 /* Linux 5.14 */
#endif

char *where_write(char buf[static WHERE_MAX]) {
        struct utsname name;
        struct statx root;

        /* Each mount namespace has mounts, and so numbers, of its own. */
        if (statx(AT_FDCWD, "/", AT_STATX_DONT_SYNC, STATX_MNT_ID, &root) < 0 ||
            !(root.stx_mask & STATX_MNT_ID) || uname(&name) < 0)
                return NULL;
        (void)snprintf(buf, WHERE_MAX, "%" PRIu32 " %u %s", (uint32_t)root.stx_mnt_id, geteuid(),
                       name.nodename);
        return buf;
}

static uint64_t net_of(int fd) {
        uint64_t cookie = 0;
        socklen_t n = sizeof(cookie);

        return getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &n) == 0 ? cookie : 0;
}

bool where_is_same_net(int fd, int other_fd) {
        uint64_t net = net_of(fd);

        return net != 0 && net == net_of(other_fd);
}
