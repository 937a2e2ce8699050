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
#define RECORD_MAX  ((size_t)RECORDS_PLACE_MAX + (size_t)N_MESSAGES * FRAME_MESSAGE_MAX)
#define KEPT_US     (UINT64_C(30) * 24 * 3600 * US_PER_SEC) /* as long as history by default */

enum {
        N_MESSAGES = 2,
};

static int ended_dir(char **ret) {
        _cleanup_free_ char *state = NULL;
        int r;

        r = places_personal_state(&state, NULL);
        if (r < 0)
                return r;
        return asprintf(ret, "%s/ended", state) < 0 ? -ENOMEM : 0;
}

void records_place(const Client *client, char buf[static RECORDS_PLACE_MAX]) {
        switch (client_kind(client)) {
        case DAEMON_KIND_MACHINE:
                (void)snprintf(buf, RECORDS_PLACE_MAX, "machine");
                return;
        case DAEMON_KIND_PERSONAL:
                (void)snprintf(buf, RECORDS_PLACE_MAX, "personal");
                return;
        case DAEMON_KIND_NAMED:
                (void)snprintf(buf, RECORDS_PLACE_MAX, "%s", client_path(client));
                return;
        }
        buf[0] = '\0';
}

/* The place and both messages, each with its ending NUL, as on the socket. */
static int compose(const char *place,
                   const Call *attach,
                   const Call *ended,
                   char **ret,
                   size_t *ret_n) {
        const Call *calls[N_MESSAGES] = { attach, ended };
        _cleanup_free_ char *bytes = NULL;
        size_t n = strlen(place) + 1;

        bytes = strdup(place);
        if (!bytes)
                return -ENOMEM;
        for (size_t i = 0; i < N_MESSAGES; i++) {
                _cleanup_free_ char *message = NULL;
                size_t n_message;
                char *grown;
                int r;

                r = call_encode(calls[i], &message, &n_message);
                if (r < 0)
                        return r;
                grown = realloc(bytes, n + n_message + 1);
                if (!grown)
                        return -ENOMEM;
                bytes = grown;
                (void)memcpy(bytes + n, message, n_message + 1);
                n += n_message + 1;
        }
        *ret = TAKE_PTR(bytes);
        *ret_n = n;
        return 0;
}

int records_leave(const char *place, const Call *attach, const Call *ended) {
        _cleanup_free_ char *bytes = NULL;
        _cleanup_free_ char *path = NULL;
        _cleanup_free_ char *dir = NULL;
        size_t n;
        int r;

        r = ended_dir(&dir);
        if (r < 0)
                return r;
        r = fd_mkdir_p(dir, 0700);
        if (r < 0)
                return r;
        r = compose(place, attach, ended, &bytes, &n);
        if (r < 0)
                return r;
        /* The same end twice is one record. */
        if (asprintf(&path, "%s/%" PRIu64 "-%s", dir, attach->attach.task->id,
                     attach->attach.database) < 0)
                return -ENOMEM;
        return fd_write_file_atomic(AT_FDCWD, path, bytes, n, 0600);
}

bool records_exist(void) {
        _cleanup_free_ char *dir = NULL;

        return ended_dir(&dir) == 0 && access(dir, F_OK) == 0;
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

/* What is in a record. */
typedef struct Record {
        char *bytes;
        const char *place; /* in @bytes */
        Call calls[N_MESSAGES];
        size_t n_calls;
} Record;

static void record_done(Record *record) {
        for (size_t i = 0; i < record->n_calls; i++)
                call_done(&record->calls[i]);
        free(record->bytes);
}

/* Return: whether it is one. @ret: release with record_done(), whatever is returned. */
static bool read_record(int dir_fd, const char *name, Record *ret) {
        const char *s;
        size_t n;

        *ret = (Record){ 0 };
        if (fd_read_file(dir_fd, name, &ret->bytes, &n, RECORD_MAX) < 0)
                return false;
        ret->place = ret->bytes;
        s = ret->bytes;
        for (size_t i = 0; i < N_MESSAGES; i++) {
                size_t n_skipped = strlen(s) + 1; /* a NUL stands behind the file, too */

                if (n_skipped >= n)
                        return false;
                s += n_skipped;
                n -= n_skipped;
                if (call_decode(s, strlen(s), &ret->calls[i], NULL) != 0)
                        return false;
                ret->n_calls++;
        }
        return ret->calls[0].type == CALL_ATTACH && ret->calls[1].type == CALL_ENDED;
}

/* Return: whether the daemon can be talked with. */
static bool deliver(Client *client, const char *place, int dir_fd, const char *name) {
        _cleanup_(record_done) Record record;

        if (!read_record(dir_fd, name, &record)) {
                (void)unlinkat(dir_fd, name, 0);
                return true;
        }
        if (strcmp(record.place, place) != 0)
                return true;
        /* What it answers is of no matter: it has heard it, or it knows better. */
        if (!is_said(client, &record.calls[0]) || !is_said(client, &record.calls[1]))
                return false;
        (void)unlinkat(dir_fd, name, 0);
        return true;
}

/* Return: whether it was. */
static bool forget_old(int dir_fd, const char *name) {
        uint64_t now = clock_realtime_us();
        struct stat st;

        if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
                return true;
        return (uint64_t)st.st_mtim.tv_sec * US_PER_SEC + KEPT_US < now &&
               unlinkat(dir_fd, name, 0) == 0;
}

void records_deliver(Client *client) {
        char place[RECORDS_PLACE_MAX];
        _cleanup_free_ char *path = NULL;
        const struct dirent *entry;
        bool reachable = true;
        DIR *dir;

        if (ended_dir(&path) < 0)
                return;
        dir = opendir(path);
        if (!dir)
                return;

        records_place(client, place);
        while (reachable && (entry = readdir(dir)))
                if (!forget_old(dirfd(dir), entry->d_name))
                        reachable = deliver(client, place, dirfd(dir), entry->d_name);
        (void)closedir(dir);
}
