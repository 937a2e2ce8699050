#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * What the agent says on stderr: one line a message. That is its log, agent.log, or the journal.
 */

#include "util/macro.h"

void say_error(const char *fmt, ...) _printf_(1, 2);
void say_warning(const char *fmt, ...) _printf_(1, 2);
void say_info(const char *fmt, ...) _printf_(1, 2);
