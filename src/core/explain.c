/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Why a task waits
 *
 * What fit_needs() finds lacking, with the figures of the ledger and with who holds what. Ages of
 * samples are left out: they are no reason to wait for longer than an instant.
 */

#include "core/explain.h"

#include <stdio.h>

#include "core/array.h"
#include "core/fit.h"
#include "core/gpus.h"
#include "core/keep.h"
#include "core/limit.h"
#include "core/look.h"
#include "core/place.h"
#include "core/queue.h"
#include "core/sat.h"
#include "core/share.h"
#include "core/stray.h"
#include "core/table.h"

static const char *const wait_reason_table[] = {
        [WAIT_REASON_MEMORY] = "memory",
        [WAIT_REASON_GPU_MEMORY] = "gpu-memory",
        [WAIT_REASON_GPU_SHARED] = "gpu-shared",
        [WAIT_REASON_GPU_WHOLE] = "gpu-whole",
        [WAIT_REASON_GPU_UNKNOWN] = "gpu-unknown",
        [WAIT_REASON_GPU_LOST] = "gpu-lost",
        [WAIT_REASON_CPUS] = "cpus",
        [WAIT_REASON_DELAY] = "delay",
        [WAIT_REASON_SETTLING] = "settling",
        [WAIT_REASON_HELD] = "held",
        [WAIT_REASON_AWAY] = "away",
        [WAIT_REASON_OFFERS] = "offers",
        [WAIT_REASON_LOOK] = "look",
        [WAIT_REASON_GPU_KEPT] = "gpu-kept",
        [WAIT_REASON_AFTER] = "after",
        [WAIT_REASON_AFTER_ANY] = "after-any",
        [WAIT_REASON_LIMIT] = "limit",
        [WAIT_REASON_ELEMENTS] = "elements",
        [WAIT_REASON_OTHER] = "other",
        [WAIT_REASON_DRAINED] = "drained",
        [WAIT_REASON_GPU_EXCLUSIVE] = "gpu-exclusive",
        [WAIT_REASON_GPU_PROHIBITED] = "gpu-prohibited",
        [WAIT_REASON_GPU_SPLIT] = "gpu-split",
        [WAIT_REASON_ROOM_KEPT] = "room-kept",
        [WAIT_REASON_CPUS_KEPT] = "cpus-kept",
        [WAIT_REASON_PRESSURE] = "pressure",
        [WAIT_REASON_MAX_RUNNING] = "max-running",
        [WAIT_REASON_MAX_MEMORY] = "max-memory",
        [WAIT_REASON_MAX_GPUS] = "max-gpus",
        [WAIT_REASON_MAX_GPU_MEMORY] = "max-gpu-memory",
};

DEFINE_STRING_TABLE(wait_reason, WaitReason);

static uint64_t weight(const Holder *holder) {
        return sat_add(holder->used_bytes, holder->promised_bytes);
}

/* Keep those that hold most, the largest first. */
static void add_holder(Lack *lack, const Holder *holder) {
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
                     const Entry *entry,
                     const Share *share,
                     WaitReason reason) {
        bool settles = !is_over(ledger, entry) && !share_is_filled(share);

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
                add_holder(lack, &holder);
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
                add_holder(lack, &holder);
}

static void add_holders(const Ledger *ledger, int slot, Lack *lack) {
        const Entry *entry;

        TAILQ_FOREACH(entry, &ledger->core->active, link) {
                for (unsigned i = 0; i < entry->n_shares; i++)
                        if (is_there(ledger->core, entry->shares[i].slot, slot, lack->reason) &&
                            is_cause(ledger, entry, &entry->shares[i], lack->reason))
                                add_share_holder(ledger, entry, &entry->shares[i], lack);
                add_stray_holder(ledger, entry, slot, lack);
        }
}

static void add_cpu_holders(const Ledger *ledger, Lack *lack) {
        const Entry *entry;

        TAILQ_FOREACH(entry, &ledger->core->active, link) {
                Holder holder = {
                        .task_id = entry->task->id,
                        .uid = entry->task->uid,
                        .used_bytes = entry->task->needs.cpus,
                };

                if (holder.used_bytes > 0)
                        add_holder(lack, &holder);
        }
}

/* Whom room is kept for, and how much. */
static void add_kept_for(const Ledger *ledger, uint64_t kept_bytes, Lack *lack) {
        Holder holder = { .promised_bytes = kept_bytes };

        if (!ledger->kept_for)
                return;
        holder.task_id = ledger->kept_for->task->id;
        holder.uid = ledger->kept_for->task->uid;
        add_holder(lack, &holder);
}

static void explain_cpus(const Ledger *ledger, Lack *lack) {
        uint64_t free_cpus = ledger_free_cpus(ledger);

        lack->total_bytes = ledger->n_cpus;
        lack->free_bytes = free_cpus;
        if (lack->reason == WAIT_REASON_CPUS_KEPT) {
                free_cpus = sat_sub(free_cpus, ledger->kept_cpus);
                add_kept_for(ledger, ledger->kept_cpus, lack);
        } else {
                add_cpu_holders(ledger, lack);
        }
        lack->missing_bytes = sat_sub(lack->asked_bytes, free_cpus);
}

static void explain_kept(const Ledger *ledger, const Pool *pool, Lack *lack) {
        bool whole = pool->is_gpu && lack->asked_bytes == GPU_WHOLE;

        lack->missing_bytes = whole ? 0 : sat_sub(lack->asked_bytes, pool_free_beside_bytes(pool));
        add_kept_for(ledger,
                     MIN(pool->kept_bytes, sat_sub(pool->total_bytes, pool->reserved_bytes)), lack);
}

/* Who beside tasks is in the way there: those that hold most. */
static void add_outsiders(const Outsiders *outsiders, Lack *lack) {
        lack->n_outsiders = MIN(outsiders->n, (size_t)EXPLAIN_OUTSIDERS_MAX);
        lack->n_more_outsiders = outsiders->n - lack->n_outsiders + outsiders->n_more;
        for (size_t i = 0; i < lack->n_outsiders; i++)
                lack->outsiders[i] = outsiders->items[i];
}

static void explain_pool(const Ledger *ledger, int slot, Lack *lack) {
        const Pool *pool = ledger_pool_const(ledger, slot);
        uint64_t used = sat_sub(pool->total_bytes, pool->measured_bytes);

        if (slot != SLOT_RAM) {
                lack->gpu_index = (int)ledger->core->gpus[slot].sample.index;
                (void)gpus_id(ledger->core, slot, lack->gpu_id);
                gpu_text_copy(lack->gpu_uuid, ledger->core->gpus[slot].sample.uuid);
        }

        lack->total_bytes = pool->total_bytes;
        if (pool->state != GPU_STATE_OK)
                return;

        lack->reserved_bytes = pool->reserved_bytes;
        lack->outside_bytes = pool_outside_bytes(pool);
        if (lack->reason == WAIT_REASON_GPU_MEMORY || lack->reason == WAIT_REASON_GPU_SHARED)
                add_outsiders(&ledger->core->gpus[slot].outsiders, lack);
        lack->free_bytes = pool->is_whole ? 0 : pool_free_bytes(pool);
        if (lack->reason == WAIT_REASON_ROOM_KEPT) {
                explain_kept(ledger, pool, lack);
                return;
        }
        if (lack->reason == WAIT_REASON_SETTLING)
                lack->free_bytes = pool_ample_free_bytes(pool);
        lack->missing_bytes =
                lack->asked_bytes == GPU_WHOLE && slot != SLOT_RAM ?
                        sat_sub(sat_sub(used, pool->idle_bytes), pool->whole_used_bytes) :
                        sat_sub(lack->asked_bytes, lack->free_bytes);
        if (lack->reason == WAIT_REASON_DELAY)
                lack->until_boot_us = pool->strict_end_us;
        if (lack->reason == WAIT_REASON_SETTLING)
                lack->until_boot_us = pool->settling_end_us;
        add_holders(ledger, slot, lack);
}

static Lack *add_lack(Explain *explain, WaitReason reason) {
        Lack *lack = &explain->lacks[explain->n_lacks++];

        *lack = (Lack){ .reason = reason, .gpu_index = -1 };
        return lack;
}

/* A GPU that this core has not seen: all there is of it is the words of the request. */
static void explain_unseen(const GpuNeed *need, Lack *lack) {
        GpuNumber number;

        gpu_text_copy(lack->gpu_uuid, need->uuid);
        if (!gpu_word_number(need->want, &number))
                return;
        lack->gpu_index = (int)number.index;
        (void)snprintf(lack->gpu_id, sizeof(lack->gpu_id), "%.*s", GPU_ID_MAX - 1, need->want);
}

static void explain_lack(const Ledger *ledger,
                         const Needs *needs,
                         const FitLack *found,
                         Explain *ret) {
        Lack *lack = add_lack(ret, found->reason);

        lack->asked_bytes = found->asked_bytes;
        if (found->reason == WAIT_REASON_CPUS || found->reason == WAIT_REASON_CPUS_KEPT)
                explain_cpus(ledger, lack);
        else if (found->slot == SLOT_NONE)
                explain_unseen(&needs->gpus[found->need], lack);
        else
                explain_pool(ledger, found->slot, lack);
}

static void explain_grants(const Ledger *ledger, const Needs *needs, const Fit *fit, Explain *ret) {
        for (unsigned i = 0; i < needs->n_gpus; i++)
                ret->grants[i] = gpus_grant(ledger->core, fit->slot_of[i], fit->bytes_of[i]);
}

/* Whether more room is what it waits for. */
static bool lacks_room(const Explain *explain) {
        for (size_t i = 0; i < explain->n_lacks; i++)
                if (explain->lacks[i].reason <= WAIT_REASON_GPU_WHOLE)
                        return true;

        return false;
}

static void explain_keep(const Ledger *ledger, const Entry *entry, Explain *ret) {
        const Core *core = ledger->core;
        uint64_t past_us = keep_past_us(core, entry);
        KeepRoom room;

        if (past_us == TASK_TIME_INF)
                return;

        ret->keep.patient_boot_us = past_us;
        ret->keep.kept = entry == ledger->kept_for;
        if (ret->keep.kept) {
                ret->keep.since_boot_us = core->keep.since_boot_us;
                if (keep_until_us(core) != TASK_TIME_INF)
                        ret->keep.until_boot_us = keep_until_us(core);
        } else if (past_us <= ledger->now_boot_us && lacks_room(ret)) {
                ret->keep.hopeless = !keep_find(ledger, entry, KEEP_GOES_ON, &room);
        }
}

/* @entry: NULL: a task that was not submitted. */
static void explain_needs(const Core *core,
                          const Task *task,
                          const Entry *entry,
                          uint64_t now_boot_us,
                          Explain *ret) {
        Alike alike = queue_alike(task);
        const Needs *needs = &task->needs;
        KeepRoom room = {};
        FitAsker asker;
        Ledger ledger;
        Fit fit;

        ledger_build(&ledger, core, now_boot_us, LEDGER_AS_SEEN);
        if (keep_find_current(&ledger, &room))
                keep_mark(&ledger, &room);
        asker = keep_asker(&ledger, entry, alike.delay, alike.time_limit_us);
        if (fit_needs(&ledger, needs, &asker, &fit)) {
                if (ret->n_lacks == 0)
                        explain_grants(&ledger, needs, &fit, ret);
                return;
        }

        ret->any_gpu = fit.any_gpu;
        for (size_t i = 0; i < fit.n_lacks; i++)
                explain_lack(&ledger, needs, &fit.lacks[i], ret);
        if (entry)
                explain_keep(&ledger, entry, ret);
}

/* An offer is open: nothing is missing, it is up to its runner. */
static void explain_offered(const Task *task, Explain *ret) {
        ret->place = 1;
        for (unsigned i = 0; i < task->needs.n_gpus; i++)
                ret->grants[i] = task->gpus[i];
}

/* The tasks that it waits for in one of the two ways, in the order that was asked for. */
static void explain_after(const Core *core, const Task *task, bool any, Explain *ret) {
        Lack *lack = NULL;

        for (unsigned i = 0; i < task->n_after; i++) {
                const Entry *other = table_find(core, task->after[i].id);

                if (task->after[i].any != any)
                        continue;
                if (!lack)
                        lack = add_lack(ret, any ? WAIT_REASON_AFTER_ANY : WAIT_REASON_AFTER);
                if (lack->n_holders == EXPLAIN_HOLDERS_MAX)
                        lack->n_more_holders++;
                else
                        lack->holders[lack->n_holders++] = (Holder){
                                .task_id = task->after[i].id,
                                .uid = other ? other->task->uid : task->uid,
                        };
        }
}

static void explain_elements(WaitReason reason, unsigned n, Explain *ret) {
        add_lack(ret, reason)->total_bytes = n;
}

/* What keeps it out of the line, or all of its array. True if there is something. */
static bool explain_blocked(const Core *core, const Entry *entry, Explain *ret) {
        const Entry *own = entry->task->array ? entry : array_of(core, entry->task->id);
        const TaskArray *array = own ? own->task->array : NULL;
        size_t n_before = ret->n_lacks;

        explain_after(core, entry->task, false, ret);
        explain_after(core, entry->task, true, ret);
        if (own == entry && entry->n_waiting == 0)
                explain_elements(WAIT_REASON_ELEMENTS, array->n_apart, ret);
        else if (array && array_is_full(array))
                explain_elements(WAIT_REASON_LIMIT, array->limit, ret);

        return ret->n_lacks > n_before;
}

/* It stands first: whatever else is missing, it would not help. */
static void explain_drain(const Core *core, Explain *ret) {
        ret->drain = core->drain;
        if (core->drain.on)
                (void)add_lack(ret, WAIT_REASON_DRAINED);
}

/* Likewise; and one of the two is enough to say. */
static void explain_pressure(const Core *core, Explain *ret) {
        Lack *lack;

        if (core->drain.on || !look_is_pressed(core))
                return;
        lack = add_lack(ret, WAIT_REASON_PRESSURE);
        lack->total_bytes = core->policy.pressure_limit_permyriad;
        lack->missing_bytes = core->ram.pressure_permyriad - lack->total_bytes;
}

/* Whether its user has as many open offers, or tasks that run, as one may have. */
static bool is_full(const Core *core, const User *user) {
        return user->n_offers >= core->policy.max_offers_per_uid ||
               user->n_running + user->n_offers >= core->policy.max_active_per_uid;
}

/* Whether its user's tasks have as much as they may. */
static void explain_limit(const Core *core, const User *user, const Needs *needs, Explain *ret) {
        LimitLack found;
        Lack *lack;

        if (!limit_blocks(core, user, needs, &found))
                return;

        lack = add_lack(ret, found.reason);
        lack->asked_bytes = found.asked;
        lack->total_bytes = found.most;
        lack->free_bytes = sat_sub(found.most, found.used);
        lack->missing_bytes = found.asked - lack->free_bytes;
}

static void explain_waiting(const Core *core,
                            const Entry *entry,
                            uint64_t now_boot_us,
                            Explain *ret) {
        const Task *task = entry->task;

        explain_drain(core, ret);
        explain_pressure(core, ret);
        if (explain_blocked(core, entry, ret)) {
                if (entry->away)
                        (void)add_lack(ret, WAIT_REASON_AWAY);
                return;
        }

        ret->place = 1 + place_in_order(core, task->uid, entry->class->priority, task->id,
                                        task->queued_boot_us, now_boot_us);
        if (entry->phase == PHASE_AWAY)
                (void)add_lack(ret, WAIT_REASON_AWAY);
        if (is_full(core, entry->class->user))
                (void)add_lack(ret, WAIT_REASON_OFFERS);
        else
                explain_limit(core, entry->class->user, &task->needs, ret);
        explain_needs(core, task, entry, now_boot_us, ret);
}

static void explain_clear(Explain *ret) {
        ret->n_lacks = 0;
        ret->any_gpu = false;
        ret->drain = (Drain){};
        ret->keep = (ExplainKeep){};
        ret->place = 0;
        for (size_t i = 0; i < ELEMENTSOF(ret->grants); i++)
                ret->grants[i] = (GpuGrant){};
}

int core_explain(const Core *core, uint64_t id, uint64_t now_boot_us, Explain *ret) {
        const Entry *entry = table_find(core, id);

        if (!entry)
                return CORE_E_NO_TASK;

        switch (entry->phase) {
        case PHASE_HELD:
                explain_clear(ret);
                (void)add_lack(ret, WAIT_REASON_HELD);
                (void)explain_blocked(core, entry, ret);
                return 0;
        case PHASE_OFFERED:
                explain_clear(ret);
                explain_offered(entry->task, ret);
                return 0;
        case PHASE_WAITING:
        case PHASE_AWAY:
        case PHASE_BLOCKED:
                explain_clear(ret);
                explain_waiting(core, entry, now_boot_us, ret);
                return 0;
        case PHASE_RUNNING:
                if (!entry->ahead)
                        break;
                explain_clear(ret);
                explain_offered(entry->task, ret);
                return 0;
        case PHASE_LOST:
        case PHASE_ENDED:
                break;
        }

        return CORE_E_ILLEGAL;
}

int core_explain_new(const Core *core,
                     const Task *task,
                     uid_t uid,
                     uint64_t now_boot_us,
                     Explain *ret) {
        const User *user = table_find_user(core, uid);

        explain_clear(ret);
        explain_drain(core, ret);
        explain_pressure(core, ret);
        ret->place =
                1 + place_in_order(core, uid, task->priority, UINT64_MAX, now_boot_us, now_boot_us);
        if (user && is_full(core, user))
                (void)add_lack(ret, WAIT_REASON_OFFERS);
        else if (user)
                explain_limit(core, user, &task->needs, ret);
        explain_needs(core, task, NULL, now_boot_us, ret);
        return 0;
}
