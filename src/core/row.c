/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "core/row.h"

#include "core/array.h"
#include "core/look.h"
#include "core/queue.h"
#include "core/table.h"

/* Tokens are not handed on: the settings may have fewer by then. */
bool row_may_join(const Entry *entry, const Entry *ahead) {
        return entry->class == ahead->class && !needs_are_measured(&entry->class->needs) &&
               entry->class->needs.n_tokens == 0 && phase_is_active(ahead->phase) && !ahead->behind;
}

void row_join(Core *core, Entry *entry, Entry *ahead) {
        entry->ahead = ahead;
        ahead->behind = entry;
        core->n_behind++;
}

void row_leave(Core *core, Entry *entry, const Event *event) {
        Entry *ahead = entry->ahead, *behind = entry->behind;

        if (ahead)
                ahead->behind = behind;
        if (behind)
                behind->ahead = ahead;
        if (ahead || behind)
                core->n_behind--; /* this one, or the one that is first now */
        if (behind && !ahead) {
                behind->task->started_at_us = event->at_us;
                behind->task->started_boot_us = event->boot_us;
        }
        entry->ahead = entry->behind = NULL;
}

/* Whether as many of its array are active as may be. */
static bool is_full(const Core *core, const Entry *entry) {
        const Entry *array = entry->task->array ? entry : array_of(core, entry->task->id);

        return array && array->task->array && array_is_full(array->task->array);
}

bool core_next_in_row(const Core *core, uint64_t id, PlanOffer *ret) {
        const Entry *last = table_find(core, id), *next;

        if (!last || core->drain.on || look_is_pressed(core) || core->n_queued_classes != 1 ||
            last->class->n_queued == 0)
                return false;
        while (last->behind)
                last = last->behind;
        next = class_queued(last->class, 0);
        if (core->keep.task_id != 0 && core->keep.task_id != next->task->id)
                return false; /* the room of the first in the row is not the next one's to have */
        if (!row_may_join(next, last) || is_full(core, next))
                return false;
        *ret = (PlanOffer){
                .task_id = next->task->id,
                .index = next->task->array ? index_set_next(&next->task->array->waiting, 0) : -1,
                .behind = last->task->id,
        };
        return true;
}

size_t core_n_behind(const Core *core, uint64_t id) {
        const Entry *entry = table_find(core, id);
        size_t n = 0;

        for (; entry && entry->behind; entry = entry->behind)
                n++;
        return n;
}

uint64_t core_find_behind(const Core *core, uint64_t id) {
        const Entry *entry = table_find(core, id);

        return entry && entry->behind ? entry->behind->task->id : 0;
}

bool core_is_behind(const Core *core, uint64_t id) {
        const Entry *entry = table_find(core, id);

        return entry && entry->ahead;
}
