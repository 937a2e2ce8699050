#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The machine
 *
 * What was measured, and what the settings say of it: the values that the core reckons with. A
 * figure that was not measured is absent (a flag, or GPU_STATE_UNKNOWN), never zero.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/needs.h"
#include "core/outsiders.h"
#include "util/string-table.h"

typedef enum GpuState {
        GPU_STATE_OK,
        GPU_STATE_UNKNOWN, /* the driver does not answer, or did not answer yet */
        GPU_STATE_LOST,    /* the driver says that it is gone */
} GpuState;

enum {
        N_GPU_STATES = GPU_STATE_LOST + 1,
};

/* Whose driver it has. The first kind of which a machine has any is meant by a bare number. */
typedef enum GpuKind {
        GPU_KIND_NVIDIA,
        GPU_KIND_AMD,
        GPU_KIND_INTEL,
        GPU_KIND_OTHER, /* of a daemon that is newer than we are */
} GpuKind;

enum {
        N_GPU_KINDS = GPU_KIND_OTHER + 1,
};

/* Who may use a GPU at once; the driver says so. */
typedef enum GpuUse {
        GPU_USE_SHARED,
        GPU_USE_EXCLUSIVE,  /* one process, thus one task */
        GPU_USE_PROHIBITED, /* nobody */
        GPU_USE_SPLIT,      /* nobody: its parts are GPUs of their own (MIG) */
} GpuUse;

enum {
        N_GPU_USES = GPU_USE_SPLIT + 1,
        GPU_NOTE_MAX = 120, /* bytes, NUL included */
        GPU_PARTS_MAX = 16, /* of a GPU: NVIDIA's have 7 at most */
};

/* RAM, in one look. */
typedef struct RamSample {
        uint64_t total_bytes;
        uint64_t available_bytes;
        uint64_t n_offers_before;    /* core_n_offers() when the look was asked for */
        bool pressure_known;         /* the kernel says it */
        unsigned pressure_permyriad; /* of the last ten seconds some task waited for memory */
} RamSample;

/* One GPU, in one look. */
typedef struct GpuSample {
        char uuid[GPU_UUID_MAX];
        char name[GPU_NAME_MAX];
        GpuKind kind;
        unsigned index; /* among those of its kind */
        unsigned part;  /* 0: it is a GPU; else a part of GPU @index (MIG), counted from 1 */
        GpuState state; /* unless OK, the figures below mean nothing */
        GpuUse use;
        bool shares_ram; /* it has no memory of its own: both figures are RAM's, and here 0 */
        bool whole_only; /* its memory can't be measured: both figures are 0, and who gets it gets all */
        bool integrated; /* it is a part of the processor */
        uint64_t total_bytes;
        uint64_t free_bytes;     /* unavailable is total - free; drivers differ on "used" */
        unsigned n_processes;    /* that the driver listed */
        unsigned n_computing;    /* of them those that compute, as EXCLUSIVE counts */
        bool processes_known;    /* false: no list, or one without memory (WSL) */
        char note[GPU_NOTE_MAX]; /* why it is not OK, or what else people should know; ASCII */
} GpuSample;

/* What a task was seen to hold on a GPU in the same look. */
typedef struct GpuTaskUse {
        uint64_t task_id;
        char uuid[GPU_UUID_MAX];
        uint64_t used_bytes;
} GpuTaskUse;

/* All GPUs, in one look. */
typedef struct GpusSample {
        bool known; /* false: the probe does not answer: the GPUs last seen are unknown */
        unsigned unknown_kinds; /* likewise those of these kinds, a bit for each */
        unsigned n_gpus;
        const GpuSample *gpus; /* borrowed; every UUID once */
        unsigned n_uses;
        const GpuTaskUse *uses;     /* borrowed */
        const Outsiders *outsiders; /* borrowed; one for each of `gpus`; NULL: not known */
        uint64_t n_offers_before;
} GpusSample;

enum {
        DRAIN_REASON_MAX = 256, /* bytes, NUL included */
};

/* Whether an admin has said that nothing more is to start; what runs goes on. */
typedef struct Drain {
        bool on;
        uid_t by_uid;
        uint64_t at_us;                /* CLOCK_REALTIME */
        char reason[DRAIN_REASON_MAX]; /* UTF-8; empty: none was given */
} Drain;

/* What a user had of the machine by then, as core/turn.h reckons it. */
typedef struct UserPast {
        uid_t uid;
        uint64_t had;   /* of CORE_WHOLE */
        uint64_t at_us; /* CLOCK_REALTIME */
} UserPast;

DECLARE_STRING_TABLE(gpu_state, GpuState);
DECLARE_STRING_TABLE(gpu_kind, GpuKind);
DECLARE_STRING_TABLE(gpu_use, GpuUse);
