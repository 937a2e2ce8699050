#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * File descriptors and whole files
 *
 * A descriptor is close-on-exec from birth, -1 when empty, and lives in exactly one variable.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/**
 * fd_close() - close and forget: `fd = fd_close(fd)`
 * @fd:         may be negative, which is empty
 *
 * errno survives.
 *
 * Return: -1.
 */
int fd_close(int fd);

/**
 * fd_is_short_of() - whether there are hardly any descriptors left
 * @fd:         any one of ours
 * @n:          so many are kept for something else
 *
 * The lowest free number tells how many there are; the limit may have been changed from outside.
 */
bool fd_is_short_of(int fd, unsigned n);

/**
 * fd_read_file() - read a whole file
 * @dir_fd:     folder that @path is relative to, or AT_FDCWD
 * @path:       the file
 * @ret:        set to the content, to be freed; a NUL stands behind it
 * @ret_n:      set to the number of bytes without that NUL; may be NULL
 * @max:        most bytes to take
 *
 * Works for files of /proc and /sys, whose size nobody knows before. Does not wait for the writer
 * of a FIFO.
 *
 * Return: 0, -EFBIG if there is more than @max, or the errno of opening or reading.
 */
int fd_read_file(int dir_fd, const char *path, char **ret, size_t *ret_n, size_t max);

/**
 * fd_write_all() - write all of it
 * @fd:         open for writing, and blocking
 * @data:       borrowed
 * @n:          number of bytes
 *
 * Return: 0, or the errno of the write that failed; some of it may have been written then.
 */
int fd_write_all(int fd, const void *data, size_t n);

/**
 * fd_write_at() - write all of it in one go, at a place of a file
 * @fd:         open for writing
 * @data:       borrowed
 * @n:          number of bytes
 * @offset:     in bytes
 *
 * Return: 0, or a negative errno: -ENOSPC also if only a part was written.
 */
int fd_write_at(int fd, const void *data, size_t n, size_t offset);

/**
 * fd_set_nonblock() - change whether reading and writing wait
 * @fd:         the descriptor; all that share its description are changed with it
 * @nonblock:   true: do not wait
 *
 * Return: 0, or a negative errno.
 */
int fd_set_nonblock(int fd, bool nonblock);

/**
 * fd_mkdir_p() - make a folder and those above it
 * @path:       the folder
 * @mode:       of each folder that is made, less the umask; those that exist keep theirs
 *
 * Return: 0, also if it was there; -ENOTDIR if something in @path is no folder; or a negative
 * errno.
 */
int fd_mkdir_p(const char *path, mode_t mode);

/**
 * fd_write_file_atomic() - put a file in place whole or not at all
 * @dir_fd:     folder that @path is relative to, or AT_FDCWD
 * @path:       the file; replaced if it exists
 * @data:       borrowed
 * @n:          number of bytes
 * @mode:       of the file, whatever the umask
 *
 * Readers see the old content or the new. It is not synced: after a power cut the file may be
 * the old one.
 *
 * Return: 0, or a negative errno; nothing is left behind then.
 */
int fd_write_file_atomic(int dir_fd, const char *path, const void *data, size_t n, mode_t mode);
