#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * How people name a GPU
 *
 * A number, a UUID, or the beginning of one. A number is the index among those of its kind, behind a
 * kind and a colon where a machine has several: `1`, `amd:0`. Without a kind the first one is meant
 * that the machine has. A part of a GPU stands behind a point: `0.1`.
 */

#include <stdbool.h>
#include <stddef.h>

#include "core/machine.h"
#include "core/needs.h"

/* The word that leaves the choice to the core; among those of the kind before it, or of the first one. */
#define GPU_WORD_ANY "any"

/* Whether @word is that, and of which kind. */
bool gpu_word_is_any(const char *word, GpuKind first_kind, GpuKind *ret);

typedef struct GpuNumber {
        bool has_kind; /* else @kind is the first one that the machine has */
        GpuKind kind;
        unsigned index;
        unsigned part; /* as GpuSample.part */
} GpuNumber;

/**
 * gpu_word_number() - read a word as a number
 * @word:       borrowed
 * @ret:        set if it is one
 *
 * Return: whether it is one that fits.
 */
bool gpu_word_number(const char *word, GpuNumber *ret);

/* Whether that GPU has this number. */
bool gpu_number_matches(const GpuNumber *number, const GpuSample *gpu, GpuKind first_kind);

/*
 * Whether @word is that GPU's number, its UUID or the beginning of its UUID. The number of a whole
 * GPU stands for its parts, too.
 */
bool gpu_word_matches(const char *word, const GpuSample *gpu, GpuKind first_kind);

/* How much of `WHICH:SIZE` is WHICH, in which a kind has a colon of its own. */
size_t gpu_word_length(const char *word);

/* The length of the kind and its colon that a word begins with; 0: none. */
size_t gpu_word_kind_length(const char *word);

/* The number of a GPU as a word; @with_kind where there are several. Returns @buf. */
const char *gpu_id_format(char buf[static GPU_ID_MAX], const GpuSample *gpu, bool with_kind);

/* What people call it, from one that may be too old to say more than the index. */
const char *gpu_id_or_index(const char *id, unsigned index, char buf[static GPU_ID_MAX]);

/* In the order of this number they are shown. */
static inline uint64_t gpu_order(const GpuSample *gpu) {
        return (uint64_t)gpu->kind << 60 | (uint64_t)gpu->index << 16 | gpu->part;
}

/**
 * gpu_text_copy() - fill a fixed field, with zeros behind the text
 * @dst:        set; GPU_UUID_MAX bytes, as are GPU_NAME_MAX and GPU_WANT_MAX
 * @src:        read up to its NUL or GPU_UUID_MAX - 1 bytes
 */
void gpu_text_copy(char dst[static GPU_UUID_MAX], const char *src);
