#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Logs of detached tasks, printed
 *
 * A log is the file itself, and whoever follows it only reads on. Its front may have been cut off by making a hole of it
 * (decisions.md 25): the NULs that a hole reads as are passed over, whatever else stands in the file is printed as it is.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "util/error.h"

typedef struct LogFile {
        int fd;           /* owned; -1: not open */
        const char *path; /* borrowed */
        off_t pos;        /* up to here it was printed */
        bool in_hole;     /* what comes next may begin with NULs that were cut off */
        bool visible;     /* made harmless to a terminal: it is somebody else's */
        char held[4];     /* visible: the start of a character whose rest is still to come */
        size_t n_held;
} LogFile;

#define LOG_FILE_NULL \
        { .fd = -1 }

/**
 * log_file_open() - open one for reading
 * @path:       borrowed until log_file_done()
 *
 * Return: 0, or negative errno with @error: -ENOENT if it is not there, -EINVAL if it is no regular file.
 */
int log_file_open(LogFile *file, const char *path, Error *error);
void log_file_done(LogFile *file);

/* Goes on in front of its last lines. Return: 0, or negative errno. */
int log_file_skip_to_last(LogFile *file, uint64_t n_lines);

/**
 * log_file_print() - what is there now, to stdout
 * @last:       nothing will come behind it
 *
 * One that has become shorter is printed from its beginning again.
 *
 * Return: 0, or negative errno with @error.
 */
int log_file_print(LogFile *file, bool last, Error *error);
