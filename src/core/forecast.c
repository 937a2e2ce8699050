/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "core/forecast.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "core/expect.h"
#include "core/fit.h"
#include "core/gpus.h"
#include "core/keep.h"
#include "core/limit.h"
#include "core/order.h"
#include "core/sat.h"
#include "core/sentence-room.h"
#include "core/share.h"
#include "util/cleanup.h"

enum {
        AHEAD_MAX = 64,  /* in line before it; more are too many guesses */
        ENDS_MAX = 8192, /* that are known at first; more take too long to be played */
        STEPS_MAX = 256, /* ends that are looked at: each may start somebody */
        N_PACES = 3,
};

/* How fast all goes. */
typedef enum Pace {
        PACE_EARLY,
        PACE_ABOUT,
        PACE_LATE,
} Pace;

/* Somebody in line. */
typedef struct Waiting {
        const Entry *entry;
        FitAsker asker;
        ExpectSpan span; /* from its start on */
        bool known;      /* the span is */
} Waiting;

/* An end to come. */
typedef struct End {
        uint64_t at_us;
        const Entry *entry; /* NULL: of a delay */
        ExpectSpan span;
        unsigned started; /* Play.started of one that starts here; NOT_STARTED: it runs already */
} End;

/* What one has that starts here. */
typedef struct Started {
        bool has; /* it has started */
        int slot_of[NEEDS_GPUS_MAX];
        uint64_t taken_bytes[NEEDS_GPUS_MAX]; /* there */
        uint64_t ram_bytes;
} Started;

#define NOT_STARTED UINT_MAX

typedef struct Play {
        const Core *core;
        Ledger now; /* as it is */
        Ledger ledger;
        Pace pace;
        size_t n_ends;
        End *ends; /* owned; has room for all; sorted, the last in front */
        size_t n_waiting;
        Waiting waiting[AHEAD_MAX + 1]; /* in line; the last is the one asked about */
        Started started[AHEAD_MAX + 1];
        bool by_runs;        /* some of those that have ended are told by runs */
        ExplainStart *rests; /* where those that have ended are to be told; NULL: nowhere */
} Play;

static uint64_t paced_us(const ExpectSpan *span, Pace pace) {
        return pace == PACE_EARLY ? span->lower_us :
               pace == PACE_ABOUT ? span->middle_us :
                                    span->upper_us;
}

/* -- ends -- */

static void add_end(Play *play, const End *end) {
        size_t at = play->n_ends++;

        for (; at > 0 && play->ends[at - 1].at_us < end->at_us; at--)
                play->ends[at] = play->ends[at - 1];
        play->ends[at] = *end;
}

static Pool *memory_of(Ledger *ledger, Pool *pool) {
        return pool->shares_ram ? &ledger->ram : pool;
}

static void give(Pool *pool, uint64_t bytes) {
        pool->measured_bytes = MIN(sat_add(pool->measured_bytes, bytes), pool->total_bytes);
}

static void leave_gpu(Pool *pool) {
        pool->n_tasks -= pool->n_tasks > 0;
        pool->is_whole = false;
        if (pool->n_tasks == 0)
                pool->n_computing = 0;
}

static void end_share(Ledger *ledger, const Entry *entry, const Share *share) {
        const Policy *policy = &ledger->core->policy;
        Pool *pool = ledger_pool(ledger, share->slot), *memory = memory_of(ledger, pool);
        uint64_t whole_bytes = sat_sub(pool->total_bytes, pool->reserved_bytes), missing;
        uint64_t end_us = entry_delay_end_us(entry);
        bool over = end_us != TASK_TIME_INF && ledger->now_boot_us >= end_us;
        bool settles = !over && !share_is_filled(share);

        leave_gpu(pool);
        if (pool->shares_ram && share_is_whole(share))
                return;
        give(memory, share_held_bytes(entry, share, over, whole_bytes));
        if (over && share_is_given_up(share, policy))
                return;

        missing = share_missing_bytes(share, 1000, whole_bytes);
        memory->promised_bytes = sat_sub(memory->promised_bytes, missing);
        if (settles)
                missing = share_missing_bytes(share,
                                              MAX(policy->ample_factor_permille, UINT64_C(1000)),
                                              whole_bytes);
        memory->ample_bytes = MAX(sat_sub(memory->ample_bytes, missing), memory->promised_bytes);
        memory->kept_ample_bytes =
                MAX(sat_sub(memory->kept_ample_bytes, missing), memory->promised_bytes);
}

static void end_running(Ledger *ledger, const Entry *entry) {
        const Task *task = entry->task;

        ledger->n_cpus_taken = sat_sub(ledger->n_cpus_taken, task->needs.cpus);
        ledger_give_tokens(ledger, &task->needs);
        if (task->needs.memory_bytes == 0 && task->memory.known)
                give(&ledger->ram, task->memory.used_bytes);
        for (unsigned i = 0; i < entry->n_shares; i++)
                if (entry->shares[i].slot != SLOT_NONE)
                        end_share(ledger, entry, &entry->shares[i]);
        for (unsigned i = 0; i < task->n_strays; i++) {
                int slot = gpus_find(ledger->core, task->strays[i].uuid);

                if (slot >= 0)
                        give(memory_of(ledger, &ledger->gpus[slot]), task->strays[i].used_bytes);
        }
}

static void end_started(Ledger *ledger, const Entry *entry, const Started *started) {
        const Needs *needs = &entry->class->needs;

        ledger->n_cpus_taken = sat_sub(ledger->n_cpus_taken, needs->cpus);
        ledger_give_tokens(ledger, needs);
        give(&ledger->ram, started->ram_bytes);
        for (unsigned i = 0; i < needs->n_gpus; i++) {
                Pool *pool = &ledger->gpus[started->slot_of[i]];

                leave_gpu(pool);
                give(memory_of(ledger, pool), started->taken_bytes[i]);
        }
}

/* Delays that are over. */
static void calm(Pool *pool, uint64_t now_us) {
        if (pool->strict_end_us <= now_us)
                pool->strict_end_us = 0;
        if (pool->kept_strict_end_us <= now_us)
                pool->kept_strict_end_us = 0;
        if (pool->settling_end_us <= now_us)
                pool->ample_bytes = pool->promised_bytes;
        if (pool->kept_settling_end_us <= now_us)
                pool->kept_ample_bytes = pool->promised_bytes;
}

/* What shares RAM shows what RAM shows. */
static void settle_pools(Ledger *ledger) {
        calm(&ledger->ram, ledger->now_boot_us);
        for (unsigned i = 0; i < ledger->n_gpus; i++) {
                Pool *pool = &ledger->gpus[i];

                calm(pool, ledger->now_boot_us);
                if (!pool->shares_ram)
                        continue;
                pool->measured_bytes = ledger->ram.measured_bytes;
                pool->promised_bytes = ledger->ram.promised_bytes;
                pool->ample_bytes = ledger->ram.ample_bytes;
                pool->kept_ample_bytes = ledger->ram.kept_ample_bytes;
        }
}

static bool share_a_token(const Needs *needs, const Needs *other) {
        for (unsigned i = 0; i < needs->n_tokens; i++)
                if (needs_n_of_token(other, needs->tokens[i].name) > 0)
                        return true;

        return false;
}

/* Whether two have asked for something of the same kind. */
static bool is_in_its_way(const Needs *needs, const Needs *other) {
        return (needs->memory_bytes > 0 && other->memory_bytes > 0) ||
               (needs->cpus > 0 && other->cpus > 0) || (needs->n_gpus > 0 && other->n_gpus > 0) ||
               share_a_token(needs, other);
}

/* The last ones to end stand in front: they made room. */
static void add_rest(Play *play, const Entry *entry, const ExpectSpan *span) {
        const Entry *asked = play->waiting[play->n_waiting - 1].entry;
        ExplainStart *start = play->rests;

        if (!start || !is_in_its_way(&entry->class->needs, &asked->class->needs))
                return;
        play->by_runs |= span->n_runs > 0;
        if (start->n_rests == EXPLAIN_RESTS_MAX) {
                start->n_more_rests++;
                start->n_rests--;
        }
        for (size_t i = start->n_rests++; i > 0; i--)
                start->rests[i] = start->rests[i - 1];
        start->rests[0] = (StartRest){
                .task_id = entry->task->id,
                .uid = entry->task->uid,
                .n_runs = span->n_runs,
                .of_same = span->of_same,
        };
}

/* All that ends at the same time. */
static void end_next(Play *play) {
        Ledger *ledger = &play->ledger;

        ledger->now_boot_us = play->ends[play->n_ends - 1].at_us;
        while (play->n_ends > 0 && play->ends[play->n_ends - 1].at_us <= ledger->now_boot_us) {
                const End *end = &play->ends[--play->n_ends];

                if (!end->entry)
                        continue;
                if (end->started == NOT_STARTED)
                        end_running(ledger, end->entry);
                else
                        end_started(ledger, end->entry, &play->started[end->started]);
                add_rest(play, end->entry, &end->span);
        }
        settle_pools(ledger);
}

/* -- starts -- */

static uint64_t take(Pool *pool, uint64_t bytes) {
        bytes = MIN(bytes, pool->measured_bytes);
        pool->measured_bytes -= bytes;
        return bytes;
}

static void start(Play *play, unsigned at, const Fit *fit) {
        const Waiting *waiting = &play->waiting[at];
        const Needs *needs = &waiting->entry->class->needs;
        Started *started = &play->started[at];
        Ledger *ledger = &play->ledger;

        started->has = true;
        ledger->n_cpus_taken = sat_add(ledger->n_cpus_taken, needs->cpus);
        ledger_take_tokens(ledger, needs);
        started->ram_bytes = take(&ledger->ram, needs->memory_bytes);
        for (unsigned i = 0; i < needs->n_gpus; i++) {
                Pool *pool = &ledger->gpus[fit->slot_of[i]];
                bool whole = fit->bytes_of[i] == GPU_WHOLE;

                started->slot_of[i] = fit->slot_of[i];
                started->taken_bytes[i] = whole && pool->shares_ram ?
                                                  0 :
                                                  take(memory_of(ledger, pool), fit->bytes_of[i]);
                pool->n_tasks++;
                pool->is_whole |= whole;
        }
        if (waiting->entry == ledger->kept_for)
                keep_mark(ledger, &(KeepRoom){});
        settle_pools(ledger);
        if (waiting->known)
                add_end(play, &(End){
                                      .at_us = sat_add(ledger->now_boot_us,
                                                       paced_us(&waiting->span, play->pace)),
                                      .entry = waiting->entry,
                                      .span = waiting->span,
                                      .started = at,
                              });
}

/* Those that fit start, in order. True: the one asked about is among them. */
static bool start_all(Play *play) {
        Fit fit;

        for (unsigned i = 0; i < play->n_waiting; i++) {
                const Waiting *waiting = &play->waiting[i];

                if (play->started[i].has ||
                    !fit_needs(&play->ledger, &waiting->entry->class->needs, &waiting->asker, &fit))
                        continue;
                if (i == play->n_waiting - 1)
                        return true;
                start(play, i, &fit);
        }
        return false;
}

/* -- what there is at first -- */

static void add_delay(Play *play, uint64_t end_us) {
        if (end_us > play->now.now_boot_us && end_us != TASK_TIME_INF)
                add_end(play, &(End){ .at_us = end_us });
}

static void add_delays(Play *play, const Pool *pool) {
        add_delay(play, pool->strict_end_us);
        add_delay(play, pool->settling_end_us);
}

/* The last first; of those at once, the first that started. */
static int by_end(const void *a, const void *b) {
        const End *x = a, *y = b;

        if (x->at_us != y->at_us)
                return x->at_us < y->at_us ? 1 : -1;
        return (x->entry->task->id < y->entry->task->id) -
               (x->entry->task->id > y->entry->task->id);
}

static void add_running(Play *play) {
        const Entry *entry;

        TAILQ_FOREACH(entry, &play->core->active, link) {
                End end = { .entry = entry, .started = NOT_STARTED };

                if (entry->ahead ||
                    !expect_span(play->core, entry, play->now.now_boot_us, &end.span))
                        continue;
                end.at_us = sat_add(play->now.now_boot_us, paced_us(&end.span, play->pace));
                play->ends[play->n_ends++] = end;
        }
        qsort(play->ends, play->n_ends, sizeof(*play->ends), by_end);
}

/* When it starts at this pace; TASK_TIME_INF: not by what is known. */
static uint64_t play_at(Play *play, Pace pace, ExplainStart *rests) {
        play->pace = pace;
        play->rests = rests;
        play->ledger = play->now;
        play->n_ends = 0;
        for (size_t i = 0; i < play->n_waiting; i++)
                play->started[i].has = false;

        add_running(play);
        add_delays(play, &play->now.ram);
        for (unsigned i = 0; i < play->now.n_gpus; i++)
                add_delays(play, &play->now.gpus[i]);

        for (unsigned i = 0; i < STEPS_MAX; i++) {
                if (start_all(play))
                        return play->ledger.now_boot_us;
                if (play->n_ends == 0)
                        break;
                end_next(play);
        }
        return TASK_TIME_INF;
}

/* Whether it is known how many start when it is their turn. */
static size_t n_starts(const Entry *entry) {
        const TaskArray *array = entry->task->array;

        if (!array)
                return 1;
        return array->limit > 0 ? SIZE_MAX : entry->n_waiting;
}

static bool add_waiting(Play *play, const Entry *entry, size_t n) {
        Waiting waiting = {
                .entry = entry,
                .asker = keep_asker(&play->now, entry->task, entry, entry->class->delay),
        };

        waiting.asker.briefly = true;
        if (n > AHEAD_MAX + 1 - play->n_waiting)
                return false;
        waiting.known = expect_span(play->core, entry, play->now.now_boot_us, &waiting.span);
        while (n-- > 0)
                play->waiting[play->n_waiting++] = waiting;
        return true;
}

/* Those in line before @asked, and it. False: they are too many. */
static bool add_line(Play *play, Order *order, const Entry *asked) {
        const Entry *entry, *kept = play->now.kept_for;

        assert(asked);
        if (kept && kept != asked) {
                if (!add_waiting(play, kept, n_starts(kept)))
                        return false;
                order_take_apart(order, kept->class);
        }
        for (; (entry = order_first(order)) && entry != asked && kept != asked; order_next(order)) {
                if (entry == kept ||
                    limit_blocks(play->core, entry->class->user, &entry->class->needs, NULL))
                        continue;
                if (play->n_waiting == AHEAD_MAX || !add_waiting(play, entry, n_starts(entry)))
                        return false;
                order_take(order);
        }
        return add_waiting(play, asked, 1);
}

/* What of it does not pass by itself, as a GPU that is lost, is found out by trying. */
static bool waits_for_room(const Explain *explain) {
        for (size_t i = 0; i < explain->n_lacks; i++) {
                const Lack *lack = &explain->lacks[i];

                if (lack->reason == WAIT_REASON_LOOK ||
                    (!room_has_numbers(lack->reason) && !room_is_of_gpu(lack)))
                        return false;
        }
        return explain->n_lacks > 0;
}

static void swap_if_later(uint64_t *a, uint64_t *b) {
        uint64_t was = *a;

        if (*a <= *b)
                return;
        *a = *b;
        *b = was;
}

static void play_all(Play *play, ExplainStart *ret) {
        ExplainStart start = {};
        uint64_t at_us[N_PACES];

        for (int pace = 0; pace < N_PACES; pace++) {
                at_us[pace] = play_at(play, (Pace)pace, pace == PACE_ABOUT ? &start : NULL);
                if (at_us[pace] == TASK_TIME_INF)
                        return;
        }
        /* An earlier end may lead to a later start: somebody large fits in front. */
        swap_if_later(&at_us[PACE_EARLY], &at_us[PACE_ABOUT]);
        swap_if_later(&at_us[PACE_ABOUT], &at_us[PACE_LATE]);
        swap_if_later(&at_us[PACE_EARLY], &at_us[PACE_ABOUT]);
        start.latest_alone = start.n_rests > 0 && !play->by_runs;
        start.early_boot_us = at_us[PACE_EARLY];
        start.about_boot_us = at_us[PACE_ABOUT];
        start.late_boot_us = at_us[PACE_LATE];
        *ret = start;
}

static Play *play_free(Play *play) {
        if (play)
                free(play->ends);
        free(play);
        return NULL;
}
DEFINE_CLEANUP(Play *, play_free);

/* NULL: no memory. */
static Play *play_new(const Core *core, size_t n_active, uint64_t now_boot_us) {
        _cleanup_(play_freep) Play *play = calloc(1, sizeof(*play));
        KeepRoom room = {};

        if (!play)
                return NULL;
        play->ends =
                calloc(n_active + AHEAD_MAX + 1 + 2 * (size_t)(GPU_MAX + 1), sizeof(*play->ends));
        if (!play->ends)
                return NULL;
        play->core = core;
        ledger_build(&play->now, core, now_boot_us, LEDGER_AS_SEEN);
        if (keep_find_current(&play->now, &room))
                keep_mark(&play->now, &room);
        return TAKE_PTR(play);
}

int forecast_start(const Core *core, const Entry *entry, uint64_t now_boot_us, Explain *ret) {
        size_t n_active = core->n_phase[PHASE_RUNNING] + core->n_phase[PHASE_OFFERED];
        _cleanup_(play_freep) Play *play = NULL;
        Order order;
        int r;

        if (!waits_for_room(ret) || n_active > ENDS_MAX)
                return 0;
        play = play_new(core, n_active, now_boot_us);
        if (!play)
                return -ENOMEM;
        r = order_init(&order, core, now_boot_us, false);
        if (r < 0)
                return r;
        if (add_line(play, &order, entry))
                play_all(play, &ret->start);
        order_done(&order);
        return 0;
}
