#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Places
 *
 * Where sockets and state are (interface.md, "Programs"; decisions.md 28, 29): the one list that the daemon and its clients
 * share.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "util/error.h"

#define PLACES_MACHINE_DIR      "/run/taskflow"
#define PLACES_MACHINE_SOCKET   PLACES_MACHINE_DIR "/taskflowd.sock"
#define PLACES_MACHINE_STATE    "/var/lib/taskflow"
#define PLACES_MACHINE_SETTINGS "/etc/taskflow/taskflow.conf"

/* Whom the machine's daemon is, if that user exists. */
#define PLACES_MACHINE_USER "taskflow"

/* In a state folder: whose it is, so that machines that share a home do not share a queue. */
#define PLACES_MACHINE_ID_FILE "machine-id"

/* Paths are malloc'ed, to be freed with free(). */

/* ~/.local/state/taskflow (XDG_STATE_HOME is honoured), or its folder HOSTNAME below if the state names another
 * machine-id. -ENOENT with @error if there is no home. */
int places_personal_state(char **ret, Error *error);

/*
 * Whether each folder from the home (or XDG_STATE_HOME) down to the state is ours or root's, as far as they exist: who has one of them
 * decides what is found below it, and what an agent finds there it runs. Return: 0, or -EPERM with @error.
 */
int places_check_state(Error *error);

/* Writes PLACES_MACHINE_ID_FILE into a state folder that has none. Return: 0, or negative errno. */
int places_claim_state(const char *state);

/* STATE/run/taskflowd.sock */
int places_personal_socket(char **ret, Error *error);

/* $XDG_RUNTIME_DIR/taskflow/taskflowd.sock; *ret is NULL if the variable is unset, or others may write to its folder */
int places_runtime_socket(char **ret);

/* ~/.config/taskflow/taskflow.conf (XDG_CONFIG_HOME is honoured) */
int places_personal_settings(char **ret, Error *error);

/* Whether /run/taskflow exists: then the machine has a daemon, also when nobody listens. */
bool places_machine_has_daemon(void);

/* Whether that is the uid of PLACES_MACHINE_USER. Asks NSS. */
bool places_is_machine_user(uid_t uid);
