#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * RAM
 *
 * How much RAM the machine has and how much of it new programs could take: MemAvailable, plus what
 * ZFS would give back, within the limit of the container that we may be in. Every source is hostile
 * text: bounded, checked, absent if it makes no sense.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where to look; tests point it at folders of their own. */
typedef struct RamSource {
        int proc_fd;   /* of /proc; borrowed */
        int cgroup_fd; /* of /sys/fs/cgroup; -1: none; borrowed */
} RamSource;

typedef struct RamFigures {
        uint64_t total_bytes;     /* MemTotal, or the container's limit if that is smaller */
        uint64_t available_bytes; /* at most total_bytes */
        bool limited;             /* a container's limit is what counts */
} RamFigures;

/* Opens the real ones; -1 in cgroup_fd where there is none. Return: 0 or negative errno. */
int ram_source_open(RamSource *ret);
void ram_source_close(RamSource *source);

/**
 * ram_read() - one look; some tens of microseconds
 *
 * Limits are counted at the root of our cgroup namespace only (v2 and v1): a container's, never the
 * daemon's own unit's (decisions.md 11). ZFS's ARC above its minimum counts as available, unless a
 * container or lxcfs shows us a meminfo of its own.
 *
 * Return: 0, or negative errno (-ENODATA: /proc/meminfo makes no sense).
 */
int ram_read(const RamSource *source, RamFigures *ret);

/**
 * ram_read_own_cgroup() - the room of the calling process's own cgroup, walked up to the root
 * @ret_room_bytes: the smallest of (limit - use that can't be reclaimed) over all levels;
 *              UINT64_MAX: no limit
 *
 * Return: 0, or negative errno.
 */
int ram_read_own_cgroup(const RamSource *source, uint64_t *ret_room_bytes);

/* The pure halves, for tests and fuzzers. @text needs no NUL. */
int ram_parse_meminfo(const char *text,
                      size_t n,
                      uint64_t *ret_total_bytes,
                      uint64_t *ret_available_bytes);
int ram_parse_arcstats(const char *text, size_t n, uint64_t *ret_reclaimable_bytes);
