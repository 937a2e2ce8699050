#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * A file with a command on each line
 *
 * Read as it comes, however long it is: no more than one line and some is in memory.
 */

#include <stdint.h>

#include "util/error.h"
#include "util/macro.h"

/* The kernel takes 128 KiB as one argument, with the NUL behind it. */
#define LINES_BYTES_MAX (128 * KIB - 1)

typedef struct Lines Lines;

/**
 * lines_new() - read lines from a descriptor
 * @fd:         borrowed until the reader is freed
 *
 * Return: 0, or -ENOMEM.
 */
int lines_new(Lines **ret, int fd);
Lines *lines_free(Lines *lines);
DEFINE_CLEANUP(Lines *, lines_free);

/* lines_next() */
enum {
        LINES_E_END = 1, /* there are no more */
};

/**
 * lines_next() - the next line that is a command
 * @ret:        set to it, without its end; valid until the next call
 * @ret_number: set to its number in the file, from 1; also if it is refused
 * @error:      what is wrong with it, or with the file
 *
 * Lines of blanks alone, and those whose first character that is no blank is a `#`, are passed over. A last line needs no newline.
 *
 * Return: 0, LINES_E_END, -EINVAL (a NUL byte, or longer than LINES_BYTES_MAX), or the errno of reading.
 */
int lines_next(Lines *lines, const char **ret, uint64_t *ret_number, Error *error);
