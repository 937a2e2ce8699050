#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Settings
 *
 * taskflow.conf: INI, section [taskflow], and [tokens] with a name and a number in each line. One table knows every key with its type, range, default and sentence; it parses,
 * checks, and is compared with the manual.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "core/policy.h"
#include "core/task.h"
#include "util/error.h"

/* Some users, by number. */
typedef struct UserList {
        bool everybody;
        size_t n_uids;
        uid_t *uids; /* owned */
        size_t n_gids;
        gid_t *gids; /* owned */
} UserList;

/* Numbers for users and groups. */
typedef struct UserFactor {
        bool is_group;
        unsigned id;
        uint64_t
                value; /* a weight: permille; a limit: a number, bytes, microseconds, or LIMIT_NONE */
} UserFactor;

typedef struct UserFactors {
        uint64_t others; /* of whom nothing is said */
        size_t n;
        UserFactor *of; /* owned */
} UserFactors;

typedef struct Settings {
        Policy policy;
        uint64_t sample_interval_us;
        uint64_t idle_exit_us; /* TASK_TIME_INF: never */
        PinMode pin_gpus;      /* DEFAULT stands for `any`, ON always, OFF never */
        char nvml_library[256];
        UserList admins;
        UserList allow_users;
        UserList deny_users; /* of those allowed */
        UserFactors weights;
        UserFactors max_running, max_memory, max_gpus, max_gpu_memory, max_time;
        uint64_t max_pending_per_user;
        uint64_t client_timeout_us;
        bool show_commands_to_owner_only;
        uint64_t history_us;
        uint64_t log_limit_bytes; /* UINT64_MAX: none */
        uint64_t log_keep_us;
} Settings;

/**
 * settings_load() - defaults, and what a file says otherwise
 * @ret:        overwritten on success; release with settings_done()
 * @path:       NULL, or a file that may be missing unless @required
 * @personal:   the defaults of a personal daemon: idle_exit 10m, priority_limit 200, max_delay inf, and its owner an admin
 * @error:      "'FILE' line N: …" with what is allowed
 *
 * Looks up names of users and groups (NSS): only at start and on SIGHUP.
 *
 * Return: 0, or negative errno with @error.
 */
int settings_load(Settings *ret, const char *path, bool required, bool personal, Error *error);
void settings_done(Settings *settings);

/* The same from text in memory; @name is what messages call it. */
int settings_parse(Settings *ret,
                   const char *name,
                   const char *text,
                   size_t n,
                   bool personal,
                   Error *error);

/* Whether a peer with these credentials is an admin. */
bool settings_is_admin(const Settings *settings, uid_t uid, const gid_t *gids, size_t n_gids);

/* Whether it may use the daemon. Admins may in any case, so that a slip in a list locks nobody out who could mend it. */
bool settings_is_allowed(const Settings *settings, uid_t uid, const gid_t *gids, size_t n_gids);

/* What the core is to know of somebody with these credentials. */
UserRules settings_rules(const Settings *settings, uid_t uid, const gid_t *gids, size_t n_gids);

/* Writes an example file: every key with its default, behind a '#'. Return: 0, or -EIO if it could not be written. */
int settings_print_defaults(FILE *f);
