#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Fields of the kernel's text files
 *
 * Files of /proc and cgroupfs are lines of a name and a number. They are read whole into a buffer
 * of fixed size and searched by name; what is missing, too long or no number is an error, never a
 * zero.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* More than any of these files has; a status grows with the groups of its user. */
#define FIELDS_TEXT_MAX 16384

/**
 * fields_read() - read a file whole
 * @dir_fd:     folder that @path is relative to
 * @path:       the file
 * @buf:        set; no NUL is added
 * @n_buf:      size of @buf; what is beyond it is cut off
 *
 * Return: the number of bytes, or the errno of opening or reading.
 */
ssize_t fields_read(int dir_fd, const char *path, char *buf, size_t n_buf);

/**
 * fields_find() - the rest of the first line with a name
 * @text:       borrowed; needs no NUL
 * @n:          number of bytes
 * @name:       what the line begins with, before a colon or blanks
 * @ret_end:    set to the end of the line: its newline, or the end of @text
 *
 * Return: what follows colon and blanks, or NULL if there is no such line.
 */
const char *fields_find(const char *text, size_t n, const char *name, const char **ret_end);

/**
 * fields_number() - a whole number in front of other text
 * @p:          moved behind the number on success
 * @end:        where the text ends
 * @ret:        set to the number
 *
 * Return: 0, -EBADMSG if there is no digit, or -ERANGE.
 */
int fields_number(const char **p, const char *end, uint64_t *ret);

/**
 * fields_get() - the number on the line with a name
 * @text:       borrowed; needs no NUL
 * @n:          number of bytes
 * @name:       as for fields_find()
 * @ret:        set to the number
 *
 * Return: 0, -ENODATA if there is no such line, or -EBADMSG, -ERANGE if it is not a number alone.
 */
int fields_get(const char *text, size_t n, const char *name, uint64_t *ret);

/* The same for lines that end in ` kB`, which means KiB. @ret_bytes is in bytes. */
int fields_get_kib(const char *text, size_t n, const char *name, uint64_t *ret_bytes);
