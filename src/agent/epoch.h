#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Epochs
 *
 * An epoch is the time of one agent of a folder. A start may be claimed (record-file.h) in the epoch that it was ordered in alone, so
 * that what a later agent has given up stays given up. The death of processes can't see to that: a keeper that looked, and found
 * its agent alive, may be held up before its claim for as long as the machine is busy, and what an agent had locked is free a
 * while before its children hear of its end.
 *
 * The file `epoch` of the folder has the number. Who claims a start has it locked with others meanwhile, who begins an epoch
 * alone.
 */

#include <stdint.h>

#include "util/error.h"
#include "util/macro.h"

enum {
        EPOCH_E_OVER = 1, /* a later one has begun */
};

#define EPOCH_WAIT_US (5 * US_PER_SEC) /* a claim takes microseconds on a disk that answers */

/**
 * epoch_begin() - end the epoch that was, and begin one
 * @folder:     of the agent
 * @wait_us:    at most, for claims that are under way
 * @ret:        set to its number, which no other one has
 *
 * The caller has made sure that it is the folder's only agent. When this returns all claims of earlier epochs have been made that
 * ever will be.
 *
 * Return: 0, or negative errno with @error.
 */
int epoch_begin(const char *folder, uint64_t wait_us, uint64_t *ret, Error *error);

/**
 * epoch_enter() - keep an epoch from ending
 * @ret_fd:     set on success; closing it lets go
 * @folder_fd:  of the agent; O_PATH is enough
 * @epoch:      that is to be going on
 *
 * Return: 0, EPOCH_E_OVER, or negative errno.
 */
int epoch_enter(int *ret_fd, int folder_fd, uint64_t epoch);
