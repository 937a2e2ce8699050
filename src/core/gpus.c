/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "core/gpus.h"

#include <string.h>

GpuKind gpus_first_kind(const Core *core) {
        GpuKind first = GPU_KIND_OTHER;

        for (unsigned i = 0; i < core->n_gpus; i++)
                first = MIN(first, core->gpus[i].sample.kind);
        return first;
}

static bool are_mixed(const Core *core) {
        for (unsigned i = 1; i < core->n_gpus; i++)
                if (core->gpus[i].sample.kind != core->gpus[0].sample.kind)
                        return true;
        return false;
}

const char *gpus_id(const Core *core, int slot, char buf[static GPU_ID_MAX]) {
        return gpu_id_format(buf, &core->gpus[slot].sample, are_mixed(core));
}

GpuGrant gpus_grant(const Core *core, int slot, uint64_t bytes) {
        const GpuSample *sample = &core->gpus[slot].sample;
        GpuGrant grant = { .kind = sample->kind, .index = sample->index, .bytes = bytes };

        gpu_text_copy(grant.uuid, sample->uuid);
        (void)gpus_id(core, slot, grant.id);
        return grant;
}

bool gpus_is_allowed(const Core *core, int slot) {
        return policy_allows_gpu(&core->policy, &core->gpus[slot].sample, gpus_first_kind(core));
}

int gpus_find(const Core *core, const char *uuid) {
        for (unsigned i = 0; i < core->n_gpus; i++)
                if (strncmp(core->gpus[i].sample.uuid, uuid, GPU_UUID_MAX - 1) == 0)
                        return (int)i;

        return SLOT_NONE;
}

bool gpus_are_ram(const Core *core, int slot) {
        return slot == SLOT_RAM || (slot >= 0 && core->gpus[slot].sample.shares_ram);
}

bool gpus_are_one(const Core *core, int a, int b) {
        return a == b || (gpus_are_ram(core, a) && gpus_are_ram(core, b));
}

bool gpus_is_for(const Core *core, int slot, const Needs *needs) {
        return needs->n_gpus == 1 || core->gpus[slot].sample.part == 0;
}

bool gpus_is_held(const Core *core, int slot) {
        const Entry *entry;

        TAILQ_FOREACH(entry, &core->active, link)
        for (unsigned i = 0; i < entry->n_shares; i++)
                if (entry->shares[i].slot == slot)
                        return true;

        return false;
}

static int free_slot(Core *core) {
        if (core->n_gpus < GPU_MAX)
                return (int)core->n_gpus++;

        for (unsigned i = 0; i < GPU_MAX; i++)
                if (core->gpus[i].sample.state == GPU_STATE_LOST && !gpus_is_held(core, (int)i))
                        return (int)i;

        return SLOT_NONE;
}

int gpus_get(Core *core, const char *uuid, const GpuNumber *number) {
        int slot;

        if (uuid[0] == '\0')
                return SLOT_NONE; /* in a need that would mean any */

        slot = gpus_find(core, uuid);
        if (slot != SLOT_NONE)
                return slot;

        slot = free_slot(core);
        if (slot == SLOT_NONE)
                return SLOT_NONE;

        core->gpus[slot] = (Gpu){
                .sample = { .kind = number->kind,
                            .index = number->index,
                            .part = number->part,
                            .state = GPU_STATE_UNKNOWN },
        };
        gpu_text_copy(core->gpus[slot].sample.uuid, uuid);
        return slot;
}
