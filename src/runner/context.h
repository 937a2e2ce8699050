#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * What a command would have inherited
 *
 * A detached command is started by another process than the one that asked for it, and must not notice. A context is all that a
 * child would have got from the submitter and that can be given again: folder, umask, limits, nice, I/O priority, CPUs and
 * environment; and what can't, to say so at once. It holds secrets, so it stays among the processes and files of its user.
 *
 * Equal contexts are equal bytes, so that many tasks can share one.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "util/error.h"
#include "util/macro.h"

#define CONTEXT_MAX \
        (8 * MIB) /* bytes of one: more than any kernel lets a program have for its environment */

enum {
        CONTEXT_CPUS_BYTES = 1024, /* 8192 CPUs: more than any kernel has */
        CONTEXT_GROUPS_MAX = 65536,
        CONTEXT_ENVIRONMENT_MAX = 1 << 20, /* variables */
        N_CONTEXT_LIMITS = RLIM_NLIMITS,
        N_CONTEXT_NAMESPACES = 6,
};

/* One that was read: its strings lie in the bytes it was read from. */
typedef struct Context {
        const char *cwd; /* absolute */
        mode_t umask;
        struct rlimit limits[N_CONTEXT_LIMITS]; /* by RLIMIT_... */
        int nice;                               /* -20 to 19 */
        int io_priority;                        /* as ioprio_get(2) has it */
        size_t n_cpus_bytes;
        unsigned char cpus[CONTEXT_CPUS_BYTES]; /* a mask as of sched_getaffinity(2) */
        gid_t gid;                              /* effective */
        size_t n_groups;
        gid_t *groups;                             /* supplementary; sorted */
        uint64_t namespaces[N_CONTEXT_NAMESPACES]; /* inodes; 0: not known, see context_look_at() */
        char **environment;
} Context;

/**
 * context_capture() - the calling process's own
 * @ret:        set to its bytes, to be freed
 * @error:      filled in unless 0
 *
 * Return: 0, -ENOENT if the current folder was removed, -E2BIG, or another negative errno.
 */
int context_capture(char **ret, size_t *ret_n, Error *error);

/**
 * context_parse() - read one
 * @ret:        set on success
 * @bytes:      borrowed, as long as the result lives
 *
 * Return: 0, -EBADMSG if they are no context, or -ENOMEM.
 */
int context_parse(Context **ret, const char *bytes, size_t n);
Context *context_free(Context *context);
DEFINE_CLEANUP(Context *, context_free);

/**
 * context_look_at() - the namespaces that a process is in
 * @pid:        the submitter's, while it waits
 *
 * They are no part of the bytes: in a process that has just begun it takes longer to look at them than to do all the rest, and whoever
 * compares them has time for it. What may not be looked at stays unknown.
 */
void context_look_at(Context *context, pid_t pid);

/**
 * context_apply() - make the calling process as the submitter was, but for the environment
 *
 * To be called in the child that executes the command: allocates nothing, and is fit for a child that shares our memory. What
 * this process may not have is had as far as it may (context_missing() named it). The folder must be had.
 *
 * Return: 0, or the errno of entering the folder, positive.
 */
int context_apply(const Context *context);

/**
 * context_missing() - what a child of the calling process can't get back (decisions.md 26)
 * @ret:        set to one line for people, to be freed; NULL: nothing is missing
 *
 * Return: 0, or -ENOMEM.
 */
int context_missing(const Context *context, char **ret);
