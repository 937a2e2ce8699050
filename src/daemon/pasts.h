#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * What users had of the machine, over a restart
 *
 * The core reckons it from the tasks that it sees. So it is written down with what is committed anyway, once a minute, and at the
 * end: a daemon that is killed forgets of what has ended at most that minute, and nothing of what still runs, which counts on from
 * what was written last.
 */

#include "daemon/daemon.h"

/* Told to the core, before any task is. Return: 0 or negative errno. */
int pasts_load(Daemon *daemon);

/**
 * pasts_put() - into the open transaction
 * @now:        also if that was done less than a minute ago
 *
 * Return: as store_put_task().
 */
int pasts_put(Daemon *daemon, bool now);
