#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Room that is kept
 *
 * Small tasks that always find room would keep a large one waiting for ever. So for the first in order of those that have
 * waited `patience` room is kept (decisions.md 5): others start only beside what it asks for, or if they will have ended
 * before that can be there (EASY backfilling): by their time limit, or as runs of the same before. Whom it is
 * kept for is state, changed by EVENT_KEPT alone; a pass finds out whether it is to change.
 */

#include "core/fit.h"
#include "core/ledger.h"

/* The room of one task: what it asks for, with its GPUs chosen. */
typedef struct KeepRoom {
        const Entry *entry; /* NULL: none */
        int slot_of[NEEDS_GPUS_MAX];
        uint64_t bytes_of[NEEDS_GPUS_MAX]; /* or GPU_WHOLE */
} KeepRoom;

/*
 * What counts as what ends of tasks could bring. A look, and a report of what a task holds, are not of the same instant; so that what is
 * kept is not let go between two of them, it is kept on as long as all could be true.
 */
typedef enum KeepCheck {
        KEEP_BEGINS, /* what the tasks were seen to hold; if something has ended since the last look: that comes first */
        KEEP_GOES_ON, /* what they hold or are promised; if something has ended: anything */
} KeepCheck;

/* When a waiting task's patience is over; TASK_TIME_INF: never. */
uint64_t keep_past_us(const Core *core, const Entry *entry);

/* When the keeping that is now is over at the latest; TASK_TIME_INF: never. */
uint64_t keep_until_us(const Core *core);

/* Whether an offered or running task was offered before that keeping began. */
bool keep_comes_after(const Core *core, const Entry *entry);

/**
 * keep_find() - the room to be kept for a task
 * @check:      KEEP_GOES_ON: whether it could be kept on, if it were kept
 * @ledger:     whatever is marked there as kept does not count
 * @ret:        overwritten on success; GPUs for `any` are those expected to be free first
 *
 * Return: whether there is such: the ends of running tasks could bring all of it.
 */
bool keep_find(const Ledger *ledger, const Entry *entry, KeepCheck check, KeepRoom *ret);

/**
 * keep_find_current() - the room that is kept already
 *
 * Return: whether it is to be kept on: it is not over, and the task could start if the room were there.
 */
bool keep_find_current(const Ledger *ledger, KeepRoom *ret);

/* Mark it in the ledger, in place of what was; @room->entry NULL: nothing is kept. */
void keep_mark(Ledger *ledger, const KeepRoom *room);

/**
 * keep_asker() - how a task stands to the room that is marked
 * @entry:      the task's; NULL: it was not submitted
 */
FitAsker keep_asker(Ledger *ledger, const Task *task, const Entry *entry, DelayKind delay);

/* EVENT_KEPT */
int keep_apply(Core *core, const Event *event);

/* A task starts, or is no longer in line: nothing is kept for it any more. */
void keep_leave(Core *core, uint64_t task_id);

void keep_clear(Core *core);
