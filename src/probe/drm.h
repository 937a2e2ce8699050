#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Graphics cards, as sysfs shows them
 *
 * Each is a folder class/drm/cardN with a link to its PCI device, where the driver of a vendor has files of its own. Every text is
 * hostile: bounded, checked, absent if it makes no sense.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/needs.h"

enum {
        DRM_ADDRESS_MAX = sizeof("ffffffff:ff:1f.7"),
};

typedef struct PciAddress {
        unsigned domain, bus, device, function;
} PciAddress;

typedef struct DrmCard {
        int fd; /* of its device's folder; owned */
        PciAddress address;
        unsigned device; /* the vendor's number of it */
} DrmCard;

typedef struct DrmCards {
        unsigned n;
        DrmCard cards[GPU_MAX]; /* in the order of their addresses, each once */
} DrmCards;

/**
 * drm_open() - the folder of sysfs, if it has cards of a vendor
 * @sysfs:      where it is
 *
 * Return: a descriptor, or -1.
 */
int drm_open(const char *sysfs, unsigned vendor, const char *const *drivers);

/**
 * drm_cards_open() - find the cards of a vendor
 * @sysfs_fd:   folder of sysfs
 * @vendor:     PCI's number of it
 * @drivers:    those that are known, ended by NULL; cards of others are left out
 * @ret:        set; drm_cards_close() at the end, also after an error
 *
 * Return: 0, also if there are none, or a negative errno.
 */
int drm_cards_open(int sysfs_fd, unsigned vendor, const char *const *drivers, DrmCards *ret);
void drm_cards_close(DrmCards *cards);

/* The number in a file that has nothing else but a newline. Return: 0, or a negative errno. */
int drm_read_number(int dir_fd, const char *path, unsigned base, uint64_t *ret);

/* The first line of a file, cut to size; what is not printable ASCII is a `?`. Return: whether there is any. */
bool drm_read_text(int dir_fd, const char *path, char *buf, size_t n);

/* The pure halves, for tests and fuzzers. @text needs no NUL. */
int drm_parse_number(const char *text, size_t n, unsigned base, uint64_t *ret);
bool drm_parse_address(const char *text, PciAddress *ret);

/* Less than, equal to, or greater than 0. */
int drm_compare_addresses(const PciAddress *a, const PciAddress *b);

/* A UUID of our own, of the address, for cards that have none: `PCI-0000.03.00.0`. */
void drm_format_uuid(const PciAddress *address, char buf[static GPU_UUID_MAX]);
