/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "core/stray.h"

#include <stdlib.h>
#include <string.h>

#include "core/gpu-word.h"
#include "core/gpus.h"
#include "core/sat.h"
#include "core/table.h"

static bool is_same_gpu(const char *a, const char *b) {
        return strncmp(a, b, GPU_UUID_MAX - 1) == 0;
}

static bool was_asked_for(const Task *task, const char *uuid) {
        for (unsigned i = 0; task->gpus && i < task->needs.n_gpus; i++)
                if (is_same_gpu(task->gpus[i].uuid, uuid))
                        return true;

        return false;
}

/* That of a GPU, a new one if it was never seen there; NULL without memory for it: it is left out. */
static GpuStray *stray_get(Task *task, const char *uuid) {
        GpuStray *strays;

        for (unsigned i = 0; i < task->n_strays; i++)
                if (is_same_gpu(task->strays[i].uuid, uuid))
                        return &task->strays[i];

        if (task->n_strays == GPU_MAX)
                return NULL;
        strays = reallocarray(task->strays, task->n_strays + 1, sizeof(*strays));
        if (!strays)
                return NULL;

        task->strays = strays;
        strays = &strays[task->n_strays++];
        *strays = (GpuStray){};
        gpu_text_copy(strays->uuid, uuid);
        return strays;
}

/* Not used any more, unless the look says so. */
static void forget_now(const Core *core, Task *task) {
        for (unsigned i = 0; i < task->n_strays; i++) {
                int slot = gpus_find(core, task->strays[i].uuid);

                if (slot != SLOT_NONE && core->gpus[slot].sample.state == GPU_STATE_OK)
                        task->strays[i].used_bytes = 0;
        }
}

static void take_one(Core *core, const GpuTaskUse *use) {
        Entry *entry = table_find(core, use->task_id);
        int slot = gpus_find(core, use->uuid);
        GpuStray *stray;

        if (!entry || entry->phase != PHASE_RUNNING || slot == SLOT_NONE || use->used_bytes == 0 ||
            core->gpus[slot].sample.state != GPU_STATE_OK || was_asked_for(entry->task, use->uuid))
                return;
        stray = stray_get(entry->task, use->uuid);
        if (!stray)
                return;

        stray->index = core->gpus[slot].sample.index;
        (void)gpus_id(core, slot, stray->id);
        stray->used_bytes = sat_add(stray->used_bytes, use->used_bytes);
        stray->peak_bytes = MAX(stray->peak_bytes, stray->used_bytes);
}

void stray_take_all(Core *core, const GpusSample *sample) {
        Entry *entry;

        TAILQ_FOREACH(entry, &core->active, link)
        forget_now(core, entry->task);

        for (unsigned i = 0; i < sample->n_uses; i++)
                take_one(core, &sample->uses[i]);
}

uint64_t stray_used_bytes(const Core *core, const Entry *entry, int slot) {
        const Task *task = entry->task;
        uint64_t sum = 0;

        for (unsigned i = 0; i < task->n_strays; i++) {
                int at = gpus_find(core, task->strays[i].uuid);

                if (at != SLOT_NONE && gpus_are_one(core, at, slot))
                        sum = sat_add(sum, task->strays[i].used_bytes);
        }

        return sum;
}
