#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Needs
 *
 * What a task asks for: RAM, cores, memory on GPUs, and tokens. A value: copied in and out, never shared.
 * The figures are what the user guessed; nothing here checks what a task really takes.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/token.h"
#include "util/macro.h"

enum {
        GPU_UUID_MAX = 96, /* NVML's own bound (NVML_DEVICE_UUID_V2_BUFFER_SIZE), NUL included */
        GPU_NAME_MAX = 96, /* likewise */
        GPU_UUID_LONGEST = 80, /* that is passed on to others (decisions.md 31), without a NUL */
        GPU_ID_MAX = 32,       /* what people call one, see core/gpu-word.h; NUL included */
        GPU_WANT_MAX = 96,     /* an index, a UUID or its beginning, or "any"; NUL included */
        GPU_MAX = 64,          /* GPUs a machine may have, so that a sample has a bounded size */
        NEEDS_GPUS_MAX = 64,   /* a task cannot hold more different GPUs than a machine has */
};

/* GpuNeed.bytes of a task that wants the GPU for itself alone. */
#define GPU_WHOLE UINT64_MAX

typedef struct GpuNeed {
        char want[GPU_WANT_MAX]; /* as typed: "0", "amd:0", "GPU-12ab", "any" */
        char uuid[GPU_UUID_MAX]; /* the one GPU it names; empty for any */
        uint64_t bytes;          /* or GPU_WHOLE */
} GpuNeed;

typedef struct Needs {
        uint64_t memory_bytes; /* 0: none */
        unsigned cpus;         /* 0: none */
        unsigned n_gpus;       /* 0 to NEEDS_GPUS_MAX */
        GpuNeed *gpus;         /* owned; in the order typed */
        unsigned n_tokens;     /* 0 to NEEDS_TOKENS_MAX */
        Token *tokens;         /* owned; by name, each once, at least one of it */
} Needs;

/**
 * needs_copy() - copy with the arrays it owns
 * @ret:        overwritten on success; release it with needs_done()
 *
 * Return: 0, or -ENOMEM.
 */
int needs_copy(Needs *ret, const Needs *needs);

/* Frees what @needs owns and leaves it empty. */
void needs_done(Needs *needs);

/**
 * needs_add_gpu() - one more GPU
 * @want:       as typed, shorter than GPU_WANT_MAX
 * @bytes:      or GPU_WHOLE
 *
 * Return: 0, -ENOMEM, -E2BIG beyond NEEDS_GPUS_MAX, -EINVAL if @want is empty or too long.
 */
int needs_add_gpu(Needs *needs, const char *want, uint64_t bytes);

/**
 * needs_add_token() - so many of one more name, in its place in the order of names
 *
 * Return: 0, -ENOMEM, -E2BIG beyond NEEDS_TOKENS_MAX, -EEXIST if the name is there already.
 */
int needs_add_token(Needs *needs, const Token *token);

/**
 * needs_add_tokens() - all of a list, as token_format_list() writes it
 *
 * Return: 0, -ENOMEM, or -EINVAL if it is none; some may have been added then.
 */
int needs_add_tokens(Needs *needs, const char *list);

/* Brings them into order. False: a name is there twice. */
bool needs_sort_tokens(Needs *needs);

/* It asks for none any more. */
void needs_drop_tokens(Needs *needs);

/* How many of a name it asks for. */
unsigned needs_n_of_token(const Needs *needs, const char *name);

/* Whether both ask for the very same, `want` texts apart. */
bool needs_equal(const Needs *a, const Needs *b);

/* Whether it asks for nothing at all. */
bool needs_is_empty(const Needs *needs);

/* Whether it asks for anything of which a look says how much is free. */
static inline bool needs_are_measured(const Needs *needs) {
        return needs->memory_bytes > 0 || needs->n_gpus > 0;
}

/* Whether @need may be met by any GPU. */
static inline bool gpu_need_is_any(const GpuNeed *need) {
        return need->uuid[0] == '\0';
}
