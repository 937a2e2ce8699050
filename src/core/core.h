#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The core
 *
 * Who may start, and when. Pure: no I/O, no clock, no randomness; time, samples and what happened
 * come in as events, decisions go out as a Plan. State changes only in core_apply(); the same
 * events give the same plan.
 *
 * The rules, in one place (numbers are those of the decisions):
 *  - Order: priority, then the turn of the user (10), then time of submission (the id). Among one
 *    user's own tasks it is priority P and the id alone; between users the priority is min(P,
 *    priority_limit), raised by 1 for each priority_age of waiting up to that limit (9).
 *  - Turns: the user whose share is the smallest goes first; core/turn.h has the formula. With
 *    order = fifo nobody has turns.
 *  - A task that does not fit is overtaken by later ones that do, until it has waited `patience`
 *    since its submission, its release, or the end of the last that it waited for. Then room is kept (5): for
 *    the first in order of those past it (of those that are alike only the first counts), and it stays
 *    with that one until it starts, leaves the line, or one in front of it, of higher priority, is past its own;
 *    or keep_max is over: then it is behind its patience again. It is kept on all that was asked
 *    for or on nothing, and only if the ends of tasks that run could bring it. Others start beside
 *    it, or if they will have ended before that room can be there, and before keep_max is over: an end that is not known may come
 *    at any moment. Known is a time limit, and, where there is none and patience is not 0, how long runs of the same took
 *    (expect.h): the longest of them for who would overtake, and for what runs their mean, as it was expected when the keeping
 *    began. Of a class the first one's runs count.
 *  - Towards that one only those settle that were offered before the keeping began (6); what would
 *    settle strictly does not start where room is kept.
 *  - Ledger: free for the next task = measured free - reserve - sum over running and offered tasks
 *    of max(0, asked - peak seen).
 *  - Settling (3): by resource, from the offer until the task was seen to hold what it asked for
 *    there (a whole GPU: any of it), its delay is over, or it has ended. Strict delay: nothing that
 *    asks for the same resource starts. Otherwise only what would fit if every settling task took
 *    ample_factor times what it asked for, or asks for less than 1 % of the resource's total (and
 *    fits the ledger).
 *  - Fresh figures (2): a start needs a sample not older than sample_max_age_us and asked for after
 *    the last offer on that resource; a peak never comes from later than the free figure it is
 *    subtracted from: what EVENT_USED brings counts from the next EVENT_RAM on.
 *  - Tokens: of each name no more are taken, from offer to end, than the settings have. If they have
 *    fewer than are taken, what runs goes on, and nobody gets any before enough came back.
 *  - Whole GPU (7): no other task on it, and used beyond the idle figure at most whole_gpu_used.
 *  - A task that waits for the end of others (`after`) is not looked at until the last of them has
 *    ended as it should: in any way, or well (`done`; `lost` is not). If one can't any more,
 *    core_next_doomed() names it. It may wait for an array, not for one of its elements.
 *  - An array stands in line as one. Its elements are offered by index, the smallest first, at most
 *    `limit` at a time; those that wait again come before the rest, by index. It is over when all
 *    its elements are: cancelled if it was withdrawn as a whole, or each of them is cancelled; done if
 *    each is done; else failed.
 *  - Memory pressure: nothing is offered while, by the last look, some task waited for memory in more
 *    than pressure_limit of the last ten seconds.
 *  - Drained: nothing is offered. Offers that are open are the caller's to take back.
 *  - A task may be offered its start in a row, behind one that runs; see core_next_in_row().
 *  - One that failed or ran out of time, and has retries left, waits again at its EVENT_ENDED. What
 *    its user ended is `cancelled`, and stays so.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/machine.h"
#include "core/policy.h"
#include "core/task.h"
#include "util/error.h"
#include "util/macro.h"

typedef struct Core Core;

typedef enum EventType {
        EVENT_SUBMITTED,   /* a task came: pending, held, or (attached after a restart) running */
        EVENT_WITHDRAWN,   /* a waiting task is no longer wanted: cancelled, with a reason */
        EVENT_HELD,        /* a waiting task must not start */
        EVENT_RELEASED,    /* a held task may start again */
        EVENT_UPDATED,     /* a waiting task asks for something else now */
        EVENT_RUNNER_AWAY, /* a waiting task's runner said that it is stopped, or is not attached */
        EVENT_RUNNER_BACK, /* and that it is there again; ends what EVENT_OFFER_EXPIRED began */
        EVENT_RAM,         /* a look at RAM */
        EVENT_GPUS,        /* a look at the GPUs */
        EVENT_OFFERED, /* an offer of a Plan was sent: its share is in the ledger from here on */
        EVENT_OFFER_RETURNED, /* not taken, nobody is to blame: pending again; not after STARTED */
        EVENT_OFFER_EXPIRED,  /* not answered: passed over until RUNNER_BACK; the third time held */
        EVENT_ACCEPTED,       /* the runner may exec: running */
        EVENT_STARTED,        /* the command's process is known */
        EVENT_USED,           /* the runner's look at the task's RAM */
        EVENT_ENDED,          /* over, in whatever way */
        EVENT_SPLIT,          /* an element of an array becomes a task of its own */
        EVENT_REQUEUED,       /* what ran is gone with the machine, and is to run again */
        EVENT_CANCELLED,      /* what runs is to end, and not to run again */
        EVENT_DRAINED,        /* an admin: start nothing more, or go on */
        EVENT_KEPT,           /* whom a Plan keeps room for from here on; 0: for nobody */
        EVENT_USER,           /* what the settings say of a user */
        EVENT_HISTORY,        /* what a user had in an earlier life of the daemon */
        EVENT_LEARNED,        /* how long a user's runs of a signature took, from the records */
} EventType;

enum {
        N_EVENT_TYPES = EVENT_LEARNED + 1,
        CORE_OFFERS_MISSED_MAX = 3,
        CORE_USERS_MAX =
                4096, /* beyond this, those who had least and have no tasks are forgotten */
        CORE_EXPERIENCES_MAX =
                4096, /* signatures; beyond this, what had nothing new for longest is forgotten */
        CORE_RUNS_MAX = 10, /* of a signature; the last ones */
};

/* All of the machine, in shares of it. */
#define CORE_WHOLE (UINT64_C(1) << 40)

/* EVENT_UPDATED: what is to change; the rest stays. */
typedef struct TaskUpdate {
        const Needs *needs; /* NULL: as it was; already resolved by core_resolve() */
        int priority;       /* -1: as it was */
        bool set_time_limit;
        uint64_t time_limit_us;
        const char *name; /* NULL: as it was */
} TaskUpdate;

typedef struct Event {
        EventType type;
        uint64_t boot_us; /* when, CLOCK_BOOTTIME */
        uint64_t at_us;   /* when, CLOCK_REALTIME; for records */
        uint64_t task_id; /* of all but RAM, GPUS, DRAINED, SUBMITTED, USER, HISTORY, LEARNED */
        union {
                Task *submitted;    /* taken on success; its needs resolved by core_resolve() */
                const char *reason; /* WITHDRAWN, ENDED (may be NULL), HELD (may be NULL) */
                TaskUpdate updated;
                RamSample ram;
                GpusSample gpus;
                const Drain *drain; /* copied */
                struct {
                        uid_t uid;
                        UserRules rules;
                } user;
                struct {
                        uid_t uid;
                        uint64_t had;    /* of CORE_WHOLE */
                        uint64_t age_us; /* so long ago; the task that ran then are told since */
                } history;
                struct {
                        uid_t uid;
                        uint64_t signature;
                        unsigned n_runs; /* at most CORE_RUNS_MAX; 0: there were none */
                        uint64_t durations_us[CORE_RUNS_MAX]; /* the last one last */
                } learned;                                    /* in place of what was known */
                struct {
                        const GpuGrant *gpus; /* the task's needs.n_gpus of them; copied */
                        uint64_t
                                behind; /* starts when this one has ended; 0: now. core_next_in_row() */
                } offered;
                struct {
                        const GpuGrant *gpus; /* the task's needs.n_gpus of them; copied */
                } kept;
                struct {
                        pid_t pid;
                        uint64_t start_ticks;
                } started;
                struct {
                        bool known;
                        uint64_t memory_bytes;
                } used;
                struct {
                        TaskState state; /* final */
                        int exit_status; /* -1: none */
                        int signal;      /* 0: none */
                        const char *reason;
                } ended;
                struct {
                        uint32_t index; /* in the array's `waiting`; else CORE_E_ILLEGAL */
                } split;
        };
} Event;

/* core_apply() */
enum {
        CORE_E_NO_TASK = 1, /* no task of that id */
        CORE_E_ILLEGAL,     /* makes no sense in the task's state; nothing was changed */
        CORE_E_EXISTS,      /* SUBMITTED: the id is taken */
};

/**
 * core_new() - an empty core
 * @policy:     copied
 *
 * Return: 0, or -ENOMEM.
 */
int core_new(Core **ret, const Policy *policy);
Core *core_free(Core *core);
DEFINE_CLEANUP(Core *, core_free);

/* Other settings from the last event on; @policy is copied. */
void core_set_policy(Core *core, const Policy *policy);
const Policy *core_policy(const Core *core); /* owned by the core */

/**
 * core_apply() - the only thing that changes the core's state
 *
 * An ENDED task, and a WITHDRAWN one, stays until core_forget(), so that it can be recorded. ENDED
 * is also taken for a task that is `lost` (its runner came back with a status), and for a pending
 * one whose offer was made.
 *
 * SUBMITTED: each task of `after` must be in the core, over or not, else CORE_E_ILLEGAL; whoever
 * submits drops those that have ended as they should, and does not submit one that can't start any
 * more. What has come true is taken out of `after`. A running task waits for nothing: its `after`
 * is dropped. An array comes before those of its elements that are tasks of their own (after a
 * restart); an element without its array, or that waits in it too, is CORE_E_ILLEGAL. The array's
 * n_active and n_apart are counted anew from them; its other counts stay as they come.
 *
 * SPLIT: the element is pending, or held if the array is; it has a copy of all that was asked for,
 * with what the array still waits for, and the array's place in time. To offer one: SPLIT, then
 * OFFERED with the element's id. An array itself is never offered.
 *
 * What ends may end more: the array whose last element it was changes its state too. WITHDRAWN of
 * an array cancels the elements that wait in it; it is over, and cancelled, at once if there is no
 * other, else when the last one is, however those have ended. Those that are tasks of their own are
 * the caller's to withdraw, one by one.
 * HELD, RELEASED, UPDATED and RUNNER_AWAY likewise: they are for the elements that wait in it.
 *
 * ENDED as failed or timeout with retries left, and REQUEUED (running, submitted with `requeue`,
 * else CORE_E_ILLEGAL): pending again, `reason` says why, the place in line is the old one, and
 * process, grants, start and status are forgotten.
 *
 * Return: 0, an outcome CORE_E_*, or -ENOMEM.
 */
int core_apply(Core *core, const Event *event);

/*
 * Drops a task that has ended; no-op for others and unknown ids. An array may go before its
 * elements.
 */
void core_forget(Core *core, uint64_t id);

/* Offers made so far: goes with a look, to tell what it cannot have seen yet. */
uint64_t core_n_offers(const Core *core);

/* core_resolve() */
enum {
        CORE_E_IMPOSSIBLE = 1, /* never on this machine; the sentence has the numbers */
        CORE_E_NO_FIGURES, /* no GPUs were ever seen (or no RAM): ask again after the first look */
};

/**
 * core_resolve() - what the words of a request mean on this machine, and whether it can ever be met
 * @needs:      each `want` is looked up among the GPUs seen so far and its uuid filled in;
 *              unchanged unless 0
 * @error:      what is impossible, with what there is; NULL if nobody will read it
 *
 * Naming a GPU twice (also by different words), more than total - reserve, more cores than online,
 * a GPU that was never seen or is not given out here, tokens that the settings do not have or not so
 * many of: impossible. A GPU that is unknown or lost now
 * is not: it is waited for.
 *
 * Return: 0, or an outcome.
 */
int core_resolve(const Core *core, Needs *needs, Error *error);

/**
 * core_check_limits() - whether a request is within what its user may have, if nothing else of that user runs
 * @needs:      resolved by core_resolve()
 * @error:      which limit it is beyond; NULL if nobody will read it
 *
 * Return: 0, or CORE_E_IMPOSSIBLE.
 */
int core_check_limits(const Core *core,
                      const UserRules *rules,
                      const Needs *needs,
                      uint64_t time_limit_us,
                      Error *error);

/* A start to make. */
typedef struct PlanOffer {
        uint64_t task_id;
        int64_t index; /* of an array: the element to SPLIT off and to OFFER then; else -1 */
        unsigned n_gpus;
        GpuGrant *gpus;  /* owned by the plan; in the order of the task's needs */
        uint64_t behind; /* core_next_in_row(): the last of the row; else 0 */
} PlanOffer;

typedef struct Plan {
        size_t n_offers;
        PlanOffer *offers; /* owned; in the order in which they are to be made */
        bool want_ram;     /* a task might start but for old figures: look at RAM, and plan again */
        bool want_gpus;    /* likewise */
        uint64_t wake_boot_us; /* when time alone changes something; TASK_TIME_INF: never */
        bool keeps;       /* room is to be kept otherwise than it was: EVENT_KEPT, and plan again */
        size_t keep_at;   /* then: behind so many of the offers */
        uint64_t keep_id; /* for this task; 0: for nobody */
        unsigned keep_n_gpus;
        GpuGrant *keep_gpus; /* owned by the plan; in the order of the task's needs */
} Plan;

/**
 * core_plan() - who may start now
 * @now_boot_us:        CLOCK_BOOTTIME
 * @ret:                overwritten; release with plan_done()
 *
 * Each resource is given to at most one task in one plan, so that each start has a look of its own;
 * tasks that ask for nothing measured may be many, at most PLAN_OFFERS_MAX, also of one array. Plan
 * again after the offers were applied.
 *
 * Return: 0, or -ENOMEM.
 */
int core_plan(const Core *core, uint64_t now_boot_us, Plan *ret);
void plan_done(Plan *plan);

enum {
        PLAN_OFFERS_MAX = 256, /* so that one turn of the daemon's loop stays short */
};

/**
 * core_next_in_row() - who may be told in advance that it is next
 * @id:         an offered or running task
 * @ret:        to be offered, with its `behind`
 *
 * Short tasks that are many would spend their time with asking. So one that would surely follow may be offered its start before
 * there is room: it has that of the task in front of it when that has ended, and is not in the ledger until then. Surely: all
 * that waits is of the task's own class (user, priority, needs), and that asks for nothing measured and no tokens. What comes later may find a
 * row in front of it that it would have overtaken: whoever makes one keeps it as short as an offer may stay unanswered.
 *
 * Return: whether there is one.
 */
bool core_next_in_row(const Core *core, uint64_t id, PlanOffer *ret);

/* How many stand behind a task. */
size_t core_n_behind(const Core *core, uint64_t id);

/* The one that stands behind it; 0: nobody. */
uint64_t core_find_behind(const Core *core, uint64_t id);

/* Whether it stands behind another one, and so has not started, although it is `running`. */
bool core_is_behind(const Core *core, uint64_t id);

/**
 * core_next_doomed() - a pending or held task whose `after` can't come true any more
 * @reason:     "task 12, which it was to wait for, failed": to withdraw it with
 *
 * Withdraw it before asking again: the same one is named until then.
 *
 * Return: its id, or 0 if there is none.
 */
uint64_t core_next_doomed(const Core *core, char *reason, size_t n_reason);

/* The signature (signature.h) of a task of whose runs before nothing was told yet, nor seen: EVENT_LEARNED. 0: there is none. */
uint64_t core_find_unlearned(const Core *core, uint64_t id);

/* The task, owned by the core, valid until the next core_apply() or core_forget(), or NULL. */
const Task *core_find(const Core *core, uint64_t id);

/* The task with this submitter's key, or NULL. */
const Task *core_find_key(const Core *core, uid_t uid, const uint8_t key[static TASK_KEY_BYTES]);

/**
 * core_list() - all tasks: running (by start), waiting in the order they would start, held, ended
 * @ret:        array of borrowed tasks, to be freed with free(); NULL if there are none
 *
 * Among the waiting, those with an open offer come first, then those in line; behind them those
 * that are not looked at (they wait for others to end, or for their array's limit), then those that
 * are passed over. Last of all, behind the ended, arrays in which nothing waits any more.
 *
 * Return: how many, or -ENOMEM.
 */
ssize_t core_list(const Core *core, const Task ***ret);

/* Those of one user, in the same order; it costs little however many others have. */
ssize_t core_list_of(const Core *core, uid_t uid, const Task ***ret);

/* Of an array each element counts that waits in it. Who stands behind another one in a row is pending. */
typedef struct CoreCounts {
        size_t pending; /* offered ones included */
        size_t held;
        size_t running;
} CoreCounts;

CoreCounts core_counts(const Core *core);

/*
 * Pending and held tasks of a user; an array counts as one, or not at all if nothing waits in it.
 */
size_t core_n_waiting_of(const Core *core, uid_t uid);

size_t core_n_running_of(const Core *core, uid_t uid);

/* Whether any task is pending and could be offered something: else there is nothing to look for. */
bool core_is_waiting(const Core *core);

/*
 * Whether anybody in line, offered or running asks for GPUs; not who is passed over or blocked, and
 * nobody in line while the machine is drained.
 */
bool core_uses_gpus(const Core *core);

/* What the last EVENT_DRAINED said; owned by the core. */
const Drain *core_drain(const Core *core);

/* Whether this pending task was made an offer that is open (EVENT_OFFERED, not yet accepted). */
bool core_is_offered(const Core *core, uint64_t id);

/* What the settings say of a user, as the last EVENT_USER had it. */
UserRules core_user_rules(const Core *core, uid_t uid);

/* A user as `status` shows it: one who has tasks, or had some lately. */
typedef struct UserView {
        uid_t uid;
        uint64_t had;     /* in the past, of CORE_WHOLE */
        uint64_t portion; /* that is held or offered now, of CORE_WHOLE */
        uint64_t share;   /* by which users are compared: the sum, by weight */
        unsigned weight_permille;
        size_t n_waiting; /* as core_n_waiting_of() */
        size_t n_running;
} UserView;

/**
 * core_view_users() - all of them, by uid
 * @ret:        to be freed with free()
 *
 * Return: how many, or -ENOMEM.
 */
ssize_t core_view_users(const Core *core, uint64_t now_boot_us, UserView **ret);

/* The share of one user, as a UserView has it; 0 if there is nothing to tell. */
uint64_t core_share_of(const Core *core, uid_t uid, uint64_t now_boot_us);

/* RAM as `status` shows it. */
typedef struct RamView {
        bool known;
        uint64_t total_bytes;
        uint64_t available_bytes;
        uint64_t promised_bytes; /* the ledger: asked for by running tasks and not yet seen */
        uint64_t free_bytes;     /* for the next task */
        uint64_t reserved_bytes;
        bool pressure_known;
        unsigned pressure_permyriad;       /* as in a RamSample */
        unsigned pressure_limit_permyriad; /* more, and nothing starts */
} RamView;

enum {
        GPU_VIEW_EXCESS_MAX = 8,
};

/* A task that holds more of a GPU than its word allows (core/excess.h). */
typedef struct GpuExcess {
        uint64_t task_id;
        uid_t uid;
        uint64_t asked_bytes; /* 0: it did not ask for this GPU */
        uint64_t used_bytes;
} GpuExcess;

/* A GPU as `status` shows it. */
typedef struct GpuView {
        GpuSample sample;    /* the last known figures; sample.state says whether they hold now */
        char id[GPU_ID_MAX]; /* what people call it; empty: not known */
        uint64_t promised_bytes;
        uint64_t free_bytes;
        bool allowed; /* false: the settings keep it back */
        size_t n_tasks;
        uint64_t *task_ids; /* owned */
        size_t n_excess;
        GpuExcess excess[GPU_VIEW_EXCESS_MAX]; /* those that hold most, the largest first */
        size_t n_more_excess;
        uint64_t outside_bytes; /* used by no task, also where nobody is listed who does */
        Outsiders outsiders;
} GpuView;

RamView core_view_ram(const Core *core, uint64_t now_boot_us);

/* Tokens of one name as `status` shows them. */
typedef struct TokenView {
        char name[TOKEN_NAME_MAX];
        uint64_t total; /* 0: the settings have none any more */
        uint64_t taken; /* by offered and running tasks; may be more */
} TokenView;

enum {
        TOKEN_VIEWS_MAX = 2 * TOKENS_MAX, /* some names may be those of tasks alone */
};

/**
 * core_view_tokens() - all that the settings have, in their order, and then those that tasks still have
 * @ret:        to be freed with free()
 *
 * Return: how many, at most TOKEN_VIEWS_MAX, or -ENOMEM.
 */
ssize_t core_view_tokens(const Core *core, TokenView **ret);

/* The room that is kept, as `status` shows it. */
typedef struct KeepView {
        uint64_t task_id;
        uid_t uid;
        uint64_t age_us;  /* how long it has been kept */
        uint64_t left_us; /* and will be at most; or TASK_TIME_INF */
        uint64_t memory_bytes;
        unsigned cpus;
        size_t n_gpus;
        GpuGrant *gpus; /* owned; as they were chosen */
        unsigned n_tokens;
        Token *tokens; /* owned */
} KeepView;

/* Return: 1, and *ret is to be released with core_keep_view_done(); 0: room is kept for nobody; or -ENOMEM. */
int core_view_keep(const Core *core, uint64_t now_boot_us, KeepView *ret);
void core_keep_view_done(KeepView *view);

/**
 * core_view_gpus() - every GPU ever seen, by index
 * @ret:        release with core_gpu_views_free()
 *
 * Return: how many, or -ENOMEM.
 */
ssize_t core_view_gpus(const Core *core, uint64_t now_boot_us, GpuView **ret);
void core_gpu_views_free(GpuView *views, size_t n);
