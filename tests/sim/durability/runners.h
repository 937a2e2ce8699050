#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Foreground runners: a model of `taskflow run` in a terminal. They die with the machine, and their tasks with them.
 */

#include "check.h"

void runners_begin(void);
void runner_start(Deed *deed);
void runners_command_ended(const Start *ended);
void runners_kill_all(void);
void runners_bury(void);
bool runners_rest(void);
