#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Whether a task fits
 *
 * The one place that says it, for those who plan and for those who explain: where everything
 * that was asked for could be had, or what is lacking.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/explain.h"
#include "core/ledger.h"

enum {
        FIT_LACKS_MAX = 2 + NEEDS_TOKENS_MAX + GPU_MAX,
};

/* One thing that is lacking. */
typedef struct FitLack {
        WaitReason reason;
        int slot;             /* SLOT_RAM; SLOT_NONE: cores, tokens, or a GPU that was never seen */
        unsigned need;        /* which of the GPU needs, or of the tokens */
        uint64_t asked_bytes; /* or GPU_WHOLE; WAIT_REASON_CPUS: cores; of tokens: how many */
} FitLack;

/* How who asks stands to the room that is kept, see keep.h. */
typedef struct FitAsker {
        bool kept;      /* it is kept for this one */
        bool overtakes; /* it will have ended before that room can be there */
        bool strict;    /* nobody is to start while it settles */
        bool briefly;   /* the first lack that is found will do */
} FitAsker;

typedef struct Fit {
        FitAsker asker; /* on whose behalf */
        size_t n_lacks; /* 0: it fits */
        FitLack lacks[FIT_LACKS_MAX];
        bool any_gpu;                      /* the GPUs among the lacks are alternatives */
        int slot_of[NEEDS_GPUS_MAX];       /* if it fits: for each GPU need, its GPU */
        uint64_t bytes_of[NEEDS_GPUS_MAX]; /* and what it gets there, or GPU_WHOLE */
} Fit;

/* Whether @needs fit; if not, *ret says what is lacking. */
bool fit_needs(const Ledger *ledger, const Needs *needs, const FitAsker *asker, Fit *ret);

/**
 * fit_gpu_bytes() - what a need means on a GPU of that size
 * @bytes:      as asked for, or GPU_WHOLE
 * @ret:        set on success; GPU_WHOLE if so much is the whole GPU (decisions.md 7)
 *
 * Return: whether that GPU could ever serve it.
 */
bool fit_gpu_bytes(uint64_t bytes, uint64_t total_bytes, uint64_t reserved_bytes, uint64_t *ret);

/* The same, by its pool. The whole of one without memory of its own is the GPU alone, not its RAM. */
bool fit_pool_bytes(const Pool *pool, uint64_t bytes, uint64_t *ret);

/* What who asks may take although others settle. */
uint64_t fit_ample_free_bytes(const Pool *pool, const FitAsker *asker);

/* When the last strict delay is over that holds up who asks; 0: none does. */
uint64_t fit_strict_end_us(const Pool *pool, const FitAsker *asker);

/* The GPUs of the kind that a need for any is for, by slot. */
uint64_t fit_slots_of_kind(const Ledger *ledger, const char *want);
