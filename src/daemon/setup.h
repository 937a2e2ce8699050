#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Setup
 *
 * Where a daemon's settings, state and sockets are; its folders, and the lock that makes it the only one of its state.
 */

#include <stdbool.h>

#include "util/error.h"

/* What the command line says; NULL: the usual place. */
typedef struct SetupOptions {
        const char *config;
        const char *socket;
        const char *state;
        bool personal; /* started on demand, for its user alone */
} SetupOptions;

typedef struct Setup {
        bool personal;
        char *settings_path;
        char *state_dir;
        char *sockets[2]; /* NULL: none */
        int passed_fd;    /* sockets[0], on which the service manager listens; -1: we do */
        int lock_fd;
} Setup;

#define SETUP_NULL \
        { .passed_fd = -1, .lock_fd = -1 }

/**
 * setup_find() - whose daemon this is, and its settings
 * @setup:      SETUP_NULL; to be released with setup_done(), also after a failure
 *
 * The machine's daemon is one with a socket that was passed (sd_listen_fds(3)) or named, and without either what the user
 * `taskflow` starts, or anybody where the machine is set up for one.
 *
 * Return: 0, or negative errno with @error.
 */
int setup_find(const SetupOptions *options, Setup *setup, Error *error);

/**
 * setup_prepare() - the rest: state, sockets, folders, lock
 *
 * Return: 0; -EBUSY with @error if another daemon has this state; or negative errno with @error: also if it would be the
 * machine's daemon and this is not its user.
 */
int setup_prepare(const SetupOptions *options, Setup *setup, Error *error);

void setup_done(Setup *setup);
