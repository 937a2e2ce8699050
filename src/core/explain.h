#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Why a task waits
 *
 * The numbers behind a wait, from the very functions that plan; and the sentence that says them.
 * Users are numbers here: whoever prints the sentence brings the names.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/core.h"

typedef enum WaitReason {
        WAIT_REASON_MEMORY,      /* RAM is short */
        WAIT_REASON_GPU_MEMORY,  /* memory on this GPU is short */
        WAIT_REASON_GPU_SHARED,  /* the whole GPU is wanted, and others hold some of it */
        WAIT_REASON_GPU_WHOLE,   /* another task has the whole GPU */
        WAIT_REASON_GPU_UNKNOWN, /* the driver does not answer */
        WAIT_REASON_GPU_LOST,
        WAIT_REASON_CPUS,     /* cores are short */
        WAIT_REASON_DELAY,    /* a task that just started there has a delay of its own (strict) */
        WAIT_REASON_SETTLING, /* a task that just started there may still take more (ample) */
        WAIT_REASON_HELD,
        WAIT_REASON_AWAY,           /* its taskflow does not answer (stopped?) */
        WAIT_REASON_OFFERS,         /* as many starts of its user's are offered as may be at once */
        WAIT_REASON_LOOK,           /* it waits for a look at the machine: at most an instant */
        WAIT_REASON_GPU_KEPT,       /* the settings no longer give this GPU out */
        WAIT_REASON_AFTER,          /* it waits until its holders have succeeded */
        WAIT_REASON_AFTER_ANY,      /* it waits until its holders have ended, however */
        WAIT_REASON_LIMIT,          /* as many elements of its array are active as may be at once */
        WAIT_REASON_ELEMENTS,       /* an array: none waits in it, some are not over */
        WAIT_REASON_OTHER,          /* what a daemon says that is newer than we are */
        WAIT_REASON_DRAINED,        /* an admin has drained the machine: see Explain.drain */
        WAIT_REASON_GPU_EXCLUSIVE,  /* one process at a time may use this GPU, and one does */
        WAIT_REASON_GPU_PROHIBITED, /* its compute mode lets nobody use it */
        WAIT_REASON_GPU_SPLIT,      /* it was split into parts, which are GPUs of their own */
        WAIT_REASON_ROOM_KEPT, /* there is room, but it is kept for its holder, which comes first */
        WAIT_REASON_CPUS_KEPT, /* likewise of cores */
        WAIT_REASON_PRESSURE,  /* programs wait for memory: see missing_bytes */
        WAIT_REASON_MAX_RUNNING, /* its user's tasks have as much as the settings let them: of tasks, */
        WAIT_REASON_MAX_MEMORY,     /* of RAM, */
        WAIT_REASON_MAX_GPUS,       /* of GPUs, */
        WAIT_REASON_MAX_GPU_MEMORY, /* of memory on GPUs */
        WAIT_REASON_ACTIVE, /* as many of its user's tasks run, or are about to, as may at once */
        WAIT_REASON_TOKENS, /* tokens of this name are short */
        WAIT_REASON_TOKENS_KEPT, /* there are enough, but they are kept for its holder */
} WaitReason;

enum {
        N_WAIT_REASONS = WAIT_REASON_TOKENS_KEPT + 1,
        EXPLAIN_HOLDERS_MAX = 8,
        EXPLAIN_OUTSIDERS_MAX = 3,
        EXPLAIN_LACKS_MAX = GPU_MAX + 5, /* of many tokens and very many GPUs some are left out */
        EXPLAIN_RESTS_MAX = 4,
};

/* A task that holds, or is promised, what another waits for; or whose end it waits for. */
typedef struct Holder {
        uint64_t task_id;
        uid_t uid;
        uint64_t used_bytes;     /* seen to hold; 0 if unknown */
        uint64_t promised_bytes; /* asked for and not yet seen */
} Holder;

/* One thing that is missing. */
typedef struct Lack {
        WaitReason reason;
        int gpu_index;           /* -1: no GPU */
        char gpu_id[GPU_ID_MAX]; /* what people call it; empty: not known */
        char gpu_uuid[GPU_UUID_MAX];
        char token[TOKEN_NAME_MAX]; /* TOKENS, TOKENS_KEPT: the figures are how many of it */
        uint64_t asked_bytes;       /* or GPU_WHOLE; CPUS: cores; MAX_RUNNING, MAX_GPUS: how many */
        uint64_t free_bytes;        /* for it, after reserve and ledger; CPUS: cores */
        uint64_t
                missing_bytes; /* CPUS: cores; PRESSURE: hundredths of a percent that it is over the limit */
        uint64_t
                total_bytes; /* CPUS: cores; LIMIT, ELEMENTS: elements; PRESSURE, OFFERS and what is set for a user: the limit */
        uint64_t used_bytes; /* what is set for a user: of it; 0: not known */
        uint64_t reserved_bytes;
        uint64_t outside_bytes; /* used there by what taskflow did not start */
        size_t n_outsiders;     /* filled in below: who that is, of a GPU */
        OutsideProcess outsiders[EXPLAIN_OUTSIDERS_MAX];
        size_t n_more_outsiders;
        uint64_t
                until_boot_us; /* DELAY, SETTLING, ROOM_KEPT, CPUS_KEPT: when it is over at the latest; 0: never, or another reason */
        Holder kept_for; /* of what is free, or will be, its promised_bytes are kept for this one; task_id 0: nothing is */
        size_t n_holders; /* filled in below */
        Holder holders[EXPLAIN_HOLDERS_MAX];
        size_t n_more_holders;
} Lack;

/* How it stands with keeping room for a task, see core.h. */
typedef struct ExplainKeep {
        bool kept;     /* room is kept for it */
        bool hopeless; /* not, although its patience is over: ends of tasks could not bring it */
        uint64_t
                patient_boot_us; /* when its patience is over, or was; 0: it has none, or waits for other things */
        uint64_t since_boot_us; /* kept */
        uint64_t until_boot_us; /* kept: at the latest; 0: for as long as it takes */
} ExplainKeep;

/* A task on whose end it rests when another one may start. */
typedef struct StartRest {
        uint64_t task_id;
        uid_t uid;
        unsigned n_runs; /* by which it is told when it ends; 0: by its time limit alone */
        bool of_same;    /* those were runs of the same; else whatever its user ran */
} StartRest;

/* When a task may start, as far as that can be told. */
typedef struct ExplainStart {
        uint64_t early_boot_us, about_boot_us, late_boot_us; /* 0: it can't be told */
        bool latest_alone; /* it rests on time limits: only the last of the three means something */
        size_t n_rests;
        StartRest rests[EXPLAIN_RESTS_MAX]; /* the last to end first */
        size_t n_more_rests;
} ExplainStart;

/* Explain.uid that an older daemon does not say. */
#define EXPLAIN_UID_UNKNOWN ((uid_t)-1)

typedef struct Explain {
        uid_t uid;      /* whose task it is */
        size_t n_lacks; /* 0: nothing is missing; for a GPU `any`: one for each of them */
        Lack lacks[EXPLAIN_LACKS_MAX];
        bool any_gpu; /* the GPU lacks are alternatives: one of them would do */
        Drain drain;  /* on: nothing starts */
        ExplainKeep keep;
        ExplainStart start;              /* core_explain_start() */
        size_t place;                    /* in the queue, from 1; 0: held, or not in line yet */
        GpuGrant grants[NEEDS_GPUS_MAX]; /* n_lacks is 0: the GPUs it would get now */
} Explain;

/**
 * core_explain() - why a pending or held task, or one that stands behind another one in a row, does not
 * start now, as if every look were fresh
 * @ret:        large; overwritten on success
 *
 * Return: 0, CORE_E_NO_TASK, CORE_E_ILLEGAL for one that is running or over, or -ENOMEM.
 */
int core_explain(const Core *core, uint64_t id, uint64_t now_boot_us, Explain *ret);

/**
 * core_explain_new() - the same for a task that was not submitted
 * @task:       its needs resolved by core_resolve()
 * @uid:        of whoever asks
 */
int core_explain_new(const Core *core,
                     const Task *task,
                     uid_t uid,
                     uint64_t now_boot_us,
                     Explain *ret);

/**
 * core_explain_start() - when it may start, by the ends that can be expected
 * @explain:    what core_explain() has just said of it; its `start` is set
 *
 * Takes as long as a plan, or longer: for one task, not for a list.
 *
 * Return: 0, or -ENOMEM.
 */
int core_explain_start(const Core *core, uint64_t id, uint64_t now_boot_us, Explain *explain);

/* The name of a user, written to @buf (@n bytes); the number if there is none. */
typedef const char *(*explain_user_fn)(uid_t uid, char *buf, size_t n, void *userdata);

/**
 * explain_sentence() - one line for people
 * @now_boot_us:        to say how long a delay still lasts
 * @user_name:          NULL: "uid 1000"
 * @buf:        written, always ended; cut at @n
 *
 * Example: "needs 20G on a GPU: GPU 0 has 3.9G free, 16.1G missing (task 12 of alice holds 20G);
 * GPU 1 …"
 */
void explain_sentence(const Explain *explain,
                      uint64_t now_boot_us,
                      explain_user_fn user_name,
                      void *userdata,
                      char *buf,
                      size_t n);

DECLARE_STRING_TABLE(wait_reason, WaitReason);
