#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Orders to keepers
 */

#include "agent/runs.h"

/* Sends those that wait, each with those behind it in its row, as far as the nursery has room: after all that came together. */
void orders_send(Agent *agent);

/* Takes one back that has not been sent. */
void orders_forget(Run *run);
