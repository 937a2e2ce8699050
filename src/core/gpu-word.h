#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * How people name a GPU
 *
 * An index as nvidia-smi prints it, a UUID, or the beginning of one.
 */

#include <stdbool.h>
#include <stddef.h>

#include "core/needs.h"

/* The word that leaves the choice to the core. */
#define GPU_WORD_ANY "any"

/**
 * gpu_word_index() - read a word as an index
 * @word:       borrowed
 * @ret:        set if it is one
 *
 * Return: whether it is a decimal number that fits.
 */
bool gpu_word_index(const char *word, unsigned *ret);

/* Whether @word is that GPU's index, its UUID or the beginning of its UUID. */
bool gpu_word_matches(const char *word, const char *uuid, unsigned index);

/**
 * gpu_text_copy() - fill a fixed field, with zeros behind the text
 * @dst:        set; GPU_UUID_MAX bytes, as are GPU_NAME_MAX and GPU_WANT_MAX
 * @src:        read up to its NUL or GPU_UUID_MAX - 1 bytes
 */
void gpu_text_copy(char dst[static GPU_UUID_MAX], const char *src);
