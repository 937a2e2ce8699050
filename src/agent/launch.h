#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The start of a detached command: its log, its descriptors, its place
 */

#include "agent/keeper-order.h"
#include "runner/bundle.h"
#include "runner/context.h"
#include "runner/spawn.h"
#include "util/error.h"

/**
 * launch_open_log() - where its output goes, to be appended to
 * @context:    -o is made with the submitter's umask
 *
 * Return: the descriptor, or -1 with @error. The folder is not made.
 */
int launch_open_log(const KeeperOrder *order, const Context *context, Error *error);

/* All is borrowed. */
typedef struct Launch {
        const BundleTask *words;
        const Context *context;
        char *const *envp;
        int null_fd; /* its stdin */
        int log_fd;  /* its stdout and stderr */
} Launch;

/**
 * launch_command() - start it in its context, with default signals and no descriptor but those
 *
 * Return: what spawn_plan() does; SPAWN_E_NOT_PREPARED if its folder cannot be entered.
 */
int launch_command(Spawned *ret, const Launch *launch, Error *error);
