/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * A user's line, and how far others come in theirs before it
 *
 * What a task of a line is ranked by (the priority between users, the share that its user has when all in front of it
 * in its line have taken theirs, the id) gets no better from one to the next of its class. So the first of another's
 * line that does not come before a rank is found by halving, class by class; but for the share, which depends on
 * how far all classes of the line are: where that becomes more than the rank's is found first, by halving the line.
 */

#include "core/place.h"

#include <limits.h>

#include "core/queue.h"
#include "core/sat.h"
#include "core/table.h"
#include "core/turn.h"

/* A place in one user's line: by the own priority, then by order. */
typedef struct Cut {
        unsigned priority;
        uint64_t order;
} Cut;

/* In front of everything, and behind it. */
static const Cut cut_first = { TASK_PRIORITY_MAX + 1, 0 };
static const Cut cut_last = { 0, UINT64_MAX };

static bool cut_is_before(Cut a, Cut b) {
        return a.priority != b.priority ? a.priority > b.priority : a.order < b.order;
}

/* How many of a class are in front of a cut. */
static size_t class_n_to(const Class *class, Cut cut) {
        if (class->priority != cut.priority)
                return class->priority > cut.priority ? class->n_queued : 0;

        return class_n_before(class, cut.order);
}

static uint64_t entry_order(const Entry *entry) {
        return task_ref_place(entry->task->id);
}

static Cut cut_of(const Class *class, size_t at) {
        return (Cut){ class->priority, entry_order(class_queued(class, at)) };
}

/* Somebody's line at an instant. */
typedef struct Line {
        const Core *core;
        const User *user;
        uint64_t now_boot_us;
        uint64_t had;
} Line;

static Line line_of(const Core *core, const User *user, uint64_t now_boot_us) {
        return (Line){
                .core = core,
                .user = user,
                .now_boot_us = now_boot_us,
                .had = core->policy.order_fifo ? 0 : turn_had(user, turn_fade(core, now_boot_us)),
        };
}

/* The share of the user when all in front of a cut have taken what they ask for. */
static uint64_t share_at(const Line *line, Cut cut) {
        Holding held = line->user->held;
        const Class *class;

        if (line->core->policy.order_fifo)
                return 0;

        TAILQ_FOREACH(class, &line->user->classes, link) {
                size_t n = class_n_to(class, cut);
                Holding claim;

                if (n == 0)
                        continue;
                claim = turn_claim(line->core, &class->needs);
                held = holding_add(&held, &claim, n);
        }

        return turn_share(line->user, line->had, holding_portion(line->core, &held));
}

/* The first order among tasks of one priority from which on the share is larger, or (@or_equal) at least as large. */
static uint64_t find_order(const Line *line, unsigned priority, uint64_t share, bool or_equal) {
        uint64_t low = UINT64_MAX, high = 0;
        const Class *class;

        TAILQ_FOREACH(class, &line->user->classes, link) {
                if (class->priority != priority)
                        continue;
                low = MIN(low, cut_of(class, 0).order);
                high = MAX(high, cut_of(class, class->n_queued - 1).order + 1);
        }

        while (low < high) {
                uint64_t middle = low + (high - low) / 2;
                uint64_t at = share_at(line, (Cut){ priority, middle });

                if (at > share || (or_equal && at == share))
                        high = middle;
                else
                        low = middle + 1;
        }

        return low;
}

/* Where in the line the share becomes larger, or (@or_equal) at least as large. */
static Cut find_share(const Line *line, uint64_t share, bool or_equal) {
        unsigned low = 0, high = TASK_PRIORITY_MAX;
        uint64_t at = share_at(line, cut_first);

        if (at > share || (or_equal && at == share))
                return cut_first;
        at = share_at(line, cut_last);
        if (at < share || (!or_equal && at == share))
                return cut_last;

        /* the highest priority at whose end it is so */
        while (low < high) {
                unsigned middle = low + (high - low + 1) / 2;

                at = share_at(line, (Cut){ middle, UINT64_MAX });
                if (at > share || (or_equal && at == share))
                        low = middle;
                else
                        high = middle - 1;
        }

        return (Cut){ low, find_order(line, low, share, or_equal) };
}

static unsigned priority_of(const Line *line, const Entry *entry) {
        return order_rank(line->core, entry, 0, line->now_boot_us).priority;
}

/* The first of a class whose priority between users is at most so high. */
static size_t class_n_above(const Line *line, const Class *class, uint64_t priority) {
        size_t low = 0, high = class->n_queued;

        while (low < high) {
                size_t middle = low + (high - low) / 2;
                if (priority_of(line, class_queued(class, middle)) > priority)
                        low = middle + 1;
                else
                        high = middle;
        }

        return low;
}

/* How many of a line are merged in front of @rank. */
static size_t n_before(const Line *line, Rank rank) {
        Cut equal = find_share(line, rank.share, true),
            larger = find_share(line, rank.share, false);
        Cut stop = cut_last;
        const Class *class;
        size_t n = 0;

        TAILQ_FOREACH(class, &line->user->classes, link) {
                size_t n_above = class_n_above(line, class, rank.priority);
                size_t below = rank.priority > 0 ? class_n_above(line, class, rank.priority - 1) :
                                                   class->n_queued;
                size_t by_share = MAX(n_above, class_n_to(class, larger));
                size_t by_order = MAX(n_above, MAX(class_n_to(class, equal),
                                                   class_n_before(class, rank.order)));
                size_t first = MIN(below, MIN(by_share, by_order));

                if (first < class->n_queued && cut_is_before(cut_of(class, first), stop))
                        stop = cut_of(class, first);
        }

        TAILQ_FOREACH(class, &line->user->classes, link)
        n += class_n_to(class, stop);
        return n;
}

/* The last of a class that is in front of a cut, or NULL. */
static const Entry *last_before(const Class *class, Cut cut) {
        size_t n = class_n_to(class, cut);

        return n > 0 ? class_queued(class, n - 1) : NULL;
}

/*
 * A line comes to a task only after all that are in front of it in its own line, so what counts is
 * the worst rank from the front of the line up to the task: the lowest priority; of those that have it the
 * largest share, which is that of the last; of those that have both the largest order.
 */
static Rank worst_rank(const Line *line, Rank own, Cut cut) {
        Rank worst = own;
        Cut last = cut, equal;
        const Class *class;

        TAILQ_FOREACH(class, &line->user->classes, link) {
                const Entry *entry = last_before(class, cut);
                Cut at = entry ? (Cut){ class->priority, entry_order(entry) } : cut_first;
                unsigned priority = entry ? priority_of(line, entry) : UINT_MAX;

                if (priority > worst.priority ||
                    (priority == worst.priority && !cut_is_before(last, at)))
                        continue;
                worst.priority = priority;
                worst.order = at.order;
                last = at;
        }

        worst.share = share_at(line, last);
        equal = find_share(line, worst.share, true);
        TAILQ_FOREACH(class, &line->user->classes, link) {
                const Entry *entry = last_before(class, cut);

                if (entry && priority_of(line, entry) == worst.priority &&
                    !cut_is_before((Cut){ class->priority, entry_order(entry) }, equal))
                        worst.order = MAX(worst.order, entry_order(entry));
        }

        return worst;
}

size_t place_in_order(const Core *core,
                      uid_t uid,
                      unsigned priority,
                      uint64_t id,
                      uint64_t queued_boot_us,
                      uint64_t now_boot_us) {
        User nobody = { .uid = uid, .rules = user_rules_default() };
        const User *own = table_find_user(core, uid), *user;
        Rank rank = {
                .priority = order_priority(&core->policy, priority, queued_boot_us, now_boot_us),
                .order = task_ref_place(id),
        };
        Line line = line_of(core, own ? own : &nobody, now_boot_us);
        Cut cut = { priority, rank.order };
        const Class *class;
        size_t n = 0;

        TAILQ_INIT(&nobody.classes);
        TAILQ_FOREACH(class, &line.user->classes, link)
        n += class_n_to(class, cut);

        rank = worst_rank(&line, rank, cut);
        TAILQ_FOREACH(user, &core->users, link) {
                Line other = line_of(core, user, now_boot_us);

                if (user != own)
                        n += n_before(&other, rank);
        }

        return n;
}
