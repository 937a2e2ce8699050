/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "core/order.h"

#include <errno.h>
#include <stdlib.h>

#include "core/array.h"
#include "core/sat.h"
#include "core/table.h"

/* A place between users: the higher priority first, then the smaller id (task_ref_place()). */
typedef struct Rank {
        unsigned priority;
        uint64_t order;
} Rank;

static bool rank_is_before(Rank a, Rank b) {
        return a.priority != b.priority ? a.priority > b.priority : a.order < b.order;
}

static const Entry *cursor_entry(const Cursor *cursor) {
        return class_queued(cursor->class, cursor->at);
}

static uint64_t entry_order(const Entry *entry) {
        return task_ref_place(entry->task->id);
}

/* The first of a class behind all elements of an array. */
static size_t class_n_to_end_of_array(const Class *class, uint64_t ref) {
        return class_n_before(class, task_ref_place(task_ref_id(ref)) + 1);
}

/* To the first from @at on that is to be looked at; false, and nothing done, if there is none. */
static bool cursor_set(const Order *order, Cursor *cursor, const Class *class, size_t at) {
        while (!order->everybody && at < class->n_queued) {
                uint64_t id = class_queued(class, at)->task->id;
                const Entry *array = array_of(order->core, id);

                if (!array || !array_is_full(array->task->array))
                        break;
                at = class_n_to_end_of_array(class, id);
        }

        if (at >= class->n_queued)
                return false;

        *cursor = (Cursor){
                .class = class,
                .at = at,
                .order = entry_order(class_queued(class, at)),
                .priority = class->priority,
        };
        return true;
}

static bool cursor_is_before(const Cursor *a, const Cursor *b) {
        return a->priority != b->priority ? a->priority > b->priority : a->order < b->order;
}

static void cursors_sift_down(Cursor *heap, size_t n, size_t at) {
        Cursor moved = heap[at];

        for (;;) {
                size_t child = 2 * at + 1;

                if (child >= n)
                        break;
                if (child + 1 < n && cursor_is_before(&heap[child + 1], &heap[child]))
                        child++;
                if (!cursor_is_before(&heap[child], &moved))
                        break;
                heap[at] = heap[child];
                at = child;
        }

        heap[at] = moved;
}

static Rank lane_rank(const Lane *lane) {
        return (Rank){ .priority = lane->priority, .order = lane->order };
}

static void lanes_sift_down(Lane *heap, size_t n, size_t at) {
        Lane moved = heap[at];

        for (;;) {
                size_t child = 2 * at + 1;

                if (child >= n)
                        break;
                if (child + 1 < n &&
                    rank_is_before(lane_rank(&heap[child + 1]), lane_rank(&heap[child])))
                        child++;
                if (!rank_is_before(lane_rank(&heap[child]), lane_rank(&moved)))
                        break;
                heap[at] = heap[child];
                at = child;
        }

        heap[at] = moved;
}

unsigned order_priority(const Policy *policy,
                        unsigned priority,
                        uint64_t queued_boot_us,
                        uint64_t now_boot_us) {
        uint64_t limit = policy->priority_limit;
        uint64_t aged = MIN((uint64_t)priority, limit);

        if (policy->priority_age_us != TASK_TIME_INF && policy->priority_age_us > 0)
                aged = sat_add(aged,
                               sat_sub(now_boot_us, queued_boot_us) / policy->priority_age_us);

        return (unsigned)MIN(aged, limit);
}

static Rank entry_rank(const Core *core, const Entry *entry, uint64_t now_boot_us) {
        return (Rank){
                .priority = order_priority(&core->policy, entry->class->priority,
                                           entry->task->queued_boot_us, now_boot_us),
                .order = entry_order(entry),
        };
}

static void lane_set_rank(const Order *order, Lane *lane) {
        Rank rank = entry_rank(order->core, cursor_entry(&lane->heap[0]), order->now_boot_us);

        lane->priority = rank.priority;
        lane->order = rank.order;
}

/* Returns how many cursors it used. */
static size_t lane_init(const Order *order, Lane *lane, const User *user, Cursor *cursors) {
        const Class *class;

        *lane = (Lane){ .user = user, .heap = cursors, .n_offers = user->n_offers };
        TAILQ_FOREACH(class, &user->classes, link)
        lane->n += cursor_set(order, &lane->heap[lane->n], class, 0);

        for (size_t i = lane->n / 2; i > 0; i--)
                cursors_sift_down(lane->heap, lane->n, i - 1);

        if (lane->n > 0)
                lane_set_rank(order, lane);
        return lane->n;
}

int order_init(Order *ret, const Core *core, uint64_t now_boot_us, bool everybody) {
        Order order = { .core = core, .now_boot_us = now_boot_us, .everybody = everybody };
        const User *user;
        size_t n_used = 0;

        if (core->n_queued_classes == 0) {
                *ret = order;
                return 0;
        }

        order.cursors = calloc(core->n_queued_classes, sizeof(Cursor));
        order.lanes = calloc(core->n_queued_users, sizeof(Lane));
        if (!order.cursors || !order.lanes) {
                order_done(&order);
                return -ENOMEM;
        }

        TAILQ_FOREACH(user, &core->users, link) {
                size_t n = lane_init(&order, &order.lanes[order.n_lanes], user,
                                     order.cursors + n_used);

                n_used += n;
                order.n_lanes += n > 0;
        }

        for (size_t i = order.n_lanes / 2; i > 0; i--)
                lanes_sift_down(order.lanes, order.n_lanes, i - 1);

        *ret = order;
        return 0;
}

void order_done(Order *order) {
        free(order->cursors);
        free(order->lanes);
        *order = (Order){};
}

const Entry *order_first(const Order *order) {
        return order->n_lanes > 0 ? cursor_entry(&order->lanes[0].heap[0]) : NULL;
}

Lane *order_first_lane(const Order *order) {
        return &order->lanes[0];
}

void order_skip_lane(Order *order) {
        order->lanes[0] = order->lanes[--order->n_lanes];
        if (order->n_lanes > 0)
                lanes_sift_down(order->lanes, order->n_lanes, 0);
}

/* The front of the first lane has changed. */
static void settle_first_lane(Order *order) {
        Lane *lane = &order->lanes[0];

        if (lane->n == 0) {
                order_skip_lane(order);
                return;
        }

        cursors_sift_down(lane->heap, lane->n, 0);
        lane_set_rank(order, lane);
        lanes_sift_down(order->lanes, order->n_lanes, 0);
}

void order_skip_class(Order *order) {
        Lane *lane = &order->lanes[0];

        lane->heap[0] = lane->heap[--lane->n];
        settle_first_lane(order);
}

/* Go on to a place in the class that is in front. */
static void go_to(Order *order, size_t at) {
        Lane *lane = &order->lanes[0];

        if (cursor_set(order, &lane->heap[0], lane->heap[0].class, at))
                settle_first_lane(order);
        else
                order_skip_class(order);
}

void order_next(Order *order) {
        go_to(order, order->lanes[0].heap[0].at + 1);
}

void order_skip_array(Order *order) {
        const Cursor *cursor = &order->lanes[0].heap[0];

        go_to(order, class_n_to_end_of_array(cursor->class, cursor_entry(cursor)->task->id));
}

/* How many of a class, from its front, are before a rank. */
static size_t class_n_ranked_before(const Core *core, const Class *class, Rank rank, uint64_t now) {
        size_t low = 0, high = class->n_queued;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (rank_is_before(entry_rank(core, class_queued(class, middle), now), rank))
                        low = middle + 1;
                else
                        high = middle;
        }

        return low;
}

/*
 * A line comes to a task only after all that are in front of it in its own line, so what counts is
 * the worst rank from the front of the line up to the task. *ret_n: how many are in front in the
 * own line.
 */
static Rank own_rank(const Core *core,
                     const User *user,
                     Rank own,
                     unsigned priority,
                     uint64_t now,
                     size_t *ret_n) {
        const Class *class;
        Rank worst = own;

        *ret_n = 0;
        if (!user)
                return worst;

        TAILQ_FOREACH(class, &user->classes, link) {
                size_t n = class->priority > priority ? class->n_queued :
                           class->priority < priority ? 0 :
                                                        class_n_before(class, own.order);
                Rank last;

                if (n == 0)
                        continue;
                *ret_n += n;
                last = entry_rank(core, class_queued(class, n - 1), now);
                if (rank_is_before(worst, last))
                        worst = last;
        }

        return worst;
}

/* The first of a user's line that is not before @rank: its priority and order. */
static bool first_behind(const Core *core, const User *user, Rank rank, uint64_t now, Rank *ret) {
        const Class *class;
        bool found = false;

        TAILQ_FOREACH(class, &user->classes, link) {
                size_t n = class_n_ranked_before(core, class, rank, now);
                Rank behind;

                if (n == class->n_queued)
                        continue;
                behind = (Rank){ class->priority, entry_order(class_queued(class, n)) };
                if (!found || rank_is_before(behind, *ret))
                        *ret = behind;
                found = true;
        }

        return found;
}

/* How many of a user's line are merged in front of @rank. */
static size_t user_n_before(const Core *core, const User *user, Rank rank, uint64_t now) {
        Rank stop = {};
        bool stops = first_behind(core, user, rank, now, &stop);
        const Class *class;
        size_t n = 0;

        TAILQ_FOREACH(class, &user->classes, link) {
                if (!stops || class->priority > stop.priority)
                        n += class->n_queued;
                else if (class->priority == stop.priority)
                        n += class_n_before(class, stop.order);
        }

        return n;
}

size_t order_place(const Core *core,
                   uid_t uid,
                   unsigned priority,
                   uint64_t id,
                   uint64_t queued_boot_us,
                   uint64_t now_boot_us) {
        const User *own = table_find_user(core, uid);
        Rank rank = {
                .priority = order_priority(&core->policy, priority, queued_boot_us, now_boot_us),
                .order = task_ref_place(id),
        };
        const User *user;
        size_t n;

        rank = own_rank(core, own, rank, priority, now_boot_us, &n);
        TAILQ_FOREACH(user, &core->users, link)
        if (user != own)
                n += user_n_before(core, user, rank, now_boot_us);

        return n;
}
