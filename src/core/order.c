/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "core/order.h"

#include <errno.h>
#include <stdlib.h>

#include "core/array.h"
#include "core/sat.h"
#include "core/turn.h"

bool rank_is_before(Rank a, Rank b) {
        if (a.priority != b.priority)
                return a.priority > b.priority;

        return a.share != b.share ? a.share < b.share : a.order < b.order;
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

static void lanes_sift_down(Lane *heap, size_t n, size_t at) {
        Lane moved = heap[at];

        for (;;) {
                size_t child = 2 * at + 1;

                if (child >= n)
                        break;
                if (child + 1 < n && rank_is_before(heap[child + 1].rank, heap[child].rank))
                        child++;
                if (!rank_is_before(heap[child].rank, moved.rank))
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

Rank order_rank(const Core *core, const Entry *entry, uint64_t share, uint64_t now_boot_us) {
        return (Rank){
                .priority = order_priority(&core->policy, entry->class->priority,
                                           entry->task->queued_boot_us, now_boot_us),
                .share = share,
                .order = entry_order(entry),
        };
}

static void lane_set_share(const Order *order, Lane *lane) {
        if (order->core->policy.order_fifo)
                return;

        lane->rank.share =
                turn_share(lane->user, lane->had, holding_portion(order->core, &lane->held));
}

static void lane_set_rank(const Order *order, Lane *lane) {
        lane->rank = order_rank(order->core, cursor_entry(&lane->heap[0]), lane->rank.share,
                                order->now_boot_us);
}

/* Returns how many cursors it used. */
static size_t lane_init(const Order *order, Lane *lane, const User *user, Cursor *cursors) {
        const Class *class;

        *lane = (Lane){
                .user = user,
                .heap = cursors,
                .had = turn_had(user, order->fade),
                .held = user->held,
                .n_offers = user->n_offers,
        };
        TAILQ_FOREACH(class, &user->classes, link)
        lane->n += cursor_set(order, &lane->heap[lane->n], class, 0);

        for (size_t i = lane->n / 2; i > 0; i--)
                cursors_sift_down(lane->heap, lane->n, i - 1);

        lane_set_share(order, lane);
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

        order.fade = turn_fade(core, now_boot_us);
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

Lane *order_find_lane(const Order *order, const User *user) {
        size_t i = 0;

        while (order->lanes[i].user != user)
                i++;

        return &order->lanes[i];
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

void order_stay(Order *order) {
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

void order_take(Order *order) {
        Lane *lane = &order->lanes[0];
        Holding claim;

        if (order->core->policy.order_fifo)
                return;

        claim = turn_claim(order->core, &lane->heap[0].class->needs);
        lane->held = holding_add(&lane->held, &claim, 1);
        lane_set_share(order, lane);
}

void order_take_apart(Order *order, const Class *class) {
        Lane *lane = order_find_lane(order, class->user);
        Holding claim;

        lane->n_offers++;
        if (order->core->policy.order_fifo)
                return;

        claim = turn_claim(order->core, &class->needs);
        lane->held = holding_add(&lane->held, &claim, 1);
        lane_set_share(order, lane);
        lanes_sift_down(order->lanes, order->n_lanes, (size_t)(lane - order->lanes));
}

void order_next(Order *order) {
        go_to(order, order->lanes[0].heap[0].at + 1);
}

void order_skip_array(Order *order) {
        const Cursor *cursor = &order->lanes[0].heap[0];

        go_to(order, class_n_to_end_of_array(cursor->class, cursor_entry(cursor)->task->id));
}
