/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "core/keep.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/array.h"
#include "core/assign.h"
#include "core/expect.h"
#include "core/gpus.h"
#include "core/horizon.h"
#include "core/limit.h"
#include "core/sat.h"
#include "core/signature.h"
#include "core/table.h"

uint64_t keep_past_us(const Core *core, const Entry *entry) {
        if (core->policy.patience_us == TASK_TIME_INF)
                return TASK_TIME_INF;

        return sat_add(MAX(entry->task->queued_boot_us, entry->patient_boot_us),
                       core->policy.patience_us);
}

uint64_t keep_until_us(const Core *core) {
        if (core->policy.keep_max_us == TASK_TIME_INF)
                return TASK_TIME_INF;

        return sat_add(core->keep.since_boot_us, core->policy.keep_max_us);
}

bool keep_comes_after(const Core *core, const Entry *entry) {
        return core->keep.task_id == 0 || entry->offer <= core->keep.n_offers_before;
}

/* -- whether there could be room -- */

static bool pool_could_have(const Pool *pool, uint64_t bytes, KeepCheck check) {
        uint64_t held_bytes = check == KEEP_BEGINS ? pool->held_bytes : pool->claimed_bytes;

        if (pool->state != GPU_STATE_OK || (pool->is_gpu && !pool->allowed))
                return false;
        if (pool->use == GPU_USE_PROHIBITED || pool->use == GPU_USE_SPLIT)
                return false;
        if (pool->changed)
                return check == KEEP_GOES_ON;
        if (pool->use == GPU_USE_EXCLUSIVE && pool->n_tasks == 0 && pool->n_computing > 0)
                return false;
        if (pool->is_gpu && bytes == GPU_WHOLE)
                return pool_could_be_unused(pool, held_bytes);

        return bytes <= pool_potential_bytes(pool, held_bytes);
}

/* Whether a GPU could serve a need, and with how much of it. */
static bool gpu_could_serve(const Pool *pool,
                            const GpuNeed *need,
                            KeepCheck check,
                            uint64_t *ret_bytes) {
        return fit_pool_bytes(pool, need->bytes, ret_bytes) &&
               pool_could_have(pool, *ret_bytes, check);
}

static bool find_named(const Ledger *ledger,
                       const Needs *needs,
                       KeepCheck check,
                       KeepRoom *room,
                       uint64_t *ret) {
        *ret = 0;
        for (unsigned i = 0; i < needs->n_gpus; i++) {
                int slot;

                if (gpu_need_is_any(&needs->gpus[i]))
                        continue;
                slot = gpus_find(ledger->core, needs->gpus[i].uuid);
                if (slot == SLOT_NONE || !gpu_could_serve(&ledger->gpus[slot], &needs->gpus[i],
                                                          check, &room->bytes_of[i]))
                        return false;
                room->slot_of[i] = slot;
                *ret |= UINT64_C(1) << slot;
        }

        return true;
}

/* A GPU by when it is expected to have room; of two of which that is not known the one with more free. */
typedef struct Expected {
        uint64_t at_us;
        uint64_t free_bytes;
        unsigned index;
} Expected;

static bool is_sooner(const Expected *a, const Expected *b) {
        if (a->at_us != b->at_us)
                return a->at_us < b->at_us;
        if (a->free_bytes != b->free_bytes)
                return a->free_bytes > b->free_bytes;

        return a->index < b->index;
}

/* The GPUs expected to be free first, in front. */
static void set_preference(const Ledger *ledger, uint64_t bytes, unsigned prefer[static GPU_MAX]) {
        Expected expected[GPU_MAX];

        for (unsigned i = 0; i < ledger->n_gpus; i++) {
                const Pool *pool = &ledger->gpus[i];
                uint64_t here = bytes;
                unsigned at = i;

                (void)fit_pool_bytes(pool, bytes, &here);
                expected[i] = (Expected){ horizon_of_gpu_us(ledger, i, here),
                                          pool->is_whole ? 0 : pool_free_bytes(pool), i };
                for (; at > 0 && is_sooner(&expected[i], &expected[prefer[at - 1]]); at--)
                        prefer[at] = prefer[at - 1];
                prefer[at] = i;
        }
}

static bool find_any(const Ledger *ledger,
                     const Needs *needs,
                     KeepCheck check,
                     KeepRoom *room,
                     uint64_t named) {
        Assign assign = { .n_slots = ledger->n_gpus };
        unsigned order[NEEDS_GPUS_MAX] = {};
        uint64_t bytes = 0;

        for (unsigned i = 0; i < needs->n_gpus; i++) {
                if (!gpu_need_is_any(&needs->gpus[i]))
                        continue;
                for (unsigned slot = 0; slot < ledger->n_gpus; slot++)
                        if (gpus_is_for(ledger->core, (int)slot, needs) &&
                            gpu_could_serve(&ledger->gpus[slot], &needs->gpus[i], check, &bytes))
                                assign.can[assign.n_needs] |= UINT64_C(1) << slot;
                assign.can[assign.n_needs] &=
                        fit_slots_of_kind(ledger, needs->gpus[i].want) & ~named;
                order[assign.n_needs++] = i;
        }
        if (assign.n_needs == 0)
                return true;

        for (unsigned i = 0; i < ledger->n_gpus; i++)
                assign.prefer[i] = i;
        if (!assign_all(&assign))
                return false; /* found out first: the preference costs a look ahead for each GPU */

        bytes = 0;
        for (unsigned i = 0; i < assign.n_needs; i++)
                bytes = MAX(bytes, needs->gpus[order[i]].bytes);
        set_preference(ledger, bytes, assign.prefer);
        (void)assign_all(&assign);

        for (unsigned i = 0; i < assign.n_needs; i++) {
                int slot = assign.slot_of[i];

                room->slot_of[order[i]] = slot;
                (void)gpu_could_serve(&ledger->gpus[slot], &needs->gpus[order[i]], check,
                                      &room->bytes_of[order[i]]);
        }
        return true;
}

/* What it takes of RAM: by that name, and on GPUs that have no other memory. */
static uint64_t room_ram_bytes(const Ledger *ledger, const Needs *needs, const KeepRoom *room) {
        uint64_t bytes = needs->memory_bytes;

        for (unsigned i = 0; i < needs->n_gpus; i++)
                if (ledger->gpus[room->slot_of[i]].shares_ram && room->bytes_of[i] != GPU_WHOLE)
                        bytes = sat_add(bytes, room->bytes_of[i]);
        return bytes;
}

/* All that are taken come back; but the settings may have fewer than when it was submitted. */
static bool are_enough_tokens(const Ledger *ledger, const Needs *needs) {
        for (unsigned i = 0; i < needs->n_tokens; i++) {
                int at;

                if (needs->tokens[i].n > ledger_n_tokens(ledger, needs->tokens[i].name, &at))
                        return false;
        }
        return true;
}

/* All of it but the GPUs, which are chosen. */
static bool could_have_rest(const Ledger *ledger,
                            const Needs *needs,
                            KeepCheck check,
                            const KeepRoom *room) {
        uint64_t ram_bytes = room_ram_bytes(ledger, needs, room);

        return needs->cpus <= ledger->n_cpus && are_enough_tokens(ledger, needs) &&
               (ram_bytes == 0 || pool_could_have(&ledger->ram, ram_bytes, check));
}

/* What costs little to find out, and of which GPUs can only make it more. */
static bool could_have_common(const Ledger *ledger, const Needs *needs, KeepCheck check) {
        return needs->cpus <= ledger->n_cpus &&
               (needs->memory_bytes == 0 ||
                pool_could_have(&ledger->ram, needs->memory_bytes, check));
}

bool keep_find(const Ledger *ledger, const Entry *entry, KeepCheck check, KeepRoom *ret) {
        const Needs *needs = &entry->class->needs;
        uint64_t named;

        if (!could_have_common(ledger, needs, check) ||
            !find_named(ledger, needs, check, ret, &named) ||
            !find_any(ledger, needs, check, ret, named) ||
            !could_have_rest(ledger, needs, check, ret))
                return false;

        ret->entry = entry;
        return true;
}

/* -- what is kept -- */

/* Whether nothing but room keeps it waiting. */
static bool could_start(const Core *core, const Entry *entry) {
        const Entry *array = array_of(core, entry->task->id);
        const User *user = entry->class->user;

        return entry->phase == PHASE_WAITING && (!array || !array_is_full(array->task->array)) &&
               user->n_offers < core->policy.max_offers_per_uid &&
               user->n_running + user->n_offers < core->policy.max_active_per_uid &&
               !limit_blocks(core, user, &entry->class->needs, NULL);
}

bool keep_find_current(const Ledger *ledger, KeepRoom *ret) {
        const Core *core = ledger->core;
        const Keep *keep = &core->keep;
        const Entry *entry = keep->task_id == 0 ? NULL : table_find(core, keep->task_id);
        const Needs *needs;

        if (!entry || core->policy.patience_us == TASK_TIME_INF || !could_start(core, entry) ||
            ledger->now_boot_us >= keep_until_us(core))
                return false;

        needs = &entry->class->needs;
        for (unsigned i = 0; i < needs->n_gpus; i++) {
                int slot = gpus_find(core, keep->gpus[i].uuid);

                if (slot == SLOT_NONE || !gpu_could_serve(&ledger->gpus[slot], &needs->gpus[i],
                                                          KEEP_GOES_ON, &ret->bytes_of[i]))
                        return false;
                ret->slot_of[i] = slot;
        }

        if (!could_have_rest(ledger, needs, KEEP_GOES_ON, ret))
                return false;

        ret->entry = entry;
        return true;
}

static void mark_pool(Pool *pool, uint64_t bytes) {
        pool->is_kept = bytes > 0;
        pool->kept_bytes = bytes;
}

/* What is kept of RAM is kept of a GPU that shares it, too, unless that is kept for itself alone. */
static void mark_gpus(Ledger *ledger, const Needs *needs, const KeepRoom *room) {
        for (unsigned i = 0; i < ledger->n_gpus; i++) {
                ledger->gpus[i].is_chosen = false;
                mark_pool(&ledger->gpus[i],
                          ledger->gpus[i].shares_ram ? ledger->ram.kept_bytes : 0);
        }
        for (unsigned i = 0; i < needs->n_gpus; i++) {
                Pool *pool = &ledger->gpus[room->slot_of[i]];

                pool->is_chosen = true;
                if (!pool->shares_ram || room->bytes_of[i] == GPU_WHOLE)
                        mark_pool(pool, room->bytes_of[i]);
        }
}

static uint64_t kept_since_us(const Ledger *ledger, const Entry *kept) {
        const Keep *keep = &ledger->core->keep;

        return kept && kept->task->id == keep->task_id ? keep->since_boot_us : ledger->now_boot_us;
}

static void mark_tokens(Ledger *ledger, const Needs *needs) {
        for (unsigned i = 0; i < ledger->core->policy.n_tokens; i++)
                ledger->tokens[i].n_kept =
                        needs_n_of_token(needs, ledger->core->policy.tokens[i].name);
}

void keep_mark(Ledger *ledger, const KeepRoom *room) {
        static const Needs nothing;
        const Needs *needs = room->entry ? &room->entry->class->needs : &nothing;

        ledger->kept_for = room->entry;
        ledger->kept_cpus = needs->cpus;
        ledger->kept_since_us = kept_since_us(ledger, room->entry);
        ledger->kept_from_us = 0;
        mark_pool(&ledger->ram, room_ram_bytes(ledger, needs, room));
        mark_gpus(ledger, needs, room);
        mark_tokens(ledger, needs);
}

/* How long a task takes, as far as that is known and counts; or TASK_TIME_INF. */
static uint64_t takes_us(const Ledger *ledger, const Task *task, const Entry *entry) {
        uint64_t learned_us;

        if (task->time_limit_us != TASK_TIME_INF || ledger->core->policy.patience_us == 0)
                return task->time_limit_us;

        learned_us = expect_longest_us(ledger->core, task->uid,
                                       entry ? entry->signature : signature_of(task, NULL));
        return learned_us > 0 ? learned_us : TASK_TIME_INF;
}

/* Room that is there only when keep_max is over was kept for nothing. */
static uint64_t over_us(const Ledger *ledger) {
        return sat_add(ledger->kept_since_us, ledger->core->policy.keep_max_us);
}

/* Whether one that starts now will have ended when the room can be there, as far as that is known, and is still kept. */
static bool ends_before(Ledger *ledger, const Task *task, const Entry *entry) {
        uint64_t us = takes_us(ledger, task, entry);

        if (us == TASK_TIME_INF)
                return false;

        if (ledger->kept_from_us == 0)
                ledger->kept_from_us = MIN(horizon_of_kept_us(ledger), over_us(ledger));
        return sat_add(ledger->now_boot_us, us) <= ledger->kept_from_us;
}

FitAsker keep_asker(Ledger *ledger, const Task *task, const Entry *entry, DelayKind delay) {
        const Policy *policy = &ledger->core->policy;
        bool by_default = policy->delay_strict && policy->default_delay_us > 0;
        FitAsker asker = {
                .strict = delay == DELAY_KIND_OWN || (delay == DELAY_KIND_DEFAULT && by_default),
        };

        if (!ledger->kept_for)
                return asker;
        if (entry && entry == ledger->kept_for) {
                asker.kept = true;
                return asker;
        }

        asker.overtakes = ends_before(ledger, task, entry);
        return asker;
}

/* -- events -- */

void keep_clear(Core *core) {
        free(core->keep.gpus);
        core->keep = (Keep){};
}

void keep_leave(Core *core, uint64_t task_id) {
        if (core->keep.task_id == task_id)
                keep_clear(core);
}

int keep_apply(Core *core, const Event *event) {
        Entry *former = core->keep.task_id == 0 ? NULL : table_find(core, core->keep.task_id);
        const Entry *entry = event->task_id == 0 ? NULL : table_find(core, event->task_id);
        unsigned n_gpus = entry ? entry->class->needs.n_gpus : 0;
        GpuGrant *gpus = NULL;

        if (event->task_id != 0 && !entry)
                return CORE_E_NO_TASK;
        if (entry && (entry->phase != PHASE_WAITING || (n_gpus > 0 && !event->kept.gpus)))
                return CORE_E_ILLEGAL;

        if (n_gpus > 0) {
                gpus = calloc(n_gpus, sizeof(*gpus));
                if (!gpus)
                        return -ENOMEM;
                memcpy(gpus, event->kept.gpus, n_gpus * sizeof(*gpus));
        }

        if (former && event->boot_us >= keep_until_us(core))
                former->patient_boot_us = event->boot_us; /* it had its time */

        keep_clear(core);
        if (!entry)
                return 0;

        core->keep = (Keep){
                .task_id = event->task_id,
                .since_boot_us = event->boot_us,
                .n_offers_before = core->n_offers,
                .gpus = gpus,
        };
        return 0;
}
