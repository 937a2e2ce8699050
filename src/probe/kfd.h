#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * AMD's compute driver, as sysfs shows it
 *
 * class/kfd/kfd has the GPUs on which programs can compute, in the order in which ROCm counts them, and the processes that do, with
 * the memory that each has. Programs that only draw are not among them (probe/drm-clients.h).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/needs.h"
#include "probe/drm.h"

typedef struct KfdNode {
        unsigned number;
        uint32_t gpu_id;    /* by which its files are called */
        PciAddress address; /* of its card, which has several nodes if it is split */
} KfdNode;

typedef struct KfdNodes {
        unsigned n;
        KfdNode nodes[GPU_MAX]; /* by number */
} KfdNodes;

/* The GPUs; none where there is no such driver. */
void kfd_read_nodes(int sysfs_fd, KfdNodes *ret);

/* One process that computes. */
typedef void (*kfd_process_fn)(pid_t pid, uint32_t gpu_id, uint64_t bytes, void *userdata);

/**
 * kfd_read_processes() - what each process has on each of the GPUs
 * @fn:         called for all that have any
 *
 * Return: 0, or a negative errno if there is no list.
 */
int kfd_read_processes(int sysfs_fd, const KfdNodes *nodes, kfd_process_fn fn, void *userdata);

/* The pure half, for tests and fuzzers: a node's properties. @text needs no NUL. */
bool kfd_parse_properties(const char *text, size_t n, PciAddress *ret);
