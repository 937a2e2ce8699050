#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The record of one start
 *
 * A file of the agent's folder `run/` for each start, REF.ATTEMPT: `12.1`, of an element `12_3.2`. Its keeper makes it before the
 * command can run, notes the command, and at last how that ended; the agent removes it when the daemon has it. Whoever makes the
 * file, and nobody else, may start the task for the attempt that it names: that is what makes a task run at most once.
 *
 * It guards against the death of processes. Nothing is synced: after a crash of the machine a record of another boot says nothing.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/task.h"
#include "util/proc-id.h"

enum {
        RECORD_FILE_BYTES = 512,
        RECORD_REASON_MAX = 264, /* with its NUL */
        RECORD_NAME_MAX = 64,
};

typedef enum RecordState {
        RECORD_STATE_STARTING, /* no command is known */
        RECORD_STATE_RUNNING,  /* as far as the file knows */
        RECORD_STATE_ENDED,
        RECORD_STATE_GARBAGE, /* not written by us, or damaged */
} RecordState;

/* How it ended. */
typedef struct RecordEnd {
        TaskState state; /* done, failed, cancelled or timeout */
        int exit_status; /* 0 to 255; -1: none */
        int signal;      /* 0: none */
        uint64_t ended_at_us;
        char reason[RECORD_REASON_MAX]; /* UTF-8; empty: the end is the command's own */
} RecordEnd;

typedef struct Record {
        RecordState state;

        /* always, unless GARBAGE */
        uint64_t ref;
        unsigned attempt;
        ProcId keeper;

        /* the command; has_command: there was one */
        bool has_command;
        pid_t pid;
        uint64_t pid_start_ticks; /* under the boot id of the keeper */
        uint64_t started_at_us;

        RecordEnd end; /* ENDED only */
} Record;

/* "12.1", "12_3.2" in @buf. */
void record_file_name(uint64_t ref, unsigned attempt, char buf[static RECORD_NAME_MAX]);

/* The other way. Return: 0, or -EINVAL if it is no such name. */
int record_file_parse_name(const char *name, uint64_t *ret_ref, unsigned *ret_attempt);

/* record_file_create() */
enum {
        RECORD_FILE_E_EXISTS = 1, /* somebody has started it, and it must not be started again */
};

/**
 * record_file_create() - claim a start
 * @ret_fd:     set to the file, to be written by the others
 * @dir_fd:     of the folder run/
 * @keeper:     who claims it: the calling process
 *
 * Takes one that was recycled if there is one. All of its bytes are written, so that nothing that comes later needs room on the disk;
 * and before it has its name, so that it is there whole or not at all, whenever its keeper is killed.
 *
 * Return: 0, RECORD_FILE_E_EXISTS, or negative errno; there is no file then.
 */
int record_file_create(int *ret_fd,
                       int dir_fd,
                       uint64_t ref,
                       unsigned attempt,
                       const ProcId *keeper);

/**
 * record_file_recycle() - put a record away that nobody needs any more
 * @dir_fd:     of the folder run/
 * @name:       of the file
 *
 * A few are kept under names that are no start's, for the next starts: on ext4 an inode that was just deleted makes it slow to make
 * others for a minute, and more so with each. The keeper must be done with the record: it said so itself (KEEPER_NEWS_ENDED,
 * recorded), or it is gone. Of others, and if none is to be kept, unlinkat() does.
 *
 * Return: 0, or negative errno.
 */
int record_file_recycle(int dir_fd, const char *name);

/* Whether it is one that is being made; @ret_left: whoever did that is gone. */
bool record_file_is_unfinished(const char *name, bool *ret_left);

/* Whether a file of run/ is one that was put away. */
bool record_file_is_recycled(const char *name);

/* Note the command. Return: 0, or negative errno. */
int record_file_note_command(int fd, pid_t pid, uint64_t start_ticks, uint64_t started_at_us);

/* Note the end, whole or not at all. Return: 0, or negative errno: to be tried again. */
int record_file_note_end(int fd, const RecordEnd *end);

/**
 * record_file_read() - what a record says
 * @name:       of the file
 *
 * One whose name is of another start than its content is garbage. One that is written meanwhile is read as it was before or as it
 * is afterwards.
 *
 * Return: 0, also for garbage, or the errno of opening or reading.
 */
int record_file_read(int dir_fd, const char *name, Record *ret);

/* The same for bytes in memory, of any size. */
void record_file_judge(const void *bytes, size_t n, Record *ret);
