/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * A log is the file itself, which its task appends to and people read: so it is never renamed or cut, but its front becomes a hole,
 * and what was written last keeps its place.
 */

#include "agent/logs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/jobs.h"
#include "agent/runs.h"
#include "agent/say.h"
#include "core/ref.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/steady-clock.h"

#define PURGE_EVERY_US (UINT64_C(86400) * US_PER_SEC)
#define GRACE_US       (UINT64_C(3600) * US_PER_SEC) /* behind the last one */
#define BLOCK_BYTES    (4 * KIB)

struct Logs {
        Agent *agent;
        int dir_fd;
        uint64_t limit_bytes; /* UINT64_MAX: none */
        uint64_t keep_us;     /* TASK_TIME_INF: for ever */
        SteadyClock clock;
        bool said_no_holes;
        sd_event_source *purge_source;
};

static int on_purge(sd_event_source *source, uint64_t usec, void *userdata) {
        logs_purge(userdata);
        return 0;
}

int logs_new(Logs **ret, Agent *agent) {
        _cleanup_free_ char *path = NULL;
        Logs *logs;
        int r;

        logs = calloc(1, sizeof(*logs));
        if (!logs || asprintf(&path, "%s/logs", agent->folder) < 0) {
                free(logs);
                return -ENOMEM;
        }
        *logs = (Logs){
                .agent = agent,
                .dir_fd = -1,
                .limit_bytes = UINT64_MAX,
                .keep_us = TASK_TIME_INF,
        };
        r = fd_mkdir_p(path, 0700);
        if (r == 0) {
                logs->dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                r = logs->dir_fd < 0 ? -errno : 0;
        }
        if (r == 0)
                r = sd_event_add_time_relative(agent->event, &logs->purge_source, CLOCK_BOOTTIME,
                                               PURGE_EVERY_US, PURGE_EVERY_US / 24, on_purge, logs);
        if (r < 0) {
                logs_free(logs);
                return r;
        }
        (void)sd_event_source_set_enabled(logs->purge_source, SD_EVENT_OFF);
        *ret = logs;
        return 0;
}

Logs *logs_free(Logs *logs) {
        if (!logs)
                return NULL;
        (void)sd_event_source_disable_unref(logs->purge_source);
        (void)fd_close(logs->dir_fd);
        free(logs);
        return NULL;
}

void logs_set(Logs *logs, uint64_t limit_bytes, uint64_t keep_us) {
        logs->limit_bytes = limit_bytes;
        logs->keep_us = keep_us;
}

static void name_of(uint64_t ref, char buf[static TASK_REF_FORMAT_MAX + 4]) {
        char text[TASK_REF_FORMAT_MAX];

        (void)snprintf(buf, TASK_REF_FORMAT_MAX + 4, "%s.log",
                       task_ref_format(text, sizeof(text), ref));
}

char *logs_path(const Logs *logs, uint64_t ref) {
        char name[TASK_REF_FORMAT_MAX + 4];
        char *path;

        name_of(ref, name);
        return asprintf(&path, "%s/logs/%s", logs->agent->folder, name) < 0 ? NULL : path;
}

char *logs_pattern(const Logs *logs, bool array) {
        char *pattern;

        return asprintf(&pattern, "%s/logs/%s.log", logs->agent->folder,
                        array ? "{id}_{index}" : "{id}") < 0 ?
                       NULL :
                       pattern;
}

bool logs_exists(const Logs *logs, uint64_t ref) {
        char name[TASK_REF_FORMAT_MAX + 4];

        name_of(ref, name);
        return faccessat(logs->dir_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

void logs_trim(Logs *logs, uint64_t ref) {
        char name[TASK_REF_FORMAT_MAX + 4];
        _cleanup_close_ int fd = -1;
        struct stat st;
        off_t end;

        if (logs->limit_bytes == UINT64_MAX)
                return;
        name_of(ref, name);
        if (fstatat(logs->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode) ||
            (uint64_t)st.st_blocks * 512 <= logs->limit_bytes ||
            (uint64_t)st.st_size <= logs->limit_bytes)
                return;
        end = (off_t)(((uint64_t)st.st_size - logs->limit_bytes) / BLOCK_BYTES * BLOCK_BYTES);
        fd = openat(logs->dir_fd, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (fd < 0 || end == 0)
                return;
        if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, end) == 0 ||
            logs->said_no_holes)
                return;
        logs->said_no_holes = true;
        say_warning("logs in '%s/logs' grow beyond log_limit: %s", logs->agent->folder,
                    errno == EOPNOTSUPP ? "its file system cannot let go of the front of a file" :
                                          strerror(errno));
}

/* The task that a file is the log of. Return: false: it is none. */
static bool parse_name(const char *name, uint64_t *ret) {
        char word[TASK_REF_FORMAT_MAX];
        size_t n = strlen(name);

        if (n <= 4 || n - 4 >= sizeof(word) || strcmp(name + n - 4, ".log") != 0)
                return false;
        (void)memcpy(word, name, n - 4);
        word[n - 4] = '\0';
        return task_ref_parse(word, ret, NULL) == 0;
}

static void purge_one(Logs *logs, const char *name, uint64_t before_us) {
        struct stat st;
        uint64_t ref;

        if (!parse_name(name, &ref) || run_newest(logs->agent, ref) || job_find(logs->agent, ref) ||
            fstatat(logs->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
                return;
        /* Nobody has written to it since its task ended, so this is no later than that. */
        if ((uint64_t)st.st_mtim.tv_sec * US_PER_SEC < before_us)
                (void)unlinkat(logs->dir_fd, name, 0);
}

/*
 * When the last one was written to. A clock that is far ahead of that may be wrong, as after a boot without a battery: what is written
 * next will tell.
 */
static uint64_t last_written_us(const Logs *logs, DIR *dir) {
        uint64_t last_us = 0, ref;
        const struct dirent *entry;
        struct stat st;

        while ((entry = readdir(dir)))
                if (parse_name(entry->d_name, &ref) &&
                    fstatat(logs->dir_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
                        last_us = MAX(last_us, (uint64_t)st.st_mtim.tv_sec * US_PER_SEC);
        rewinddir(dir);
        return last_us;
}

void logs_purge(Logs *logs) {
        uint64_t now_us = steady_clock_us(&logs->clock, clock_realtime_us(), clock_boottime_us());
        _cleanup_close_ int fd = -1;
        struct dirent *entry;
        DIR *dir;

        (void)sd_event_source_set_time_relative(logs->purge_source, PURGE_EVERY_US);
        (void)sd_event_source_set_enabled(logs->purge_source, SD_EVENT_ONESHOT);
        if (logs->keep_us == TASK_TIME_INF || logs->keep_us >= now_us)
                return;
        fd = openat(logs->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        dir = fd < 0 ? NULL : fdopendir(fd);
        if (!dir)
                return;
        (void)TAKE_FD(fd); /* the stream's now */
        now_us = MIN(now_us, last_written_us(logs, dir) + GRACE_US);
        while (now_us > logs->keep_us && (entry = readdir(dir)))
                purge_one(logs, entry->d_name, now_us - logs->keep_us);
        (void)closedir(dir);
}
