#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Text that strangers wrote
 *
 * Command lines, names and folders are bytes of somebody else. Before they go into JSON they are
 * made UTF-8, before they go to a terminal they are made harmless.
 */

#include <stdbool.h>
#include <stddef.h>

/**
 * text_is_utf8() - whether bytes are well-formed UTF-8
 * @bytes:      borrowed; may contain NUL, which counts as a character
 * @n:          number of bytes
 *
 * Overlong forms, surrogates and what lies beyond U+10FFFF are not well-formed.
 */
bool text_is_utf8(const char *bytes, size_t n);

/**
 * text_repair_utf8() - make any bytes UTF-8
 * @bytes:      borrowed; stops at a NUL
 * @n:          number of bytes at most
 * @max:        most bytes of the result, without its NUL
 *
 * Each byte sequence that is not well-formed becomes one U+FFFD, as WHATWG decodes it. What is
 * longer than @max is cut in front of the first character that does not fit whole.
 *
 * Return: a string to be freed, or NULL when out of memory.
 */
char *text_repair_utf8(const char *bytes, size_t n, size_t max);

/**
 * text_visible() - make text harmless to a terminal
 * @s:          any bytes, need not be UTF-8
 *
 * ESC becomes `^[`, newline `^J`, other control characters likewise, DEL `^?`; C1 controls, line
 * separators, bidirectional overrides and other invisible format characters become `\u202e`,
 * bytes that are not UTF-8 `\xff`. All else stays.
 *
 * Return: a string to be freed, or NULL when out of memory.
 */
char *text_visible(const char *s);
