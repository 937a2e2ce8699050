#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * What the stand-in for NVIDIA's library answers
 *
 * The file that it is scripted by (nvml.c says what may stand in it), read for one call.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
        GPUS_MAX = 80,     /* more than taskflow takes, on purpose */
        INSTANCES_MAX = 8, /* of a GPU that is split */
        PROCESSES_MAX = 2048,
        TEXT_MAX = 96,
        COMPUTE = 1,
        GRAPHICS = 2,
        MPS = 4,
        WHOLE = -1, /* in place of an instance */
};

enum {
        SUCCESS = 0,
        UNINITIALIZED = 1,
        INVALID_ARGUMENT = 2,
        NOT_SUPPORTED = 3,
        NO_PERMISSION = 4,
        NOT_FOUND = 6,
        INSUFFICIENT_SIZE = 7,
        DRIVER_NOT_LOADED = 9,
        GPU_IS_LOST = 15,
        ARGUMENT_VERSION_MISMATCH = 25,
        GPU_NOT_FOUND = 28,
};

#define NOT_AVAILABLE UINT64_MAX

typedef struct Process {
        unsigned pid;
        uint64_t bytes;
        unsigned lists;
} Process;

/* A GPU, or an instance of one. */
typedef struct Gpu {
        bool exists;
        char uuid[TEXT_MAX];
        char name[TEXT_MAX];
        uint64_t total_bytes;
        uint64_t used_bytes;
        uint64_t reserved_bytes;
        bool bytes_unknown;
        bool processes_hidden;
        bool is_mig;
        bool is_unified;
        int compute_mode;
        bool uuid_unterminated;
        bool name_unterminated;
        bool is_lost_until_init;
        unsigned race;
        size_t n_processes;
        Process processes[PROCESSES_MAX];
} Gpu;

/* What the script says about the call that reads it. */
typedef struct Script {
        int init_status;
        int count; /* -1: not said */
        int status;
        bool hang;
        bool hang_for_ever;
        bool crash;
        long slow_ms;
        unsigned n_gpus;
        Gpu gpu; /* the one that the call is about */
} Script;

/**
 * script_read() - read all of it, for a call
 * @call:       the symbol
 * @index:      the GPU that it is about, or -1
 * @instance:   of it, or WHOLE
 *
 * Return: false if there is no script.
 */
bool script_read(Script *script, const char *call, int index, int instance);
