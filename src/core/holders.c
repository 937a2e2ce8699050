/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "core/holders.h"

#include "core/gpus.h"
#include "core/keep.h"
#include "core/limit.h"
#include "core/sat.h"
#include "core/share.h"
#include "core/stray.h"

static uint64_t weight(const Holder *holder) {
        return sat_add(holder->used_bytes, holder->promised_bytes);
}

void holders_add(Lack *lack, const Holder *holder) {
        size_t at = lack->n_holders;

        if (at == EXPLAIN_HOLDERS_MAX) {
                lack->n_more_holders++;
                if (weight(holder) <= weight(&lack->holders[at - 1]))
                        return;
                at--;
        } else {
                lack->n_holders++;
        }

        for (; at > 0 && weight(&lack->holders[at - 1]) < weight(holder); at--)
                lack->holders[at] = lack->holders[at - 1];
        lack->holders[at] = *holder;
}

static bool is_over(const Ledger *ledger, const Entry *entry) {
        return ledger->now_boot_us >= entry_delay_end_us(entry) &&
               entry_delay_end_us(entry) != TASK_TIME_INF;
}

/* Whether a share is a cause of such a lack. */
static bool is_cause(const Ledger *ledger,
                     const FitAsker *asker,
                     const Entry *entry,
                     const Share *share,
                     WaitReason reason) {
        bool counts = !asker->kept || keep_comes_after(ledger->core, entry);
        bool settles = counts && !is_over(ledger, entry) && !share_is_filled(share);

        switch (reason) {
        case WAIT_REASON_DELAY:
                return settles && (entry->task->delay_given || ledger->core->policy.delay_strict);
        case WAIT_REASON_SETTLING:
                return settles;
        case WAIT_REASON_GPU_WHOLE:
                return share_is_whole(share);
        case WAIT_REASON_MEMORY:
        case WAIT_REASON_GPU_MEMORY:
        case WAIT_REASON_GPU_SHARED:
        case WAIT_REASON_GPU_EXCLUSIVE:
                return true;
        case WAIT_REASON_GPU_UNKNOWN:
        case WAIT_REASON_GPU_LOST:
        case WAIT_REASON_CPUS:
        case WAIT_REASON_HELD:
        case WAIT_REASON_AWAY:
        case WAIT_REASON_OFFERS:
        case WAIT_REASON_ACTIVE:
        case WAIT_REASON_LOOK:
        case WAIT_REASON_GPU_KEPT:
        case WAIT_REASON_AFTER:
        case WAIT_REASON_AFTER_ANY:
        case WAIT_REASON_LIMIT:
        case WAIT_REASON_ELEMENTS:
        case WAIT_REASON_OTHER:
        case WAIT_REASON_DRAINED:
        case WAIT_REASON_GPU_PROHIBITED:
        case WAIT_REASON_GPU_SPLIT:
        case WAIT_REASON_ROOM_KEPT:
        case WAIT_REASON_CPUS_KEPT:
        case WAIT_REASON_PRESSURE:
        case WAIT_REASON_MAX_RUNNING:
        case WAIT_REASON_MAX_MEMORY:
        case WAIT_REASON_MAX_GPUS:
        case WAIT_REASON_MAX_GPU_MEMORY:
        case WAIT_REASON_TOKENS:
        case WAIT_REASON_TOKENS_KEPT:
                break;
        }

        return false;
}

static void add_share_holder(const Ledger *ledger,
                             const Entry *entry,
                             const Share *share,
                             Lack *lack) {
        const Pool *pool = ledger_pool_const(ledger, share->slot);
        uint64_t whole = sat_sub(pool->total_bytes, pool->reserved_bytes);
        bool given_up = is_over(ledger, entry) && share_is_given_up(share, &ledger->core->policy);
        Holder holder = {
                .task_id = entry->task->id,
                .uid = entry->task->uid,
                .used_bytes = share_used_bytes(entry, share),
                .promised_bytes = given_up ? 0 : share_missing_bytes(share, 1000, whole),
        };

        if (weight(&holder) > 0 || lack->reason != WAIT_REASON_MEMORY)
                holders_add(lack, &holder);
}

/* Whether what holds one of two slots is in the way of who wants the other. */
static bool is_there(const Core *core, int a, int b, WaitReason reason) {
        bool is_memory = reason == WAIT_REASON_MEMORY || reason == WAIT_REASON_GPU_MEMORY ||
                         reason == WAIT_REASON_DELAY || reason == WAIT_REASON_SETTLING;

        return is_memory ? gpus_are_one(core, a, b) : a == b;
}

/* One that holds some of a GPU without having asked for it. */
static void add_stray_holder(const Ledger *ledger, const Entry *entry, int slot, Lack *lack) {
        Holder holder = {
                .task_id = entry->task->id,
                .uid = entry->task->uid,
                .used_bytes = stray_used_bytes(ledger->core, entry, slot),
        };

        if (holder.used_bytes > 0 &&
            (lack->reason == WAIT_REASON_MEMORY || lack->reason == WAIT_REASON_GPU_MEMORY ||
             lack->reason == WAIT_REASON_GPU_SHARED || lack->reason == WAIT_REASON_GPU_EXCLUSIVE))
                holders_add(lack, &holder);
}

void holders_of_pool(const Ledger *ledger, const FitAsker *asker, int slot, Lack *lack) {
        const Entry *entry;

        TAILQ_FOREACH(entry, &ledger->core->active, link) {
                for (unsigned i = 0; i < entry->n_shares; i++)
                        if (is_there(ledger->core, entry->shares[i].slot, slot, lack->reason) &&
                            is_cause(ledger, asker, entry, &entry->shares[i], lack->reason))
                                add_share_holder(ledger, entry, &entry->shares[i], lack);
                add_stray_holder(ledger, entry, slot, lack);
        }
}

void holders_of_cpus(const Ledger *ledger, Lack *lack) {
        const Entry *entry;

        TAILQ_FOREACH(entry, &ledger->core->active, link) {
                Holder holder = {
                        .task_id = entry->task->id,
                        .uid = entry->task->uid,
                        .used_bytes = entry->task->needs.cpus,
                };

                if (holder.used_bytes > 0)
                        holders_add(lack, &holder);
        }
}

void holders_of_token(const Ledger *ledger, const char *name, Lack *lack) {
        const Entry *entry;

        TAILQ_FOREACH(entry, &ledger->core->active, link) {
                Holder holder = {
                        .task_id = entry->task->id,
                        .uid = entry->task->uid,
                        .used_bytes = needs_n_of_token(&entry->task->needs, name),
                };

                if (holder.used_bytes > 0)
                        holders_add(lack, &holder);
        }
}

/* What counts of a task towards a limit. */
static uint64_t used_of(const LimitUse *use, WaitReason reason) {
        if (reason == WAIT_REASON_MAX_MEMORY)
                return use->memory_bytes;
        if (reason == WAIT_REASON_MAX_GPUS)
                return use->n_gpus;
        if (reason == WAIT_REASON_MAX_GPU_MEMORY)
                return use->gpu_bytes;

        return use->n_running;
}

void holders_of_user(const Core *core, const User *user, Lack *lack) {
        const Entry *entry;

        TAILQ_FOREACH(entry, &core->active, link) {
                LimitUse use;
                Holder holder = { .task_id = entry->task->id, .uid = entry->task->uid };

                if (entry->class->user != user || entry->ahead)
                        continue;
                use = limit_of_active(core, entry);
                holder.used_bytes = used_of(&use, lack->reason);
                if (holder.used_bytes > 0)
                        holders_add(lack, &holder);
        }
}
