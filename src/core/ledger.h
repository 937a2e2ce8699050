#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The ledger
 *
 * At one instant, of every resource: what was measured, what is promised to tasks that have not
 * taken it yet, and who still settles there. Built anew for each pass from the shares; nothing in
 * it is remembered, so nothing in it can drift.
 */

#include <stdbool.h>
#include <stdint.h>

#include "core/state.h"

typedef struct Pool {
        bool is_gpu;
        bool allowed;  /* GPU: the settings give it out */
        bool fresh;    /* a start may rely on the figures */
        bool stale;    /* another look could say something else */
        bool changed;  /* something ended or was reported there since the look */
        bool taken;    /* set by a pass: given to somebody, or to be judged for somebody, already */
        bool is_whole; /* GPU: a task has it for itself */
        bool shares_ram; /* GPU: its figures of memory are RAM's; fresh and stale are its own */
        bool whole_only; /* GPU: there are no figures of memory */
        GpuUse use;      /* GPU */
        unsigned n_computing; /* GPU: processes that compute, if they are known and new */
        GpuState state;       /* unless OK, the measured figure means nothing */
        uint64_t order;       /* GPU: see gpu_order() */
        size_t n_tasks;       /* that hold or are promised some of it */
        uint64_t total_bytes;
        uint64_t measured_bytes; /* free */
        uint64_t reserved_bytes;
        uint64_t promised_bytes;
        uint64_t ample_bytes; /* promised, if every task that settles took the ample factor */
        uint64_t used_by_tasks_bytes;
        uint64_t
                held_bytes; /* what the end of all tasks would bring: seen, or perhaps just being taken */
        uint64_t claimed_bytes;    /* the same, if each held all it asked for by then */
        uint64_t idle_bytes;       /* GPU: used when nobody used it */
        uint64_t whole_used_bytes; /* GPU: that much beyond it may be used, and it is still whole */
        uint64_t strict_end_us;    /* when the last strict delay there is over; 0: there is none */
        uint64_t settling_end_us;  /* likewise of any delay */
        uint64_t wake_us;          /* when the next delay there is over; TASK_TIME_INF: none */

        /* of the room that is kept, see keep.h */
        bool is_kept;
        bool is_chosen; /* GPU: it is one of those; else, if it is kept, only the RAM that it shares */
        uint64_t kept_bytes; /* or GPU_WHOLE */
        /* towards the one that it is kept for: of those offered before the keeping began */
        uint64_t kept_ample_bytes;
        uint64_t kept_strict_end_us;
        uint64_t kept_settling_end_us;
} Pool;

/* Those of one name. */
typedef struct TokenPool {
        uint64_t n_taken; /* may be more than there are: the settings had more */
        uint64_t n_kept;  /* see keep.h */
} TokenPool;

typedef struct Ledger {
        const Core *core;   /* borrowed */
        GpuKind first_kind; /* that is meant where none is named */
        uint64_t now_boot_us;
        Pool ram;
        unsigned n_gpus;
        Pool gpus[GPU_MAX];       /* by slot */
        unsigned prefer[GPU_MAX]; /* slots, the one to be given for `any` first */
        uint64_t n_cpus;
        uint64_t n_cpus_taken;
        TokenPool tokens[TOKENS_MAX]; /* in the places of the policy's */
        const Entry *kept_for;        /* whom room is kept for; NULL: nobody */
        uint64_t kept_cpus;
        uint64_t kept_since_us; /* when the keeping began */
        uint64_t kept_from_us;  /* who overtakes has ended by then; 0: not reckoned yet */
} Ledger;

/* Which figures to reckon with. */
typedef enum LedgerView {
        LEDGER_AS_SEEN,
        LEDGER_AT_BEST, /* where another look could say something else: the best it could */
} LedgerView;

void ledger_build(Ledger *ret, const Core *core, uint64_t now_boot_us, LedgerView view);

/* Whether a look is young enough, and was asked for after the last start there. */
bool ledger_is_timely(const Ledger *ledger, const Look *look);

/* The pool of a slot, SLOT_RAM included. */
Pool *ledger_pool(Ledger *ledger, int slot);
const Pool *ledger_pool_const(const Ledger *ledger, int slot);

/* What the next task may ask for. */
uint64_t pool_free_bytes(const Pool *pool);

/* What it may ask for while others settle, small requests apart. */
uint64_t pool_ample_free_bytes(const Pool *pool);

/* What others than the one that room is kept for may ask for. */
uint64_t pool_free_beside_bytes(const Pool *pool);
uint64_t pool_ample_free_beside_bytes(const Pool *pool);

/* What would be free if every task had ended that held so much between them. */
uint64_t pool_potential_bytes(const Pool *pool, uint64_t held_bytes);

/* Whether nothing would be used of a GPU then, to speak of. */
bool pool_could_be_unused(const Pool *pool, uint64_t held_bytes);

/* What is used by no task. */
uint64_t pool_outside_bytes(const Pool *pool);

uint64_t ledger_free_cpus(const Ledger *ledger);

/* How many of a name there are, and where it stands in the policy; none, and -1, if the settings don't know it. */
uint64_t ledger_n_tokens(const Ledger *ledger, const char *name, int *ret_at);

/* How many are free for whoever room is kept for; and for others. */
uint64_t ledger_free_tokens(const Ledger *ledger, const char *name);
uint64_t ledger_free_tokens_beside(const Ledger *ledger, const char *name);

/* What a task asks for of them is taken, too; or comes back. */
void ledger_take_tokens(Ledger *ledger, const Needs *needs);
void ledger_give_tokens(Ledger *ledger, const Needs *needs);
