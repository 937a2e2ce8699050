#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Whether the machine is drained: a table of one row, or none
 */

#include "core/machine.h"
#include "store/db.h"

/* Replaces what was there. Return: 0 or negative errno. */
int drain_row_put(Db *db, const Drain *drain);

/* A row that makes no sense still says that the machine is drained. Return: 0 or negative errno. */
int drain_row_get(Db *db, Drain *ret);
