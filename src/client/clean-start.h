#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Starting a program that must not remember who started it (decisions.md 11)
 *
 * It gets nothing of our terminal, descriptors, signals, limits and environment that another caller would not have given it, and
 * says on its stdout how it did: the line "ready" that its socket answers, "busy" that another one is there already. What else it
 * says goes to its log.
 */

#include <stdbool.h>

#include "util/error.h"

/* What is started, and what sentences call it. */
typedef struct CleanStart {
        const char *path;     /* of the program */
        char *const *argv;    /* ended by NULL */
        const char *log_path; /* made if it is not there, begun anew when it has become long */
        const char *what;     /* "a daemon of your own" */
} CleanStart;

/* clean_start() */
enum {
        CLEAN_START_E_BUSY = 1, /* another one has the state, and will answer if it does not yet */
        CLEAN_START_E_FAILED,   /* @error says why */
};

/**
 * clean_start() - start it as a child of init in a session of its own, and wait for its word
 *
 * Return: 0: it is ready; an outcome; or negative errno. @error is filled in unless 0 or BUSY.
 */
int clean_start(const CleanStart *start, Error *error);

/**
 * clean_start_find() - where a program of ours is
 * @name:       of its file
 * @ret:        set to its path, to be freed
 *
 * Beside our own, as in a build folder; where an installation has the others, seen from bin, sbin and libexec/taskflow; in PATH.
 *
 * Return: 0, -ENOENT, or -ENOMEM.
 */
int clean_start_find(const char *name, char **ret);

/**
 * clean_start_environment() - what of our environment such a program gets
 * @ret:        set to a vector ended by NULL, to be freed with strv_free()
 *
 * Paths of sockets in it do not depend on our folder.
 *
 * Return: 0, or -ENOMEM.
 */
int clean_start_environment(char ***ret);

/**
 * clean_start_last_line() - what such a program said last
 * @log_fd:     of its log
 * @from:       where in it that begins
 *
 * Return: a text harmless to a terminal, to be freed; NULL: it said nothing, or out of memory.
 */
char *clean_start_last_line(int log_fd, long from);

/* Opens a log as of CleanStart.log_path. Return: the descriptor, with *@ret_start set to where new lines will begin, or negative errno. */
int clean_start_open_log(const char *path, long *ret_start);
