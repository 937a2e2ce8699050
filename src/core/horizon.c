/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "core/horizon.h"

#include "core/expect.h"
#include "core/gpus.h"
#include "core/sat.h"
#include "core/share.h"

/* One resource, when some of the tasks have ended. */
typedef struct Left {
        uint64_t measured_bytes;
        uint64_t promised_bytes;
        size_t n_tasks;
} Left;

typedef struct Later {
        uint64_t n_cpus_taken;
        Left ram;
        Left gpus[GPU_MAX];
        uint64_t n_tokens_taken[TOKENS_MAX]; /* in the places of the policy's */
} Later;

static Left left_of(const Pool *pool) {
        return (Left){ pool->measured_bytes, pool->promised_bytes, pool->n_tasks };
}

static void end_share(const Ledger *ledger,
                      const Entry *entry,
                      const Share *share,
                      Left *left,
                      Left *ram) {
        const Pool *pool = ledger_pool_const(ledger, share->slot);
        uint64_t whole_bytes = sat_sub(pool->total_bytes, pool->reserved_bytes);
        uint64_t end_us = entry_delay_end_us(entry);
        bool over = end_us != TASK_TIME_INF && ledger->now_boot_us >= end_us;
        uint64_t held_bytes = share_held_bytes(entry, share, over, whole_bytes);

        left->n_tasks--;
        if (pool->shares_ram && share_is_whole(share))
                return;
        if (pool->shares_ram)
                left = ram;
        left->measured_bytes = sat_add(left->measured_bytes, held_bytes);
        if (!over || !share_is_given_up(share, &ledger->core->policy))
                left->promised_bytes = sat_sub(left->promised_bytes,
                                               share_missing_bytes(share, 1000, whole_bytes));
}

static void end_tokens(const Ledger *ledger, const Needs *needs, Later *later) {
        for (unsigned i = 0; i < needs->n_tokens; i++) {
                int at;

                (void)ledger_n_tokens(ledger, needs->tokens[i].name, &at);
                if (at >= 0)
                        later->n_tokens_taken[at] =
                                sat_sub(later->n_tokens_taken[at], needs->tokens[i].n);
        }
}

static void end_entry(const Ledger *ledger, const Entry *entry, Later *later) {
        const Task *task = entry->task;

        later->n_cpus_taken = sat_sub(later->n_cpus_taken, task->needs.cpus);
        end_tokens(ledger, &task->needs, later);
        if (task->needs.memory_bytes == 0 && task->memory.known)
                later->ram.measured_bytes =
                        sat_add(later->ram.measured_bytes, task->memory.used_bytes);

        for (unsigned i = 0; i < entry->n_shares; i++) {
                const Share *share = &entry->shares[i];

                if (share->slot != SLOT_NONE)
                        end_share(ledger, entry, share,
                                  share->slot == SLOT_RAM ? &later->ram : &later->gpus[share->slot],
                                  &later->ram);
        }
        for (unsigned i = 0; i < task->n_strays; i++) {
                int slot = gpus_find(ledger->core, task->strays[i].uuid);
                Left *left = slot < 0                      ? NULL :
                             ledger->gpus[slot].shares_ram ? &later->ram :
                                                             &later->gpus[slot];

                if (left)
                        left->measured_bytes =
                                sat_add(left->measured_bytes, task->strays[i].used_bytes);
        }
}

/* What is looked for: room on one GPU, or (@pool NULL) all that is kept. */
typedef struct Wish {
        const Pool *pool;
        unsigned slot;
        uint64_t bytes;
} Wish;

/*
 * Which GPU is free first is worth a guess. All that is kept is waited for as long as was expected when the keeping began: who takes
 * longer than that is no reason for others to overtake.
 */
static uint64_t end_of(const Ledger *ledger, const Wish *wish, const Entry *entry) {
        if (wish->pool)
                return expect_end_us(entry, ledger->now_boot_us);

        return ledger->core->policy.patience_us > 0 ? expect_end_us(entry, ledger->kept_since_us) :
                                                      expect_limit_us(entry);
}

/* How it is when those have ended that are expected to by then; for all that is kept also those of whom that is not known. */
static void look_ahead(const Ledger *ledger, const Wish *wish, uint64_t at_us, Later *ret) {
        const Entry *entry;

        ret->n_cpus_taken = ledger->n_cpus_taken;
        for (unsigned i = 0; i < ledger->core->policy.n_tokens; i++)
                ret->n_tokens_taken[i] = ledger->tokens[i].n_taken;
        ret->ram = left_of(&ledger->ram);
        for (unsigned i = 0; i < ledger->n_gpus; i++)
                ret->gpus[i] = left_of(&ledger->gpus[i]);

        TAILQ_FOREACH(entry, &ledger->core->active, link) {
                uint64_t end_us = end_of(ledger, wish, entry);

                if (!entry->ahead && (end_us == TASK_TIME_INF ? !wish->pool : end_us <= at_us))
                        end_entry(ledger, entry, ret);
        }
}

static bool has_bytes(const Pool *pool, const Left *left, uint64_t bytes) {
        uint64_t free_bytes = MIN(left->measured_bytes, pool->total_bytes);

        return bytes <= sat_sub(free_bytes, sat_add(pool->reserved_bytes, left->promised_bytes));
}

/* @bytes: of one that shares RAM only whether it is free for one alone: its memory is RAM's */
static bool gpu_has_room(const Pool *pool, const Left *left, uint64_t bytes) {
        bool whole = bytes == GPU_WHOLE;

        if ((whole || pool->use == GPU_USE_EXCLUSIVE) && left->n_tasks > 0)
                return false;
        if (whole)
                return pool->shares_ram || pool_could_be_unused(pool, pool->held_bytes);

        return pool->shares_ram || has_bytes(pool, left, bytes);
}

static bool has_kept_tokens(const Ledger *ledger, const Later *later) {
        const Policy *policy = &ledger->core->policy;

        for (unsigned i = 0; i < policy->n_tokens; i++)
                if (ledger->tokens[i].n_kept >
                    sat_sub(policy->tokens[i].n, later->n_tokens_taken[i]))
                        return false;
        return true;
}

static bool has_kept_room(const Ledger *ledger, const Later *later) {
        bool has = ledger->kept_cpus <= sat_sub(ledger->n_cpus, later->n_cpus_taken) &&
                   has_kept_tokens(ledger, later) &&
                   (!ledger->ram.is_kept ||
                    has_bytes(&ledger->ram, &later->ram, ledger->ram.kept_bytes));

        for (unsigned i = 0; has && i < ledger->n_gpus; i++)
                has = !ledger->gpus[i].is_chosen ||
                      gpu_has_room(&ledger->gpus[i], &later->gpus[i], ledger->gpus[i].kept_bytes);

        return has;
}

static bool is_met(const Ledger *ledger, const Wish *wish, uint64_t at_us) {
        Later later;

        look_ahead(ledger, wish, at_us, &later);
        if (!wish->pool)
                return has_kept_room(ledger, &later);
        if (wish->pool->shares_ram && wish->bytes != GPU_WHOLE &&
            !has_bytes(&ledger->ram, &later.ram, wish->bytes))
                return false;

        return gpu_has_room(wish->pool, &later.gpus[wish->slot], wish->bytes);
}

/* More room comes with each end, and it can be halved. TASK_TIME_INF: no end that is known brings it. */
static uint64_t first_us(const Ledger *ledger, const Wish *wish) {
        uint64_t low = ledger->now_boot_us, high = low;
        const Entry *entry;

        if (is_met(ledger, wish, low))
                return low;

        TAILQ_FOREACH(entry, &ledger->core->active, link) {
                uint64_t end_us = end_of(ledger, wish, entry);

                if (end_us != TASK_TIME_INF)
                        high = MAX(high, end_us);
        }
        if (!is_met(ledger, wish, high))
                return TASK_TIME_INF;

        while (high - low > 1) {
                uint64_t middle = low + (high - low) / 2;

                if (is_met(ledger, wish, middle))
                        high = middle;
                else
                        low = middle;
        }

        return high;
}

uint64_t horizon_of_gpu_us(const Ledger *ledger, unsigned slot, uint64_t bytes) {
        Wish wish = { &ledger->gpus[slot], slot, bytes };

        return first_us(ledger, &wish);
}

uint64_t horizon_of_kept_us(const Ledger *ledger) {
        uint64_t at_us = first_us(ledger, &(Wish){});

        return at_us == TASK_TIME_INF ? ledger->now_boot_us : at_us;
}
