#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The oracle
 *
 * The rules of core/core.h once more, written as plainly as they can be: every figure is summed up
 * anew from all tasks, every choice is found by trying everything. It is told the same events as
 * the core and says of each plan whether it is right. Slow, and independent of everything in
 * src/core but the types of its headers.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/core.h"
#include "util/macro.h"

enum {
        ORACLE_TOKENS_MAX = 2,    /* names that there are */
        ORACLE_GPUS_MAX = 8,      /* that a task may ask for */
        ORACLE_AFTER_MAX = 4,     /* tasks that one may wait for */
        ORACLE_ELEMENTS_MAX = 32, /* of an array */
        ORACLE_USERS_MAX = 32,
};

typedef enum OracleStage {
        ORACLE_WAITING,
        ORACLE_HELD,
        ORACLE_OFFERED,
        ORACLE_RUNNING,
        ORACLE_LOST,
        ORACLE_OVER,
} OracleStage;

/* One resource of a task. */
typedef struct OracleShare {
        char uuid[GPU_UUID_MAX]; /* empty: RAM */
        uint64_t asked_bytes;
        uint64_t peak_bytes;
        uint64_t next_peak_bytes;
        uint64_t used_bytes;
        bool is_whole;
        bool measured;
        bool unmeasurable;
        bool use_known; /* of a GPU: by the last look */
        bool let_go;
} OracleShare;

typedef struct OracleAfter {
        uint64_t id;
        bool any;
        bool doomed;
} OracleAfter;

typedef struct OracleTask {
        uint64_t id;
        uid_t uid;
        unsigned priority;
        uint64_t queued_boot_us;
        bool delay_given;
        uint64_t delay_us;
        uint64_t time_limit_us;
        uint64_t patient_boot_us; /* room was kept for it as long as may be, up to then */
        uint64_t offer;           /* the number of its last one */
        uint64_t memory_bytes;
        unsigned cpus;
        unsigned tokens[ORACLE_TOKENS_MAX]; /* in the places of the policy's */
        unsigned n_gpus;
        char want[ORACLE_GPUS_MAX][GPU_UUID_MAX]; /* a UUID, or empty for any */
        uint64_t want_bytes[ORACLE_GPUS_MAX];
        OracleStage stage;
        bool away;
        bool started;
        unsigned n_missed;
        TaskState end; /* how, if it is over */
        bool requeue;
        bool cancelled; /* while it ran, or all of an array */
        unsigned retry_max, n_retries, attempt;
        unsigned n_after;
        OracleAfter after[ORACLE_AFTER_MAX];
        bool is_array;
        bool waits[ORACLE_ELEMENTS_MAX]; /* in the array */
        unsigned limit;
        unsigned n_ends[N_TASK_STATES]; /* elements that ended so */
        uint64_t signature;             /* of what it executes */
        uint64_t started_at_us;         /* 0: it was not accepted */
        uint64_t expected_us; /* when it was offered, by what runs before took; 0: not known */
        uint64_t offered_boot_us;
        bool ram_known;
        uint64_t ram_used_bytes;
        unsigned n_shares;
        OracleShare shares[1 + ORACLE_GPUS_MAX];
} OracleTask;

typedef struct OracleGpu {
        char uuid[GPU_UUID_MAX];
        unsigned index;
        GpuState state;
        bool processes_known;
        uint64_t total_bytes;
        uint64_t free_bytes;
        uint64_t idle_bytes;
        bool idle_known;
        bool changed; /* something has ended there since the look */
        uint64_t last_offer;
} OracleGpu;

/* What is held of the machine; `gpus` of CORE_WHOLE each. */
typedef struct OracleHeld {
        uint64_t memory_bytes, cpus, gpus;
} OracleHeld;

typedef struct OracleUser {
        uid_t uid;
        unsigned weight_permille;
        UserRules rules;     /* the limits */
        double had, portion; /* of the machine; had: at at_us */
        uint64_t at_us;
        uint64_t had_of_core; /* as the core says, of CORE_WHOLE */
        OracleHeld line_held; /* and would be, with what was taken from the line */
} OracleUser;

/* What a user's last runs of a signature took. */
typedef struct OracleRuns {
        uid_t uid;
        uint64_t signature; /* 0: whatever it was */
        unsigned n;
        uint64_t us[CORE_RUNS_MAX]; /* the last one last */
} OracleRuns;

/* Whom room is kept for. */
typedef struct OracleKeep {
        uint64_t id; /* 0: nobody */
        uint64_t since_us;
        uint64_t n_offers_before;
        GpuGrant gpus[ORACLE_GPUS_MAX];
} OracleKeep;

/* A task, and its elements that are tasks of their own. */
typedef struct OracleSlot {
        OracleTask *task;
        OracleTask *elements[ORACLE_ELEMENTS_MAX];
} OracleSlot;

typedef struct Oracle {
        Policy policy;
        OracleSlot *slots; /* by id */
        size_t n_slots;    /* the highest id and one more */
        size_t n_alive;    /* of them that are not over and forgotten */
        size_t n_alive_max;
        OracleTask **alive; /* borrowed, in the order of submission, elements behind their array */
        uint64_t n_offers;
        bool drained;
        OracleKeep keep;
        uint64_t watched_id; /* set by who wants to know: */
        uint64_t
                watched_until_us; /* when the last of those that ran when room was first kept for it was expected to end */
        bool ram_known, ram_changed, pressed;
        uint64_t pressure_boot_us; /* of the look that said it; UINT64_MAX / 2: none did */
        uint64_t ram_total_bytes, ram_free_bytes, ram_boot_us, ram_n_offers, ram_last_offer;
        uint64_t gpus_boot_us, gpus_n_offers;
        unsigned n_gpus;
        OracleGpu gpus[GPU_MAX];
        size_t n_users;
        OracleUser users[ORACLE_USERS_MAX];
        size_t n_runs;
        OracleRuns *runs;
        char fault[512]; /* the first thing that was wrong; empty: all is well */
} Oracle;

void oracle_init(Oracle *oracle, const Policy *policy);
void oracle_done(Oracle *oracle);

/**
 * oracle_apply() - an event that the core was given
 * @new:        SUBMITTED: the task as it was before the core has taken it
 * @r:          what the core returned: is compared
 */
void oracle_apply(Oracle *oracle, const Event *event, const Task *new, int r);

/* The core has forgotten a task. */
void oracle_forget(Oracle *oracle, uint64_t id);

/* Compare what the core shows with what it should: figures, counts, order. */
void oracle_check_views(Oracle *oracle, const Core *core, uint64_t now_boot_us);
void oracle_check_list(Oracle *oracle, const Core *core, uint64_t now_boot_us);

/* Whether a plan that was just made is right: nothing without room, nobody passed over. */
void oracle_check_plan(Oracle *oracle, const Plan *plan, uint64_t now_boot_us);

/* Compare what users had and hold; what they had is what the core says from here on. */
void oracle_check_users(Oracle *oracle, const Core *core, uint64_t now_boot_us);

/* -- oracle-turns.c -- */

/* Made if there is none. */
OracleUser *oracle_user(Oracle *oracle, uid_t uid);

/* Until then everybody has held what they hold. */
void oracle_pass_time(Oracle *oracle, uint64_t boot_us);

/* And holds this from now on. */
void oracle_hold(Oracle *oracle);
void oracle_take_history(Oracle *oracle, const Event *event);

/* Lines of users: nobody has taken anything from his; what a task takes; by what users are compared then. */
void oracle_start_lines(Oracle *oracle);
void oracle_add_claim(Oracle *oracle, const OracleTask *task, OracleHeld *held);
uint64_t oracle_line_share(Oracle *oracle, uid_t uid);

/* -- oracle-expect.c -- */

/* A task has ended well; the records tell. */
void oracle_learn(Oracle *oracle, const OracleTask *task, const Event *event);
void oracle_take_learned(Oracle *oracle, const Event *event);

/* How long a task takes if it starts now; 0: not known. */
uint64_t oracle_expect(const Oracle *oracle, const OracleTask *task);
uint64_t oracle_longest(const Oracle *oracle, const OracleTask *task); /* the same, at most */

/* When an active one will have ended, as far as that is known; @by_limit: by its time limit alone. */
uint64_t oracle_end_us(const OracleTask *task, uint64_t now, bool by_limit);

/* NULL if there is none. */
OracleTask *oracle_find(const Oracle *oracle, uint64_t id);
OracleGpu *oracle_find_gpu(Oracle *oracle, const char *uuid);

/* Of an array: how many wait in it; the smallest from @from on, or -1; how many may start. */
unsigned oracle_n_waits(const OracleTask *task);
int oracle_next_wait(const OracleTask *task, int from);
unsigned oracle_n_slots_left(const Oracle *oracle, uint64_t id);

/* Whether it waits for others, or an array has nothing that may start. */
bool oracle_is_blocked(const Oracle *oracle, const OracleTask *task);

/* Whether it waits for the end of a task that has ended otherwise. */
bool oracle_is_doomed(const OracleTask *task);

/* The @i-th of those alive. */
static inline OracleTask *oracle_alive(const Oracle *oracle, size_t i) {
        return oracle->alive[i];
}

static inline bool oracle_is_over(const OracleTask *task) {
        return task->stage >= ORACLE_LOST;
}

static inline bool oracle_is_active(const OracleTask *task) {
        return task->stage == ORACLE_OFFERED || task->stage == ORACLE_RUNNING;
}

/* Something is wrong; the first fault is kept. */
void oracle_fault(Oracle *oracle, const char *fmt, ...) _printf_(2, 3);
