/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Why a task waits
 *
 * What fit_needs() finds lacking, with the figures of the ledger and with who holds what. Ages of
 * samples are left out: they are no reason to wait for longer than an instant.
 */

#include "core/explain.h"

#include <stdio.h>
#include <string.h>

#include "core/array.h"
#include "core/fit.h"
#include "core/forecast.h"
#include "core/gpus.h"
#include "core/holders.h"
#include "core/keep.h"
#include "core/limit.h"
#include "core/look.h"
#include "core/place.h"
#include "core/queue.h"
#include "core/sat.h"
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
        [WAIT_REASON_ACTIVE] = "active",
        [WAIT_REASON_TOKENS] = "tokens",
        [WAIT_REASON_TOKENS_KEPT] = "tokens-kept",
};

DEFINE_STRING_TABLE(wait_reason, WaitReason);

/* Whom room is kept for, and how much of a resource. */
static Holder kept_holder(const Ledger *ledger, uint64_t kept_bytes) {
        return (Holder){
                .task_id = ledger->kept_for->task->id,
                .uid = ledger->kept_for->task->uid,
                .promised_bytes = kept_bytes,
        };
}

/* An end that there is; 0 for one that never comes. */
static uint64_t end_or_none(uint64_t end_us) {
        return end_us == TASK_TIME_INF ? 0 : end_us;
}

/* There is room, but it is kept. */
static void explain_kept(const Ledger *ledger, uint64_t kept_bytes, Lack *lack) {
        Holder holder;

        if (!ledger->kept_for)
                return;
        holder = kept_holder(ledger, kept_bytes);
        holders_add(lack, &holder);
        lack->until_boot_us = end_or_none(keep_until_us(ledger->core));
}

/* There is none, and some of what will be there is kept. */
static void add_kept(const Ledger *ledger, const FitAsker *asker, uint64_t kept_bytes, Lack *lack) {
        if (ledger->kept_for && kept_bytes > 0 && !asker->kept && !asker->overtakes)
                lack->kept_for = kept_holder(ledger, kept_bytes);
}

static void explain_cpus(const Ledger *ledger, const FitAsker *asker, Lack *lack) {
        uint64_t free_cpus = ledger_free_cpus(ledger);

        lack->total_bytes = ledger->n_cpus;
        lack->free_bytes = free_cpus;
        if (lack->reason == WAIT_REASON_CPUS_KEPT) {
                free_cpus = sat_sub(free_cpus, ledger->kept_cpus);
                explain_kept(ledger, ledger->kept_cpus, lack);
        } else {
                holders_of_cpus(ledger, lack);
                add_kept(ledger, asker, ledger->kept_cpus, lack);
        }
        lack->missing_bytes = sat_sub(lack->asked_bytes, free_cpus);
}

static void explain_token(const Ledger *ledger,
                          const FitAsker *asker,
                          const Token *token,
                          Lack *lack) {
        int at;

        memcpy(lack->token, token->name, sizeof(lack->token));
        lack->total_bytes = ledger_n_tokens(ledger, token->name, &at);
        lack->free_bytes = ledger_free_tokens(ledger, token->name);
        if (lack->reason == WAIT_REASON_TOKENS_KEPT) {
                lack->missing_bytes =
                        sat_sub(lack->asked_bytes, ledger_free_tokens_beside(ledger, token->name));
                explain_kept(ledger, ledger->tokens[at].n_kept, lack);
                return;
        }

        /* of what is taken so many must come back, or, where all of it is too little, come */
        lack->missing_bytes = sat_sub(lack->asked_bytes, lack->free_bytes);
        if (at >= 0 && lack->asked_bytes <= lack->total_bytes)
                lack->missing_bytes =
                        lack->asked_bytes + ledger->tokens[at].n_taken - lack->total_bytes;
        holders_of_token(ledger, token->name, lack);
        add_kept(ledger, asker, at < 0 ? 0 : ledger->tokens[at].n_kept, lack);
}

/* A whole GPU that is kept: all that tasks can have of it. */
static uint64_t kept_bytes(const Pool *pool) {
        if (!pool->is_kept)
                return 0;
        return MIN(pool->kept_bytes, sat_sub(pool->total_bytes, pool->reserved_bytes));
}

/* Who beside tasks is in the way there: those that hold most. */
static void add_outsiders(const Outsiders *outsiders, Lack *lack) {
        lack->n_outsiders = MIN(outsiders->n, (size_t)EXPLAIN_OUTSIDERS_MAX);
        lack->n_more_outsiders = outsiders->n - lack->n_outsiders + outsiders->n_more;
        for (size_t i = 0; i < lack->n_outsiders; i++)
                lack->outsiders[i] = outsiders->items[i];
}

static bool names_outsiders(WaitReason reason) {
        return reason == WAIT_REASON_GPU_MEMORY || reason == WAIT_REASON_GPU_SHARED ||
               reason == WAIT_REASON_GPU_EXCLUSIVE;
}

/* What is missing of what can be measured. */
static void explain_figures(const Ledger *ledger,
                            const FitAsker *asker,
                            const Pool *pool,
                            Lack *lack) {
        bool whole = pool->is_gpu && lack->asked_bytes == GPU_WHOLE;
        uint64_t used = sat_sub(pool->total_bytes, pool->measured_bytes);

        lack->free_bytes = pool->is_whole ? 0 : pool_free_bytes(pool);
        if (lack->reason == WAIT_REASON_ROOM_KEPT) {
                lack->missing_bytes =
                        whole ? 0 : sat_sub(lack->asked_bytes, pool_free_beside_bytes(pool));
                return;
        }
        if (lack->reason == WAIT_REASON_SETTLING)
                lack->free_bytes = fit_ample_free_bytes(pool, asker);
        lack->missing_bytes =
                whole ? sat_sub(sat_sub(used, pool->idle_bytes), pool->whole_used_bytes) :
                        sat_sub(lack->asked_bytes, lack->free_bytes);
        if (lack->reason == WAIT_REASON_DELAY)
                lack->until_boot_us = end_or_none(fit_strict_end_us(pool, asker));
        if (lack->reason == WAIT_REASON_SETTLING)
                lack->until_boot_us = end_or_none(asker->kept ? pool->kept_settling_end_us :
                                                                pool->settling_end_us);
}

static void explain_pool(const Ledger *ledger, const FitAsker *asker, int slot, Lack *lack) {
        const Pool *pool = ledger_pool_const(ledger, slot);

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
        if (names_outsiders(lack->reason))
                add_outsiders(&ledger->core->gpus[slot].outsiders, lack);
        explain_figures(ledger, asker, pool, lack);
        if (lack->reason == WAIT_REASON_ROOM_KEPT) {
                explain_kept(ledger, kept_bytes(pool), lack);
                return;
        }
        add_kept(ledger, asker, kept_bytes(pool), lack);
        holders_of_pool(ledger, asker, slot, lack);
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
                         const FitAsker *asker,
                         const FitLack *found,
                         Explain *ret) {
        Lack *lack = add_lack(ret, found->reason);

        lack->asked_bytes = found->asked_bytes;
        if (found->reason == WAIT_REASON_CPUS || found->reason == WAIT_REASON_CPUS_KEPT)
                explain_cpus(ledger, asker, lack);
        else if (found->reason == WAIT_REASON_TOKENS || found->reason == WAIT_REASON_TOKENS_KEPT)
                explain_token(ledger, asker, &needs->tokens[found->need], lack);
        else if (found->slot == SLOT_NONE)
                explain_unseen(&needs->gpus[found->need], lack);
        else
                explain_pool(ledger, asker, found->slot, lack);
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
                ret->keep.until_boot_us = end_or_none(keep_until_us(core));
        } else if (past_us <= ledger->now_boot_us && lacks_room(ret)) {
                ret->keep.hopeless = !keep_find(ledger, entry, KEEP_GOES_ON, &room);
        }
}

/* @entry: NULL: a task that was not submitted. Returns whom room is kept for; NULL: nobody. */
static const Entry *explain_needs(const Core *core,
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
        asker = keep_asker(&ledger, task, entry, alike.delay);
        if (fit_needs(&ledger, needs, &asker, &fit)) {
                if (ret->n_lacks == 0)
                        explain_grants(&ledger, needs, &fit, ret);
                return ledger.kept_for;
        }

        ret->any_gpu = fit.any_gpu;
        for (size_t i = 0; i < fit.n_lacks && ret->n_lacks < EXPLAIN_LACKS_MAX; i++)
                explain_lack(&ledger, needs, &asker, &fit.lacks[i], ret);
        if (entry)
                explain_keep(&ledger, entry, ret);
        return ledger.kept_for;
}

static size_t n_before(const Core *core, const Entry *entry, uint64_t now_boot_us) {
        return place_in_order(core, entry->task->uid, entry->class->priority, entry->task->id,
                              entry->task->queued_boot_us, now_boot_us);
}

/* The place behind @n others; whom room is kept for is asked before all of them, wherever it stands. */
static size_t place_behind(const Core *core, size_t n, const Entry *kept, uint64_t now_boot_us) {
        return n + 1 + (kept && n_before(core, kept, now_boot_us) >= n);
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
static bool explain_full(const Core *core, const User *user, Explain *ret) {
        const Policy *policy = &core->policy;
        bool offers = user->n_offers >= policy->max_offers_per_uid;
        Lack *lack;

        if (!offers && user->n_running + user->n_offers < policy->max_active_per_uid)
                return false;
        lack = add_lack(ret, offers ? WAIT_REASON_OFFERS : WAIT_REASON_ACTIVE);
        lack->asked_bytes = 1;
        lack->missing_bytes = 1;
        lack->total_bytes = offers ? policy->max_offers_per_uid : policy->max_active_per_uid;
        lack->used_bytes = offers ? user->n_offers : user->n_running + user->n_offers;
        return true;
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
        lack->used_bytes = found.used;
        lack->free_bytes = sat_sub(found.most, found.used);
        lack->missing_bytes = found.asked - lack->free_bytes;
        holders_of_user(core, user, lack);
}

static void explain_waiting(const Core *core,
                            const Entry *entry,
                            uint64_t now_boot_us,
                            Explain *ret) {
        const Entry *kept;

        explain_drain(core, ret);
        explain_pressure(core, ret);
        if (explain_blocked(core, entry, ret)) {
                if (entry->away)
                        (void)add_lack(ret, WAIT_REASON_AWAY);
                return;
        }

        if (entry->phase == PHASE_AWAY)
                (void)add_lack(ret, WAIT_REASON_AWAY);
        if (!explain_full(core, entry->class->user, ret))
                explain_limit(core, entry->class->user, &entry->class->needs, ret);
        kept = explain_needs(core, entry->task, entry, now_boot_us, ret);
        ret->place = entry == kept ? 1 :
                                     place_behind(core, n_before(core, entry, now_boot_us), kept,
                                                  now_boot_us);
}

static void explain_clear(Explain *ret, uid_t uid) {
        ret->uid = uid;
        ret->n_lacks = 0;
        ret->any_gpu = false;
        ret->drain = (Drain){};
        ret->keep = (ExplainKeep){};
        ret->start = (ExplainStart){};
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
                explain_clear(ret, entry->task->uid);
                (void)add_lack(ret, WAIT_REASON_HELD);
                (void)explain_blocked(core, entry, ret);
                if (entry->away)
                        (void)add_lack(ret, WAIT_REASON_AWAY);
                return 0;
        case PHASE_OFFERED:
                explain_clear(ret, entry->task->uid);
                explain_offered(entry->task, ret);
                return 0;
        case PHASE_WAITING:
        case PHASE_AWAY:
        case PHASE_BLOCKED:
                explain_clear(ret, entry->task->uid);
                explain_waiting(core, entry, now_boot_us, ret);
                return 0;
        case PHASE_RUNNING:
                if (!entry->ahead)
                        break;
                explain_clear(ret, entry->task->uid);
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
        const Entry *kept;

        explain_clear(ret, uid);
        explain_drain(core, ret);
        explain_pressure(core, ret);
        if (user && !explain_full(core, user, ret))
                explain_limit(core, user, &task->needs, ret);
        kept = explain_needs(core, task, NULL, now_boot_us, ret);
        ret->place = place_behind(core,
                                  place_in_order(core, uid, task->priority, UINT64_MAX, now_boot_us,
                                                 now_boot_us),
                                  kept, now_boot_us);
        return 0;
}

int core_explain_start(const Core *core, uint64_t id, uint64_t now_boot_us, Explain *explain) {
        const Entry *entry = table_find(core, id);

        explain->start = (ExplainStart){};
        if (!entry || entry->phase != PHASE_WAITING)
                return 0;
        return forecast_start(core, entry, now_boot_us, explain);
}
