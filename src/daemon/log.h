#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Log
 *
 * What taskflowd says on stderr: one line a message, with the journal's level in front where the journal reads it.
 */

#include "util/macro.h"

void log_error(const char *fmt, ...) _printf_(1, 2);
void log_warning(const char *fmt, ...) _printf_(1, 2);
void log_info(const char *fmt, ...) _printf_(1, 2);
