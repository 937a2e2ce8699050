#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * INI files
 *
 * `[section]`, `key = value`, comments from `#` or `;` at the start of a line. Every value comes with
 * its line, and whatever is not plainly one of these is a refusal that names file and line: what
 * a person wrote is never half read.
 */

#include <stddef.h>

#include "util/error.h"

/**
 * ini_file_fn - takes one value
 * @userdata:   as given to the reader
 * @section:    borrowed; empty before the first section
 * @key:        borrowed
 * @value:      borrowed; may be empty
 * @line:       where it stands, from 1
 * @error:      what is wrong with it, without file and line: those are put in front
 *
 * Return: 0 to go on, or a negative errno, which ends the reading.
 */
typedef int (*ini_file_fn)(void *userdata,
                           const char *section,
                           const char *key,
                           const char *value,
                           unsigned line,
                           Error *error);

/**
 * ini_file_load() - read a file
 * @path:       the file
 * @fn:         called for each value in order
 * @userdata:   handed to @fn
 * @error:      says file, line and what is wrong; may be NULL
 *
 * Return: 0, -ENOENT if there is no such file, -EINVAL if it is malformed, what @fn returned, or the
 * errno of reading.
 */
int ini_file_load(const char *path, ini_file_fn fn, void *userdata, Error *error);

/**
 * ini_file_parse() - read text that is in memory
 * @name:       what messages call it
 * @text:       borrowed
 * @n:          number of bytes
 * @fn:         called for each value in order
 * @userdata:   handed to @fn
 * @error:      says name, line and what is wrong; may be NULL
 *
 * Return: 0, -EINVAL if it is malformed, or what @fn returned.
 */
int ini_file_parse(const char *name,
                   const char *text,
                   size_t n,
                   ini_file_fn fn,
                   void *userdata,
                   Error *error);
