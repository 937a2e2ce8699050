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
 *     count N                    what nvmlDeviceGetCount_v2() says; default: number of `gpu` lines
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
 *     mig                        the GPU is split into instances
 *     unterminated               name and UUID fill their buffers without a NUL
 *     race N                     the first N tries of each list say INSUFFICIENT_SIZE
 *     lost [until-init]          the same as `error * 15`; with the word it stays so after the line
 *                                has gone, until NVML was shut down, as real ones do
 *
 *     error CALL STATUS          CALL returns this. CALL is a symbol, or `*`
 *     hang CALL                  CALL does not return while this line is there
 *     slow CALL MILLISECONDS     CALL takes that long
 *     crash CALL                 CALL ends with SIGSEGV
 *
 * The last four are about every GPU, or below a `gpu` only about calls for that one, of which
 * nvmlDeviceGetHandleByIndex_v2 is the first.
 *
 * A program can also take GPU memory by itself: in the folder $TASKFLOW_TEST_NVML.d a file named by
 * its pid, with a line `GPU SIZE [LIST…]` for each GPU (an index or a UUID), is a process there as
 * long as one of that pid lives; zombies count as dead. Its memory IS added to what is used. hold.c
 * writes such files. Other file names than numbers are ignored.
 *
 * Generations of the driver differ in the symbols that there are. NVML_GENERATION chooses at
 * compile time: 450 (no nvmlDeviceGetMemoryInfo_v2, lists without a version alone), 470 (_v2 lists
 * as well), 535 (the release whose _v3 lists have entries of 32 bytes; without the other lists, so
 * that they are used) and 550.
 */

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifndef NVML_GENERATION
#define NVML_GENERATION 550
#endif

#define EXPORT __attribute__((visibility("default")))

enum {
        SUCCESS = 0,
        UNINITIALIZED = 1,
        INVALID_ARGUMENT = 2,
        NOT_SUPPORTED = 3,
        INSUFFICIENT_SIZE = 7,
        DRIVER_NOT_LOADED = 9,
        GPU_IS_LOST = 15,
        ARGUMENT_VERSION_MISMATCH = 25,
};

enum {
        GPUS_MAX = 80, /* more than taskflow takes, on purpose */
        PROCESSES_MAX = 2048,
        TEXT_MAX = 96,
        MEMORY_V2_SIZE = 40,
        HANG_STEP_US = 20000,
        COMPUTE = 1,
        GRAPHICS = 2,
        MPS = 4,
};

#define NOT_AVAILABLE UINT64_MAX

typedef struct Process {
        unsigned pid;
        uint64_t bytes;
        unsigned lists;
} Process;

typedef struct Gpu {
        bool exists;
        char uuid[TEXT_MAX];
        char name[TEXT_MAX];
        uint64_t total_bytes;
        uint64_t used_bytes;
        uint64_t reserved_bytes;
        bool bytes_unknown;
        bool is_mig;
        bool unterminated;
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
        bool crash;
        long slow_ms;
        unsigned n_gpus;
        Gpu gpu; /* the one that the call is about */
} Script;

/* A handle is the address of one of these. */
typedef struct Device {
        unsigned index;
} Device;

static Device devices[GPUS_MAX];
static unsigned race_tries[GPUS_MAX];
static bool is_lost_until_init[GPUS_MAX];
static int n_inits;

static uint64_t parse_size(const char *word) {
        static const char units[] = "KMGT";
        char *end = NULL;
        uint64_t value = strtoull(word, &end, 10);
        const char *unit = *end ? strchr(units, toupper((unsigned char)*end)) : NULL;

        return unit ? value << (10 * (unit - units + 1)) : value;
}

static unsigned parse_lists(char **rest) {
        unsigned lists = 0;

        for (char *word = strtok_r(NULL, " \t", rest); word; word = strtok_r(NULL, " \t", rest))
                if (strcmp(word, "graphics") == 0)
                        lists |= GRAPHICS;
                else if (strcmp(word, "mps") == 0)
                        lists |= MPS;
                else
                        lists |= COMPUTE;
        return lists ? lists : COMPUTE;
}

static void add_process(Gpu *gpu, unsigned pid, const char *size, char **rest) {
        if (gpu->n_processes == PROCESSES_MAX)
                return;
        gpu->processes[gpu->n_processes++] = (Process){
                .pid = pid,
                .bytes = strcmp(size, "n/a") == 0 ? NOT_AVAILABLE : parse_size(size),
                .lists = parse_lists(rest),
        };
}

/* Lines that say how calls fail. */
static bool parse_trouble(Script *script, const char *call, const char *key, char **rest) {
        const char *which;
        const char *value;
        bool is_meant;

        if (strcmp(key, "error") != 0 && strcmp(key, "hang") != 0 && strcmp(key, "slow") != 0 &&
            strcmp(key, "crash") != 0)
                return false;

        which = strtok_r(NULL, " \t", rest);
        value = strtok_r(NULL, " \t", rest);
        is_meant = which && (strcmp(which, "*") == 0 || strcmp(which, call) == 0);
        if (!is_meant)
                return true;
        if (*key == 'e' && value)
                script->status = atoi(value); /* NOLINT(cert-err34-c): a test wrote it */
        if (*key == 's' && value)
                script->slow_ms = atol(value); /* NOLINT(cert-err34-c): a test wrote it */
        script->hang |= *key == 'h';
        script->crash |= *key == 'c';
        return true;
}

static void parse_gpu_process(Gpu *gpu, char **rest) {
        const char *pid = strtok_r(NULL, " \t", rest);
        const char *size = strtok_r(NULL, " \t", rest);

        if (!pid || !size)
                return;
        if (strcmp(pid, "self") == 0)
                add_process(gpu, (unsigned)getpid(), size, rest);
        else
                add_process(gpu, (unsigned)parse_size(pid), size, rest);
}

static void parse_gpu_line(Gpu *gpu, const char *key, char **rest) {
        const char *value;

        if (strcmp(key, "name") == 0) {
                (void)snprintf(gpu->name, sizeof(gpu->name), "%s", *rest + strspn(*rest, " \t"));
                return;
        }
        if (strcmp(key, "process") == 0) {
                parse_gpu_process(gpu, rest);
                return;
        }

        value = strtok_r(NULL, " \t", rest);
        if (strcmp(key, "mig") == 0)
                gpu->is_mig = true;
        else if (strcmp(key, "unterminated") == 0)
                gpu->unterminated = true;
        else if (!value)
                return;
        else if (strcmp(key, "uuid") == 0)
                (void)snprintf(gpu->uuid, sizeof(gpu->uuid), "%s", value);
        else if (strcmp(key, "total") == 0)
                gpu->total_bytes = parse_size(value);
        else if (strcmp(key, "used") == 0)
                gpu->used_bytes = parse_size(value);
        else if (strcmp(key, "reserved") == 0)
                gpu->reserved_bytes = parse_size(value);
        else if (strcmp(key, "processes") == 0)
                gpu->bytes_unknown = strcmp(value, "n/a") == 0;
        else if (strcmp(key, "race") == 0)
                gpu->race = (unsigned)parse_size(value);
}

/* One line. @now is the GPU that it is about, -1 in front of the first. */
static void parse_line(Script *script, char *line, const char *call, int wanted, int *now) {
        char *rest = NULL;
        const char *key;

        line[strcspn(line, "#\n")] = '\0';
        key = strtok_r(line, " \t", &rest);
        if (!key)
                return;
        if (strcmp(key, "gpu") == 0) {
                const char *index = strtok_r(NULL, " \t", &rest);

                *now = index ? (int)parse_size(index) : -1;
                script->n_gpus++;
                script->gpu.exists |= *now == wanted && wanted >= 0;
                return;
        }
        if ((*now >= 0 && *now != wanted) || parse_trouble(script, call, key, &rest))
                return;

        if (*now >= 0 && strcmp(key, "lost") == 0) {
                script->status = GPU_IS_LOST;
                is_lost_until_init[wanted] |= strstr(rest, "until-init") != NULL;
        }
        if (*now >= 0)
                parse_gpu_line(&script->gpu, key, &rest);
        else if (strcmp(key, "init") == 0)
                script->init_status = (int)parse_size(rest + strspn(rest, " \t"));
        else if (strcmp(key, "count") == 0)
                script->count = (int)parse_size(rest + strspn(rest, " \t"));
}

static bool is_alive(unsigned pid) {
        char path[64];
        char text[512];
        const char *name_end;
        FILE *f;
        size_t n;

        (void)snprintf(path, sizeof(path), "/proc/%u/stat", pid);
        f = fopen(path, "re");
        if (!f)
                return false;
        n = fread(text, 1, sizeof(text) - 1, f);
        (void)fclose(f);
        text[n] = '\0';
        name_end = strrchr(text, ')');
        return name_end && name_end[1] == ' ' && name_end[2] != 'Z' && name_end[2] != 'X';
}

/* One file of the folder: what a process says that it holds. */
static void read_holder(Gpu *gpu, unsigned index, const char *folder, const char *pid) {
        char path[4096];
        char line[256];
        FILE *f;

        (void)snprintf(path, sizeof(path), "%s/%s", folder, pid);
        f = fopen(path, "re");
        if (!f)
                return;
        while (fgets(line, sizeof(line), f)) {
                char *rest = NULL;
                char number[16];
                const char *which;
                const char *size;

                line[strcspn(line, "\n")] = '\0';
                which = strtok_r(line, " \t", &rest);
                size = strtok_r(NULL, " \t", &rest);
                (void)snprintf(number, sizeof(number), "%u", index);
                if (!which || !size ||
                    (strcmp(which, number) != 0 && strcmp(which, gpu->uuid) != 0))
                        continue;
                gpu->used_bytes += parse_size(size);
                add_process(gpu, (unsigned)parse_size(pid), size, &rest);
        }
        (void)fclose(f);
}

static void read_holders(Gpu *gpu, unsigned index, const char *script_path) {
        char folder[3072];
        const struct dirent *entry;
        DIR *dir;

        (void)snprintf(folder, sizeof(folder), "%s.d", script_path);
        dir = opendir(folder);
        if (!dir)
                return;
        while ((entry = readdir(dir)))
                if (isdigit((unsigned char)entry->d_name[0]) &&
                    is_alive((unsigned)parse_size(entry->d_name)))
                        read_holder(gpu, index, folder, entry->d_name);
        (void)closedir(dir);
}

/* Read all, for a call about GPU @wanted, or -1. */
static bool read_script(Script *script, const char *call, int wanted) {
        const char *path = getenv("TASKFLOW_TEST_NVML");
        char line[512];
        int now = -1;
        FILE *f;

        *script = (Script){ .count = -1, .gpu = { .total_bytes = UINT64_C(80) << 30 } };
        (void)snprintf(script->gpu.uuid, sizeof(script->gpu.uuid),
                       "GPU-00000000-0000-0000-0000-%012d", wanted);
        (void)snprintf(script->gpu.name, sizeof(script->gpu.name), "NVIDIA Stand-In");

        f = path ? fopen(path, "re") : NULL;
        if (!f)
                return false;
        while (fgets(line, sizeof(line), f))
                parse_line(script, line, call, wanted, &now);
        (void)fclose(f);
        if (script->gpu.exists)
                read_holders(&script->gpu, (unsigned)wanted, path);
        return true;
}

static void pause_us(long us) {
        struct timespec t = { .tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000 };

        while (nanosleep(&t, &t) < 0 && errno == EINTR)
                ;
}

/* What every call begins with: the script, and the troubles in it. */
static int begin(Script *script, const char *call, int wanted) {
        bool is_there = read_script(script, call, wanted);

        if (script->crash) {
                (void)signal(SIGSEGV, SIG_DFL); /* a sanitizer would make an exit of it */
                (void)raise(SIGSEGV);
        }
        if (script->slow_ms > 0)
                pause_us(script->slow_ms * 1000);
        while (is_there && script->hang) {
                pause_us(HANG_STEP_US);
                is_there = read_script(script, call, wanted);
        }
        if (!is_there)
                return DRIVER_NOT_LOADED;
        return script->status;
}

static int begin_device(Script *script, const char *call, const Device *device) {
        int status;

        if (!device || device < devices || device >= devices + GPUS_MAX)
                return INVALID_ARGUMENT;
        status = begin(script, call, (int)device->index);
        if (n_inits == 0)
                return UNINITIALIZED;
        if (status == SUCCESS && !script->gpu.exists)
                return INVALID_ARGUMENT;
        if (is_lost_until_init[device->index])
                return GPU_IS_LOST;
        return status;
}

static int copy_text(const Gpu *gpu, const char *text, char *ret, unsigned n_ret) {
        if (strlen(text) >= n_ret)
                return INSUFFICIENT_SIZE;
        (void)snprintf(ret, n_ret, "%s", text);
        if (gpu->unterminated)
                for (size_t i = strlen(text); i < n_ret; i++)
                        ret[i] = 'x';
        return SUCCESS;
}

/* NOLINTBEGIN(readability-identifier-naming): the names are NVIDIA's */

EXPORT int nvmlInit_v2(void);
EXPORT int nvmlInit_v2(void) {
        Script script;
        int status = begin(&script, "nvmlInit_v2", -1);

        if (status == SUCCESS)
                status = script.init_status;
        if (status == SUCCESS)
                n_inits++;
        return status;
}

EXPORT int nvmlShutdown(void);
EXPORT int nvmlShutdown(void) {
        Script script;
        int status = begin(&script, "nvmlShutdown", -1);

        if (n_inits == 0)
                return UNINITIALIZED;
        n_inits--;
        if (n_inits == 0)
                for (size_t i = 0; i < GPUS_MAX; i++)
                        is_lost_until_init[i] = false;
        return status;
}

EXPORT const char *nvmlErrorString(int status);
EXPORT const char *nvmlErrorString(int status) {
        switch (status) {
        case NOT_SUPPORTED:
                return "Not Supported";
        case 4:
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
        int status = begin(&script, "nvmlDeviceGetCount_v2", -1);

        if (n_inits == 0)
                return UNINITIALIZED;
        if (status == SUCCESS)
                *ret = script.count >= 0 ? (unsigned)script.count : script.n_gpus;
        return status;
}

EXPORT int nvmlDeviceGetHandleByIndex_v2(unsigned index, Device **ret);
EXPORT int nvmlDeviceGetHandleByIndex_v2(unsigned index, Device **ret) {
        Script script;
        int status;

        if (index >= GPUS_MAX)
                return INVALID_ARGUMENT;
        devices[index].index = index;
        status = begin_device(&script, "nvmlDeviceGetHandleByIndex_v2", &devices[index]);
        if (status == SUCCESS)
                *ret = &devices[index];
        return status;
}

EXPORT int nvmlDeviceGetName(Device *device, char *name, unsigned n_name);
EXPORT int nvmlDeviceGetName(Device *device, char *name, unsigned n_name) {
        Script script;
        int status = begin_device(&script, "nvmlDeviceGetName", device);

        return status == SUCCESS ? copy_text(&script.gpu, script.gpu.name, name, n_name) : status;
}

EXPORT int nvmlDeviceGetUUID(Device *device, char *uuid, unsigned n_uuid);
EXPORT int nvmlDeviceGetUUID(Device *device, char *uuid, unsigned n_uuid) {
        Script script;
        int status = begin_device(&script, "nvmlDeviceGetUUID", device);

        return status == SUCCESS ? copy_text(&script.gpu, script.gpu.uuid, uuid, n_uuid) : status;
}

static uint64_t free_bytes(const Gpu *gpu) {
        return gpu->used_bytes < gpu->total_bytes ? gpu->total_bytes - gpu->used_bytes : 0;
}

/* total, free, used */
EXPORT int nvmlDeviceGetMemoryInfo(Device *device, uint64_t ret[3]);
EXPORT int nvmlDeviceGetMemoryInfo(Device *device, uint64_t ret[3]) {
        Script script;
        int status = begin_device(&script, "nvmlDeviceGetMemoryInfo", device);

        if (status == SUCCESS) {
                ret[0] = script.gpu.total_bytes;
                ret[1] = free_bytes(&script.gpu);
                ret[2] = script.gpu.total_bytes - ret[1];
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
        if (status == SUCCESS) {
                ret[1] = script.gpu.total_bytes;
                ret[2] = script.gpu.reserved_bytes;
                ret[3] = free_bytes(&script.gpu);
                ret[4] = script.gpu.total_bytes - ret[3] - script.gpu.reserved_bytes;
        }
        return status;
}
#endif

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
                if (!(script.gpu.processes[i].lists & which))
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
LIST(nvmlDeviceGetMPSComputeRunningProcesses, MPS, 16)
#endif

#if NVML_GENERATION >= 470 && NVML_GENERATION != 535
LIST(nvmlDeviceGetComputeRunningProcesses_v2, COMPUTE, 24)
LIST(nvmlDeviceGetGraphicsRunningProcesses_v2, GRAPHICS, 24)
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
