#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Starting a command
 *
 * As a shell would find and execute it, at the speed of vfork. A failed exec is an answer and no mystery status.
 */

#include <stdbool.h>
#include <sys/types.h>

#include "runner/signals.h"
#include "util/error.h"

typedef struct Spawned {
        pid_t pid;
        int pidfd; /* close-on-exec */
} Spawned;

/* spawn() */
enum {
        SPAWN_E_NOT_FOUND = 1, /* status 127 */
        SPAWN_E_CANNOT_EXEC,   /* status 126 */
        SPAWN_E_NOT_PREPARED,  /* the caller's preparation failed; spawn_plan() only */
};

/**
 * spawn() - start a program in our process group and session
 * @ret:        set on success; to be released with spawned_done() once it has been waited for
 * @argv:       program and arguments, ended by NULL; a program without a slash is looked for in PATH
 * @envp:       its environment; PATH of our own counts
 * @signals:    what is given back to it
 * @scripts:    a file that is executable but in no known format is run by /bin/sh, as execvp(3) does; else it cannot be run
 * @error:      filled in unless 0
 *
 * Return: 0 once the program runs, an outcome, or negative errno: no process could be made.
 */
int spawn(Spawned *ret,
          char *const *argv,
          char *const *envp,
          const Signals *signals,
          bool scripts,
          Error *error);

/* What spawn() does not leave to choose. */
typedef struct SpawnPlan {
        char *const *argv; /* as of spawn() */
        char *const *envp;
        const Signals *signals; /* NULL: nothing is given back */
        bool scripts;
        const char *path; /* where to look for programs; NULL: execvp(3)'s */
        int (*prepare)(
                void *userdata); /* called in the child before exec; NULL: nothing to prepare */
        void *userdata;
} SpawnPlan;

/**
 * spawn_plan() - the same, with more said
 *
 * @plan->prepare() runs in a child that shares our memory, while we stand still: it allocates nothing, and leaves our memory as
 * it was. It returns 0 or a positive errno, of which @error gets the text. A program without a slash, or with a relative path, is
 * looked for where prepare() went.
 */
int spawn_plan(Spawned *ret, const SpawnPlan *plan, Error *error);
void spawned_done(Spawned *spawned);
