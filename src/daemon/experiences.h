#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Experiences: the core is told what the records know of how long tasks took
 *
 * One question to the database for each user and signature that the core knows nothing of; none for one that it knows.
 */

#include "daemon/daemon.h"

/* A task has come to the core. What can't be read is not known. Returns whether it had to be asked for. */
bool experiences_tell(Daemon *daemon, uint64_t id);
