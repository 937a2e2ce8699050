/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * A stand-in for NVIDIA's libnvidia-ml.so.1
 *
 * Machines that test taskflow have no GPU. This library has the symbols of NVML that taskflow
 * calls, and answers from a text file, named by $TASKFLOW_TEST_NVML and read again at EACH call: a
 * test that writes the file anew (atomically: rename it into place) has changed the GPUs. Without
 * the variable, or the file, nvmlInit_v2() says that no driver is loaded (9).
 *
 * The file has a statement on each line; `#` begins a comment. Sizes are bytes, or end in K, M, G
 * or T (powers of 1024).
 *
 *     init STATUS                what nvmlInit_v2() returns
 *     count N                    what nvmlDeviceGetCount_v2() says; default: the number of `gpu` lines
 *                                when NVML was initialised, for real ones don't see who comes later
 *
 *     gpu INDEX                  the lines behind it, up to the next `gpu`, are about this GPU
 *     uuid TEXT                  default: GPU-00000000-0000-0000-0000-00000000000INDEX
 *     name TEXT                  to the end of the line; default: NVIDIA Stand-In
 *     total SIZE                 default: 80G
 *     used SIZE                  whoever uses it; free = total - used; default: 0
 *     reserved SIZE              by the driver, and part of `used`; default: 0
 *     process PID SIZE [LIST…]   what the lists of processes say. PID may be `self`, the caller;
 *                                SIZE may be `n/a`; a LIST is compute (default), graphics or mps.
 *                                It is NOT added to `used`
 *     processes n/a              the driver does not tell what any process uses (as on WSL)
 *     processes hidden           no list has any (as in a container)
 *     unified                    it has no memory of its own: asking for it is not supported
 *     mode N                     compute mode: 0 default, 1 and 3 exclusive, 2 prohibited
 *     mig                        the GPU is split into instances; the whole of it tells no memory
 *     instance I                 the lines behind it, up to the next `instance` or `gpu`, are about
 *                                this instance of it; as real ones do, NVML counts them from
 *                                0 on as it finds them
 *     unterminated [name]        UUID and name, or the name alone, fill their buffers without a NUL
 *     race N                     the first N tries of each list say INSUFFICIENT_SIZE
 *     lost [until-init]          the same as `error * 15`; with the word it stays so after the line
 *                                has gone, until NVML was shut down, as real ones do
 *
 *     error CALL STATUS          CALL returns this. CALL is a symbol, or `*`; loading it is `dlopen`
 *     hang CALL [for-ever]       CALL does not return while this line is there; with the word it
 *                                never does, whatever becomes of the line
 *     slow CALL MILLISECONDS     CALL takes that long
 *     crash CALL                 CALL ends with SIGSEGV
 *
 * The last four are about every GPU, or below a `gpu` only about calls for that one, of which
 * nvmlDeviceGetHandleByIndex_v2 is the first.
 *
 * A program can also take GPU memory by itself: in the folder $TASKFLOW_TEST_NVML.d a file named by
 * its pid, with a line `GPU SIZE [LIST…]` for each GPU (an index, `0.1` or a UUID), is a process
 * there as long as one of that pid lives; zombies count as dead. Its memory IS added to what is used.
 * hold.c writes such files. Other file names than numbers are ignored.
 *
 * Generations of the driver differ in the symbols that there are. NVML_GENERATION chooses at
 * compile time: 418 (no nvmlDeviceGetMemoryInfo_v2, no MIG, lists without a version alone), 450 (MIG,
 * and _v2 lists as well, but for MPS, whose only list has entries as they have), 470 (_v2 of all
 * lists), 535 (the release whose _v3 lists have entries of 32 bytes; without the other lists, so
 * that they are used) and 550.
 */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "nvml-script.h"

#ifndef NVML_GENERATION
#define NVML_GENERATION 550
#endif

#define EXPORT __attribute__((visibility("default")))

enum {
        MEMORY_V2_SIZE = 40,
        HANG_STEP_US = 20000,
        INDICES_MAX = 2 * INSTANCES_MAX,
};

/* A handle is the address of one of these. */
typedef struct Device {
        int index;
        int instance; /* or WHOLE */
} Device;

static Device devices[GPUS_MAX][INSTANCES_MAX + 1];
static unsigned race_tries[GPUS_MAX];
static bool is_lost_until_init[GPUS_MAX];
static int n_inits;
static unsigned char instances[GPUS_MAX][INDICES_MAX]; /* counted from 1; 0: none */
static unsigned n_found; /* GPUs, when it was initialised: who comes later is not seen */

static void pause_us(long us) {
        struct timespec t = { .tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000 };

        while (nanosleep(&t, &t) < 0 && errno == EINTR)
                ;
}

/* What every call begins with: the script, and the troubles in it. */
static int begin(Script *script, const char *call, int index, int instance) {
        bool is_there = script_read(script, call, index, instance);

        if (script->crash) {
                (void)signal(SIGSEGV, SIG_DFL); /* a sanitizer would make an exit of it */
                (void)raise(SIGSEGV);
        }
        if (script->slow_ms > 0)
                pause_us(script->slow_ms * 1000);
        while (is_there && (script->hang || script->hang_for_ever)) {
                pause_us(HANG_STEP_US);
                if (!script->hang_for_ever)
                        is_there = script_read(script, call, index, instance);
        }
        if (index >= 0)
                is_lost_until_init[index] |= script->gpu.is_lost_until_init;
        if (!is_there)
                return DRIVER_NOT_LOADED;
        return script->status;
}

static int begin_device(Script *script, const char *call, const Device *device) {
        int status;

        if (device < &devices[0][0] || device > &devices[GPUS_MAX - 1][INSTANCES_MAX])
                return INVALID_ARGUMENT;
        status = begin(script, call, device->index, device->instance);
        if (n_inits == 0)
                return UNINITIALIZED;
        if (status == SUCCESS && (unsigned)device->index >= n_found && script->count < 0)
                return INVALID_ARGUMENT;
        if (status == SUCCESS && !script->gpu.exists)
                return device->instance == WHOLE ? GPU_IS_LOST : NOT_FOUND;
        if (is_lost_until_init[device->index])
                return GPU_IS_LOST;
        return status;
}

static int copy_text(bool unterminated, const char *text, char *ret, unsigned n_ret) {
        if (strlen(text) >= n_ret)
                return INSUFFICIENT_SIZE;
        (void)snprintf(ret, n_ret, "%s", text);
        if (unterminated)
                for (size_t i = strlen(text); i < n_ret; i++)
                        ret[i] = 'x';
        return SUCCESS;
}

/* NOLINTBEGIN(readability-identifier-naming): the names are NVIDIA's */

__attribute__((constructor)) static void on_load(void) {
        Script script;

        (void)begin(&script, "dlopen", -1, WHOLE);
}

EXPORT int nvmlInit_v2(void);
EXPORT int nvmlInit_v2(void) {
        Script script;
        int status = begin(&script, "nvmlInit_v2", -1, WHOLE);

        if (status == SUCCESS)
                status = script.init_status;
        if (status == SUCCESS && n_inits == 0 && script.n_gpus == 0 && script.count < 0)
                status = GPU_NOT_FOUND;
        if (status == SUCCESS && n_inits++ == 0)
                n_found = script.n_gpus;
        return status;
}

static void forget(void) {
        (void)memset(is_lost_until_init, 0, sizeof(is_lost_until_init));
        (void)memset(instances, 0, sizeof(instances));
}

EXPORT int nvmlShutdown(void);
EXPORT int nvmlShutdown(void) {
        Script script;
        int status = begin(&script, "nvmlShutdown", -1, WHOLE);

        if (n_inits == 0)
                return UNINITIALIZED;
        n_inits--;
        if (n_inits == 0)
                forget();
        return status;
}

EXPORT const char *nvmlErrorString(int status);
EXPORT const char *nvmlErrorString(int status) {
        switch (status) {
        case NOT_SUPPORTED:
                return "Not Supported";
        case NO_PERMISSION:
                return "Insufficient Permissions";
        case GPU_IS_LOST:
                return "GPU is lost";
        default:
                return "Unknown Error";
        }
}

EXPORT int nvmlDeviceGetCount_v2(unsigned *ret);
EXPORT int nvmlDeviceGetCount_v2(unsigned *ret) {
        Script script;
        int status = begin(&script, "nvmlDeviceGetCount_v2", -1, WHOLE);

        if (n_inits == 0)
                return UNINITIALIZED;
        if (status == SUCCESS)
                *ret = script.count >= 0 ? (unsigned)script.count : n_found;
        return status;
}

static int hand_out(int index, int instance, const char *call, Device **ret) {
        Device *device = &devices[index][instance - WHOLE];
        Script script;
        int status;

        *device = (Device){ .index = index, .instance = instance };
        status = begin_device(&script, call, device);
        if (status == SUCCESS)
                *ret = device;
        return status;
}

EXPORT int nvmlDeviceGetHandleByIndex_v2(unsigned index, Device **ret);
EXPORT int nvmlDeviceGetHandleByIndex_v2(unsigned index, Device **ret) {
        if (index >= GPUS_MAX)
                return INVALID_ARGUMENT;
        return hand_out((int)index, WHOLE, "nvmlDeviceGetHandleByIndex_v2", ret);
}

EXPORT int nvmlDeviceGetName(Device *device, char *name, unsigned n_name);
EXPORT int nvmlDeviceGetName(Device *device, char *name, unsigned n_name) {
        Script script;
        int status = begin_device(&script, "nvmlDeviceGetName", device);

        return status == SUCCESS ?
                       copy_text(script.gpu.name_unterminated, script.gpu.name, name, n_name) :
                       status;
}

EXPORT int nvmlDeviceGetUUID(Device *device, char *uuid, unsigned n_uuid);
EXPORT int nvmlDeviceGetUUID(Device *device, char *uuid, unsigned n_uuid) {
        Script script;
        int status = begin_device(&script, "nvmlDeviceGetUUID", device);

        return status == SUCCESS ?
                       copy_text(script.gpu.uuid_unterminated, script.gpu.uuid, uuid, n_uuid) :
                       status;
}

/* What it says to who asks for its memory, if it does not tell it. */
static int memory_status(const Script *script, int status) {
        if (status == SUCCESS && script->gpu.is_mig)
                return NO_PERMISSION;
        return status == SUCCESS && script->gpu.is_unified ? NOT_SUPPORTED : status;
}

static uint64_t free_bytes(const Gpu *gpu) {
        return gpu->used_bytes < gpu->total_bytes ? gpu->total_bytes - gpu->used_bytes : 0;
}

/* total, free, used; up to R470 what the driver reserves is in none of them */
EXPORT int nvmlDeviceGetMemoryInfo(Device *device, uint64_t ret[3]);
EXPORT int nvmlDeviceGetMemoryInfo(Device *device, uint64_t ret[3]) {
        Script script;
        int status = begin_device(&script, "nvmlDeviceGetMemoryInfo", device);

        status = memory_status(&script, status);
        if (status == SUCCESS) {
                ret[0] = script.gpu.total_bytes;
                if (NVML_GENERATION < 510)
                        ret[0] -= script.gpu.reserved_bytes;
                ret[1] = free_bytes(&script.gpu);
                ret[2] = ret[0] - ret[1];
        }
        return status;
}

#if NVML_GENERATION >= 510
/* version (32 bits), total, reserved, free, used */
EXPORT int nvmlDeviceGetMemoryInfo_v2(Device *device, uint64_t ret[5]);
EXPORT int nvmlDeviceGetMemoryInfo_v2(Device *device, uint64_t ret[5]) {
        Script script;
        int status = begin_device(&script, "nvmlDeviceGetMemoryInfo_v2", device);
        uint32_t version;

        (void)memcpy(&version, ret, sizeof(version));
        if (version != (2U << 24 | MEMORY_V2_SIZE))
                return ARGUMENT_VERSION_MISMATCH;
        status = memory_status(&script, status);
        if (status == SUCCESS) {
                ret[1] = script.gpu.total_bytes;
                ret[2] = script.gpu.reserved_bytes;
                ret[3] = free_bytes(&script.gpu);
                ret[4] = script.gpu.total_bytes - ret[3] - script.gpu.reserved_bytes;
        }
        return status;
}
#endif

#if NVML_GENERATION >= 450
EXPORT int nvmlDeviceGetMigMode(Device *device, unsigned *ret_now, unsigned *ret_pending);
EXPORT int nvmlDeviceGetMigMode(Device *device, unsigned *ret_now, unsigned *ret_pending) {
        Script script;
        int status = begin_device(&script, "nvmlDeviceGetMigMode", device);

        if (status == SUCCESS) {
                *ret_now = script.gpu.is_mig;
                *ret_pending = script.gpu.is_mig;
        }
        return status;
}

EXPORT int nvmlDeviceGetMaxMigDeviceCount(Device *device, unsigned *ret);
EXPORT int nvmlDeviceGetMaxMigDeviceCount(Device *device, unsigned *ret) {
        Script script;
        int status = begin_device(&script, "nvmlDeviceGetMaxMigDeviceCount", device);

        if (status == SUCCESS)
                *ret = INSTANCES_MAX - 1;
        return status;
}

static bool exists(int gpu, int instance) {
        static Script script;

        return script_read(&script, "nvmlDeviceGetMigDeviceHandleByIndex", gpu, instance) &&
               script.gpu.exists;
}

/*
 * An instance keeps its index as long as it is there. A new one takes the first that is free, where
 * those that have just gone still have theirs.
 */
static void settle_instances(int gpu) {
        unsigned char *indices = instances[gpu];

        for (int i = 0; i < INSTANCES_MAX; i++)
                if (exists(gpu, i) && !memchr(indices, i + 1, INDICES_MAX))
                        *(unsigned char *)memchr(indices, 0, INDICES_MAX) = (unsigned char)(i + 1);
        for (size_t i = 0; i < INDICES_MAX; i++)
                if (indices[i] != 0 && !exists(gpu, indices[i] - 1))
                        indices[i] = 0;
}

EXPORT int nvmlDeviceGetMigDeviceHandleByIndex(Device *device, unsigned index, Device **ret);
EXPORT int nvmlDeviceGetMigDeviceHandleByIndex(Device *device, unsigned index, Device **ret) {
        static const char call[] = "nvmlDeviceGetMigDeviceHandleByIndex";

        if (!device || index >= INDICES_MAX)
                return INVALID_ARGUMENT;
        settle_instances(device->index);
        if (instances[device->index][index] == 0)
                return NOT_FOUND;
        return hand_out(device->index, instances[device->index][index] - 1, call, ret);
}
#endif

EXPORT int nvmlDeviceGetComputeMode(Device *device, int *ret);
EXPORT int nvmlDeviceGetComputeMode(Device *device, int *ret) {
        Script script;
        int status = begin_device(&script, "nvmlDeviceGetComputeMode", device);

        if (status == SUCCESS)
                *ret = script.gpu.compute_mode;
        return status;
}

static void put_entry(unsigned char *entry, size_t size, const Process *process, bool unknown) {
        const uint64_t bytes = unknown ? NOT_AVAILABLE : process->bytes;

        (void)memset(entry, 0xff, size);
        (void)memcpy(entry, &process->pid, sizeof(process->pid));
        (void)memcpy(entry + 8, &bytes, sizeof(bytes));
}

/* Entries of @size bytes for the processes in one list. */
static int list(Device *device,
                const char *call,
                unsigned which,
                size_t size,
                unsigned *n,
                void *ret) {
        Script script;
        int status = begin_device(&script, call, device);
        unsigned char *entries = ret;
        const unsigned n_max = *n;
        unsigned n_listed = 0;

        if (status != SUCCESS)
                return status;
        for (size_t i = 0; i < script.gpu.n_processes; i++) {
                if (script.gpu.processes_hidden || !(script.gpu.processes[i].lists & which))
                        continue;
                if (n_listed < n_max)
                        put_entry(entries + n_listed * size, size, &script.gpu.processes[i],
                                  script.gpu.bytes_unknown);
                n_listed++;
        }

        if (race_tries[device->index] < script.gpu.race) {
                race_tries[device->index]++;
                *n = n_max + 1;
                return INSUFFICIENT_SIZE;
        }
        race_tries[device->index] = 0;
        *n = n_listed;
        return n_listed > n_max ? INSUFFICIENT_SIZE : SUCCESS;
}

#define LIST(symbol, which, size)                                          \
        EXPORT int symbol(Device *device, unsigned *n, void *entries);     \
        EXPORT int symbol(Device *device, unsigned *n, void *entries) {    \
                return list(device, #symbol, (which), (size), n, entries); \
        }

#if NVML_GENERATION != 535
LIST(nvmlDeviceGetComputeRunningProcesses, COMPUTE, 16)
LIST(nvmlDeviceGetGraphicsRunningProcesses, GRAPHICS, 16)
LIST(nvmlDeviceGetMPSComputeRunningProcesses, MPS, NVML_GENERATION == 450 ? 24 : 16)
#endif

#if NVML_GENERATION >= 450 && NVML_GENERATION != 535
LIST(nvmlDeviceGetComputeRunningProcesses_v2, COMPUTE, 24)
LIST(nvmlDeviceGetGraphicsRunningProcesses_v2, GRAPHICS, 24)
#endif

#if NVML_GENERATION >= 470 && NVML_GENERATION != 535
LIST(nvmlDeviceGetMPSComputeRunningProcesses_v2, MPS, 24)
#endif

#if NVML_GENERATION >= 510
#define V3_SIZE (NVML_GENERATION == 535 ? 32 : 24)
LIST(nvmlDeviceGetComputeRunningProcesses_v3, COMPUTE, V3_SIZE)
LIST(nvmlDeviceGetGraphicsRunningProcesses_v3, GRAPHICS, V3_SIZE)
LIST(nvmlDeviceGetMPSComputeRunningProcesses_v3, MPS, V3_SIZE)
#endif

/* Nobody calls these: whether they are there tells the layout of _v3. */
#if NVML_GENERATION >= 535
EXPORT int nvmlDeviceGetConfComputeMemSizeInfo(Device *device, void *ret);
EXPORT int nvmlDeviceGetConfComputeMemSizeInfo(Device *device, void *ret) {
        return NOT_SUPPORTED;
}
#endif
#if NVML_GENERATION >= 550
EXPORT int nvmlDeviceGetRunningProcessDetailList(Device *device, void *ret);
EXPORT int nvmlDeviceGetRunningProcessDetailList(Device *device, void *ret) {
        return NOT_SUPPORTED;
}
#endif

/* NOLINTEND(readability-identifier-naming) */
