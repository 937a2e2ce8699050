/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "core/ledger.h"

#include "core/gpus.h"
#include "core/keep.h"
#include "core/sat.h"
#include "core/share.h"

Pool *ledger_pool(Ledger *ledger, int slot) {
        return slot == SLOT_RAM ? &ledger->ram : &ledger->gpus[slot];
}

const Pool *ledger_pool_const(const Ledger *ledger, int slot) {
        return slot == SLOT_RAM ? &ledger->ram : &ledger->gpus[slot];
}

uint64_t pool_free_bytes(const Pool *pool) {
        return sat_sub(pool->measured_bytes, sat_add(pool->reserved_bytes, pool->promised_bytes));
}

uint64_t pool_ample_free_bytes(const Pool *pool) {
        return sat_sub(pool->measured_bytes, sat_add(pool->reserved_bytes, pool->ample_bytes));
}

/* Less what is kept; of a whole GPU that is all. */
static uint64_t beside_kept(const Pool *pool, uint64_t bytes) {
        return pool->is_kept ? sat_sub(bytes, pool->kept_bytes) : bytes;
}

uint64_t pool_free_beside_bytes(const Pool *pool) {
        return beside_kept(pool, pool_free_bytes(pool));
}

uint64_t pool_ample_free_beside_bytes(const Pool *pool) {
        return beside_kept(pool, pool_ample_free_bytes(pool));
}

uint64_t pool_potential_bytes(const Pool *pool, uint64_t held_bytes) {
        return sat_sub(MIN(sat_add(pool->measured_bytes, held_bytes), pool->total_bytes),
                       pool->reserved_bytes);
}

bool pool_could_be_unused(const Pool *pool, uint64_t held_bytes) {
        uint64_t used = sat_sub(sat_sub(pool->total_bytes, pool->measured_bytes), held_bytes);

        return sat_sub(used, pool->idle_bytes) <= pool->whole_used_bytes;
}

uint64_t pool_outside_bytes(const Pool *pool) {
        return sat_sub(sat_sub(pool->total_bytes, pool->measured_bytes), pool->used_by_tasks_bytes);
}

uint64_t ledger_free_cpus(const Ledger *ledger) {
        return sat_sub(ledger->n_cpus, ledger->n_cpus_taken);
}

uint64_t ledger_n_tokens(const Ledger *ledger, const char *name, int *ret_at) {
        const Policy *policy = &ledger->core->policy;

        *ret_at = token_find(policy->tokens, policy->n_tokens, name);
        return *ret_at < 0 ? 0 : policy->tokens[*ret_at].n;
}

uint64_t ledger_free_tokens(const Ledger *ledger, const char *name) {
        int at;
        uint64_t n = ledger_n_tokens(ledger, name, &at);

        return at < 0 ? 0 : sat_sub(n, ledger->tokens[at].n_taken);
}

uint64_t ledger_free_tokens_beside(const Ledger *ledger, const char *name) {
        int at;
        uint64_t n = ledger_n_tokens(ledger, name, &at);

        return at < 0 ? 0 : sat_sub(n, ledger->tokens[at].n_taken + ledger->tokens[at].n_kept);
}

void ledger_take_tokens(Ledger *ledger, const Needs *needs) {
        for (unsigned i = 0; i < needs->n_tokens; i++) {
                int at;

                (void)ledger_n_tokens(ledger, needs->tokens[i].name, &at);
                if (at >= 0)
                        ledger->tokens[at].n_taken += needs->tokens[i].n;
        }
}

void ledger_give_tokens(Ledger *ledger, const Needs *needs) {
        for (unsigned i = 0; i < needs->n_tokens; i++) {
                int at;

                (void)ledger_n_tokens(ledger, needs->tokens[i].name, &at);
                if (at >= 0)
                        ledger->tokens[at].n_taken =
                                sat_sub(ledger->tokens[at].n_taken, needs->tokens[i].n);
        }
}

bool ledger_is_timely(const Ledger *ledger, const Look *look) {
        uint64_t age_us = sat_sub(ledger->now_boot_us, look->boot_us);

        return look->taken && age_us <= ledger->core->policy.sample_max_age_us &&
               look->n_offers_before >= look->last_offer;
}

static void pool_set_look(Pool *pool, const Look *look, const Ledger *ledger) {
        bool timely = ledger_is_timely(ledger, look);

        pool->fresh = look->known && timely;
        pool->stale = !timely || look->changed;
        pool->changed = look->changed;
        pool->wake_us = TASK_TIME_INF;
}

static void set_ram(Ledger *ledger, LedgerView view) {
        const Core *core = ledger->core;
        Pool *pool = &ledger->ram;

        *pool = (Pool){
                .state = core->ram.look.known ? GPU_STATE_OK : GPU_STATE_UNKNOWN,
                .total_bytes = core->ram.total_bytes,
                .measured_bytes = core->ram.available_bytes,
                .reserved_bytes = core->policy.reserved_memory_bytes,
        };
        pool_set_look(pool, &core->ram.look, ledger);
        if (view != LEDGER_AT_BEST || !pool->stale)
                return;

        pool->state = GPU_STATE_OK;
        if (!core->ram.look.known)
                pool->total_bytes = UINT64_MAX;
        pool->measured_bytes = pool->total_bytes;
}

static void set_gpu(Ledger *ledger, unsigned slot, LedgerView view) {
        const Core *core = ledger->core;
        const Policy *policy = &core->policy;
        const Gpu *gpu = &core->gpus[slot];
        Pool *pool = &ledger->gpus[slot];

        *pool = (Pool){
                .is_gpu = true,
                .allowed = gpus_is_allowed(core, (int)slot),
                .shares_ram = gpu->sample.shares_ram,
                .whole_only = gpu->sample.whole_only,
                .use = gpu->sample.use,
                .n_computing = gpu->sample.n_computing,
                .state = gpu->sample.state,
                .order = gpu_order(&gpu->sample),
                .total_bytes = gpu->sample.total_bytes,
                .measured_bytes = gpu->sample.free_bytes,
                .reserved_bytes = policy->reserved_gpu_memory_bytes,
                .idle_bytes = gpu->idle_known ? gpu->idle_bytes : 0,
        };
        pool_set_look(pool, &gpu->look, ledger);
        if (view == LEDGER_AT_BEST && pool->stale) {
                pool->state = GPU_STATE_OK;
                pool->n_computing = 0;
                if (!gpu->total_known)
                        pool->total_bytes = UINT64_MAX;
                pool->measured_bytes = pool->total_bytes;
        }
        pool->whole_used_bytes =
                sat_mul_div(pool->total_bytes, policy->whole_gpu_used_permyriad, 10000);
}

/* A GPU without memory of its own: one pool with RAM, whoever asked for it by which name. */
static void share_with_ram(Ledger *ledger, Pool *pool) {
        const Pool *ram = &ledger->ram;

        if (ram->state != GPU_STATE_OK && pool->state == GPU_STATE_OK)
                pool->state = GPU_STATE_UNKNOWN;
        pool->total_bytes = ram->total_bytes;
        pool->measured_bytes = ram->measured_bytes;
        pool->reserved_bytes = ram->reserved_bytes;
        pool->promised_bytes = ram->promised_bytes;
        pool->ample_bytes = ram->ample_bytes;
        pool->used_by_tasks_bytes = ram->used_by_tasks_bytes;
        pool->strict_end_us = ram->strict_end_us;
        pool->settling_end_us = ram->settling_end_us;
        pool->held_bytes = ram->held_bytes;
        pool->claimed_bytes = ram->claimed_bytes;
        pool->kept_ample_bytes = ram->kept_ample_bytes;
        pool->kept_strict_end_us = ram->kept_strict_end_us;
        pool->kept_settling_end_us = ram->kept_settling_end_us;
        pool->changed |= ram->changed;
        pool->wake_us = ram->wake_us;
}

static void add_settling(Pool *pool, const Entry *entry, const Core *core, uint64_t end_us) {
        bool strict = entry->task->delay_given || core->policy.delay_strict;

        if (pool->is_whole)
                return; /* nobody else starts there, before or after */

        pool->wake_us = MIN(pool->wake_us, end_us);
        pool->settling_end_us = MAX(pool->settling_end_us, end_us);
        if (strict)
                pool->strict_end_us = MAX(pool->strict_end_us, end_us);
        if (!keep_comes_after(core, entry))
                return;

        pool->kept_settling_end_us = MAX(pool->kept_settling_end_us, end_us);
        if (strict)
                pool->kept_strict_end_us = MAX(pool->kept_strict_end_us, end_us);
}

static void add_share(Ledger *ledger, const Entry *entry, const Share *share, LedgerView view) {
        const Policy *policy = &ledger->core->policy;
        Pool *pool = ledger_pool(ledger, share->slot);
        uint64_t whole_bytes = sat_sub(pool->total_bytes, pool->reserved_bytes);
        Pool *memory = pool->shares_ram ? &ledger->ram : pool;
        uint64_t end_us = entry_delay_end_us(entry);
        uint64_t factor = MAX(policy->ample_factor_permille, UINT64_C(1000));
        bool over = end_us != TASK_TIME_INF && ledger->now_boot_us >= end_us;
        uint64_t missing, held_bytes;
        Share seen = *share;

        if (view == LEDGER_AT_BEST)
                seen.peak_bytes = MAX(seen.peak_bytes, seen.reported_bytes);

        pool->n_tasks++;
        pool->is_whole |= share_is_whole(&seen);
        if (share->slot != SLOT_RAM)
                memory->used_by_tasks_bytes =
                        sat_add(memory->used_by_tasks_bytes, share_used_bytes(entry, share));
        if (memory != pool && share_is_whole(&seen))
                return; /* the GPU alone; of RAM it has what it asked for by that name */

        held_bytes = share_held_bytes(entry, share, over, whole_bytes);
        memory->held_bytes = sat_add(memory->held_bytes, held_bytes);
        memory->claimed_bytes =
                sat_add(memory->claimed_bytes,
                        MAX(held_bytes, share_is_whole(share) ? whole_bytes : share->asked_bytes));

        if (over && share_is_given_up(&seen, policy))
                return;
        if (over || share_is_filled(&seen))
                factor = 1000;
        else
                add_settling(memory, entry, ledger->core, end_us);

        missing = share_missing_bytes(&seen, 1000, whole_bytes);
        memory->promised_bytes = sat_add(memory->promised_bytes, missing);
        if (factor > 1000)
                missing = share_missing_bytes(&seen, factor, whole_bytes);
        memory->ample_bytes = sat_add(memory->ample_bytes, missing);
        if (!keep_comes_after(ledger->core, entry))
                missing = share_missing_bytes(&seen, 1000, whole_bytes);
        memory->kept_ample_bytes = sat_add(memory->kept_ample_bytes, missing);
}

/* Memory that it did not ask for is measured as used like all other, but somebody's. */
static void add_strays(Ledger *ledger, const Task *task) {
        for (unsigned i = 0; i < task->n_strays; i++) {
                int slot = gpus_find(ledger->core, task->strays[i].uuid);
                Pool *pool = slot >= 0 ? &ledger->gpus[slot] : NULL;

                if (!pool)
                        continue;
                if (pool->shares_ram)
                        pool = &ledger->ram;
                pool->used_by_tasks_bytes =
                        sat_add(pool->used_by_tasks_bytes, task->strays[i].used_bytes);
                pool->held_bytes = sat_add(pool->held_bytes, task->strays[i].used_bytes);
                pool->claimed_bytes = sat_add(pool->claimed_bytes, task->strays[i].used_bytes);
        }
}

static void add_entry(Ledger *ledger, const Entry *entry, LedgerView view) {
        const Task *task = entry->task;

        if (entry->ahead)
                return; /* it will have what that one has now */

        ledger->n_cpus_taken = sat_add(ledger->n_cpus_taken, task->needs.cpus);
        ledger_take_tokens(ledger, &task->needs);
        if (task->memory.known)
                ledger->ram.used_by_tasks_bytes =
                        sat_add(ledger->ram.used_by_tasks_bytes, task->memory.used_bytes);
        if (task->memory.known && task->needs.memory_bytes == 0) {
                ledger->ram.held_bytes = sat_add(ledger->ram.held_bytes, task->memory.used_bytes);
                ledger->ram.claimed_bytes =
                        sat_add(ledger->ram.claimed_bytes, task->memory.used_bytes);
        }

        for (unsigned i = 0; i < entry->n_shares; i++)
                if (entry->shares[i].slot != SLOT_NONE)
                        add_share(ledger, entry, &entry->shares[i], view);
        add_strays(ledger, task);
}

static bool is_preferred(const Ledger *ledger, unsigned a, unsigned b) {
        uint64_t free_a = pool_free_bytes(&ledger->gpus[a]);
        uint64_t free_b = pool_free_bytes(&ledger->gpus[b]);

        if (free_a != free_b)
                return (free_a < free_b) == ledger->core->policy.gpu_pick_pack;

        return ledger->gpus[a].order < ledger->gpus[b].order;
}

static void set_preference(Ledger *ledger) {
        for (unsigned i = 0; i < ledger->n_gpus; i++) {
                unsigned at = i;

                for (; at > 0 && is_preferred(ledger, i, ledger->prefer[at - 1]); at--)
                        ledger->prefer[at] = ledger->prefer[at - 1];
                ledger->prefer[at] = i;
        }
}

void ledger_build(Ledger *ret, const Core *core, uint64_t now_boot_us, LedgerView view) {
        const Entry *entry;

        ret->core = core;
        ret->first_kind = gpus_first_kind(core);
        ret->now_boot_us = now_boot_us;
        ret->n_cpus = core->policy.n_cpus;
        ret->n_cpus_taken = 0;
        ret->n_gpus = core->n_gpus;
        for (unsigned i = 0; i < core->policy.n_tokens; i++)
                ret->tokens[i] = (TokenPool){};
        ret->kept_for = NULL;
        ret->kept_cpus = 0;
        ret->kept_since_us = now_boot_us;
        ret->kept_from_us = 0;

        set_ram(ret, view);
        for (unsigned i = 0; i < core->n_gpus; i++)
                set_gpu(ret, i, view);

        TAILQ_FOREACH(entry, &core->active, link)
        add_entry(ret, entry, view);
        for (unsigned i = 0; i < ret->n_gpus; i++)
                if (ret->gpus[i].shares_ram)
                        share_with_ram(ret, &ret->gpus[i]);

        set_preference(ret);
}
