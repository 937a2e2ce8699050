#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * What the daemon must not see of detached tasks
 *
 * A context (runner/context.h) and, for each task that was submitted in it, what is to be executed and where its output goes. It
 * goes from the submitting command to the agent of the same user as a sealed memfd, and lies in the agent's store: the context
 * once, each task's part by itself.
 */

#include <stddef.h>

#include "util/error.h"
#include "util/macro.h"

#define BUNDLE_TASK_MAX (4 * MIB)  /* bytes of one task's part */
#define BUNDLE_MAX      (64 * MIB) /* of a whole bundle */

enum {
        BUNDLE_TASKS_MAX = 1000,
        BUNDLE_ARGV_MAX = 1 << 20, /* words of one */
};

/* One task's part. */
typedef struct BundleTask {
        char **argv;       /* as it is executed: the shell, -c and the line, or the words */
        char **plain_argv; /* tried first, as it is without a shell (cli/shell-line.h); NULL: none */
        const char *
                output; /* absolute, places not filled in (core/output.h); NULL: taskflow's own log */
} BundleTask;

/**
 * bundle_capture() - the calling process's context, and these tasks
 * @ret_fd:     set to a memfd that nobody can change any more
 * @tasks:      borrowed; 1 to BUNDLE_TASKS_MAX, each with a word at least
 * @error:      filled in unless 0
 *
 * Return: 0, or negative errno.
 */
int bundle_capture(int *ret_fd, const BundleTask *tasks, size_t n_tasks, Error *error);

/* The same with a context that was captured before. */
int bundle_seal(int *ret_fd,
                const char *context,
                size_t n_context,
                const BundleTask *tasks,
                size_t n_tasks,
                Error *error);

/* A stretch of bytes in a bundle; borrowed from it. */
typedef struct BundlePart {
        const char *bytes;
        size_t n;
} BundlePart;

typedef struct Bundle Bundle;

/**
 * bundle_open() - look at one that somebody sent
 * @fd:         borrowed; must be a memfd that can't change any more
 * @error:      filled in unless 0
 *
 * All of it is checked, the context and each task.
 *
 * Return: 0, -EBADMSG if it is none, or another negative errno.
 */
int bundle_open(Bundle **ret, int fd, Error *error);

/* The same for bytes in memory, which are borrowed. Return: 0, -EBADMSG, or -ENOMEM. */
int bundle_parse(Bundle **ret, const char *bytes, size_t n);
Bundle *bundle_free(Bundle *bundle);
DEFINE_CLEANUP(Bundle *, bundle_free);

BundlePart bundle_context(const Bundle *bundle); /* for context_parse() */
size_t bundle_n_tasks(const Bundle *bundle);
BundlePart bundle_task(const Bundle *bundle, size_t i); /* for bundle_task_parse() */

/**
 * bundle_task_parse() - read one task's part
 * @ret:        set on success, strings borrowed from @bytes; to be released with bundle_task_done()
 *
 * Return: 0, -EBADMSG if it is none, or -ENOMEM.
 */
int bundle_task_parse(BundleTask *ret, const char *bytes, size_t n);
void bundle_task_done(BundleTask *task);

/* The other way: a part of its own; @ret to be freed. Return: 0, or -ENOMEM. */
int bundle_task_compose(const BundleTask *task, char **ret, size_t *ret_n);
