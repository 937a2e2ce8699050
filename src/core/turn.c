/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * How the past fades
 *
 * While a user's portion p stays the same, had(t) - p fades by half each half-life. So it is kept as
 * excess = (had(t) - p) * 2^((t - epoch) / H), which no passing of time changes: what is looked at
 * costs a multiplication, by 2^-((t - epoch) / H), the same for all users (forward decay, Cormode et
 * al., ICDE 2009). A change of the portion by d at an instant t takes d * 2^((t - epoch) / H) from
 * it. When a half-life has gone by, all are halved and the epoch is moved.
 *
 * All in integers: `fade` has 62 binary places, `excess` 48. A change is rounded once, to the nearest, and what
 * it was wrong by fades like the rest: a thousand changes a second for ever, each wrong by as much as it can be and in
 * the same direction, would make 1e-6 of the machine.
 */

#include "core/turn.h"

#include <errno.h>

#include "core/gpus.h"
#include "core/queue.h"
#include "core/sat.h"
#include "core/share.h"
#include "core/table.h"

#define FADE_ONE (UINT64_C(1) << FADE_BITS)
#define LN_2     UINT64_C(3196577161300663915) /* of FADE_ONE */

/* Of one task. More than any has, and 4096 of them can be added up. */
#define BYTES_MAX (UINT64_C(1) << 50)

/* Figures of drivers and runners may be anything; a user with more than this is not behind others any further. */
#define PORTION_MAX (4 * TURN_ONE)

/* A millionth of the machine is nothing. */
#define NEGLIGIBLE (TURN_ONE >> 20)

enum {
        FADE_BITS = 62,
        EXCESS_BITS = 8, /* more than TURN_ONE has */
};

/* e^z or e^-z, of FADE_ONE; @z at most LN_2. */
static uint64_t exponential(uint64_t z, bool negative) {
        uint64_t even = 0, odd = 0, term = FADE_ONE;

        for (unsigned n = 0; term > 0; n++) {
                if (n % 2 == 0)
                        even += term;
                else
                        odd += term;
                term = (uint64_t)((unsigned __int128)term * z >> FADE_BITS) / (n + 1);
        }

        return negative ? even - odd : even + odd;
}

/* 2^-(us / half-life), of FADE_ONE. */
static uint64_t fade_in(uint64_t us, uint64_t half_life_us) {
        uint64_t n = us / half_life_us;
        uint64_t z = sat_mul_div(us % half_life_us, LN_2, half_life_us);

        return n >= FADE_BITS ? 0 : exponential(z, true) >> n;
}

/* 2^((at - epoch) / half-life), of FADE_ONE; the epoch is less than a half-life ago. */
static uint64_t growth_at(const Core *core, uint64_t boot_us) {
        uint64_t half_life_us = core->policy.share_half_life_us;

        if (boot_us < core->epoch_boot_us)
                return fade_in(core->epoch_boot_us - boot_us, half_life_us);

        return exponential(sat_mul_div(MIN(boot_us - core->epoch_boot_us, half_life_us - 1), LN_2,
                                       half_life_us),
                           false);
}

/* @value * @factor / 2^@bits, to the nearest. */
static int64_t scale(int64_t value, uint64_t factor, unsigned bits) {
        uint64_t size = value < 0 ? -(uint64_t)value : (uint64_t)value;
        unsigned __int128 half = (unsigned __int128)1 << (bits - 1);
        uint64_t scaled = (uint64_t)(((unsigned __int128)size * factor + half) >> bits);

        return value < 0 ? -(int64_t)scaled : (int64_t)scaled;
}

uint64_t turn_fade(const Core *core, uint64_t now_boot_us) {
        return fade_in(sat_sub(now_boot_us, core->epoch_boot_us), core->policy.share_half_life_us);
}

uint64_t turn_had(const User *user, uint64_t fade) {
        int64_t had = (int64_t)user->portion + scale(user->excess, fade, FADE_BITS + EXCESS_BITS);

        return had > 0 ? (uint64_t)had : 0;
}

uint64_t turn_share(const User *user, uint64_t had, uint64_t portion) {
        return sat_mul_div(sat_add(had, portion), 1000, user->rules.weight_permille);
}

static void set_portion(Core *core, User *user, uint64_t since_us) {
        uint64_t portion = MIN(holding_portion(core, &user->held), PORTION_MAX);
        int64_t change = (int64_t)user->portion - (int64_t)portion;

        if (change == 0)
                return;

        user->excess += scale(change, growth_at(core, since_us), FADE_BITS - EXCESS_BITS);
        user->portion = portion;
}

/* As if it had had so much at that instant, whatever it has now. */
static void set_had(Core *core, User *user, uint64_t had, uint64_t boot_us) {
        int64_t more = (int64_t)had - (int64_t)user->portion;

        user->excess = scale(more, growth_at(core, boot_us), FADE_BITS - EXCESS_BITS);
}

static void halve_all(Core *core, uint64_t n) {
        User *user, *next;

        HASH_ITER(hh, core->users_by_uid, user, next) {
                user->excess = n >= FADE_BITS ? 0 : scale(user->excess, 1, (unsigned)n);
                queue_forget_user(core, user);
        }
}

void turn_advance(Core *core, uint64_t boot_us) {
        uint64_t half_life_us = core->policy.share_half_life_us;
        uint64_t n = sat_sub(boot_us, core->epoch_boot_us) / half_life_us;

        core->last_boot_us = MAX(core->last_boot_us, boot_us);
        if (n == 0)
                return;

        core->epoch_boot_us += n * half_life_us;
        halve_all(core, n);
}

bool turn_is_forgettable(const Core *core, const User *user) {
        return turn_had(user, turn_fade(core, core->last_boot_us)) < NEGLIGIBLE;
}

void turn_set_half_life(Core *core, uint64_t half_life_us) {
        uint64_t fade = turn_fade(core, core->last_boot_us);
        User *user;

        if (half_life_us == core->policy.share_half_life_us)
                return;

        core->policy.share_half_life_us = half_life_us;
        core->epoch_boot_us = core->last_boot_us;
        for (user = core->users_by_uid; user; user = user->hh.next)
                set_had(core, user, turn_had(user, fade), core->last_boot_us);
}

/* Of TURN_ONE. What is not known of a GPU is taken for all of it. */
static uint64_t part_of_gpu(uint64_t bytes, uint64_t used_bytes, uint64_t total_bytes) {
        bytes = MAX(bytes, used_bytes);
        if (bytes >= total_bytes)
                return TURN_ONE;

        return sat_mul_div(bytes, TURN_ONE, total_bytes);
}

Holding turn_holding(const Core *core, const Entry *entry) {
        const Task *task = entry->task;
        const Needs *needs = &task->needs;
        Holding holding = {};

        if (!phase_is_active(entry->phase) || entry->ahead)
                return holding;

        holding.cpus = needs->cpus;
        holding.memory_bytes = MAX(needs->memory_bytes,
                                   task->memory.known ? task->memory.used_bytes : UINT64_C(0));
        holding.memory_bytes = MIN(holding.memory_bytes, BYTES_MAX);
        for (unsigned i = 0; i < entry->n_shares; i++) {
                const Share *share = &entry->shares[i];

                if (share->slot >= 0)
                        holding.gpus +=
                                part_of_gpu(share->asked_bytes, share_used_bytes(entry, share),
                                            core->gpus[share->slot].sample.total_bytes);
        }

        return holding;
}

/* The largest part of a GPU that a need for any may turn out to be. */
static uint64_t part_of_any(const Core *core, uint64_t bytes) {
        uint64_t part = 0;

        for (unsigned slot = 0; slot < core->n_gpus; slot++)
                part = MAX(part, part_of_gpu(bytes, 0, core->gpus[slot].sample.total_bytes));

        return part;
}

Holding turn_claim(const Core *core, const Needs *needs) {
        Holding holding = { .memory_bytes = MIN(needs->memory_bytes, BYTES_MAX),
                            .cpus = needs->cpus };

        for (unsigned i = 0; i < needs->n_gpus; i++) {
                const GpuNeed *need = &needs->gpus[i];
                int slot = gpu_need_is_any(need) ? SLOT_NONE : gpus_find(core, need->uuid);

                holding.gpus +=
                        slot < 0 ? part_of_any(core, need->bytes) :
                                   part_of_gpu(need->bytes, 0, core->gpus[slot].sample.total_bytes);
        }

        return holding;
}

static uint64_t add_times(uint64_t a, uint64_t b, uint64_t n) {
        return sat_add(a, sat_mul_div(b, n, 1));
}

Holding holding_add(const Holding *a, const Holding *b, uint64_t n) {
        return (Holding){
                .memory_bytes = add_times(a->memory_bytes, b->memory_bytes, n),
                .cpus = add_times(a->cpus, b->cpus, n),
                .gpus = add_times(a->gpus, b->gpus, n),
        };
}

uint64_t holding_portion(const Core *core, const Holding *holding) {
        uint64_t portion = sat_mul_div(holding->cpus, TURN_ONE, MAX(core->policy.n_cpus, 1U));

        if (core->ram.total_bytes > 0)
                portion = MAX(portion,
                              sat_mul_div(holding->memory_bytes, TURN_ONE, core->ram.total_bytes));
        if (core->n_gpus > 0)
                portion = MAX(portion, holding->gpus / core->n_gpus);

        return portion;
}

void turn_change(Core *core,
                 User *user,
                 const Holding *before,
                 const Holding *after,
                 uint64_t since_us) {
        /* Sums of what was added, less the same again: they cannot drift. */
        user->held.memory_bytes += after->memory_bytes - before->memory_bytes;
        user->held.cpus += after->cpus - before->cpus;
        user->held.gpus += after->gpus - before->gpus;
        set_portion(core, user, MAX(since_us, user->history_boot_us));
}

void turn_recount(Core *core, uint64_t boot_us) {
        const Entry *entry;
        User *user;

        for (user = core->users_by_uid; user; user = user->hh.next)
                user->held = (Holding){};
        TAILQ_FOREACH(entry, &core->active, link) {
                Holding holding = turn_holding(core, entry);

                user = entry->class->user;
                user->held = holding_add(&user->held, &holding, 1);
        }
        for (user = core->users_by_uid; user; user = user->hh.next)
                set_portion(core, user, boot_us);
}

int turn_restore(Core *core, const Event *event) {
        uint64_t saved_boot_us = sat_sub(event->boot_us, event->history.age_us);
        uint64_t fade = fade_in(event->history.age_us, core->policy.share_half_life_us);
        uint64_t had = MIN(event->history.had, PORTION_MAX);
        User *user = NULL;
        int r;

        r = queue_get_user(core, event->history.uid, &user);
        if (r < 0)
                return r;

        set_had(core, user, (uint64_t)scale((int64_t)had, fade, FADE_BITS), event->boot_us);
        user->history_boot_us = saved_boot_us;
        return 0;
}
