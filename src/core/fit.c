/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "core/fit.h"

#include <assert.h>
#include <string.h>

#include "core/assign.h"
#include "core/gpus.h"
#include "core/sat.h"

enum {
        FITS = -1,                 /* pool_lack(): no WaitReason */
        WHOLE_UP_TO_PERCENT = 103, /* people say 24G of a card of 24,564 MiB (decisions.md 7) */
        SMALL_PERCENT = 1,         /* less than that of a resource may start while others settle */
};

bool fit_gpu_bytes(uint64_t bytes, uint64_t total_bytes, uint64_t reserved_bytes, uint64_t *ret) {
        if (bytes != GPU_WHOLE && bytes > sat_sub(total_bytes, reserved_bytes)) {
                if (bytes > sat_mul_div(total_bytes, WHOLE_UP_TO_PERCENT, 100))
                        return false;
                bytes = GPU_WHOLE;
        }

        *ret = bytes;
        return true;
}

bool fit_pool_bytes(const Pool *pool, uint64_t bytes, uint64_t *ret) {
        if (pool->whole_only) {
                *ret = bytes;
                return bytes == GPU_WHOLE;
        }
        if (!pool->shares_ram)
                return fit_gpu_bytes(bytes, pool->total_bytes, pool->reserved_bytes, ret);

        *ret = bytes;
        return bytes == GPU_WHOLE || bytes <= sat_sub(pool->total_bytes, pool->reserved_bytes);
}

static bool is_small(const Pool *pool, uint64_t bytes) {
        return sat_mul_div(bytes, 100, SMALL_PERCENT) < pool->total_bytes;
}

/* Nobody holds any of it, and hardly anything of it is used. */
static bool is_unused(const Pool *pool) {
        uint64_t used = sat_sub(pool->total_bytes, pool->measured_bytes);

        if (pool->shares_ram || pool->whole_only)
                return pool->n_tasks == 0;

        return pool->n_tasks == 0 && sat_sub(used, pool->idle_bytes) <= pool->whole_used_bytes;
}

/* What keeps everybody from a GPU, however little they ask for. */
static int gpu_lack(const Pool *pool) {
        if (!pool->allowed)
                return WAIT_REASON_GPU_KEPT;
        if (pool->state == GPU_STATE_LOST)
                return WAIT_REASON_GPU_LOST;
        if (pool->state != GPU_STATE_OK)
                return WAIT_REASON_GPU_UNKNOWN;
        if (pool->use == GPU_USE_SPLIT)
                return WAIT_REASON_GPU_SPLIT;
        if (pool->use == GPU_USE_PROHIBITED)
                return WAIT_REASON_GPU_PROHIBITED;
        if (pool->is_whole)
                return WAIT_REASON_GPU_WHOLE;
        if (pool->use == GPU_USE_EXCLUSIVE && (pool->n_tasks > 0 || pool->n_computing > 0))
                return WAIT_REASON_GPU_EXCLUSIVE;
        return FITS;
}

/* Whether the room that is kept for another one is in the way. */
static bool is_kept_from(const Pool *pool, uint64_t bytes, bool whole, const FitAsker *asker) {
        bool alone = whole || pool->use == GPU_USE_EXCLUSIVE;
        bool kept = pool->is_kept;

        if (whole && pool->shares_ram)
                kept = pool->is_chosen; /* of RAM it takes nothing */
        if (!kept || asker->kept)
                return false;

        return asker->strict ||
               (!asker->overtakes && (alone || bytes > pool_free_beside_bytes(pool)));
}

uint64_t fit_ample_free_bytes(const Pool *pool, const FitAsker *asker) {
        if (asker->kept)
                return sat_sub(pool->measured_bytes,
                               sat_add(pool->reserved_bytes, pool->kept_ample_bytes));

        return asker->overtakes ? pool_ample_free_bytes(pool) : pool_ample_free_beside_bytes(pool);
}

uint64_t fit_strict_end_us(const Pool *pool, const FitAsker *asker) {
        return asker->kept ? pool->kept_strict_end_us : pool->strict_end_us;
}

/* A WaitReason, or FITS. What is short comes before what only has to be waited for. */
static int pool_lack(const Pool *pool, uint64_t bytes, const FitAsker *asker) {
        bool whole = pool->is_gpu && bytes == GPU_WHOLE;
        int lack = FITS;

        if (pool->is_gpu)
                lack = gpu_lack(pool);
        else if (pool->state != GPU_STATE_OK)
                lack = WAIT_REASON_LOOK;
        if (lack != FITS)
                return lack;
        if (whole && !is_unused(pool))
                return WAIT_REASON_GPU_SHARED;
        if (!whole && bytes > pool_free_bytes(pool))
                return pool->is_gpu ? WAIT_REASON_GPU_MEMORY : WAIT_REASON_MEMORY;
        if (is_kept_from(pool, bytes, whole, asker))
                return WAIT_REASON_ROOM_KEPT;
        if (whole && pool->shares_ram)
                return pool->taken ? WAIT_REASON_LOOK : FITS; /* of RAM it takes nothing */
        if (fit_strict_end_us(pool, asker) > 0)
                return WAIT_REASON_DELAY;
        if (!whole && bytes > fit_ample_free_bytes(pool, asker) && !is_small(pool, bytes))
                return WAIT_REASON_SETTLING;
        if (pool->taken)
                return WAIT_REASON_LOOK;

        return FITS;
}

static void add_lack(Fit *fit, WaitReason reason, int slot, unsigned need, uint64_t asked) {
        assert(fit->n_lacks < ELEMENTSOF(fit->lacks));
        fit->lacks[fit->n_lacks++] = (FitLack){
                .reason = reason,
                .slot = slot,
                .need = need,
                .asked_bytes = asked,
        };
}

/* Of a GPU without memory of its own, whose memory was judged with that of RAM. */
static int gpu_alone_lack(const Pool *pool, uint64_t bytes, const FitAsker *asker) {
        bool alone = bytes == GPU_WHOLE || pool->use == GPU_USE_EXCLUSIVE;
        int lack = gpu_lack(pool);

        if (lack == FITS && bytes == GPU_WHOLE && !is_unused(pool))
                lack = WAIT_REASON_GPU_SHARED;
        if (lack == FITS && pool->is_chosen && !asker->kept && !asker->overtakes &&
            (alone || pool->kept_bytes == GPU_WHOLE))
                lack = WAIT_REASON_ROOM_KEPT;
        return lack == FITS && pool->taken ? WAIT_REASON_LOOK : lack;
}

/* All RAM that a task would take: by that name, and on GPUs that it names and that have no other. */
static uint64_t ram_bytes(const Ledger *ledger, const Needs *needs) {
        uint64_t bytes = needs->memory_bytes;

        for (unsigned i = 0; i < needs->n_gpus; i++) {
                const GpuNeed *need = &needs->gpus[i];
                int slot = gpu_need_is_any(need) ? SLOT_NONE : gpus_find(ledger->core, need->uuid);

                if (slot >= 0 && ledger->gpus[slot].shares_ram && need->bytes != GPU_WHOLE)
                        bytes = sat_add(bytes, need->bytes);
        }
        return bytes;
}

/* What a need for any would take from a pool: from RAM it is all that its task asks for. */
static uint64_t any_bytes(const Ledger *ledger,
                          const Needs *needs,
                          const Pool *pool,
                          uint64_t bytes) {
        if (!pool->shares_ram || bytes == GPU_WHOLE)
                return bytes;

        bytes = ram_bytes(ledger, needs);
        for (unsigned i = 0; i < needs->n_gpus; i++)
                if (gpu_need_is_any(&needs->gpus[i]) && needs->gpus[i].bytes != GPU_WHOLE)
                        bytes = sat_add(bytes, needs->gpus[i].bytes);
        return bytes;
}

/* A need that names its GPU. Returns the bit of that GPU, 0 if it was never seen. */
static uint64_t fit_named(const Ledger *ledger, const Needs *needs, unsigned i, Fit *fit) {
        const GpuNeed *need = &needs->gpus[i];
        int slot = gpus_find(ledger->core, need->uuid);
        uint64_t bytes = need->bytes;
        const Pool *pool;
        int lack;

        if (slot == SLOT_NONE) {
                add_lack(fit, WAIT_REASON_GPU_UNKNOWN, SLOT_NONE, i, bytes);
                return 0;
        }

        pool = &ledger->gpus[slot];
        (void)fit_pool_bytes(pool, bytes, &bytes);
        lack = pool->shares_ram ? gpu_alone_lack(pool, bytes, &fit->asker) :
                                  pool_lack(pool, bytes, &fit->asker);
        if (lack != FITS)
                add_lack(fit, (WaitReason)lack, slot, i, bytes);

        fit->slot_of[i] = slot;
        fit->bytes_of[i] = bytes;
        return UINT64_C(1) << slot;
}

uint64_t fit_slots_of_kind(const Ledger *ledger, const char *want) {
        uint64_t slots = 0;
        GpuKind kind;

        if (!gpu_word_is_any(want, ledger->first_kind, &kind))
                return UINT64_MAX;
        for (unsigned slot = 0; slot < ledger->n_gpus; slot++)
                if (ledger->core->gpus[slot].sample.kind == kind)
                        slots |= UINT64_C(1) << slot;
        return slots;
}

/* The GPUs that could serve this need for any, were it not for what each lacks. */
static void explain_any(const Ledger *ledger,
                        const Needs *needs,
                        unsigned i,
                        uint64_t named,
                        Fit *fit) {
        uint64_t of_kind = fit_slots_of_kind(ledger, needs->gpus[i].want);
        size_t n_before = fit->n_lacks;

        fit->any_gpu = true;
        for (unsigned slot = 0; slot < ledger->n_gpus; slot++) {
                const Pool *pool = &ledger->gpus[slot];
                uint64_t bytes;
                int lack;

                if (!(of_kind & ~named & (UINT64_C(1) << slot)) || !pool->allowed ||
                    pool->use == GPU_USE_SPLIT || !gpus_is_for(ledger->core, (int)slot, needs) ||
                    !fit_pool_bytes(pool, needs->gpus[i].bytes, &bytes))
                        continue;
                lack = pool_lack(pool, any_bytes(ledger, needs, pool, bytes), &fit->asker);
                if (lack != FITS)
                        add_lack(fit, (WaitReason)lack, (int)slot, i,
                                 any_bytes(ledger, needs, pool, bytes));
        }

        if (fit->n_lacks == n_before) /* the GPUs that there were are gone, or kept back */
                add_lack(fit, WAIT_REASON_GPU_UNKNOWN, SLOT_NONE, i, needs->gpus[i].bytes);
}

/* The needs for any, the largest first: the large ones have fewer GPUs to choose from. */
static unsigned sort_any(const Needs *needs, unsigned order[static NEEDS_GPUS_MAX]) {
        unsigned n = 0;

        for (unsigned i = 0; i < needs->n_gpus; i++) {
                unsigned at = n;

                if (!gpu_need_is_any(&needs->gpus[i]))
                        continue;
                for (; at > 0 && needs->gpus[order[at - 1]].bytes < needs->gpus[i].bytes; at--)
                        order[at] = order[at - 1];
                order[at] = i;
                n++;
        }

        return n;
}

/* The slots that could serve a need for any now. */
static uint64_t can_serve(const Ledger *ledger,
                          const Needs *needs,
                          const GpuNeed *need,
                          const FitAsker *asker,
                          uint64_t named) {
        uint64_t may = fit_slots_of_kind(ledger, need->want) & ~named;
        uint64_t can = 0;

        for (unsigned slot = 0; slot < ledger->n_gpus; slot++) {
                const Pool *pool = &ledger->gpus[slot];
                uint64_t bytes;

                if ((may & (UINT64_C(1) << slot)) && gpus_is_for(ledger->core, (int)slot, needs) &&
                    fit_pool_bytes(pool, need->bytes, &bytes) &&
                    pool_lack(pool, any_bytes(ledger, needs, pool, bytes), asker) == FITS)
                        can |= UINT64_C(1) << slot;
        }

        return can;
}

static void refuse_any(const Ledger *ledger,
                       const Needs *needs,
                       unsigned i,
                       uint64_t named,
                       Fit *fit) {
        if (fit->asker.briefly)
                add_lack(fit, WAIT_REASON_GPU_UNKNOWN, SLOT_NONE, i, needs->gpus[i].bytes);
        else
                explain_any(ledger, needs, i, named, fit);
}

static void fit_any(const Ledger *ledger, const Needs *needs, uint64_t named, Fit *fit) {
        unsigned order[NEEDS_GPUS_MAX];
        unsigned n = sort_any(needs, order);
        Assign assign;

        if (n == 0)
                return;

        assign.n_needs = n;
        assign.n_slots = ledger->n_gpus;
        for (unsigned i = 0; i < ledger->n_gpus; i++)
                assign.prefer[i] = ledger->prefer[i];
        for (unsigned i = 0; i < n; i++) {
                const GpuNeed *need = &needs->gpus[order[i]];
                const GpuNeed *before = i > 0 ? &needs->gpus[order[i - 1]] : NULL;
                bool as_before = before && need->bytes == before->bytes &&
                                 strncmp(need->want, before->want, GPU_WANT_MAX) == 0;

                assign.can[i] = as_before ? assign.can[i - 1] :
                                            can_serve(ledger, needs, need, &fit->asker, named);
                if (assign.can[i] == 0 && fit->asker.briefly) {
                        refuse_any(ledger, needs, order[i], named, fit);
                        return;
                }
        }

        (void)assign_all(&assign);
        for (unsigned i = 0; i < n; i++) {
                unsigned need = order[i];
                const Pool *pool;

                if (assign.slot_of[i] < 0) {
                        refuse_any(ledger, needs, need, named, fit);
                        return;
                }
                pool = &ledger->gpus[assign.slot_of[i]];
                fit->slot_of[need] = assign.slot_of[i];
                (void)fit_pool_bytes(pool, needs->gpus[need].bytes, &fit->bytes_of[need]);
        }
}

static void fit_tokens(const Ledger *ledger, const Needs *needs, Fit *fit) {
        bool beside = !fit->asker.kept && !fit->asker.overtakes;

        for (unsigned i = 0; i < needs->n_tokens; i++) {
                const Token *token = &needs->tokens[i];

                if (token->n > ledger_free_tokens(ledger, token->name))
                        add_lack(fit, WAIT_REASON_TOKENS, SLOT_NONE, i, token->n);
                else if (beside && token->n > ledger_free_tokens_beside(ledger, token->name))
                        add_lack(fit, WAIT_REASON_TOKENS_KEPT, SLOT_NONE, i, token->n);
        }
}

bool fit_needs(const Ledger *ledger, const Needs *needs, const FitAsker *asker, Fit *ret) {
        uint64_t memory_bytes = ram_bytes(ledger, needs);
        uint64_t named = 0;
        size_t n_before;
        int lack;

        ret->asker = *asker;
        ret->n_lacks = 0;
        ret->any_gpu = false;

        if (memory_bytes > 0) {
                lack = pool_lack(&ledger->ram, memory_bytes, asker);
                if (lack != FITS)
                        add_lack(ret, (WaitReason)lack, SLOT_RAM, 0, memory_bytes);
        }

        if (needs->cpus > ledger_free_cpus(ledger))
                add_lack(ret, WAIT_REASON_CPUS, SLOT_NONE, 0, needs->cpus);
        else if (needs->cpus > 0 && !asker->kept && !asker->overtakes &&
                 needs->cpus > sat_sub(ledger_free_cpus(ledger), ledger->kept_cpus))
                add_lack(ret, WAIT_REASON_CPUS_KEPT, SLOT_NONE, 0, needs->cpus);
        fit_tokens(ledger, needs, ret);
        if (asker->briefly && ret->n_lacks > 0)
                return false;

        n_before = ret->n_lacks;
        for (unsigned i = 0; i < needs->n_gpus; i++)
                if (!gpu_need_is_any(&needs->gpus[i]))
                        named |= fit_named(ledger, needs, i, ret);
        if (ret->n_lacks == n_before)
                fit_any(ledger, needs, named, ret);

        return ret->n_lacks == 0;
}
