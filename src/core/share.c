/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "core/share.h"

#include <errno.h>
#include <stdlib.h>

#include "core/gpus.h"
#include "core/sat.h"
#include "core/stray.h"

enum {
        SEEN_SO_LITTLE = 10, /* under a tenth of what was asked for (decisions.md 8) */
};

uint64_t entry_delay_end_us(const Entry *entry) {
        if (entry->task->delay_us == TASK_TIME_INF)
                return TASK_TIME_INF;

        return sat_add(entry->task->started_boot_us, entry->task->delay_us);
}

static Look *share_look(Core *core, const Share *share) {
        return share->slot == SLOT_RAM ? &core->ram.look :
               share->slot >= 0        ? &core->gpus[share->slot].look :
                                         NULL;
}

static void share_init(Core *core, Share *share, int slot, uint64_t asked_bytes, uint64_t offer) {
        Look *look;

        *share = (Share){ .slot = slot, .asked_bytes = asked_bytes };
        look = share_look(core, share);
        if (!look || offer == 0)
                return;

        look->last_offer = offer;
        if (gpus_are_ram(core, slot))
                core->ram.look.last_offer = offer;
        share->outside_known = look->known;
        share->outside_base_bytes = share_outside_bytes(core, slot);
}

/* What is known of a task that ran before it came here. */
static void share_resume(Share *share, const Usage *usage) {
        if (!usage)
                return;

        if (usage->known)
                share_measure(share, MAX(usage->used_bytes, usage->peak_bytes));
        share->let_go = usage->let_go;
        share->judged = usage->let_go;
}

/* One that was not seen yet is the one that the grant names. */
static int get_gpu(Core *core, const GpuGrant *grant) {
        GpuNumber number = {};

        (void)gpu_word_number(grant->id, &number);
        number.kind = grant->kind;
        number.index = grant->index;
        return gpus_get(core, grant->uuid, &number);
}

int share_new_all(Core *core, Entry *entry, uint64_t offer) {
        const Task *task = entry->task;
        size_t n_ram = task->needs.memory_bytes > 0;
        size_t n = n_ram + task->needs.n_gpus;
        Share *shares;

        if (n == 0)
                return 0; /* it has none before it is in the ledger */

        shares = calloc(n, sizeof(*shares));
        if (!shares)
                return -ENOMEM;

        if (n_ram > 0) {
                share_init(core, &shares[0], SLOT_RAM, task->needs.memory_bytes, offer);
                if (offer == 0)
                        share_resume(&shares[0], &task->memory);
        }

        for (unsigned i = 0; i < task->needs.n_gpus; i++) {
                const GpuGrant *grant = &task->gpus[i];
                int slot = get_gpu(core, grant);

                share_init(core, &shares[n_ram + i], slot, grant->bytes, offer);
                if (offer == 0)
                        share_resume(&shares[n_ram + i], &task->gpu_usage[i]);
        }

        entry->shares = shares;
        entry->n_shares = (unsigned)n;
        return 0;
}

void share_free_all(Core *core, Entry *entry) {
        if (phase_is_active(entry->phase) && entry->task->memory.known &&
            entry->task->memory.used_bytes > 0)
                core->ram.look.changed = true; /* also of what it did not ask for */

        for (unsigned i = 0; i < entry->n_shares; i++) {
                Look *look = share_look(core, &entry->shares[i]);

                if (!look)
                        continue;
                look->changed = true;
                if (gpus_are_ram(core, entry->shares[i].slot))
                        core->ram.look.changed = true;
        }

        free(entry->shares);
        entry->shares = NULL;
        entry->n_shares = 0;
}

unsigned share_gpu_at(const Entry *entry, const Share *share) {
        return (unsigned)(share - entry->shares) - (entry->task->needs.memory_bytes > 0);
}

void share_measure(Share *share, uint64_t used_bytes) {
        share->peak_bytes = MAX(share->peak_bytes, used_bytes);
        share->reported_bytes = MAX(share->reported_bytes, used_bytes);
        share->unmeasurable = false;
        if (share->measured)
                return;

        /* What was given up only because nobody could tell its use is its own again. */
        share->measured = true;
        if (!share->judged)
                share->let_go = false;
}

bool share_is_whole(const Share *share) {
        return share->asked_bytes == GPU_WHOLE && share->slot != SLOT_RAM;
}

bool share_is_filled(const Share *share) {
        if (share_is_whole(share))
                return share->peak_bytes > 0;

        return share->peak_bytes >= share->asked_bytes;
}

uint64_t share_missing_bytes(const Share *share, uint64_t factor_permille, uint64_t whole_bytes) {
        if (share_is_whole(share))
                return sat_sub(whole_bytes, share->peak_bytes);

        return sat_sub(sat_mul_div(share->asked_bytes, factor_permille, 1000), share->peak_bytes);
}

bool share_is_given_up(const Share *share, const Policy *policy) {
        return share->let_go || policy->unfilled_delay || (share->unmeasurable && !share->measured);
}

static const Usage *share_usage(const Entry *entry, const Share *share) {
        const Task *task = entry->task;

        return share->slot == SLOT_RAM ? &task->memory :
                                         &task->gpu_usage[share_gpu_at(entry, share)];
}

uint64_t share_used_bytes(const Entry *entry, const Share *share) {
        const Usage *usage = share_usage(entry, share);

        return usage->known ? usage->used_bytes : 0;
}

uint64_t share_held_bytes(const Entry *entry, const Share *share, bool over, uint64_t whole_bytes) {
        uint64_t asked_bytes = share_is_whole(share) ? whole_bytes : share->asked_bytes;
        uint64_t used_bytes = share_used_bytes(entry, share);
        bool settles = !over && !share_is_filled(share);

        if (settles || !share_usage(entry, share)->known)
                return MAX(asked_bytes, used_bytes);

        return used_bytes;
}

static uint64_t used_by_tasks(const Core *core, int slot) {
        const Entry *entry;
        uint64_t sum = 0;

        TAILQ_FOREACH(entry, &core->active, link) {
                /* A task that asked for no RAM uses some all the same. */
                if (gpus_are_ram(core, slot) && entry->task->memory.known)
                        sum = sat_add(sum, entry->task->memory.used_bytes);
                for (unsigned i = 0; i < entry->n_shares; i++)
                        if (entry->shares[i].slot != SLOT_RAM &&
                            gpus_are_one(core, entry->shares[i].slot, slot))
                                sum = sat_add(sum, share_used_bytes(entry, &entry->shares[i]));
                sum = sat_add(sum, stray_used_bytes(core, entry, slot));
        }

        return sum;
}

uint64_t share_outside_bytes(const Core *core, int slot) {
        uint64_t used;

        if (gpus_are_ram(core, slot))
                used = sat_sub(core->ram.total_bytes, core->ram.available_bytes);
        else
                used = sat_sub(core->gpus[slot].sample.total_bytes,
                               core->gpus[slot].sample.free_bytes);

        return sat_sub(used, used_by_tasks(core, slot));
}

/* What one task was let go of explains that much of the growth, for all others. */
static void explain_growth(Core *core, int slot, uint64_t bytes) {
        Entry *entry;

        TAILQ_FOREACH(entry, &core->active, link)
        for (unsigned i = 0; i < entry->n_shares; i++) {
                Share *share = &entry->shares[i];

                if (gpus_are_one(core, share->slot, slot))
                        share->outside_base_bytes = sat_add(share->outside_base_bytes, bytes);
        }
}

static void judge(Core *core, Entry *entry, Share *share) {
        Usage *usage = share->slot == SLOT_RAM ?
                               &entry->task->memory :
                               &entry->task->gpu_usage[share_gpu_at(entry, share)];
        uint64_t missing = share_missing_bytes(share, 1000, 0);

        if (share_is_whole(share))
                return; /* nobody else gets any of it anyway */

        if (share->unmeasurable && !share->measured) {
                share->let_go = true;
        } else if (share->measured && !share->judged) {
                uint64_t outside = share_outside_bytes(core, share->slot);

                share->judged = true;
                if (share->outside_known && missing > 0 &&
                    share->peak_bytes < share->asked_bytes / SEEN_SO_LITTLE &&
                    sat_sub(outside, share->outside_base_bytes) >= missing) {
                        share->let_go = true;
                        explain_growth(core, share->slot, missing);
                }
        }

        usage->let_go = share->let_go;
}

void share_judge_all(Core *core, int slot, uint64_t now_boot_us) {
        Entry *entry;

        TAILQ_FOREACH(entry, &core->active, link) {
                if (entry->phase != PHASE_RUNNING || now_boot_us < entry_delay_end_us(entry))
                        continue;
                for (unsigned i = 0; i < entry->n_shares; i++)
                        if (entry->shares[i].slot == slot)
                                judge(core, entry, &entry->shares[i]);
        }
}
