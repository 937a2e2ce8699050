#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Programs that draw
 *
 * Who has a card's device open has a client of its driver, of which the kernel tells in /proc/PID/fdinfo what it has of the card's
 * memory: to root of every process, to others of their own. To look for them costs milliseconds, so it is done every few seconds;
 * in between those that were found are read again. Every text is hostile.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "probe/drm.h"

enum {
        DRM_CLIENTS_MAX = 1024, /* that are remembered; more are left out */
};

/* What the kernel says of one open device. */
typedef struct DrmClient {
        PciAddress address;
        uint64_t id; /* the same for all that have it open, be it in another process */
        uint64_t vram_bytes;
} DrmClient;

typedef struct DrmClientFile {
        pid_t pid;
        unsigned fd; /* its number there */
} DrmClientFile;

typedef struct DrmClients {
        int proc_fd;         /* of /proc; owned by whoever made this */
        uint64_t scanned_us; /* CLOCK_BOOTTIME; 0: never */
        unsigned n;
        DrmClientFile files[DRM_CLIENTS_MAX];
} DrmClients;

/* One client of one process. */
typedef void (*drm_client_fn)(pid_t pid, const DrmClient *client, void *userdata);

/**
 * drm_clients_read() - what each process that we may look into has of cards
 * @driver:     the kernel's name of the driver whose clients are meant
 * @now_us:     CLOCK_BOOTTIME
 * @fn:         called for each client once
 */
void drm_clients_read(DrmClients *clients,
                      const char *driver,
                      uint64_t now_us,
                      drm_client_fn fn,
                      void *userdata);

/* The pure half, for tests and fuzzers. @text needs no NUL. Return: whether it is one of @driver. */
bool drm_client_parse(const char *text, size_t n, const char *driver, DrmClient *ret);
