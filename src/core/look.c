/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Looks at the machine
 *
 * Figures of drivers are inputs like any other: more free than there is, a GPU named twice or not
 * at all, must not shake what the rest of the core relies on. What it relies on is said here: free
 * is at most the total, and each UUID has one slot.
 */

#include "core/look.h"

#include <string.h>

#include "core/gpu-word.h"
#include "core/gpus.h"
#include "core/sat.h"
#include "core/share.h"
#include "core/stray.h"
#include "core/table.h"
#include "core/turn.h"

enum {
        IDLE_AT_MOST_ONE_IN = 4, /* of the total; 2 to 5 % are usual, small cards have more */
};

static void look_update(Look *look, bool known, uint64_t boot_us, uint64_t n_offers_before) {
        look->taken = true;
        look->known = known;
        look->changed = false;
        look->boot_us = boot_us;
        look->n_offers_before = n_offers_before;
}

void look_take_ram(Core *core, const RamSample *sample, uint64_t boot_us) {
        Entry *entry;

        bool resized = core->ram.total_bytes != sample->total_bytes;

        core->ram.total_bytes = sample->total_bytes;
        core->ram.available_bytes = MIN(sample->available_bytes, sample->total_bytes);
        core->ram.pressure_known = sample->pressure_known;
        core->ram.pressure_permyriad = sample->pressure_permyriad;
        look_update(&core->ram.look, true, boot_us, sample->n_offers_before);

        TAILQ_FOREACH(entry, &core->active, link)
        for (unsigned i = 0; i < entry->n_shares; i++)
                if (gpus_are_ram(core, entry->shares[i].slot))
                        entry->shares[i].peak_bytes = entry->shares[i].reported_bytes;

        share_judge_all(core, SLOT_RAM, boot_us);
        if (resized)
                turn_recount(core, boot_us);
}

void look_take_report(Core *core, Entry *entry, bool known, uint64_t used_bytes) {
        Usage *usage = &entry->task->memory;
        Share *share =
                entry->n_shares > 0 && entry->shares[0].slot == SLOT_RAM ? &entry->shares[0] : NULL;

        usage->known = known;
        if (known) {
                usage->used_bytes = used_bytes;
                usage->peak_bytes = MAX(usage->peak_bytes, used_bytes);
        }
        if (!share)
                return;

        if (known) {
                uint64_t counted = share->peak_bytes;

                if (used_bytes > share->reported_bytes)
                        core->ram.look.changed = true;
                share_measure(share, used_bytes);
                share->peak_bytes = counted;
                usage->let_go = share->let_go;
        } else {
                share->unmeasurable = true;
        }
}

/*
 * Drivers keep some memory for themselves. That no process is listed does not prove that there is
 * none (in a container the machine's others are not seen), so the least of all looks counts, and no
 * more than what a driver could have use for.
 */
static void take_idle_use(Gpu *gpu) {
        uint64_t used = gpu->sample.total_bytes - gpu->sample.free_bytes;
        uint64_t idle = MIN(used, gpu->sample.total_bytes / IDLE_AT_MOST_ONE_IN);

        gpu->idle_bytes = gpu->idle_known ? MIN(gpu->idle_bytes, idle) : idle;
        gpu->idle_known = true;
}

static void take_gpu(Core *core, const GpuSample *sample, const Outsiders *outsiders, int slot) {
        Gpu *gpu = &core->gpus[slot];

        gpu->sample.kind = sample->kind;
        gpu->sample.index = sample->index;
        gpu->sample.part = sample->part;
        gpu->sample.state = sample->state;
        memcpy(gpu->sample.note, sample->note, sizeof(gpu->sample.note));
        gpu->sample.note[GPU_NOTE_MAX - 1] = '\0';
        if (sample->name[0] != '\0')
                gpu_text_copy(gpu->sample.name, sample->name);

        if (sample->state != GPU_STATE_OK) {
                /* A GPU that is known from an earlier run only: its size is all there is of it. */
                if (!gpu->total_known)
                        gpu->sample.total_bytes = sample->total_bytes;
                return;
        }

        gpu->total_known = true;
        gpu->sample.use = sample->use;
        gpu->sample.shares_ram = sample->shares_ram;
        gpu->sample.whole_only = sample->whole_only;
        gpu->sample.integrated = sample->integrated;
        gpu->sample.total_bytes = sample->total_bytes;
        gpu->sample.free_bytes = MIN(sample->free_bytes, sample->total_bytes);
        gpu->sample.n_processes = sample->n_processes;
        gpu->sample.n_computing = sample->n_computing;
        gpu->sample.processes_known = sample->processes_known;
        gpu->outsiders = outsiders ? *outsiders : (Outsiders){};
        if (sample->processes_known && sample->n_processes == 0 && !gpus_is_held(core, slot))
                take_idle_use(gpu);
}

static uint64_t find_use(const GpusSample *sample, uint64_t task_id, const char *uuid) {
        uint64_t sum = 0;

        for (unsigned i = 0; i < sample->n_uses; i++)
                if (sample->uses[i].task_id == task_id &&
                    strncmp(sample->uses[i].uuid, uuid, GPU_UUID_MAX - 1) == 0)
                        sum = sat_add(sum, sample->uses[i].used_bytes);

        return sum;
}

/* What a running task holds on one of its GPUs, as the look says. */
static void take_use(Core *core, Entry *entry, Share *share, const GpusSample *sample) {
        const Gpu *gpu = &core->gpus[share->slot];
        Usage *usage = &entry->task->gpu_usage[share_gpu_at(entry, share)];
        uint64_t counted;

        if (gpu->sample.state != GPU_STATE_OK)
                return;

        usage->known = gpu->sample.processes_known;
        if (!usage->known) {
                share->unmeasurable = true;
                return;
        }

        usage->used_bytes = find_use(sample, entry->task->id, gpu->sample.uuid);
        usage->peak_bytes = MAX(usage->peak_bytes, usage->used_bytes);
        counted = share->peak_bytes;
        share_measure(share, usage->used_bytes);
        if (gpu->sample.shares_ram) {
                core->ram.look.changed |= share->reported_bytes > counted;
                share->peak_bytes = counted; /* until RAM is looked at */
        }
        usage->let_go = share->let_go;
}

static void take_uses(Core *core, const GpusSample *sample) {
        Entry *entry;

        TAILQ_FOREACH(entry, &core->active, link)
        for (unsigned i = 0; entry->phase == PHASE_RUNNING && i < entry->n_shares; i++)
                if (entry->shares[i].slot >= 0)
                        take_use(core, entry, &entry->shares[i], sample);
        stray_take_all(core, sample);
}

/* By slot: whether the look has it. The first of several with one UUID is believed. */
static void take_all_gpus(Core *core, const GpusSample *sample, bool seen[static GPU_MAX]) {
        for (unsigned i = 0; i < sample->n_gpus; i++) {
                const GpuSample *gpu = &sample->gpus[i];
                const GpuNumber number = { .kind = gpu->kind,
                                           .index = gpu->index,
                                           .part = gpu->part };
                char uuid[GPU_UUID_MAX];
                int slot;

                gpu_text_copy(uuid, gpu->uuid);
                slot = gpus_get(core, uuid, &number);
                if (slot == SLOT_NONE || seen[slot])
                        continue;
                seen[slot] = true;
                take_gpu(core, gpu, sample->outsiders ? &sample->outsiders[i] : NULL, slot);
        }
}

/* Whether the driver of such GPUs has said which there are. */
static bool is_answered(const GpusSample *sample, GpuKind kind) {
        return sample->known && !(sample->unknown_kinds & 1U << kind);
}

void look_take_gpus(Core *core, const GpusSample *sample, uint64_t boot_us) {
        bool seen[GPU_MAX] = {};

        look_update(&core->gpus_look, sample->known, boot_us, sample->n_offers_before);
        if (sample->known) {
                core->gpus_seen = true;
                take_all_gpus(core, sample, seen);
        }

        for (unsigned i = 0; i < core->n_gpus; i++) {
                Gpu *gpu = &core->gpus[i];

                if (!seen[i]) {
                        gpu->sample.state = is_answered(sample, gpu->sample.kind) ?
                                                    GPU_STATE_LOST :
                                                    GPU_STATE_UNKNOWN;
                        gpu->sample.note[0] = '\0';
                }
                look_update(&gpu->look, gpu->sample.state == GPU_STATE_OK, boot_us,
                            sample->n_offers_before);
        }

        if (!sample->known)
                return;

        take_uses(core, sample);
        for (unsigned i = 0; i < core->n_gpus; i++)
                if (core->gpus[i].sample.state == GPU_STATE_OK)
                        share_judge_all(core, (int)i, boot_us);
        turn_recount(core, boot_us);
}

bool look_is_pressed(const Core *core) {
        return core->ram.pressure_known &&
               core->ram.pressure_permyriad > core->policy.pressure_limit_permyriad;
}
