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
} SetupOptions;

typedef struct Setup {
        bool personal;
        char *settings_path;
        char *state_dir;
        char *sockets[2]; /* NULL: none */
        int lock_fd;
} Setup;

/**
 * setup_find() - whose daemon this is, and its settings
 * @setup:      has lock_fd = -1 and nothing else; to be released with setup_done(), also after a failure
 *
 * Return: 0, or negative errno with @error.
 */
int setup_find(const SetupOptions *options, Setup *setup, Error *error);

/**
 * setup_prepare() - the rest: state, sockets, folders, lock
 *
 * Return: 0; -EBUSY with @error if another daemon has this state; or negative errno with @error.
 */
int setup_prepare(const SetupOptions *options, Setup *setup, Error *error);

void setup_done(Setup *setup);
