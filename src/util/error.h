#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Errors for people
 *
 * A function that judges somebody's input returns a number like every other, and fills an Error
 * with the sentence that tells the person what is wrong. The caller owns the struct, and passes
 * NULL when nobody will read it.
 */

#include "util/macro.h"

typedef struct Error {
        char text[512]; /* one line, without a full stop; cut where it does not fit */
} Error;

/**
 * error_set() - say what is wrong
 * @error:      replaced; may be NULL
 * @r:          what to return, usually a negative errno
 * @fmt:        what could not be done, then why; no capital, no full stop, subject in single quotes
 *
 * An argument may point into @error itself.
 *
 * Return: @r, so that it can be the whole of a return statement.
 */
int error_set(Error *error, int r, const char *fmt, ...) _printf_(3, 4);

/**
 * error_prefix() - put where or what in front of a sentence that is there already
 * @error:      changed; may be NULL
 * @fmt:        what goes in front, with its own colon and space
 *
 * What no longer fits is cut from the end of the old sentence.
 */
void error_prefix(Error *error, const char *fmt, ...) _printf_(2, 3);
