/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The plan
 *
 * One pass over the heads of the classes, in order. A head that fits is offered its share, if the
 * figures that say so are fresh; what it gets is then taken for the rest of the pass, so that the
 * next start there is judged by a look of its own. A head that would fit, or might if another look
 * were taken, asks for that look, and later ones do not take what it is to be judged for: else
 * they would overtake it for no other reason than that its figures are a little older. A look at
 * RAM is there at once; one at the GPUs may take long, so that only GPUs wait for it.
 *
 * Whom room is kept for (keep.h) is judged first: nobody else may have what it gets. The first other one that is past its
 * patience and does not start has room kept for it from there on.
 *
 * An array stands in line for its elements, and stays in front of its user's line until all of them were
 * considered that may start: those that ask for nothing measured leave in one pass, one after the other.
 */

#include <errno.h>
#include <stdlib.h>

#include "core/array.h"
#include "core/core.h"
#include "core/fit.h"
#include "core/gpu-word.h"
#include "core/gpus.h"
#include "core/keep.h"
#include "core/ledger.h"
#include "core/look.h"
#include "core/order.h"
#include "core/sat.h"
#include "core/table.h"

/* The kernel reckons it anew every two seconds; who asks for nothing measured has no other look. */
#define PRESSURE_MAX_AGE_US US_PER_SEC

typedef struct Pass {
        const Core *core;
        uint64_t now_boot_us;
        Ledger seen;
        Ledger best; /* built when it is first asked for */
        bool best_built;
        Plan plan;
        size_t n_allocated;
        bool asked_ram;      /* by somebody in the queue */
        uint64_t asked_gpus; /* by slot */
        KeepRoom keep;       /* whom room is kept for at this point of the pass */
        const Entry *former; /* whom it was kept for when the pass began, and could be on */
        const Entry *worn;   /* whom it was kept for as long as may be */
        bool behind_former;  /* the pass has come to that one's place in line */
        bool former_starts;  /* it is offered its start */
        uint64_t wake_us;    /* when the next one's patience is over */
        Fit fit;
} Pass;

static uint64_t all_gpus(const Ledger *ledger) {
        return ledger->n_gpus == 0 ? 0 : UINT64_MAX >> (64 - ledger->n_gpus);
}

/* The slots that a task might get. */
static uint64_t gpus_of(const Ledger *ledger, const Needs *needs) {
        uint64_t slots = 0;

        for (unsigned i = 0; i < needs->n_gpus; i++) {
                int slot;

                if (gpu_need_is_any(&needs->gpus[i]))
                        return all_gpus(ledger);
                slot = gpus_find(ledger->core, needs->gpus[i].uuid);
                if (slot != SLOT_NONE)
                        slots |= UINT64_C(1) << slot;
        }

        return slots;
}

/* The same in both ledgers, so that what is taken is taken in whichever is asked. */
static void take_pool(Pass *pass, int slot) {
        ledger_pool(&pass->seen, slot)->taken = true;
        if (pass->best_built)
                ledger_pool(&pass->best, slot)->taken = true;
}

/* RAM, by whichever name: GPUs without memory of their own are judged with it. */
static void take_ram(Pass *pass) {
        take_pool(pass, SLOT_RAM);
        for (unsigned slot = 0; slot < pass->seen.n_gpus; slot++)
                if (pass->seen.gpus[slot].shares_ram)
                        take_pool(pass, (int)slot);
}

/* What is not measured. */
static void take_counted(Pass *pass, const Needs *needs) {
        pass->seen.n_cpus_taken += needs->cpus;
        ledger_take_tokens(&pass->seen, needs);
        if (!pass->best_built)
                return;
        pass->best.n_cpus_taken += needs->cpus;
        ledger_take_tokens(&pass->best, needs);
}

static void take_gpus(Pass *pass, uint64_t slots) {
        for (unsigned slot = 0; slot < pass->seen.n_gpus; slot++)
                if (slots & (UINT64_C(1) << slot))
                        take_pool(pass, (int)slot);
}

static const Ledger *best_ledger(Pass *pass) {
        if (pass->best_built)
                return &pass->best;

        ledger_build(&pass->best, pass->core, pass->now_boot_us, LEDGER_AT_BEST);
        keep_mark(&pass->best, &pass->keep);
        pass->best.kept_from_us = pass->seen.kept_from_us;
        pass->best.n_cpus_taken = pass->seen.n_cpus_taken;
        for (unsigned i = 0; i < pass->core->policy.n_tokens; i++)
                pass->best.tokens[i] = pass->seen.tokens[i];
        pass->best.ram.taken = pass->seen.ram.taken;
        for (unsigned i = 0; i < pass->best.n_gpus; i++)
                pass->best.gpus[i].taken = pass->seen.gpus[i].taken;
        pass->best_built = true;
        return &pass->best;
}

/* Whether the figures by which a task would start allow it; else those to be taken again. */
static bool is_fresh(const Pass *pass, const Needs *needs, bool *ret_ram, bool *ret_gpus) {
        bool ram = needs->memory_bytes > 0;

        *ret_gpus = false;
        for (unsigned i = 0; i < needs->n_gpus; i++) {
                const Pool *pool = &pass->seen.gpus[pass->fit.slot_of[i]];

                ram |= pool->shares_ram;
                *ret_gpus |= !pool->fresh;
        }
        *ret_ram = ram && !pass->seen.ram.fresh;

        return !*ret_ram && !*ret_gpus;
}

/* Whether it asks for a GPU that this core never saw: it, or the daemon, has just started. */
static bool asks_for_unseen(const Core *core, const Needs *needs) {
        for (unsigned i = 0; i < needs->n_gpus; i++)
                if (gpu_need_is_any(&needs->gpus[i]) ?
                            core->n_gpus == 0 :
                            gpus_find(core, needs->gpus[i].uuid) == SLOT_NONE)
                        return true;

        return false;
}

/* Whether another look could let it start, and at what. */
static bool could_fit(Pass *pass, const Needs *needs, bool *ret_ram, bool *ret_gpus) {
        const Ledger *seen = &pass->seen;
        FitAsker asker = pass->fit.asker;
        uint64_t slots = gpus_of(seen, needs);
        bool ram = needs->memory_bytes > 0, stale = false;

        if (asks_for_unseen(pass->core, needs)) {
                *ret_ram = false;
                *ret_gpus = !ledger_is_timely(seen, &pass->core->gpus_look);
                return *ret_gpus;
        }

        for (unsigned slot = 0; slot < seen->n_gpus; slot++)
                if (slots & (UINT64_C(1) << slot)) {
                        ram |= seen->gpus[slot].shares_ram;
                        stale |= seen->gpus[slot].stale;
                }
        *ret_ram = ram && seen->ram.stale;
        *ret_gpus = stale;

        return (*ret_ram || *ret_gpus) && fit_needs(best_ledger(pass), needs, &asker, &pass->fit);
}

/* How many of an array were offered in this pass, as itself or as its elements. */
static unsigned n_offers_of(const Pass *pass, uint64_t id) {
        unsigned n = 0;

        for (size_t i = 0; i < pass->plan.n_offers; i++)
                n += task_ref_id(pass->plan.offers[i].task_id) == task_ref_id(id);

        return n;
}

/* Whether as many of its array are active, or will be, as may be at once. */
static bool is_shut(const Pass *pass, const Entry *entry) {
        const Entry *own = entry->task->array ? entry : array_of(pass->core, entry->task->id);
        const TaskArray *array = own ? own->task->array : NULL;

        return array && array->limit > 0 &&
               array->n_active + n_offers_of(pass, entry->task->id) >= array->limit;
}

/* The element that an array is offered for next; -1 if there is none, or it is no array. */
static int64_t next_index(const Lane *lane, const Entry *entry) {
        return entry->task->array ? index_set_next(&entry->task->array->waiting, lane->from_index) :
                                    -1;
}

static int add_offer(Pass *pass, const Lane *lane, const Entry *entry) {
        const Needs *needs = &entry->class->needs;
        Plan *plan = &pass->plan;
        bool ram = needs->memory_bytes > 0;
        GpuGrant *gpus = NULL;

        if (plan->n_offers == pass->n_allocated) {
                size_t n = pass->n_allocated > 0 ? 2 * pass->n_allocated : 4;
                PlanOffer *offers = reallocarray(plan->offers, n, sizeof(*offers));

                if (!offers)
                        return -ENOMEM;
                plan->offers = offers;
                pass->n_allocated = n;
        }

        if (needs->n_gpus > 0) {
                gpus = calloc(needs->n_gpus, sizeof(*gpus));
                if (!gpus)
                        return -ENOMEM;
        }

        for (unsigned i = 0; i < needs->n_gpus; i++) {
                gpus[i] = gpus_grant(pass->core, pass->fit.slot_of[i], pass->fit.bytes_of[i]);
                take_pool(pass, pass->fit.slot_of[i]);
                ram |= pass->core->gpus[pass->fit.slot_of[i]].sample.shares_ram;
        }

        if (ram)
                take_ram(pass);
        take_counted(pass, needs);
        plan->offers[plan->n_offers++] = (PlanOffer){
                .task_id = entry->task->id,
                .index = next_index(lane, entry),
                .n_gpus = needs->n_gpus,
                .gpus = gpus,
        };
        return 0;
}

static void want_look(Pass *pass, const Needs *needs, bool ram, bool gpus) {
        pass->plan.want_ram |= ram;
        pass->plan.want_gpus |= gpus;

        take_gpus(pass, gpus_of(&pass->seen, needs));
        if (gpus)
                return;

        take_ram(pass);
        take_counted(pass, needs);
}

/* The first in order is offered a start. */
static void take(Order *order) {
        order_first_lane(order)->n_offers++;
        order_take(order);
}

/* It was: go on to who may be next. */
static void go_on(Order *order, const Entry *entry) {
        Lane *lane = order_first_lane(order);

        if (needs_are_measured(&entry->class->needs)) {
                order_skip_class(order);
                return;
        }

        if (entry->task->array) {
                lane->from_index = (uint32_t)next_index(lane, entry) + 1;
                if (next_index(lane, entry) >= 0) {
                        order_stay(order);
                        return;
                }
        }

        lane->from_index = 0;
        order_next(order);
}

/* Whether its user has as many open offers, or tasks that run, as one may have. */
static bool lane_is_full(const Pass *pass, const Lane *lane) {
        const Policy *policy = &pass->core->policy;

        return lane->n_offers >= policy->max_offers_per_uid ||
               lane->user->n_running + lane->n_offers >= policy->max_active_per_uid;
}

/* What the user has, with what the pass offers; NULL: no limit is set for it. */
static LimitUse *lane_used(const Pass *pass, Lane *lane) {
        if (!limit_is_set(&lane->user->rules))
                return NULL;
        if (!lane->used_known)
                lane->used = limit_used(pass->core, lane->user);
        lane->used_known = true;
        return &lane->used;
}

static bool is_beyond_limit(const Pass *pass, Lane *lane, const Entry *entry) {
        const LimitUse *used = lane_used(pass, lane);
        LimitUse asked;

        if (!used)
                return false;
        asked = limit_asked(pass->core, &entry->class->needs, NULL);
        return limit_find(&lane->user->rules, used, &asked, NULL);
}

/* The last offer of the pass is its. */
static void count_used(const Pass *pass, Lane *lane, const Needs *needs) {
        LimitUse *used = lane_used(pass, lane);
        LimitUse more;

        if (!used)
                return;
        more = limit_asked(pass->core, needs, pass->plan.offers[pass->plan.n_offers - 1].gpus);
        *used = limit_sum(used, &more);
}

/* Room is kept for another one from here on; @room->entry NULL: for nobody. */
static void set_keep(Pass *pass, const KeepRoom *room) {
        pass->keep = *room;
        pass->plan.keep_at = pass->plan.n_offers;
        keep_mark(&pass->seen, room);
        if (pass->best_built)
                keep_mark(&pass->best, room);
}

/* 1: it is offered its start; 0: not now; or -ENOMEM. */
static int judge(Pass *pass, Lane *lane, const Entry *entry) {
        const Class *class = entry->class;
        const Needs *needs = &class->needs;
        FitAsker asker = keep_asker(&pass->seen, entry->task, entry, class->delay);
        bool ram, gpus;
        int r;

        asker.briefly = true;
        pass->asked_ram |= needs->memory_bytes > 0;
        pass->asked_gpus |= gpus_of(&pass->seen, needs);

        if (!fit_needs(&pass->seen, needs, &asker, &pass->fit)) {
                if (could_fit(pass, needs, &ram, &gpus))
                        want_look(pass, needs, ram, gpus);
                return 0;
        }

        if (!is_fresh(pass, needs, &ram, &gpus)) {
                want_look(pass, needs, ram, gpus);
                return 0;
        }

        r = add_offer(pass, lane, entry);
        if (r < 0)
                return r;

        count_used(pass, lane, needs);
        return 1;
}

/* Whether @entry has a higher priority than @other, to those who stand in line with both. */
static bool is_higher(const Pass *pass, const Entry *entry, const Entry *other) {
        const Policy *policy = &pass->core->policy;

        if (entry->class->user == other->class->user)
                return entry->class->priority > other->class->priority;

        return order_priority(policy, entry->class->priority, entry->task->queued_boot_us,
                              pass->now_boot_us) > order_priority(policy, other->class->priority,
                                                                  other->task->queued_boot_us,
                                                                  pass->now_boot_us);
}

/* It does not start now: whether it is to have room kept for it. */
static void consider_keeping(Pass *pass, const Entry *entry) {
        uint64_t past_us = entry == pass->worn ?
                                   sat_add(pass->now_boot_us, pass->core->policy.patience_us) :
                                   keep_past_us(pass->core, entry);
        KeepRoom room;

        if (past_us > pass->now_boot_us) {
                pass->wake_us = MIN(pass->wake_us, past_us);
                return;
        }
        if (pass->keep.entry && (pass->keep.entry != pass->former || pass->behind_former ||
                                 !is_higher(pass, entry, pass->keep.entry)))
                return;
        if (keep_find(&pass->seen, entry, KEEP_BEGINS, &room))
                set_keep(pass, &room);
}

/* Whom room is kept for already, and whether it starts now. */
static int consider_former(Pass *pass, Order *order) {
        const Core *core = pass->core;
        KeepRoom room = {};
        int r;

        if (!keep_find_current(&pass->seen, &room)) {
                if (core->keep.task_id != 0 && pass->now_boot_us >= keep_until_us(core))
                        pass->worn = table_find(core, core->keep.task_id);
                return 0;
        }

        pass->former = room.entry;
        set_keep(pass, &room);
        r = judge(pass, order_find_lane(order, room.entry->class->user), room.entry);
        if (r <= 0)
                return r;

        pass->former_starts = true;
        set_keep(pass, &(KeepRoom){});
        order_take_apart(order, room.entry->class);
        return 0;
}

/* The place in line of the one that room was kept for. True: it has been considered. */
static bool pass_former(Pass *pass, Order *order, const Entry *entry) {
        if (!pass->former || entry->class != pass->former->class)
                return false;

        pass->behind_former = true;
        if (entry != pass->former)
                return false;

        if (pass->former_starts)
                go_on(order, entry);
        else
                order_skip_class(order);
        return true;
}

/* Judge the first in order, and go on to the next. */
static int consider_first(Pass *pass, Order *order) {
        const Entry *entry = order_first(order);
        Lane *lane = order_first_lane(order);
        int r;

        if (lane_is_full(pass, lane)) {
                order_skip_lane(order);
                return 0;
        }

        if (is_shut(pass, entry)) {
                lane->from_index = 0;
                order_skip_array(order);
                return 0;
        }

        if (lane->from_index == 0 && pass_former(pass, order, entry))
                return 0;

        if (is_beyond_limit(pass, lane, entry)) {
                lane->from_index = 0;
                order_skip_class(order);
                return 0;
        }

        r = judge(pass, lane, entry);
        if (r < 0)
                return r;

        if (r == 0) {
                consider_keeping(pass, entry);
                lane->from_index = 0;
                order_skip_class(order);
                return 0;
        }

        take(order);
        go_on(order, entry);
        return 0;
}

/* When time alone changes something: a delay that somebody in line may be waiting for, a patience, or a keeping is over. */
static uint64_t wake_us(const Pass *pass) {
        uint64_t wake = pass->asked_ram ? pass->seen.ram.wake_us : TASK_TIME_INF;

        wake = MIN(wake, pass->wake_us);
        if (pass->former && pass->keep.entry == pass->former)
                wake = MIN(wake, keep_until_us(pass->core));

        for (unsigned slot = 0; slot < pass->seen.n_gpus; slot++)
                if (pass->asked_gpus & (UINT64_C(1) << slot))
                        wake = MIN(wake, pass->seen.gpus[slot].wake_us);

        return wake;
}

/* What is to be kept from now on, if that is not what is kept already. */
static int plan_keep(Pass *pass) {
        const Entry *entry = pass->keep.entry;
        const Needs *needs;
        Plan *plan = &pass->plan;

        plan->keeps = entry ? entry != pass->former : pass->core->keep.task_id != 0;
        if (!plan->keeps || !entry)
                return 0;

        needs = &entry->class->needs;
        plan->keep_id = entry->task->id;
        plan->keep_n_gpus = needs->n_gpus;
        if (needs->n_gpus == 0)
                return 0;

        plan->keep_gpus = calloc(needs->n_gpus, sizeof(*plan->keep_gpus));
        if (!plan->keep_gpus)
                return -ENOMEM;
        for (unsigned i = 0; i < needs->n_gpus; i++)
                plan->keep_gpus[i] =
                        gpus_grant(pass->core, pass->keep.slot_of[i], pass->keep.bytes_of[i]);
        return 0;
}

int core_plan(const Core *core, uint64_t now_boot_us, Plan *ret) {
        Pass pass = { .core = core, .now_boot_us = now_boot_us, .wake_us = TASK_TIME_INF };
        uint64_t age_us = sat_sub(now_boot_us, core->ram.look.boot_us);
        Order order;
        int r;

        if (core->n_queued_classes == 0 || core->drain.on) {
                *ret = (Plan){ .wake_boot_us = TASK_TIME_INF };
                return 0;
        }

        if (core->ram.pressure_known && (age_us > PRESSURE_MAX_AGE_US || look_is_pressed(core))) {
                *ret = (Plan){
                        .want_ram = age_us > core->policy.sample_max_age_us,
                        .wake_boot_us = TASK_TIME_INF,
                };
                return 0;
        }

        r = order_init(&order, core, now_boot_us, false);
        if (r < 0)
                return r;

        ledger_build(&pass.seen, core, now_boot_us, LEDGER_AS_SEEN);
        r = consider_former(&pass, &order);
        while (r == 0 && order_first(&order) && pass.plan.n_offers < PLAN_OFFERS_MAX)
                r = consider_first(&pass, &order);
        order_done(&order);
        if (r == 0)
                r = plan_keep(&pass);
        if (r < 0) {
                plan_done(&pass.plan);
                return r;
        }

        pass.plan.wake_boot_us = wake_us(&pass);
        *ret = pass.plan;
        return 0;
}

void plan_done(Plan *plan) {
        for (size_t i = 0; i < plan->n_offers; i++)
                free(plan->offers[i].gpus);
        free(plan->offers);
        free(plan->keep_gpus);
        *plan = (Plan){};
}
