#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Output for people, and whether it got there
 *
 * Colour and fitting to a width are for terminals alone; what others wrote is made visible first.
 */

#include <stdbool.h>

/* What a text says by its colour; nothing is said by colour alone. */
typedef enum Tone {
        TONE_PLAIN,
        TONE_STRONG,
        TONE_FAINT,
        TONE_GOOD,
        TONE_WAITING,
        TONE_BAD,
} Tone;

bool output_is_terminal(void); /* stdout */

/* A terminal that shows colour, and NO_COLOR is not set. */
bool output_has_colour(void);

/* Columns of the terminal; 80 if it does not tell. */
unsigned output_width(void);

/* The escape sequence that begins a tone, or "" without colour; output_tone_end() ends it. */
const char *output_tone(Tone tone);
const char *output_tone_end(Tone tone);

/* The same whatever stdout is: NULL for TONE_PLAIN. */
const char *output_tone_sequence(Tone tone);

/* Text that others wrote, made visible (util/text.h), to stdout. */
void output_text(const char *text);

/* The same, broken between words so that it stays within @width columns from @indent on. */
void output_wrapped(const char *text, unsigned indent, unsigned width);

/**
 * output_finish() - send what is still buffered
 * @status:     what the command would end with
 *
 * Return: @status, or CLI_STATUS_REFUSED, said on stderr, if stdout did not take all of it.
 */
int output_finish(int status);
