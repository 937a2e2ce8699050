#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The core's state
 *
 * What core_apply() changes and all else only reads. Private to core/: everybody else sees
 * core/core.h.
 *
 *  - An Entry is a task with its place in the tables. Its phase says which list it is in.
 *  - A Class holds tasks that are alike (user, priority, needs, strictness): what is true for the
 *    first of them is true for all, so that a pass looks at classes. Its tasks share one Needs.
 *  - A Share is what an offered or running task asks for of one resource, and was seen to take.
 *  - A Gpu is a GPU that was seen, and its last figures.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

/* A table that cannot grow is an error to report, not a reason to exit. */
#define HASH_NONFATAL_OOM                    1
#define HASH_FUNCTION(keyptr, keylen, hashv) ((hashv) = table_hash((keyptr), (keylen)))
#include <uthash.h>

#include "core/core.h"

typedef struct Class Class;
typedef struct Entry Entry;
typedef struct User User;

/* FNV-1a, folded. uthash's own functions fall through their switches, which our flags refuse. */
static inline unsigned table_hash(const void *key, size_t n_key) {
        const unsigned char *bytes = key;
        uint64_t hash = UINT64_C(0xcbf29ce484222325);

        for (size_t i = 0; i < n_key; i++)
                hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);

        return (unsigned)(hash ^ (hash >> 32));
}

/* How far a task is; finer than TaskState, which people see. */
typedef enum Phase {
        PHASE_WAITING, /* pending, in its class's queue */
        PHASE_AWAY,    /* pending, passed over: its runner does not answer */
        PHASE_HELD,
        PHASE_OFFERED, /* pending, an offer is open */
        PHASE_RUNNING,
        PHASE_LOST, /* over, but a late status is still taken */
        PHASE_ENDED,
} Phase;

enum {
        N_PHASES = PHASE_ENDED + 1,
        SLOT_RAM = -1, /* Share.slot of RAM; others are indices of Core.gpus */
        SLOT_NONE = -2,
};

typedef struct Share {
        int slot;
        uint64_t asked_bytes;        /* or GPU_WHOLE */
        uint64_t peak_bytes;         /* seen, and no later than the resource's last figures */
        uint64_t reported_bytes;     /* RAM: the peak that counts from the next look on */
        uint64_t outside_base_bytes; /* used there by no task when it started */
        bool outside_known;          /* the figure before means something */
        bool measured;               /* its use was told at least once */
        bool unmeasurable;           /* the last look could not tell its use */
        bool judged;                 /* decisions.md 8 was applied, once */
        bool let_go;                 /* its unfilled part is no longer kept for it */
} Share;

struct Entry {
        Task *task; /* owned; its needs are its class's */
        Class *class;
        Phase phase;
        bool away;         /* the runner does not answer, or said that it is stopped */
        unsigned n_missed; /* offers in a row that were not answered */
        unsigned n_shares;
        Share *shares; /* owned; of an offered or running task; RAM first, then GPUs as in needs */
        TAILQ_ENTRY(Entry) link; /* of one of Core's lists; unused in PHASE_WAITING */
        UT_hash_handle hh_id;
        UT_hash_handle hh_key;
};

struct Class {
        User *user;
        Needs needs; /* owned; its tasks borrow the array */
        unsigned priority;
        bool strict;
        size_t n_refs; /* tasks of the class, in whatever phase */
        Entry **queue; /* owned; those in PHASE_WAITING, by id, from @first on */
        size_t first;
        size_t n_queued;
        size_t capacity;         /* always enough for @n_refs: to queue a task cannot fail */
        TAILQ_ENTRY(Class) link; /* of User.classes while somebody is queued */
        UT_hash_handle hh;
        size_t n_key;
        char key[];
};

typedef TAILQ_HEAD(ClassList, Class) ClassList;

struct User {
        uid_t uid;
        size_t n_refs;          /* classes */
        size_t n_waiting;       /* tasks that are pending or held */
        size_t n_offers;        /* open */
        ClassList classes;      /* those with somebody queued */
        TAILQ_ENTRY(User) link; /* of Core.users while it has such a class */
        UT_hash_handle hh;
};

/* What is known of a resource's last figures. */
typedef struct Look {
        bool taken;   /* there was one */
        bool known;   /* and it said something */
        bool changed; /* something ended or was reported since */
        uint64_t boot_us;
        uint64_t n_offers_before; /* offers made when it was asked for */
        uint64_t last_offer;      /* which offer was the last on this resource; 0: none */
} Look;

typedef struct Ram {
        Look look;
        uint64_t total_bytes;
        uint64_t available_bytes; /* at most the total */
} Ram;

typedef struct Gpu {
        GpuSample sample; /* the last known figures; state is the one now */
        Look look;
        bool total_known; /* it was OK once */
        bool idle_known;
        uint64_t idle_bytes; /* used when no process was listed */
} Gpu;

typedef TAILQ_HEAD(EntryList, Entry) EntryList;
typedef TAILQ_HEAD(UserList, User) UserList;

struct Core {
        Policy policy;
        Ram ram;
        bool gpus_seen; /* the probe answered once: if there are none, there are none */
        Look gpus_look; /* the last answer or failure, whatever it said */
        unsigned n_gpus;
        Gpu gpus[GPU_MAX];
        uint64_t n_offers; /* ever */
        size_t n_phase[N_PHASES];
        size_t n_gpu_tasks; /* pending, offered or running tasks that ask for GPUs */
        size_t n_queued_classes;
        size_t n_queued_users;
        UserList users; /* those with a class that has somebody queued */
        EntryList away;
        EntryList held;
        EntryList active; /* offered and running */
        EntryList ended;  /* lost and ended */
        Entry *by_id;
        Entry *by_key;
        Class *classes_by_key;
        User *users_by_uid;
};

static inline bool phase_is_active(Phase phase) {
        return phase == PHASE_OFFERED || phase == PHASE_RUNNING;
}

static inline bool phase_is_pending(Phase phase) {
        return phase == PHASE_WAITING || phase == PHASE_AWAY || phase == PHASE_OFFERED;
}

/* The end of an active task's delay, or TASK_TIME_INF. */
uint64_t entry_delay_end_us(const Entry *entry);
