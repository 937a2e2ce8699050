/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "runner/records.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/clock.h"
#include "util/macro.h"
#include "wire/frame.h"
#include "wire/places.h"

#define PATIENCE_US US_PER_SEC
#define KEPT_US     (30 * 24 * 3600 * US_PER_SEC) /* as long as history by default */

enum {
        RECORD_MAX = 2 * FRAME_MESSAGE_MAX,
        NAME_MAX_BYTES = 64,
};

static int ended_dir(char **ret) {
        _cleanup_free_ char *state = NULL;
        int r;

        r = places_personal_state(&state, NULL);
        if (r < 0)
                return r;
        return asprintf(ret, "%s/ended", state) < 0 ? -ENOMEM : 0;
}

/* ID-DATABASE: the same end twice is one record. */
static void name_of(const Call *attach, char *buf, size_t n) {
        (void)snprintf(buf, n, "%" PRIu64 "-%s", attach->attach.task->id, attach->attach.database);
}

int records_leave(const Call *attach, const Call *ended) {
        _cleanup_free_ char *dir = NULL;
        _cleanup_free_ char *path = NULL;
        _cleanup_free_ char *first = NULL;
        _cleanup_free_ char *second = NULL;
        _cleanup_free_ char *bytes = NULL;
        char name[NAME_MAX_BYTES];
        size_t n_first;
        size_t n_second;
        int r;

        r = ended_dir(&dir);
        if (r < 0)
                return r;
        r = fd_mkdir_p(dir, 0700);
        if (r < 0)
                return r;
        r = call_encode(attach, &first, &n_first);
        if (r < 0)
                return r;
        r = call_encode(ended, &second, &n_second);
        if (r < 0)
                return r;

        /* Each with its ending NUL, as on the socket. */
        bytes = malloc(n_first + n_second + 2);
        name_of(attach, name, sizeof(name));
        if (!bytes || asprintf(&path, "%s/%s", dir, name) < 0)
                return -ENOMEM;
        (void)memcpy(bytes, first, n_first + 1);
        (void)memcpy(bytes + n_first + 1, second, n_second + 1);
        return fd_write_file_atomic(AT_FDCWD, path, bytes, n_first + n_second + 2, 0600);
}

/* Waits for the answer to what was said last. Return: whether it came. */
static bool is_answered(Client *client) {
        uint64_t until = clock_boottime_us() + PATIENCE_US;

        while (client_n_outstanding(client) > 0) {
                struct pollfd poll_fd = { .fd = client_fd(client),
                                          .events = client_poll_events(client) };
                uint64_t now = clock_boottime_us();
                Incoming incoming = { 0 };
                int r;

                r = client_next(client, &incoming, NULL);
                if (r == 0) {
                        incoming_done(&incoming);
                        continue;
                }
                if (r != CLIENT_E_AGAIN || now >= until)
                        return false;
                (void)poll(&poll_fd, 1, (int)((until - now) / US_PER_MSEC) + 1);
        }
        return true;
}

static bool is_said(Client *client, const Call *call) {
        return client_send(client, call, -1, NULL) == 0 && is_answered(client);
}

/* Both messages of a record. Return: whether they are what they should be. */
static bool read_record(int dir_fd, const char *name, Call *attach, Call *ended) {
        _cleanup_free_ char *bytes = NULL;
        size_t n_first;
        size_t n;

        if (fd_read_file(dir_fd, name, &bytes, &n, RECORD_MAX) < 0)
                return false;
        n_first = strnlen(bytes, n);
        if (n_first + 2 > n || bytes[n - 1] != '\0')
                return false;
        if (call_decode(bytes, n_first, attach, NULL) != 0)
                return false;
        if (call_decode(bytes + n_first + 1, n - n_first - 2, ended, NULL) != 0) {
                call_done(attach);
                return false;
        }
        if (attach->type == CALL_ATTACH && ended->type == CALL_ENDED)
                return true;
        call_done(attach);
        call_done(ended);
        return false;
}

/* Return: whether the daemon can be talked with. */
static bool deliver(Client *client, int dir_fd, const char *name) {
        Call attach;
        Call ended;
        bool heard;

        if (!read_record(dir_fd, name, &attach, &ended)) {
                (void)unlinkat(dir_fd, name, 0);
                return true;
        }
        /* What it answers is of no matter: it has heard it, or it knows better. */
        heard = is_said(client, &attach) && is_said(client, &ended);
        if (heard)
                (void)unlinkat(dir_fd, name, 0);
        call_done(&attach);
        call_done(&ended);
        return heard;
}

static void forget_old(int dir_fd, const char *name) {
        struct stat st;
        uint64_t now = clock_realtime_us();

        if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
                return;
        if ((uint64_t)st.st_mtim.tv_sec * US_PER_SEC + KEPT_US < now)
                (void)unlinkat(dir_fd, name, 0);
}

void records_deliver(Client *client, const char *database) {
        _cleanup_free_ char *path = NULL;
        const struct dirent *entry;
        bool reachable = true;
        DIR *dir;

        if (ended_dir(&path) < 0)
                return;
        dir = opendir(path);
        if (!dir)
                return;

        while (reachable && (entry = readdir(dir))) {
                const char *dash = strchr(entry->d_name, '-');

                if (dash && database[0] != '\0' && strcmp(dash + 1, database) == 0)
                        reachable = deliver(client, dirfd(dir), entry->d_name);
                else
                        forget_old(dirfd(dir), entry->d_name);
        }
        (void)closedir(dir);
}
