#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Task files: options of `taskflow run` in INI form
 *
 *     [task]
 *     memory = 5G
 *     gpu = any:10G
 *     gpu = any:10G
 *     pin = no
 *
 * A key is a long option's name, `gpu` may repeat.
 */

#include "cli/run-options.h"
#include "util/macro.h"

typedef struct TaskFile {
        RunOptions options; /* its words are owned */
        char **words;
        size_t n_words;
} TaskFile;

/**
 * task_file_load() - read one
 * @ret:        release with task_file_done(), whatever is returned
 *
 * Return: 0, or negative errno with @error: file, line and what is wrong.
 */
int task_file_load(const char *path, TaskFile *ret, Error *error);

/* The same of text in memory. @name: what messages call it. */
int task_file_parse(const char *name, const char *text, size_t n, TaskFile *ret, Error *error);
void task_file_done(TaskFile *file);

/**
 * task_file_text() - what a file with these options says
 * @ret:        to be freed
 *
 * What would not read back to the same (a name with a line break) is refused.
 *
 * Return: 0, or negative errno with @error.
 */
int task_file_text(const RunOptions *options, char **ret, size_t *ret_n, Error *error);

/* Writes it, whole or not at all. Return: as above. */
int task_file_save(const char *path, const RunOptions *options, Error *error);
