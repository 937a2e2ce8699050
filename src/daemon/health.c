/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

#include "daemon/daemon.h"
#include "daemon/peers.h"

static void look_at_room(const char *path, Health *ret) {
        struct statvfs fs;

        if (statvfs(path, &fs) < 0)
                return;
        ret->state_total_bytes = (uint64_t)fs.f_blocks * fs.f_frsize;
        ret->state_free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
}

void daemon_health(const Daemon *daemon, Health *ret) {
        RamFigures ram = {};

        *ret = (Health){
                .started_at_us = daemon->started_at_us,
                .settings_at_us = daemon->settings_at_us,
                .n_damaged = store_n_damaged(daemon->store, NULL),
                .memory_limited = ram_read(&daemon->ram_source, &ram) == 0 && ram.limited,
                .n_connections = peers_n(daemon->peers),
                .n_submitted = daemon->n_submitted,
                .n_started = daemon->n_started,
        };
        (void)memcpy(ret->n_ended, daemon->n_ended, sizeof(ret->n_ended));
        if (daemon->settings_path)
                (void)snprintf(ret->settings_path, sizeof(ret->settings_path), "%s",
                               daemon->settings_path);
        if (daemon->settings_text)
                (void)snprintf(ret->settings_text, sizeof(ret->settings_text), "%s",
                               daemon->settings_text);
        if (daemon->store_error < 0)
                (void)snprintf(ret->state_text, sizeof(ret->state_text), "%s",
                               strerror(-daemon->store_error));
        look_at_room(daemon->state_dir, ret);
}
