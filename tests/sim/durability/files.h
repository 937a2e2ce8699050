#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Record files of starts, on the virtual disk
 *
 * They guard against processes, not against a power cut: that one may take a file, or its later parts, and may bring back one that
 * was removed.
 */

#include <stdbool.h>
#include <stdint.h>

#include "core/task.h"

#include "system.h"

enum {
        FILES_MAX = 4096, /* in a round */
};

typedef struct End {
        TaskState state;
        int exit_status;
        int signal;
        const char *reason; /* static; NULL: none */
        uint64_t at_us;     /* CLOCK_REALTIME, as its keeper or its agent noted it */
} End;

typedef struct File {
        uint64_t ref;
        unsigned attempt;
        unsigned owner; /* whose: an agent's number */
        bool exists;
        bool garbage;
        unsigned boot;
        Proc keeper;
        Proc command; /* 0: none noted */
        bool ended;
        End end;
} File;

void files_begin(void);

/* O_EXCL. Return: the file; NULL: it exists, or (@ret_full) there was no room for it. */
File *file_create(unsigned owner, uint64_t ref, unsigned attempt, Proc keeper, bool *ret_full);
File *file_find(unsigned owner, uint64_t ref, unsigned attempt);
void file_remove(unsigned owner, uint64_t ref, unsigned attempt);

/* Those that there are, by number from 0. NULL: no more. */
File *file_next(unsigned owner, size_t *at);

void files_lose_power(void);
