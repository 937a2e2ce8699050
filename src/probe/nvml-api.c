/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "probe/nvml-api.h"

#include <assert.h>
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "util/macro.h"

typedef struct Symbol {
        const char *name;
        size_t offset;
        bool optional; /* not in every driver that we work with */
} Symbol;

#define OFFSET(member) offsetof(NvmlApi, member)
#define LIST_OFFSET(kind, member) \
        (OFFSET(processes) + (kind) * sizeof(NvmlProcessesApi) + offsetof(NvmlProcessesApi, member))

/* clang-format off */

/* The three functions that list one kind of processes. */
#define LISTS(name, kind)                                     \
        { name,       LIST_OFFSET(kind, unversioned), true }, \
        { name "_v2", LIST_OFFSET(kind, v2),          true }, \
        { name "_v3", LIST_OFFSET(kind, v3),          true }

static const Symbol symbols[] = {
        { "nvmlInit_v2",                           OFFSET(init),                false },
        { "nvmlShutdown",                          OFFSET(shutdown),            false },
        { "nvmlErrorString",                       OFFSET(error_string),        true  },
        { "nvmlDeviceGetCount_v2",                 OFFSET(device_count),        false },
        { "nvmlDeviceGetHandleByIndex_v2",         OFFSET(device_by_index),     false },
        { "nvmlDeviceGetName",                     OFFSET(device_name),         false },
        { "nvmlDeviceGetUUID",                     OFFSET(device_uuid),         false },
        { "nvmlDeviceGetMemoryInfo",               OFFSET(device_memory),       false },
        { "nvmlDeviceGetMemoryInfo_v2",            OFFSET(device_memory_v2),    true  },
        { "nvmlDeviceGetComputeMode",              OFFSET(device_compute_mode), true  },
        { "nvmlDeviceGetMigMode",                  OFFSET(device_mig_mode),     true  },
        { "nvmlDeviceGetMaxMigDeviceCount",        OFFSET(device_mig_count),    true  },
        { "nvmlDeviceGetMigDeviceHandleByIndex",   OFFSET(device_mig_by_index), true  },
        LISTS("nvmlDeviceGetComputeRunningProcesses",    NVML_PROCESSES_COMPUTE),
        LISTS("nvmlDeviceGetGraphicsRunningProcesses",   NVML_PROCESSES_GRAPHICS),
        LISTS("nvmlDeviceGetMPSComputeRunningProcesses", NVML_PROCESSES_MPS),
        { "nvmlDeviceGetConfComputeMemSizeInfo",   OFFSET(cc_memory_size),      true  },
        { "nvmlDeviceGetRunningProcessDetailList", OFFSET(process_detail_list), true  },
};

/* clang-format on */

static void set_text(char *text, size_t n_text, const char *words) {
        (void)snprintf(text, n_text, "%s", words ? words : "no reason given");
}

/*
 * Only the words tell a file that is missing from one that is broken, or lacks a library of its
 * own.
 */
static bool is_absent(const char *library, const char *words) {
        if (!words)
                return false;
        return strncmp(words, library, strlen(library)) == 0 &&
               strstr(words, "cannot open shared object file: No such file or directory");
}

static int resolve(NvmlApi *api, const char *library, char *text, size_t n_text) {
        for (size_t i = 0; i < ELEMENTSOF(symbols); i++) {
                void *address = dlsym(api->library, symbols[i].name);

                if (!address && !symbols[i].optional) {
                        (void)snprintf(text, n_text, "%s has no %s", library, symbols[i].name);
                        return NVML_API_E_BROKEN;
                }
                /*
                 * A function's address in a pointer to data: POSIX allows it, C has no cast for it.
                 */
                memcpy((char *)api + symbols[i].offset, &address, sizeof(address));
        }
        return 0;
}

int nvml_api_open(NvmlApi *api, const char *library, char *text, size_t n_text) {
        NvmlApi opened = {};
        int r;

        opened.library = dlopen(library, RTLD_NOW | RTLD_LOCAL);
        if (!opened.library) {
                const char *words = dlerror();

                set_text(text, n_text, words);
                return is_absent(library, words) ? NVML_API_E_ABSENT : NVML_API_E_BROKEN;
        }

        r = resolve(&opened, library, text, n_text);
        if (r != 0) {
                nvml_api_close(&opened);
                return r;
        }

        *api = opened;
        return 0;
}

void nvml_api_close(NvmlApi *api) {
        if (api->library)
                (void)dlclose(api->library);
        *api = (NvmlApi){};
}

const char *nvml_api_error(const NvmlApi *api, int status) {
        const char *words = api->error_string ? api->error_string(status) : NULL;

        return words && *words ? words : "unknown error";
}

/*
 * Drivers 535.43 to 535.86 write 32 bytes for an entry of v3 and say so nowhere. They had the one
 * of these two symbols already, and not yet the other.
 */
static size_t v3_size(const NvmlApi *api) {
        return api->cc_memory_size && !api->process_detail_list ? 32 : 24;
}

/*
 * Drivers 450 and 460 have only one function for MPS, which writes what their v2 of the others
 * writes.
 */
static size_t unversioned_size(const NvmlApi *api, NvmlProcesses kind) {
        return kind == NVML_PROCESSES_MPS && api->processes[NVML_PROCESSES_COMPUTE].v2 ? 24 : 16;
}

nvml_processes_fn nvml_api_processes(const NvmlApi *api, NvmlProcesses kind, size_t *ret_size) {
        const NvmlProcessesApi *processes = &api->processes[kind];

        assert((unsigned)kind < N_NVML_PROCESSES);
        if (processes->v2) {
                *ret_size = 24;
                return processes->v2;
        }
        if (processes->unversioned) {
                *ret_size = unversioned_size(api, kind);
                return processes->unversioned;
        }
        *ret_size = v3_size(api);
        return processes->v3;
}
