#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Fields
 *
 * "label:  value", one a line, as `show` and `status` print them.
 */

#include "cli/output.h"
#include "util/macro.h"

/* @text is made visible, and broken into lines that fit a terminal; NULL or "" prints nothing. */
void field_text(const char *label, const char *text);

/* The same, in a tone. */
void field_tone(const char *label, const char *text, Tone tone);

void field_printf(const char *label, const char *fmt, ...) _printf_(2, 3);
