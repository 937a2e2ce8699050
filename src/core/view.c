/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * What the core shows
 *
 * Tasks, counts and figures for those who ask; nothing here decides anything.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/core.h"
#include "core/excess.h"
#include "core/gpus.h"
#include "core/keep.h"
#include "core/ledger.h"
#include "core/order.h"
#include "core/share.h"
#include "core/table.h"
#include "core/turn.h"

uint64_t core_n_offers(const Core *core) {
        return core->n_offers;
}

const Task *core_find(const Core *core, uint64_t id) {
        const Entry *entry = table_find(core, id);

        return entry ? entry->task : NULL;
}

const Task *core_find_key(const Core *core, uid_t uid, const uint8_t key[static TASK_KEY_BYTES]) {
        const Entry *entry = table_find_key(core, uid, key);

        return entry ? entry->task : NULL;
}

CoreCounts core_counts(const Core *core) {
        return (CoreCounts){
                .pending = core->n_pending + core->n_behind,
                .held = core->n_held,
                .running = core->n_phase[PHASE_RUNNING] - core->n_behind,
        };
}

size_t core_n_waiting_of(const Core *core, uid_t uid) {
        const User *user = table_find_user(core, uid);

        return user ? user->n_waiting : 0;
}

size_t core_n_running_of(const Core *core, uid_t uid) {
        const User *user = table_find_user(core, uid);

        return user ? user->n_running : 0;
}

bool core_is_waiting(const Core *core) {
        return !core->drain.on && core->n_phase[PHASE_WAITING] > core->n_shut;
}

bool core_uses_gpus(const Core *core) {
        const Entry *entry;

        if (!core->drain.on || core->n_gpu_tasks == 0)
                return core->n_gpu_tasks > 0;

        TAILQ_FOREACH(entry, &core->active, link)
        if (entry->task->needs.n_gpus > 0)
                return true;
        return false;
}

bool core_is_offered(const Core *core, uint64_t id) {
        const Entry *entry = table_find(core, id);

        return entry && entry->phase == PHASE_OFFERED;
}

static int compare_uint64(uint64_t a, uint64_t b) {
        return a < b ? -1 : a > b;
}

static int by_order(const void *a, const void *b) {
        const Task *x = *(const Task *const *)a, *y = *(const Task *const *)b;

        return compare_uint64(task_ref_place(x->id), task_ref_place(y->id));
}

static int by_start(const void *a, const void *b) {
        const Task *x = *(const Task *const *)a, *y = *(const Task *const *)b;
        int r = compare_uint64(x->started_boot_us, y->started_boot_us);

        return r != 0 ? r : by_order(a, b);
}

static int by_priority(const void *a, const void *b) {
        const Task *x = *(const Task *const *)a, *y = *(const Task *const *)b;
        int r = compare_uint64(y->priority, x->priority);

        return r != 0 ? r : by_order(a, b);
}

typedef int (*compare_fn)(const void *a, const void *b);

/* An array of which nothing waits: what there is to see of it are its elements. */
static bool is_hollow(const Entry *entry) {
        return entry->task->array && entry->n_waiting == 0 && !phase_is_over(entry->phase);
}

/* Whose tasks are listed: one user's, or everybody's. */
typedef struct Whose {
        bool one;
        uid_t uid;
} Whose;

static bool is_whose(Whose whose, uid_t uid) {
        return !whose.one || whose.uid == uid;
}

/* It stands behind another one in a row: nothing of it has started. */
static bool is_behind(const Entry *entry) {
        return entry->ahead;
}

static bool is_plain(const Entry *entry) {
        return !is_hollow(entry) && !is_behind(entry);
}

/* Those of a list that are in a phase of these (a bit of each), and are such, sorted. Returns how many. */
static size_t collect(const EntryList *list,
                      Whose whose,
                      unsigned phases,
                      bool (*is_such)(const Entry *entry),
                      compare_fn compare,
                      const Task **out) {
        const Entry *entry;
        size_t n = 0;

        TAILQ_FOREACH(entry, list, link)
        if ((phases & 1U << entry->phase) && is_such(entry) && is_whose(whose, entry->task->uid))
                out[n++] = entry->task;

        qsort(out, n, sizeof(*out), compare);
        return n;
}

/* Whom room is kept for: it is asked first (plan.c). */
static const Entry *find_kept(const Core *core, uint64_t now_boot_us) {
        KeepRoom room;
        Ledger ledger;

        if (core->keep.task_id == 0)
                return NULL;
        ledger_build(&ledger, core, now_boot_us, LEDGER_AS_SEEN);
        return keep_find_current(&ledger, &room) ? room.entry : NULL;
}

/* In the order they would start, as if it were now that the last one came. Others' lanes are left out whole. */
static int collect_queued(const Core *core, Whose whose, const Task **out, size_t *ret_n) {
        const Entry *entry, *kept;
        const User *user;
        const Class *class;
        uint64_t now_us = 0;
        size_t n = 0;
        Order order;
        int r;

        TAILQ_FOREACH(user, &core->users, link)
        TAILQ_FOREACH(class, &user->classes, link) {
                entry = class_queued(class, class->n_queued - 1);
                now_us = MAX(now_us, entry->task->queued_boot_us);
        }
        now_us = MAX(now_us, MAX(core->ram.look.boot_us, core->gpus_look.boot_us));

        r = order_init(&order, core, now_us, true);
        if (r < 0)
                return r;

        kept = find_kept(core, now_us);
        if (kept && is_whose(whose, kept->task->uid))
                out[n++] = kept->task;
        if (kept)
                order_take_apart(&order, kept->class);
        while ((entry = order_first(&order))) {
                if (entry == kept) {
                        order_next(&order);
                        continue;
                }
                if (!is_whose(whose, entry->task->uid)) {
                        order_skip_lane(&order);
                        continue;
                }
                out[n++] = entry->task;
                order_take(&order);
                order_next(&order);
        }

        order_done(&order);
        *ret_n = n;
        return 0;
}

static ssize_t list(const Core *core, Whose whose, const Task ***ret) {
        const Task **tasks;
        size_t n = 0, n_queued;
        int r;

        for (unsigned i = 0; i < N_PHASES; i++)
                n += core->n_phase[i];
        if (n == 0) {
                *ret = NULL;
                return 0;
        }

        tasks = calloc(n, sizeof(*tasks));
        if (!tasks)
                return -ENOMEM;

        n = collect(&core->active, whose, 1U << PHASE_RUNNING, is_plain, by_start, tasks);
        n += collect(&core->active, whose, 1U << PHASE_RUNNING, is_behind, by_order, tasks + n);
        n += collect(&core->active, whose, 1U << PHASE_OFFERED, is_plain, by_order, tasks + n);
        r = collect_queued(core, whose, tasks + n, &n_queued);
        if (r < 0) {
                free(tasks);
                return r;
        }
        n += n_queued;
        n += collect(&core->blocked, whose, 1U << PHASE_BLOCKED, is_plain, by_priority, tasks + n);
        n += collect(&core->away, whose, 1U << PHASE_AWAY, is_plain, by_order, tasks + n);
        n += collect(&core->held, whose, 1U << PHASE_HELD, is_plain, by_order, tasks + n);
        n += collect(&core->ended, whose, 1U << PHASE_ENDED | 1U << PHASE_LOST, is_plain, by_order,
                     tasks + n);
        n += collect(&core->blocked, whose, 1U << PHASE_BLOCKED, is_hollow, by_order, tasks + n);
        n += collect(&core->held, whose, 1U << PHASE_HELD, is_hollow, by_order, tasks + n);

        *ret = tasks;
        return (ssize_t)n;
}

ssize_t core_list(const Core *core, const Task ***ret) {
        return list(core, (Whose){}, ret);
}

ssize_t core_list_of(const Core *core, uid_t uid, const Task ***ret) {
        return list(core, (Whose){ .one = true, .uid = uid }, ret);
}

UserRules core_user_rules(const Core *core, uid_t uid) {
        const User *user = table_find_user(core, uid);

        return user ? user->rules : user_rules_default();
}

static int by_uid(const void *a, const void *b) {
        const UserView *x = a, *y = b;

        return compare_uint64(x->uid, y->uid);
}

ssize_t core_view_users(const Core *core, uint64_t now_boot_us, UserView **ret) {
        uint64_t fade = turn_fade(core, now_boot_us);
        size_t n = 0;
        UserView *views;

        views = calloc(HASH_COUNT(core->users_by_uid) + 1, sizeof(*views));
        if (!views)
                return -ENOMEM;

        for (const User *user = core->users_by_uid; user; user = user->hh.next)
                views[n++] = (UserView){
                        .uid = user->uid,
                        .had = turn_had(user, fade),
                        .portion = user->portion,
                        .share = turn_share(user, turn_had(user, fade), user->portion),
                        .weight_permille = user->rules.weight_permille,
                        .n_waiting = user->n_waiting,
                        .n_running = user->n_running,
                };
        qsort(views, n, sizeof(*views), by_uid);
        *ret = views;
        return (ssize_t)n;
}

uint64_t core_share_of(const Core *core, uid_t uid, uint64_t now_boot_us) {
        const User *user = table_find_user(core, uid);

        return user ? turn_share(user, turn_had(user, turn_fade(core, now_boot_us)),
                                 user->portion) :
                      0;
}

RamView core_view_ram(const Core *core, uint64_t now_boot_us) {
        Ledger ledger;

        ledger_build(&ledger, core, now_boot_us, LEDGER_AS_SEEN);
        return (RamView){
                .known = core->ram.look.known,
                .total_bytes = ledger.ram.total_bytes,
                .available_bytes = ledger.ram.measured_bytes,
                .promised_bytes = ledger.ram.promised_bytes,
                .free_bytes = pool_free_bytes(&ledger.ram),
                .reserved_bytes = ledger.ram.reserved_bytes,
                .pressure_known = core->ram.pressure_known,
                .pressure_permyriad = core->ram.pressure_permyriad,
                .pressure_limit_permyriad = core->policy.pressure_limit_permyriad,
        };
}

static bool holds_slot(const Entry *entry, int slot) {
        for (unsigned i = 0; i < entry->n_shares; i++)
                if (entry->shares[i].slot == slot)
                        return true;

        return false;
}

static void add_excess(GpuView *view, const Task *task, const Excess *excess) {
        size_t at = view->n_excess;

        if (at == GPU_VIEW_EXCESS_MAX) {
                view->n_more_excess++;
                if (excess->used_bytes <= view->excess[at - 1].used_bytes)
                        return;
                at--;
        } else {
                view->n_excess++;
        }

        for (; at > 0 && view->excess[at - 1].used_bytes < excess->used_bytes; at--)
                view->excess[at] = view->excess[at - 1];
        view->excess[at] = (GpuExcess){
                .task_id = task->id,
                .uid = task->uid,
                .asked_bytes = excess->asked_bytes,
                .used_bytes = excess->used_bytes,
        };
}

static void view_excess(const Core *core, GpuView *view) {
        const Entry *entry;
        Excess excess;

        TAILQ_FOREACH(entry, &core->active, link) {
                unsigned at = 0;

                while (excess_next(entry->task, &at, &excess))
                        if (excess_is_now(&excess) &&
                            strcmp(excess.gpu_uuid, view->sample.uuid) == 0)
                                add_excess(view, entry->task, &excess);
        }
}

static int view_gpu(const Ledger *ledger, unsigned slot, GpuView *ret) {
        const Core *core = ledger->core;
        const Pool *pool = &ledger->gpus[slot];
        const Entry *entry;

        *ret = (GpuView){
                .sample = core->gpus[slot].sample,
                .promised_bytes = pool->promised_bytes,
                .free_bytes = pool->is_whole ? 0 : pool_free_bytes(pool),
                .allowed = pool->allowed,
                .outside_bytes = pool->state == GPU_STATE_OK ? pool_outside_bytes(pool) : 0,
                .outsiders = core->gpus[slot].outsiders,
        };
        (void)gpus_id(core, (int)slot, ret->id);
        if (pool->shares_ram) {
                ret->sample.total_bytes = pool->total_bytes;
                ret->sample.free_bytes = pool->measured_bytes;
        }
        if (pool->state == GPU_STATE_OK)
                view_excess(core, ret);
        if (pool->n_tasks == 0)
                return 0;

        ret->task_ids = calloc(pool->n_tasks, sizeof(uint64_t));
        if (!ret->task_ids)
                return -ENOMEM;

        TAILQ_FOREACH(entry, &core->active, link)
        if (holds_slot(entry, (int)slot))
                ret->task_ids[ret->n_tasks++] = entry->task->id;
        return 0;
}

static int by_index(const void *a, const void *b) {
        const GpuView *x = a, *y = b;
        int r = compare_uint64(gpu_order(&x->sample), gpu_order(&y->sample));

        /* One that is there, before one that had the number before it was lost. */
        return r != 0 ? r : compare_uint64(x->sample.state, y->sample.state);
}

/* A part that is gone was destroyed: unlike a GPU it does not come back. */
static bool is_over(const Core *core, unsigned slot) {
        const GpuSample *sample = &core->gpus[slot].sample;

        return sample->state == GPU_STATE_LOST && sample->part > 0 &&
               !gpus_is_held(core, (int)slot);
}

ssize_t core_view_gpus(const Core *core, uint64_t now_boot_us, GpuView **ret) {
        Ledger ledger;
        GpuView *views;
        size_t n = 0;

        if (core->n_gpus == 0) {
                *ret = NULL;
                return 0;
        }

        views = calloc(core->n_gpus, sizeof(*views));
        if (!views)
                return -ENOMEM;

        ledger_build(&ledger, core, now_boot_us, LEDGER_AS_SEEN);
        for (unsigned i = 0; i < core->n_gpus; i++) {
                if (is_over(core, i))
                        continue;
                if (view_gpu(&ledger, i, &views[n++]) < 0) {
                        core_gpu_views_free(views, n);
                        return -ENOMEM;
                }
        }

        qsort(views, n, sizeof(*views), by_index);
        *ret = views;
        return (ssize_t)n;
}

/* What a task has. Returns how many names there are then. */
static size_t add_tokens(const Needs *needs, TokenView *views, size_t n) {
        for (unsigned i = 0; i < needs->n_tokens; i++) {
                const Token *token = &needs->tokens[i];
                size_t at = 0;

                while (at < n && strcmp(views[at].name, token->name) != 0)
                        at++;
                if (at == TOKEN_VIEWS_MAX)
                        continue;
                if (at == n)
                        memcpy(views[n++].name, token->name, TOKEN_NAME_MAX);
                views[at].taken += token->n;
        }
        return n;
}

ssize_t core_view_tokens(const Core *core, TokenView **ret) {
        const Policy *policy = &core->policy;
        const Entry *entry;
        TokenView *views;
        size_t n = 0;

        views = calloc(TOKEN_VIEWS_MAX, sizeof(*views));
        if (!views)
                return -ENOMEM;

        for (; n < policy->n_tokens; n++) {
                memcpy(views[n].name, policy->tokens[n].name, TOKEN_NAME_MAX);
                views[n].total = policy->tokens[n].n;
        }
        TAILQ_FOREACH(entry, &core->active, link)
        n = add_tokens(&entry->task->needs, views, n);

        *ret = views;
        return (ssize_t)n;
}

/* Return: 0 or -ENOMEM. */
static int copy_kept(const Core *core, const Needs *needs, KeepView *view) {
        if (view->n_gpus > 0) {
                view->gpus = calloc(view->n_gpus, sizeof(*view->gpus));
                if (!view->gpus)
                        return -ENOMEM;
                memcpy(view->gpus, core->keep.gpus, view->n_gpus * sizeof(*view->gpus));
        }
        if (needs->n_tokens > 0) {
                view->tokens = calloc(needs->n_tokens, sizeof(*view->tokens));
                if (!view->tokens)
                        return -ENOMEM;
                view->n_tokens = needs->n_tokens;
                memcpy(view->tokens, needs->tokens, view->n_tokens * sizeof(*view->tokens));
        }
        return 0;
}

int core_view_keep(const Core *core, uint64_t now_boot_us, KeepView *ret) {
        KeepRoom room;
        Ledger ledger;
        const Task *task;
        uint64_t until_us = keep_until_us(core);

        ledger_build(&ledger, core, now_boot_us, LEDGER_AS_SEEN);
        if (!keep_find_current(&ledger, &room))
                return 0;

        task = room.entry->task;
        *ret = (KeepView){
                .task_id = task->id,
                .uid = task->uid,
                .age_us = now_boot_us - MIN(core->keep.since_boot_us, now_boot_us),
                .left_us = until_us == TASK_TIME_INF ? until_us : until_us - now_boot_us,
                .memory_bytes = task->needs.memory_bytes,
                .cpus = task->needs.cpus,
                .n_gpus = task->needs.n_gpus,
        };
        if (copy_kept(core, &task->needs, ret) == 0)
                return 1;

        core_keep_view_done(ret);
        return -ENOMEM;
}

void core_keep_view_done(KeepView *view) {
        free(view->gpus);
        free(view->tokens);
        *view = (KeepView){};
}

void core_gpu_views_free(GpuView *views, size_t n) {
        for (size_t i = 0; i < n; i++)
                free(views[i].task_ids);
        free(views);
}
