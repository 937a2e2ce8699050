#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Tasks
 *
 * A Task is what was asked for and how far it got. The first half is said once, by its submitter;
 * the second half changes only through core_apply() (core/core.h).
 *
 * Two clocks: `_at_us` fields are CLOCK_REALTIME, for people and records; `_boot_us` fields are
 * CLOCK_BOOTTIME, for reckoning, and mean nothing under another boot id.
 *
 * An array is one task, however many elements it has. One of them becomes a task of its own, with a
 * copy of all that was asked for, when something happens to it alone: it is offered its start,
 * cancelled or held. Until then it is a number in TaskArray.waiting.
 *
 * One number names a task and an element alike, its `id` everywhere inside: the id that people see
 * in the low TASK_ID_BITS, above them the element's index + 1. So the id of a task that is no
 * element is what people see.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/index-set.h"
#include "core/machine.h"
#include "core/needs.h"
#include "util/macro.h"
#include "util/string-table.h"

typedef enum TaskState {
        TASK_STATE_PENDING,
        TASK_STATE_HELD,
        TASK_STATE_RUNNING,
        TASK_STATE_DONE,
        TASK_STATE_FAILED,
        TASK_STATE_CANCELLED,
        TASK_STATE_TIMEOUT,
        TASK_STATE_LOST,
} TaskState;

typedef enum PinMode {
        PIN_MODE_DEFAULT, /* as the setting pin_gpus says */
        PIN_MODE_ON,
        PIN_MODE_OFF,
} PinMode;

enum {
        N_TASK_STATES = TASK_STATE_LOST + 1,
        N_PIN_MODES = PIN_MODE_OFF + 1,
        TASK_KEY_BYTES = 16,
        TASK_TEXT_MAX = 4096, /* bytes of command, name and folder that are kept to be shown */
        TASK_PRIORITY_MAX = 200,
        TASK_PRIORITY_DEFAULT = 100,
        TASK_ID_BITS = 39,
        TASK_INDEX_MAX = (1 << 24) - 2, /* of an element */
        TASK_AFTER_MAX = 256,           /* tasks that one may wait for */
        TASK_RETRIES_MAX = 1000,
};

#define TASK_ID_MAX ((UINT64_C(1) << TASK_ID_BITS) - 1)

/* A duration without end (delay, wait); also "no time limit". */
#define TASK_TIME_INF UINT64_MAX

/* A GPU that was given to a task. */
typedef struct GpuGrant {
        char uuid[GPU_UUID_MAX];
        char id[GPU_ID_MAX]; /* what people call it, when it was given; empty: not known */
        GpuKind kind;
        unsigned index; /* among those of its kind, when it was given */
        uint64_t bytes; /* or GPU_WHOLE */
} GpuGrant;

/* What a task was seen to hold of one resource. */
typedef struct Usage {
        bool known;  /* false: it could not be measured, and the figures mean nothing */
        bool let_go; /* its unfilled part was given up: it can't be measured (decisions.md 8) */
        uint64_t used_bytes;
        uint64_t peak_bytes;
} Usage;

/* A GPU that a task was seen to use and did not ask for. */
typedef struct GpuStray {
        char uuid[GPU_UUID_MAX];
        char id[GPU_ID_MAX]; /* what people called it when it was seen last; empty: not known */
        unsigned index;      /* among those of its kind, likewise */
        uint64_t used_bytes;
        uint64_t peak_bytes;
} GpuStray;

/* A task whose end another one waits for. */
typedef struct TaskAfter {
        uint64_t id; /* of a task or a whole array, never of an element */
        bool any;    /* however it ends; else it must end well */
} TaskAfter;

/* What makes a task an array. */
typedef struct TaskArray {
        IndexSet waiting;     /* elements that nothing has happened to yet */
        uint32_t first, last; /* as it was submitted */
        unsigned limit;    /* so many elements may be offered or running at once; 0: any number */
        unsigned n_active; /* offered or running now */
        unsigned n_apart;  /* elements that are tasks of their own and not over, active or not */
        unsigned n_done;   /* of those that are over */
        unsigned n_failed;
        unsigned n_cancelled;
        unsigned n_timeout;
        unsigned n_lost;
} TaskArray;

typedef struct Task {
        /* said by the submitter */
        uint64_t id; /* from 1; see above */
        uint8_t key[TASK_KEY_BYTES];
        uid_t uid;         /* from the kernel, never from a message */
        unsigned priority; /* 0 to TASK_PRIORITY_MAX */
        char *name;        /* NULL: none */
        char *command;     /* as shown: the shell line, or the words joined */
        char **argv;       /* as shown; NULL: the command is all of it */
        char *cwd;
        Needs needs;
        uint64_t delay_us;      /* or TASK_TIME_INF */
        uint64_t time_limit_us; /* or TASK_TIME_INF */
        PinMode pin;
        bool delay_given; /* -d was said: the strict form */
        bool detached;
        bool requeue;       /* runs again if it was running when the machine went down */
        unsigned retry_max; /* so many times more if it fails or runs out of time */
        unsigned n_after;
        TaskAfter *after; /* owned; what it still waits for */
        TaskArray *array; /* owned; NULL: no array */
        char *output; /* where a detached one's output goes, see core/output.h; NULL: not known */
        pid_t runner_pid; /* of the process that runs it, by SO_PEERCRED; 0: gone or unknown */

        /* how far it got */
        TaskState state;
        uint64_t submitted_at_us;
        uint64_t started_at_us;   /* 0: not yet */
        uint64_t ended_at_us;     /* 0: not yet */
        uint64_t queued_boot_us;  /* since when it waits: submission or release */
        uint64_t started_boot_us; /* since when its share is in the ledger: the offer */
        unsigned attempt;         /* starts that were accepted; the number of the last one */
        unsigned n_retries;       /* times that it was put back because it had failed */
        GpuGrant *
                gpus; /* needs.n_gpus of them once offered, in the order of needs.gpus; else NULL */
        pid_t pid;    /* of the command; 0: not known */
        uint64_t pid_start_ticks;
        char boot_id[37]; /* under which the _boot_us fields and the pid mean something */
        bool cancelled;   /* while it ran; of an array: all of it. That is its end, come what may */
        int exit_status;  /* -1: none */
        int signal;       /* 0: none */
        Usage memory;
        Usage *gpu_usage;  /* needs.n_gpus of them, NULL before the offer */
        unsigned n_strays; /* at most GPU_MAX */
        GpuStray *strays;  /* owned; each GPU once */
        char *reason;      /* of an end that is not the command's own; NULL: none */
} Task;

/* A zeroed task with the defaults: priority, no limit, no status. NULL when out of memory. */
Task *task_new(void);
Task *task_free(Task *task);
DEFINE_CLEANUP(Task *, task_free);

/* A copy of a task with all that it owns. NULL when out of memory. */
Task *task_copy(const Task *task);

/* The number of an element of @id, or (index -1) of the task itself. */
static inline uint64_t task_ref(uint64_t id, int64_t index) {
        return id | (uint64_t)(index + 1) << TASK_ID_BITS;
}

/* The id that people see. */
static inline uint64_t task_ref_id(uint64_t ref) {
        return ref & TASK_ID_MAX;
}

/* The index of an element, or -1. */
static inline int64_t task_ref_index(uint64_t ref) {
        return (int64_t)(ref >> TASK_ID_BITS) - 1;
}

/* The place in line: by id; elements that wait again by index, and behind them the array with the rest. */
static inline uint64_t task_ref_place(uint64_t ref) {
        return task_ref_id(ref) << 24 | (((ref >> TASK_ID_BITS) - 1) & 0xffffff);
}

/*
 * What comes first in order has the smaller one: by id, an array before its elements, elements by
 * index.
 */
static inline uint64_t task_ref_order(uint64_t ref) {
        return task_ref_id(ref) << 24 | ref >> TASK_ID_BITS;
}

/* The number whose task_ref_order() this is. */
static inline uint64_t task_ref_from_order(uint64_t order) {
        return order >> 24 | (order & 0xffffff) << TASK_ID_BITS;
}

/* Frees an array's own part; returns NULL. */
TaskArray *task_array_free(TaskArray *array);

/* done, failed, cancelled, timeout or lost */
static inline bool task_state_is_final(TaskState state) {
        return state >= TASK_STATE_DONE;
}

/* Whether it waits, and no start of it was accepted yet: `-w` gives it up. An array's elements are tasks of their own. */
static inline bool task_never_started(const Task *task) {
        return task->attempt == 0 &&
               (task->state == TASK_STATE_PENDING || task->state == TASK_STATE_HELD);
}

/**
 * task_end_state() - the state a status stands for
 * @exit_status:        0 to 255, or -1 if a signal ended it
 *
 * Return: TASK_STATE_DONE or TASK_STATE_FAILED.
 */
TaskState task_end_state(int exit_status);

/* How a task ended that should have ended well: `was cancelled`; `has ended` if it did. */
const char *task_end_in_words(TaskState state);

DECLARE_STRING_TABLE(task_state, TaskState);
DECLARE_STRING_TABLE(pin_mode, PinMode);
