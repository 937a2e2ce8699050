#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * NVML's binary interface
 *
 * There is no header of NVML in a free distribution, so the handful of functions that we call is
 * declared here, each by the symbol that has its version in its name: the names without one are
 * macros in NVIDIA's header and old functions in the library. What a driver may lack is NULL.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct NvmlDevice NvmlDevice; /* NVML's own, never looked into */

/* nvmlReturn_t: those that we tell apart. */
enum {
        NVML_SUCCESS = 0,
        NVML_E_UNINITIALIZED = 1,
        NVML_E_NOT_SUPPORTED = 3,
        NVML_E_NO_PERMISSION = 4,
        NVML_E_INSUFFICIENT_SIZE = 7,
        NVML_E_DRIVER_NOT_LOADED = 9,
        NVML_E_FUNCTION_NOT_FOUND = 13,
        NVML_E_GPU_IS_LOST = 15,
        NVML_E_RESET_REQUIRED = 16,
        NVML_E_OPERATING_SYSTEM = 17,
        NVML_E_LIB_RM_VERSION_MISMATCH = 18,
        NVML_E_ARGUMENT_VERSION_MISMATCH = 25,
        NVML_E_GPU_NOT_FOUND = 28,
        NVML_E_UNKNOWN = 999,
};

enum {
        NVML_TEXT_MAX = 96,         /* of a name or a UUID, NUL included */
        NVML_PROCESS_SIZE_MAX = 32, /* of one entry, in any version */
        NVML_MIG_ENABLED = 1,
        /* compute modes; 0 is the one in which many share a GPU */
        NVML_MODE_EXCLUSIVE_THREAD = 1,
        NVML_MODE_PROHIBITED = 2,
        NVML_MODE_EXCLUSIVE_PROCESS = 3,
};

/* usedGpuMemory of a driver that does not tell it: always so on Windows, thus on WSL. */
#define NVML_VALUE_NOT_AVAILABLE UINT64_MAX

/* nvmlMemory_t */
typedef struct NvmlMemory {
        uint64_t total_bytes;
        uint64_t free_bytes;
        uint64_t used_bytes; /* with what the driver reserved for itself */
} NvmlMemory;

/* nvmlMemory_v2_t, since R510: the order differs. */
typedef struct NvmlMemoryV2 {
        uint32_t version; /* NVML_MEMORY_V2; 2, as NVIDIA's header says, is refused */
        uint64_t total_bytes;
        uint64_t reserved_bytes;
        uint64_t free_bytes;
        uint64_t used_bytes;
} NvmlMemoryV2;

#define NVML_MEMORY_V2 (UINT32_C(2) << 24 | (uint32_t)sizeof(NvmlMemoryV2))

_Static_assert(sizeof(NvmlMemory) == 24, "nvmlMemory_t has 24 bytes");
_Static_assert(sizeof(NvmlMemoryV2) == 40, "nvmlMemory_v2_t has 40 bytes");

/*
 * Lists of processes: the capacity in, the number out. An entry begins with a pid (32 bits) and, at
 * 8, the bytes it uses; its size depends on the symbol and the driver: nvml_api_processes().
 */
typedef int (*nvml_processes_fn)(NvmlDevice *device, unsigned *n, void *entries);

typedef enum NvmlProcesses {
        NVML_PROCESSES_COMPUTE,
        NVML_PROCESSES_GRAPHICS,
        NVML_PROCESSES_MPS,
} NvmlProcesses;

enum {
        N_NVML_PROCESSES = NVML_PROCESSES_MPS + 1,
};

/* The three functions that may list one kind of processes. */
typedef struct NvmlProcessesApi {
        nvml_processes_fn unversioned; /* entries of 16 bytes, but 24 of MPS with R450 and R460 */
        nvml_processes_fn v2;          /* 24; since R450, of MPS since R470 */
        nvml_processes_fn v3;          /* 24, but 32 with drivers 535.43 to 535.86 */
} NvmlProcessesApi;

typedef struct NvmlApi {
        void *library;
        int (*init)(void);
        int (*shutdown)(void);
        const char *(*error_string)(int status);
        int (*device_count)(unsigned *ret);
        int (*device_by_index)(unsigned index, NvmlDevice **ret);
        int (*device_name)(NvmlDevice *device, char *name, unsigned n_name);
        int (*device_uuid)(NvmlDevice *device, char *uuid, unsigned n_uuid);
        int (*device_memory)(NvmlDevice *device, NvmlMemory *ret);
        int (*device_memory_v2)(NvmlDevice *device, NvmlMemoryV2 *ret);
        int (*device_compute_mode)(NvmlDevice *device, int *ret);
        int (*device_mig_mode)(NvmlDevice *device, unsigned *ret_now, unsigned *ret_pending);
        int (*device_mig_count)(NvmlDevice *device, unsigned *ret_max);
        int (*device_mig_by_index)(NvmlDevice *device, unsigned index, NvmlDevice **ret);
        NvmlProcessesApi processes[N_NVML_PROCESSES];
        void *cc_memory_size;      /* never called: which of them there are tells how large an */
        void *process_detail_list; /* entry of v3 is */
} NvmlApi;

/* nvml_api_open() */
enum {
        NVML_API_E_ABSENT = 1, /* there is no such library */
        NVML_API_E_BROKEN,     /* there is one, but it cannot be used: @text says why */
};

/**
 * nvml_api_open() - load the library
 * @api:        set on success; release it with nvml_api_close()
 * @library:    a soname, found the loader's way, or a path
 * @text:       set to the loader's words if it fails
 * @n_text:     size of @text
 *
 * Nothing of NVML is called yet.
 *
 * Return: 0, NVML_API_E_ABSENT or NVML_API_E_BROKEN.
 */
int nvml_api_open(NvmlApi *api, const char *library, char *text, size_t n_text);

/* Unloads it; NVML must have been shut down. */
void nvml_api_close(NvmlApi *api);

/* What the library calls a status, or a word of ours. */
const char *nvml_api_error(const NvmlApi *api, int status);

/**
 * nvml_api_processes() - the best function for a kind of processes
 * @api:        an open library
 * @kind:       of processes
 * @ret_size:   set to the bytes that it writes for one entry
 *
 * Return: the function, or NULL if the driver has none.
 */
nvml_processes_fn nvml_api_processes(const NvmlApi *api, NvmlProcesses kind, size_t *ret_size);
