/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Three parts, each with a mark and a checksum of its own, each written by one pwrite(): who claims the start, the command, the
 * end. A part that was not written yet is all zeros. The zeros are written when the file is made, since that reserves their blocks
 * on every file system that writes in place; on one that does not (btrfs, zfs) the end may find the disk full, and its keeper
 * goes on trying. fallocate() would do no more than that, and costs a transaction of the journal.
 *
 * Numbers are the machine's own: the file is of no use on another one.
 */

#include "agent/record-file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/fd.h"
#include "util/macro.h"
#include "util/text.h"
#include "util/units.h"

#define MARK_HEAD    UINT64_C(0x31766563666c7466) /* "ftlfcev1" */
#define MARK_COMMAND UINT64_C(0x646e616d6d6f6366)
#define MARK_END     UINT64_C(0x646e65666c7466ff)

enum {
        RECYCLED_MAX = 64,  /* as many as may be ended between two looks of the agent */
        RECYCLED_TRIES = 8, /* names that are tried */
        READS_MAX = 3,      /* a part that is being written while we read is whole a moment later */
};

typedef struct HeadPart {
        uint64_t mark;
        uint64_t ref;
        uint64_t attempt;
        uint64_t keeper_pid;
        uint64_t keeper_ticks;
        char boot_id[48];
        uint64_t checksum;
} HeadPart;

typedef struct CommandPart {
        uint64_t mark;
        uint64_t pid;
        uint64_t ticks;
        uint64_t started_at_us;
        uint64_t checksum;
} CommandPart;

typedef struct EndPart {
        uint64_t mark;
        uint64_t state;
        int64_t exit_status;
        uint64_t signal;
        uint64_t ended_at_us;
        char reason[RECORD_REASON_MAX];
        uint64_t checksum;
} EndPart;

typedef struct Image {
        HeadPart head;
        CommandPart command;
        EndPart end;
        char rest[RECORD_FILE_BYTES - sizeof(HeadPart) - sizeof(CommandPart) - sizeof(EndPart)];
} Image;

_Static_assert(sizeof(Image) == RECORD_FILE_BYTES, "no padding that nobody set");

#define UNFINISHED "unfinished-" /* and the process that makes it */

/* FNV-1a: against accidents, not against people, to whom the file belongs anyway. */
static uint64_t checksum(const void *bytes, size_t n) {
        const unsigned char *p = bytes;
        uint64_t hash = UINT64_C(0xcbf29ce484222325);

        for (size_t i = 0; i < n; i++)
                hash = (hash ^ p[i]) * UINT64_C(0x100000001b3);
        return hash;
}

#define seal(part)      ((part)->checksum = checksum(part, offsetof(typeof(*(part)), checksum)))
#define is_sealed(part) ((part)->checksum == checksum(part, offsetof(typeof(*(part)), checksum)))

static bool is_zero(const void *bytes, size_t n) {
        const unsigned char *p = bytes;

        return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

void record_file_name(uint64_t ref, unsigned attempt, char buf[static RECORD_NAME_MAX]) {
        int64_t index = task_ref_index(ref);

        if (index < 0)
                (void)snprintf(buf, RECORD_NAME_MAX, "%" PRIu64 ".%u", task_ref_id(ref), attempt);
        else
                (void)snprintf(buf, RECORD_NAME_MAX, "%" PRIu64 "_%" PRIi64 ".%u", task_ref_id(ref),
                               index, attempt);
}

/* Reads it loosely, and compares it with what we would have called it. */
int record_file_parse_name(const char *name, uint64_t *ret_ref, unsigned *ret_attempt) {
        char word[RECORD_NAME_MAX], again[RECORD_NAME_MAX];
        uint64_t id, attempt, index = 0;
        char *dot, *low;
        uint64_t ref;

        if (strlen(name) >= sizeof(word))
                return -EINVAL;
        (void)memcpy(word, name, strlen(name) + 1);
        dot = strchr(word, '.');
        if (!dot)
                return -EINVAL;
        *dot = '\0';
        low = strchr(word, '_');
        if (low)
                *low = '\0';
        if (units_parse_uint(word, 1, TASK_ID_MAX, &id, NULL) < 0 ||
            units_parse_uint(dot + 1, 1, UINT_MAX, &attempt, NULL) < 0 ||
            (low && units_parse_uint(low + 1, 0, TASK_INDEX_MAX, &index, NULL) < 0))
                return -EINVAL;

        ref = task_ref(id, low ? (int64_t)index : -1);
        record_file_name(ref, (unsigned)attempt, again);
        if (strcmp(again, name) != 0)
                return -EINVAL;
        *ret_ref = ref;
        *ret_attempt = (unsigned)attempt;
        return 0;
}

static void recycled_name(unsigned i, char buf[static RECORD_NAME_MAX]) {
        (void)snprintf(buf, RECORD_NAME_MAX, "recycled-%u", i);
}

bool record_file_is_recycled(const char *name) {
        char recycled[RECORD_NAME_MAX];

        for (unsigned i = 0; i < RECYCLED_MAX; i++) {
                recycled_name(i, recycled);
                if (strcmp(name, recycled) == 0)
                        return true;
        }
        return false;
}

/*
 * The names are a ring: one end puts them there, the other takes them, and each goes on where it was successful last. Where the
 * two have lost each other they meet again after some tries.
 */
static unsigned next_put, next_taken;

int record_file_recycle(int dir_fd, const char *name) {
        char recycled[RECORD_NAME_MAX];

        for (unsigned i = 0; i < RECYCLED_TRIES; i++) {
                recycled_name(next_put++ % RECYCLED_MAX, recycled);
                if (renameat2(dir_fd, name, dir_fd, recycled, RENAME_NOREPLACE) == 0)
                        return 0;
                if (errno != EEXIST)
                        break;
        }
        return unlinkat(dir_fd, name, 0) < 0 ? -errno : 0;
}

/*
 * Takes the place of a start, whole: the file has all that a record has before it has its name.
 *
 * Return: 0; -EEXIST: the start is taken; or another negative errno. @from is still there then.
 */
static int put_in_place(int dir_fd, const char *from, const char *name) {
        return renameat2(dir_fd, from, dir_fd, name, RENAME_NOREPLACE) < 0 ? -errno : 0;
}

/* Whether it has that name. Whoever wants to give it another one has it locked. */
static bool is_called(int fd, int dir_fd, const char *name) {
        struct stat st, named;

        return fstat(fd, &st) == 0 && fstatat(dir_fd, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
               st.st_ino == named.st_ino && st.st_dev == named.st_dev;
}

/* Return: the file; -ENOENT: there is none to be had; or as put_in_place(). */
static int claim_recycled(int dir_fd, const char *name, const Image *image) {
        char recycled[RECORD_NAME_MAX];

        for (unsigned i = 0; i < RECYCLED_TRIES; i++) {
                _cleanup_close_ int fd = -1;
                int r;

                recycled_name(next_taken++ % RECYCLED_MAX, recycled);
                fd = openat(dir_fd, recycled, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
                if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 || !is_called(fd, dir_fd, recycled))
                        continue;
                r = fd_write_at(fd, image, sizeof(*image), 0);
                if (r == 0)
                        r = put_in_place(dir_fd, recycled, name);
                (void)flock(fd, LOCK_UN);
                if (r == 0 || r == -EEXIST)
                        return r < 0 ? r : TAKE_FD(fd);
        }
        return -ENOENT;
}

static void unfinished_name(pid_t pid, char buf[static RECORD_NAME_MAX]) {
        (void)snprintf(buf, RECORD_NAME_MAX, UNFINISHED "%d", (int)pid);
}

bool record_file_is_unfinished(const char *name, bool *ret_left) {
        uint64_t pid;

        if (strncmp(name, UNFINISHED, strlen(UNFINISHED)) != 0 ||
            units_parse_uint(name + strlen(UNFINISHED), 1, INT_MAX, &pid, NULL) < 0)
                return false;
        *ret_left = kill((pid_t)pid, 0) < 0 && errno == ESRCH;
        return true;
}

static int claim_new(int dir_fd, const char *name, const Image *image) {
        char unfinished[RECORD_NAME_MAX];
        _cleanup_close_ int fd = -1;
        int r;

        unfinished_name(getpid(), unfinished);
        fd = openat(dir_fd, unfinished, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return -errno;
        r = fd_write_at(fd, image, sizeof(*image), 0);
        if (r == 0)
                r = put_in_place(dir_fd, unfinished, name);
        if (r < 0) {
                (void)unlinkat(dir_fd, unfinished, 0);
                return r;
        }
        return TAKE_FD(fd);
}

int record_file_create(int *ret_fd,
                       int dir_fd,
                       uint64_t ref,
                       unsigned attempt,
                       const ProcId *keeper) {
        char name[RECORD_NAME_MAX];
        Image image = {
                .head = { .mark = MARK_HEAD,
                          .ref = ref,
                          .attempt = attempt,
                          .keeper_pid = (uint64_t)keeper->pid,
                          .keeper_ticks = keeper->start_ticks },
        };
        int fd;

        (void)memcpy(image.head.boot_id, keeper->boot_id, sizeof(keeper->boot_id));
        seal(&image.head);

        record_file_name(ref, attempt, name);
        fd = claim_recycled(dir_fd, name, &image);
        if (fd == -ENOENT)
                fd = claim_new(dir_fd, name, &image);
        if (fd < 0)
                return fd == -EEXIST ? RECORD_FILE_E_EXISTS : fd;
        *ret_fd = fd;
        return 0;
}

int record_file_note_command(int fd, pid_t pid, uint64_t start_ticks, uint64_t started_at_us) {
        CommandPart part = {
                .mark = MARK_COMMAND,
                .pid = (uint64_t)pid,
                .ticks = start_ticks,
                .started_at_us = started_at_us,
        };

        seal(&part);
        return fd_write_at(fd, &part, sizeof(part), offsetof(Image, command));
}

int record_file_note_end(int fd, const RecordEnd *end) {
        _cleanup_free_ char *reason = NULL;
        EndPart part = {
                .mark = MARK_END,
                .state = end->state,
                .exit_status = end->exit_status,
                .signal = (uint64_t)end->signal,
                .ended_at_us = end->ended_at_us,
        };

        /* It may name files, and the wire has UTF-8 alone. Without memory the end counts more than its reason. */
        reason = text_repair_utf8(end->reason, sizeof(end->reason), sizeof(part.reason) - 1);
        if (reason)
                (void)memcpy(part.reason, reason, strlen(reason) + 1);
        seal(&part);
        return fd_write_at(fd, &part, sizeof(part), offsetof(Image, end));
}

static bool judge_head(const HeadPart *part, Record *ret) {
        if (part->mark != MARK_HEAD || !is_sealed(part) || part->attempt == 0 ||
            part->attempt > UINT_MAX || task_ref_id(part->ref) == 0 ||
            task_ref_index(part->ref) > TASK_INDEX_MAX || part->keeper_pid == 0 ||
            part->keeper_pid > INT_MAX ||
            strnlen(part->boot_id, sizeof(part->boot_id)) != BOOT_ID_SIZE - 1)
                return false;
        ret->ref = part->ref;
        ret->attempt = (unsigned)part->attempt;
        ret->keeper.pid = (pid_t)part->keeper_pid;
        ret->keeper.start_ticks = part->keeper_ticks;
        (void)memcpy(ret->keeper.boot_id, part->boot_id, sizeof(ret->keeper.boot_id));
        return true;
}

static bool judge_command(const CommandPart *part, Record *ret) {
        if (is_zero(part, sizeof(*part)))
                return true;
        if (part->mark != MARK_COMMAND || !is_sealed(part) || part->pid == 0 || part->pid > INT_MAX)
                return false;
        ret->has_command = true;
        ret->pid = (pid_t)part->pid;
        ret->pid_start_ticks = part->ticks;
        ret->started_at_us = part->started_at_us;
        ret->state = RECORD_STATE_RUNNING;
        return true;
}

static bool is_end_state(uint64_t state) {
        return state == TASK_STATE_DONE || state == TASK_STATE_FAILED ||
               state == TASK_STATE_CANCELLED || state == TASK_STATE_TIMEOUT;
}

static bool judge_end(const EndPart *part, Record *ret) {
        size_t n_reason = strnlen(part->reason, sizeof(part->reason));

        if (is_zero(part, sizeof(*part)))
                return true;
        if (part->mark != MARK_END || !is_sealed(part) || !is_end_state(part->state) ||
            part->exit_status < -1 || part->exit_status > 255 || part->signal >= NSIG ||
            n_reason == sizeof(part->reason) || !text_is_utf8(part->reason, n_reason))
                return false;
        ret->end = (RecordEnd){
                .state = (TaskState)part->state,
                .exit_status = (int)part->exit_status,
                .signal = (int)part->signal,
                .ended_at_us = part->ended_at_us,
        };
        (void)memcpy(ret->end.reason, part->reason, sizeof(part->reason));
        ret->state = RECORD_STATE_ENDED;
        return true;
}

void record_file_judge(const void *bytes, size_t n, Record *ret) {
        Image image;

        *ret = (Record){ .state = RECORD_STATE_STARTING };
        if (n == sizeof(image)) {
                (void)memcpy(&image, bytes, sizeof(image));
                if (judge_head(&image.head, ret) && judge_command(&image.command, ret) &&
                    judge_end(&image.end, ret) && is_zero(image.rest, sizeof(image.rest)))
                        return;
        }
        *ret = (Record){ .state = RECORD_STATE_GARBAGE };
}

int record_file_read(int dir_fd, const char *name, Record *ret) {
        unsigned attempt;
        uint64_t ref;

        *ret = (Record){ .state = RECORD_STATE_GARBAGE };
        if (record_file_parse_name(name, &ref, &attempt) < 0)
                return 0;
        for (unsigned i = 0; i < READS_MAX && ret->state == RECORD_STATE_GARBAGE; i++) {
                _cleanup_free_ char *bytes = NULL;
                size_t n;
                int r;

                r = fd_read_file(dir_fd, name, &bytes, &n, RECORD_FILE_BYTES);
                if (r == -EFBIG)
                        return 0;
                if (r < 0)
                        return r;
                record_file_judge(bytes, n, ret);
        }
        if (ret->ref != ref || ret->attempt != attempt)
                *ret = (Record){ .state = RECORD_STATE_GARBAGE };
        return 0;
}
