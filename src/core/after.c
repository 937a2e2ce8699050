/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "core/after.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/queue.h"
#include "core/table.h"

static int waited_get(Core *core, uint64_t id, Waited **ret) {
        Waited *waited = table_find_waited(core, id);

        if (!waited) {
                waited = calloc(1, sizeof(*waited));
                if (!waited)
                        return -ENOMEM;
                waited->id = id;
                TAILQ_INIT(&waited->links);
                if (table_add_waited(core, waited) < 0) {
                        free(waited);
                        return -ENOMEM;
                }
        }

        *ret = waited;
        return 0;
}

static void set_doomed(Core *core, AfterLink *link, bool doomed) {
        AfterWait *wait = link->wait;

        if (link->doomed == doomed)
                return;

        link->doomed = doomed;
        wait->n_doomed += doomed ? 1U : -1U;
        if (doomed && wait->n_doomed == 1)
                TAILQ_INSERT_TAIL(&core->doomed, wait, link);
        if (!doomed && wait->n_doomed == 0)
                TAILQ_REMOVE(&core->doomed, wait, link);
}

static void unlink_one(Core *core, AfterLink *link) {
        Waited *waited = link->waited;

        set_doomed(core, link, false);
        TAILQ_REMOVE(&waited->links, link, link);
        link->waited = NULL;
        link->wait->n_left--;
        if (!TAILQ_EMPTY(&waited->links))
                return;

        table_remove_waited(core, waited);
        free(waited);
}

void after_leave(Core *core, Entry *entry) {
        AfterWait *wait = entry->wait;

        if (!wait)
                return;

        for (unsigned i = 0; i < wait->n; i++)
                if (wait->links[i].waited)
                        unlink_one(core, &wait->links[i]);
        free(wait);
        entry->wait = NULL;
}

/* What has come true is no longer waited for. */
static void drop_one(Task *task, uint64_t id, bool any) {
        unsigned at = 0;

        while (task->after[at].id != id || task->after[at].any != any)
                at++;
        task->n_after--;
        memmove(&task->after[at], &task->after[at + 1],
                (task->n_after - at) * sizeof(*task->after));
        if (task->n_after > 0)
                return;

        free(task->after);
        task->after = NULL;
}

/* A task that is waited for has ended. True if it was the last one. */
static bool judge(Core *core, AfterLink *link, TaskState state) {
        Entry *entry = link->wait->entry;

        if (!link->any && state != TASK_STATE_DONE) {
                link->state = state;
                set_doomed(core, link, true);
                return false;
        }

        drop_one(entry->task, link->waited->id, link->any);
        unlink_one(core, link);
        if (link->wait->n_left > 0)
                return false;

        after_leave(core, entry);
        return true;
}

/* Whether they are there; nobody waits for oneself, and no element for its array. */
static bool are_sound(const Core *core, const Task *task) {
        for (unsigned i = 0; i < task->n_after; i++) {
                uint64_t id = task->after[i].id;

                if (task_ref_index(id) >= 0 || id == task_ref_id(task->id) || !table_find(core, id))
                        return false;
        }

        return task->n_after <= TASK_AFTER_MAX;
}

/* Those that were over before it came. */
static void judge_all(Core *core, Entry *entry) {
        bool last = false;

        /* The last link frees them all, and nothing is left to be looked at then. */
        for (unsigned i = entry->wait->n; i > 0 && !last; i--) {
                AfterLink *link = &entry->wait->links[i - 1];
                const Task *task = table_find(core, link->waited->id)->task;

                if (task_state_is_final(task->state))
                        last = judge(core, link, task->state);
        }
}

/* Puts the entry in the lists of all that its task's `after` names. */
static int link_all(Core *core, Entry *entry) {
        const Task *task = entry->task;
        AfterWait *wait;

        wait = calloc(1, sizeof(*wait) + task->n_after * sizeof(AfterLink));
        if (!wait)
                return -ENOMEM;

        entry->wait = wait;
        wait->entry = entry;
        wait->n = task->n_after;
        for (unsigned i = 0; i < task->n_after; i++) {
                AfterLink *link = &wait->links[i];
                int r = waited_get(core, task->after[i].id, &link->waited);

                if (r < 0) {
                        after_leave(core, entry);
                        return r;
                }
                link->wait = wait;
                link->any = task->after[i].any;
                TAILQ_INSERT_TAIL(&link->waited->links, link, link);
                wait->n_left++;
        }

        return 0;
}

int after_enter(Core *core, Entry *entry) {
        int r;

        if (entry->task->n_after == 0)
                return 0;
        if (!are_sound(core, entry->task))
                return CORE_E_ILLEGAL;

        r = link_all(core, entry);
        if (r < 0)
                return r;

        judge_all(core, entry);
        return 0;
}

/* What the array heard of an end it passes on: that task may be forgotten by now. */
static void inherit_one(Core *core, AfterLink *link, const AfterWait *from) {
        for (unsigned i = 0; i < from->n; i++) {
                const AfterLink *other = &from->links[i];

                if (other->waited != link->waited || other->any != link->any || !other->doomed)
                        continue;
                link->state = other->state;
                set_doomed(core, link, true);
        }
}

int after_inherit(Core *core, Entry *entry, const Entry *array) {
        int r;

        if (!array->wait)
                return 0;

        r = link_all(core, entry);
        if (r < 0)
                return r;

        for (unsigned i = 0; i < entry->wait->n; i++)
                inherit_one(core, &entry->wait->links[i], array->wait);
        return 0;
}

void after_ended(Core *core, const Task *task, uint64_t now_boot_us) {
        const Waited *waited = table_find_waited(core, task->id);
        AfterLink *link = waited ? TAILQ_FIRST(&waited->links) : NULL, *next;

        for (; link; link = next) {
                Entry *entry = link->wait->entry;

                next = TAILQ_NEXT(link, link);
                if (!judge(core, link, task->state))
                        continue;
                entry->task->queued_boot_us = now_boot_us;
                queue_settle(core, entry);
        }
}

uint64_t core_next_doomed(const Core *core, char *reason, size_t n_reason) {
        const AfterWait *wait = TAILQ_FIRST(&core->doomed);
        unsigned at = 0;

        if (!wait)
                return 0;

        while (!wait->links[at].doomed)
                at++;
        (void)snprintf(reason, n_reason, "task %" PRIu64 ", which it was to wait for, %s",
                       wait->links[at].waited->id, task_end_in_words(wait->links[at].state));
        return wait->entry->task->id;
}
