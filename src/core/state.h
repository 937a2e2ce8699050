#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The core's state
 *
 * What core_apply() changes and all else only reads. Private to core/: everybody else sees
 * core/core.h.
 *
 *  - An Entry is a task with its place in the tables. Its phase says which list it is in.
 *  - A Class holds tasks that are alike (user, priority, needs, delay, time limit): what is true for the
 *    first of them is true for all, so that a pass looks at classes. Its tasks share one Needs.
 *  - A Share is what an offered or running task asks for of one resource, and was seen to take.
 *  - A Gpu is a GPU that was seen, and its last figures.
 *  - A Holding is what a task, or all tasks of a user, have of the machine: by it users take turns.
 *  - An AfterWait is what a task still waits for, if it was told to wait for the end of others.
 *  - An Experience is what the last runs of a user's signature took.
 *  - The Keep is who room is kept for, and since when; at most one task in all.
 *
 * An array and its elements are entries like all others. The array's counts (TaskArray) follow the
 * phases of its elements: queue.c keeps n_active and n_apart, array.c the ends.
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

typedef struct AfterWait AfterWait;
typedef struct Class Class;
typedef struct Entry Entry;
typedef struct Experience Experience;
typedef struct User User;
typedef struct Waited Waited;

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
        PHASE_BLOCKED, /* pending, but not to be looked at; see entry_waiting_phase() */
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
        unsigned n_missed; /* offers in a row that were not answered */
        unsigned n_shares;
        bool away; /* the runner does not answer, or said that it is stopped */
        uint64_t
                patient_boot_us; /* its patience begins no earlier: room was kept for it long enough */
        uint64_t offer;          /* the number of its last offer; 0: it ran before it came here */
        uint64_t signature;      /* of what it executes */
        uint64_t expected_us;    /* once offered: how long it takes, by experience; 0: not known */
        Share *shares; /* owned; of an offered or running task; RAM first, then GPUs as in needs */
        Entry *ahead, *behind; /* in a row, see row.h; NULL: nobody */
        AfterWait *wait;       /* owned; NULL: it waits for the end of no other */
        uint32_t n_waiting;    /* of an array: elements that wait in it */
        uint32_t n_queued;     /* of an array: its elements in PHASE_WAITING, tasks of their own */
        TAILQ_ENTRY(Entry) link; /* of one of Core's lists; unused in PHASE_WAITING */
        UT_hash_handle hh_id;
        UT_hash_handle hh_key;
};

/* What a task said of its delay. */
typedef enum DelayKind {
        DELAY_KIND_DEFAULT, /* nothing */
        DELAY_KIND_NONE,    /* -d 0 */
        DELAY_KIND_OWN,
} DelayKind;

struct Class {
        User *user;
        Needs needs; /* owned; its tasks borrow the array */
        unsigned priority;
        DelayKind delay;
        uint64_t time_limit_us;
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

/* What there is of offered and running tasks, each part as the larger of what was asked for and what was seen; see turn.h. */
typedef struct Holding {
        uint64_t memory_bytes;
        uint64_t cpus;
        uint64_t gpus; /* TURN_ONE for all memory of one */
} Holding;

struct User {
        uid_t uid;
        UserRules rules;
        Holding held;
        uint64_t portion;         /* of the machine, that it is; turn.h */
        int64_t excess;           /* what the user had before, see turn.c */
        uint64_t history_boot_us; /* until when EVENT_HISTORY has told it; 0: it did not */
        size_t n_refs;            /* classes */
        size_t n_waiting;         /* tasks that are pending or held */
        size_t n_offers;          /* open */
        size_t n_running;
        ClassList classes;      /* those with somebody queued */
        TAILQ_ENTRY(User) link; /* of Core.users while it has such a class */
        UT_hash_handle hh;
};

/* One task whose end another one waits for. */
typedef struct AfterLink {
        AfterWait *wait;
        Waited *waited;
        bool any;
        bool doomed;     /* it has ended, and not as it should */
        TaskState state; /* then: how */
        TAILQ_ENTRY(AfterLink) link;
} AfterLink;

/* All that one task waits for. */
struct AfterWait {
        Entry *entry;
        unsigned n_left;   /* links that are in the list of a Waited */
        unsigned n_doomed; /* of them; then it is in Core.doomed */
        TAILQ_ENTRY(AfterWait) link;
        unsigned n;
        AfterLink links[];
};

typedef TAILQ_HEAD(AfterLinkList, AfterLink) AfterLinkList;
typedef TAILQ_HEAD(AfterWaitList, AfterWait) AfterWaitList;

/* Who waits for the end of a task. */
struct Waited {
        uint64_t id;
        AfterLinkList links; /* never empty */
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
        bool pressure_known;
        unsigned pressure_permyriad;
} Ram;

typedef struct Gpu {
        GpuSample sample; /* the last known figures; state is the one now */
        Look look;
        bool total_known; /* it was OK once */
        bool idle_known;
        uint64_t idle_bytes; /* used when no process was listed */
        Outsiders outsiders; /* by the last figures */
} Gpu;

/* Who room is kept for, see keep.h. */
typedef struct Keep {
        uint64_t task_id; /* pending and in line; 0: nobody */
        uint64_t since_boot_us;
        uint64_t n_offers_before; /* made when it began */
        GpuGrant
                *gpus; /* owned; chosen for it, in the order of its needs; NULL: it asks for none */
} Keep;

/* Of whom, and of what. */
typedef struct ExperienceKey {
        uint64_t signature;
        uint64_t uid; /* of 64 bits: the bytes of the struct are what is hashed */
} ExperienceKey;

struct Experience {
        ExperienceKey key;
        unsigned n;    /* of the durations */
        unsigned next; /* the place of the next one */
        uint64_t durations_us[CORE_RUNS_MAX];
        TAILQ_ENTRY(Experience) link; /* of Core.experiences */
        UT_hash_handle hh;
};

typedef TAILQ_HEAD(EntryList, Entry) EntryList;
typedef TAILQ_HEAD(ExperienceList, Experience) ExperienceList;
typedef TAILQ_HEAD(UserList, User) UserList;

struct Core {
        Policy policy;
        Ram ram;
        Drain drain;
        Keep keep;
        bool gpus_seen; /* the probe answered once: if there are none, there are none */
        Look gpus_look; /* the last answer or failure, whatever it said */
        unsigned n_gpus;
        Gpu gpus[GPU_MAX];
        uint64_t n_offers; /* ever */
        size_t n_behind;   /* entries that stand behind another one in a row */
        size_t n_phase[N_PHASES];
        size_t n_pending;   /* as people count: an array as so many as wait in it */
        size_t n_held;      /* likewise */
        size_t n_shut;      /* in PHASE_WAITING, but their array has its limit of active elements */
        size_t n_gpu_tasks; /* queued, offered or running tasks that ask for GPUs */
        size_t n_queued_classes;
        size_t n_queued_users;
        uint64_t last_boot_us;  /* of the last event */
        uint64_t epoch_boot_us; /* that User.excess goes by */
        UserList users;         /* those with a class that has somebody queued */
        EntryList away;
        EntryList blocked;
        EntryList held;
        EntryList active; /* offered and running */
        EntryList ended;  /* lost and ended */
        Entry *by_id;
        uint64_t max_id; /* the largest of any that was there */
        Entry *by_key;
        Class *classes_by_key;
        User *users_by_uid;
        Waited *waited_by_id;
        AfterWaitList doomed;
        size_t n_experiences;
        ExperienceList experiences; /* what had something new last is the last */
        Experience *experiences_by_key;
};

static inline bool phase_is_active(Phase phase) {
        return phase == PHASE_OFFERED || phase == PHASE_RUNNING;
}

static inline bool phase_is_over(Phase phase) {
        return phase == PHASE_LOST || phase == PHASE_ENDED;
}

static inline bool phase_is_pending(Phase phase) {
        return phase == PHASE_WAITING || phase == PHASE_AWAY || phase == PHASE_BLOCKED ||
               phase == PHASE_OFFERED;
}

/* Pending or held, and without an open offer. */
static inline bool phase_is_idle(Phase phase) {
        return phase == PHASE_WAITING || phase == PHASE_AWAY || phase == PHASE_BLOCKED ||
               phase == PHASE_HELD;
}

/* The end of an active task's delay, or TASK_TIME_INF. */
uint64_t entry_delay_end_us(const Entry *entry);
