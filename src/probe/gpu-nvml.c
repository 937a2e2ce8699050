/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * NVML stays open between looks, and handles, names and UUIDs are fetched once: fetching them anew
 * initialises a GPU that nobody else uses, which takes seconds. Whatever fails on one GPU is said
 * of that GPU alone.
 *
 * The one figure that means the same in every version of the interface is `free`; `used` does not.
 * Lists of processes are for telling who holds what, never for what is free: they omit managed
 * memory and other containers.
 */

#include "probe/gpu-nvml.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "probe/nvml-api.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/macro.h"

enum {
        /* The driver lists at most 950 processes for each kind; more than this is no list. */
        ENTRIES_MAX = 4096,
        ENTRIES_FIRST = 128,
        ENTRIES_SLACK = 32,
        LIST_TRIES_MAX = 5,
};

/*
 * A GPU that was lost is found again only after NVML was shut down and initialised. That may cost
 * seconds for each GPU, so not at every look.
 */
#define REOPEN_US (30 * US_PER_SEC)

typedef struct Gpu {
        NvmlDevice *device;      /* NULL: to be fetched */
        char uuid[GPU_UUID_MAX]; /* empty: never known; kept when the device is lost */
        char name[GPU_NAME_MAX];
} Gpu;

struct GpuDriver {
        NvmlApi api;
        bool is_wsl; /* lists there are empty or Windows' own */
        bool has_lost;
        uint64_t reopen_us;
        uint64_t initialised_at_us; /* CLOCK_BOOTTIME */
        unsigned n_gpus;
        Gpu gpus[GPU_MAX];
        unsigned char *entries; /* of one list of processes */
        unsigned n_entries_allocated;
};

static void nvml_free(GpuDriver *driver) {
        if (!driver)
                return;
        if (driver->api.library)
                (void)driver->api.shutdown();
        nvml_api_close(&driver->api);
        free(driver->entries);
        free(driver);
}
DEFINE_CLEANUP(GpuDriver *, nvml_free);

static void set_text(char text[static GPU_REPORT_TEXT_MAX], const char *fmt, ...) _printf_(2, 3);
static void set_text(char text[static GPU_REPORT_TEXT_MAX], const char *fmt, ...) {
        va_list args;

        va_start(args, fmt);
        (void)vsnprintf(text, GPU_REPORT_TEXT_MAX, fmt, args);
        va_end(args);
}

/* What a person can do about a driver that does not start. */
static void set_init_text(char text[static GPU_REPORT_TEXT_MAX], const NvmlApi *api, int status) {
        switch (status) {
        case NVML_E_DRIVER_NOT_LOADED:
                set_text(text, "the NVIDIA driver is not loaded: 'modprobe nvidia' loads it");
                break;
        case NVML_E_NO_PERMISSION:
                set_text(text, "no permission for the NVIDIA driver: the user of taskflowd must be "
                               "allowed to open /dev/nvidiactl");
                break;
        case NVML_E_OPERATING_SYSTEM:
                set_text(
                        text,
                        "the system does not let us use the NVIDIA driver: is this a container, or "
                        "a unit, that was not given its devices?");
                break;
        case NVML_E_LIB_RM_VERSION_MISMATCH:
                set_text(text, "the NVIDIA driver was upgraded under the running system: reboot or "
                               "reload it");
                break;
        default:
                set_text(text, "the NVIDIA driver does not start: %s (NVML error %d)",
                         nvml_api_error(api, status), status);
        }
}

/*
 * Load one library and start it: 0, NVML_API_E_ABSENT, or NVML_API_E_BROKEN with @text filled in.
 */
static int start_library(NvmlApi *api, const char *library, char text[static GPU_REPORT_TEXT_MAX]) {
        char words[GPU_REPORT_TEXT_MAX / 2];
        int r;

        r = nvml_api_open(api, library, words, sizeof(words));
        if (r == NVML_API_E_BROKEN)
                set_text(text, "cannot use NVIDIA's library '%.80s': %s", library, words);
        if (r != 0)
                return r;

        r = api->init();
        if (r != NVML_SUCCESS) {
                set_init_text(text, api, r);
                nvml_api_close(api);
                return NVML_API_E_BROKEN;
        }
        return 0;
}

/*
 * Where the library is. The loader's way comes first, so that LD_LIBRARY_PATH works. On WSL a
 * distribution's own copy may be there that finds no driver, and the right one lies elsewhere.
 */
static int start_any_library(NvmlApi *api,
                             const char *library,
                             char text[static GPU_REPORT_TEXT_MAX]) {
        static const char *const elsewhere[] = { "/usr/lib/wsl/lib/" GPU_NVML_LIBRARY,
                                                 "/run/opengl-driver/lib/" GPU_NVML_LIBRARY };
        char other_text[GPU_REPORT_TEXT_MAX];
        int first;

        first = start_library(api, library, text);
        if (first == 0 || strcmp(library, GPU_NVML_LIBRARY) != 0)
                return first;

        for (size_t i = 0; i < ELEMENTSOF(elsewhere); i++) {
                int r = start_library(api, elsewhere[i], other_text);

                if (r == 0)
                        return 0;
                if (r == NVML_API_E_BROKEN && first == NVML_API_E_ABSENT) {
                        (void)memcpy(text, other_text, sizeof(other_text));
                        first = r;
                }
        }
        return first;
}

static int nvml_open(GpuDriver **ret,
                     const GpuSources *sources,
                     char text[static GPU_REPORT_TEXT_MAX]) {
        const char *library = sources->nvml_library;
        _cleanup_(nvml_freep) GpuDriver *driver = NULL;
        int r;

        driver = calloc(1, sizeof(*driver));
        if (!driver)
                return -ENOMEM;

        r = start_any_library(&driver->api, library, text);
        if (r == NVML_API_E_BROKEN)
                return -EIO;
        if (r == NVML_API_E_ABSENT && access("/proc/driver/nvidia/version", F_OK) == 0) {
                set_text(text,
                         "the NVIDIA driver is loaded, but its library '%.80s' is not installed",
                         library);
                return -ENOENT;
        }
        if (r == NVML_API_E_ABSENT && strcmp(library, GPU_NVML_LIBRARY) != 0) {
                set_text(text, "there is no library '%.80s' (setting nvml_library)", library);
                return -ENOENT;
        }
        if (r == NVML_API_E_ABSENT) {
                *ret = NULL;
                return 0;
        }

        driver->reopen_us = REOPEN_US;
        driver->is_wsl = access("/dev/dxg", F_OK) == 0;
        driver->initialised_at_us = clock_boottime_us();
        *ret = TAKE_PTR(driver);
        return 0;
}

/* The first remark about a GPU is the one that people see. */
static void remark(GpuReport *report, unsigned index, const char *what) {
        if (report->text[0] == '\0')
                set_text(report->text, "GPU %u: %s", index, what);
}

static bool is_uuid(const char *s) {
        for (const char *p = s; *p; p++)
                if (!isalnum((unsigned char)*p) && !strchr("./-", *p))
                        return false;
        return *s != '\0';
}

/* Names are shown to people and sent as JSON: no bytes that could harm either. */
static void clean_name(char *name) {
        for (char *p = name; *p; p++)
                if ((unsigned char)*p < 0x20 || (unsigned char)*p > 0x7e)
                        *p = '?';
}

static void forget_devices(GpuDriver *driver) {
        for (size_t i = 0; i < GPU_MAX; i++)
                driver->gpus[i].device = NULL;
}

/* Fetch handle, UUID and name of a GPU: NVML's status. */
static int identify(const NvmlApi *api, unsigned index, Gpu *gpu) {
        char uuid[NVML_TEXT_MAX + 1] = "";
        char name[NVML_TEXT_MAX + 1] = "";
        NvmlDevice *device = NULL;
        int status;

        status = api->device_by_index(index, &device);
        if (status != NVML_SUCCESS)
                return status;
        if (!device)
                return NVML_E_UNKNOWN;
        status = api->device_uuid(device, uuid, NVML_TEXT_MAX);
        if (status != NVML_SUCCESS)
                return status;
        /* A name is for people only: without one the GPU is as good. */
        if (api->device_name(device, name, NVML_TEXT_MAX) != NVML_SUCCESS)
                name[0] = '\0';

        uuid[NVML_TEXT_MAX - 1] = '\0';
        name[NVML_TEXT_MAX - 1] = '\0';
        if (!is_uuid(uuid))
                return NVML_E_UNKNOWN;
        clean_name(name);

        gpu->device = device;
        (void)memcpy(gpu->uuid, uuid, sizeof(gpu->uuid));
        (void)memcpy(gpu->name, name, sizeof(gpu->name));
        return NVML_SUCCESS;
}
_Static_assert((int)GPU_UUID_MAX == (int)NVML_TEXT_MAX, "a UUID is copied whole");
_Static_assert((int)GPU_NAME_MAX == (int)NVML_TEXT_MAX, "a name is copied whole");

/* Ask for one list of processes into driver->entries, which grows: NVML's status. */
static int list_entries(GpuDriver *driver,
                        NvmlDevice *device,
                        nvml_processes_fn list,
                        unsigned *ret_n) {
        unsigned n_wanted = MAX(driver->n_entries_allocated, (unsigned)ENTRIES_FIRST);

        for (unsigned i = 0; i < LIST_TRIES_MAX && n_wanted <= ENTRIES_MAX; i++) {
                unsigned n;
                int status;

                if (n_wanted > driver->n_entries_allocated) {
                        unsigned char *entries =
                                reallocarray(driver->entries, n_wanted, NVML_PROCESS_SIZE_MAX);

                        if (!entries)
                                return NVML_E_UNKNOWN;
                        driver->entries = entries;
                        driver->n_entries_allocated = n_wanted;
                }

                n = driver->n_entries_allocated;
                status = list(device, &n, driver->entries);
                if (status == NVML_SUCCESS && n <= driver->n_entries_allocated)
                        *ret_n = n;
                if (status != NVML_E_INSUFFICIENT_SIZE)
                        return n <= driver->n_entries_allocated ? status : NVML_E_UNKNOWN;
                /* More may have come until we ask again. */
                n_wanted = MAX(n, driver->n_entries_allocated) + MIN(n, (unsigned)ENTRIES_SLACK);
        }
        return NVML_E_INSUFFICIENT_SIZE;
}

static bool is_process(uint32_t pid) {
        return pid > 0 && pid <= INT32_MAX && (kill((pid_t)pid, 0) == 0 || errno != ESRCH);
}

/* A process may be in several lists of the same GPU, each with all that it has there. */
static bool add_process(GpuReport *report, size_t first, size_t n_max, const GpuProcess *process) {
        for (size_t i = first; i < report->n_processes; i++)
                if (report->processes[i].pid == process->pid) {
                        report->processes[i].used_bytes =
                                MAX(report->processes[i].used_bytes, process->used_bytes);
                        return true;
                }
        if (report->n_processes >= n_max)
                return false;
        report->processes[report->n_processes++] = *process;
        return true;
}

static bool add_entries(const GpuDriver *driver,
                        unsigned n,
                        size_t size,
                        GpuReport *report,
                        size_t first,
                        size_t n_max) {
        for (unsigned i = 0; i < n; i++) {
                const unsigned char *entry = driver->entries + i * size;
                uint32_t pid;
                uint64_t used_bytes;

                (void)memcpy(&pid, entry, sizeof(pid));
                (void)memcpy(&used_bytes, entry + 8, sizeof(used_bytes));
                if (!is_process(pid))
                        continue; /* it has just ended, or is none that we can see */
                if (!add_process(report, first, n_max,
                                 &(GpuProcess){ .pid = (pid_t)pid,
                                                .gpu = report->n_gpus,
                                                .used_bytes = used_bytes }))
                        return false;
        }
        return true;
}

/*
 * All processes on a GPU, appended to the report. *ret_known is false if a list is missing. Returns
 * NVML's status: only a lost GPU, or a lost driver, is worth one.
 */
static int list_processes(GpuDriver *driver,
                          NvmlDevice *device,
                          GpuReport *report,
                          size_t n_max,
                          bool *ret_known) {
        const size_t first = report->n_processes;

        *ret_known = !driver->is_wsl;
        for (unsigned kind = 0; kind < N_NVML_PROCESSES; kind++) {
                int status = NVML_E_FUNCTION_NOT_FOUND;
                nvml_processes_fn list;
                unsigned n = 0;
                size_t size;

                list = nvml_api_processes(&driver->api, kind, &size);
                if (list)
                        status = list_entries(driver, device, list, &n);
                if (status == NVML_E_GPU_IS_LOST || status == NVML_E_UNINITIALIZED)
                        return status;
                /*
                 * Graphics and MPS are not on every GPU; without the list of compute none is whole.
                 */
                if ((status == NVML_E_NOT_SUPPORTED || status == NVML_E_FUNCTION_NOT_FOUND) &&
                    kind != NVML_PROCESSES_COMPUTE)
                        continue;
                if (status != NVML_SUCCESS || !add_entries(driver, n, size, report, first, n_max))
                        *ret_known = false;
        }
        return NVML_SUCCESS;
}

/* Total and free: NVML's status; NOT_SUPPORTED also where there is no memory of its own. */
static int read_memory(const NvmlApi *api, NvmlDevice *device, GpuSample *sample) {
        NvmlMemoryV2 v2 = { .version = NVML_MEMORY_V2 };
        NvmlMemory v1 = {};
        int status = NVML_E_FUNCTION_NOT_FOUND;

        if (api->device_memory_v2)
                status = api->device_memory_v2(device, &v2);
        if (status == NVML_SUCCESS) {
                sample->total_bytes = v2.total_bytes;
                sample->free_bytes = v2.free_bytes;
        } else if (status != NVML_E_GPU_IS_LOST && status != NVML_E_UNINITIALIZED) {
                /* Older drivers have no v2, and WSL had one that did not work. */
                status = api->device_memory(device, &v1);
                sample->total_bytes = v1.total_bytes;
                sample->free_bytes = v1.free_bytes;
        }

        if (status == NVML_SUCCESS && sample->total_bytes == 0)
                return NVML_E_NOT_SUPPORTED;
        if (status == NVML_SUCCESS && sample->free_bytes > sample->total_bytes)
                return NVML_E_UNKNOWN;
        return status;
}

/*
 * A list with more than the GPU has was read in another layout than it was written: no part is
 * true.
 */
static void check_processes(GpuReport *report, size_t first, GpuSample *sample) {
        for (size_t i = first; i < report->n_processes; i++) {
                uint64_t used_bytes = report->processes[i].used_bytes;

                if (used_bytes == NVML_VALUE_NOT_AVAILABLE) {
                        sample->processes_known = false;
                } else if (used_bytes > sample->total_bytes) {
                        report->n_processes = (unsigned)first;
                        sample->processes_known = false;
                        remark(report, sample->index, "its list of processes makes no sense");
                }
        }
        sample->n_processes = report->n_processes - (unsigned)first;
}

static bool is_split(const NvmlApi *api, NvmlDevice *device) {
        unsigned now = 0;
        unsigned pending = 0;

        return api->device_mig_mode &&
               api->device_mig_mode(device, &now, &pending) == NVML_SUCCESS &&
               now == NVML_MIG_ENABLED;
}

/*
 * Figures of one GPU that has a handle: NVML's status. The processes come first (decisions.md 2).
 */
static int measure(GpuDriver *driver,
                   const Gpu *gpu,
                   GpuReport *report,
                   size_t n_max,
                   GpuSample *sample) {
        const size_t first = report->n_processes;
        int status;

        if (is_split(&driver->api, gpu->device)) {
                remark(report, sample->index,
                       "split into instances (MIG), which are not supported");
                return NVML_SUCCESS;
        }
        status = list_processes(driver, gpu->device, report, n_max, &sample->processes_known);
        if (status == NVML_SUCCESS)
                status = read_memory(&driver->api, gpu->device, sample);
        if (status != NVML_SUCCESS) {
                report->n_processes = (unsigned)first;
                return status;
        }

        check_processes(report, first, sample);
        sample->state = GPU_STATE_OK;
        return NVML_SUCCESS;
}

static bool is_listed(const GpuReport *report, const char *uuid) {
        for (unsigned i = 0; i < report->n_gpus; i++)
                if (strcmp(report->gpus[i].uuid, uuid) == 0)
                        return true;
        return false;
}

static void remark_status(GpuReport *report, const NvmlApi *api, unsigned index, int status) {
        char words[GPU_REPORT_TEXT_MAX / 2];

        if (status == NVML_E_NOT_SUPPORTED) {
                remark(report, index, "it shares the machine's RAM, which is not supported");
                return;
        }
        (void)snprintf(words, sizeof(words), "%s (NVML error %d)", nvml_api_error(api, status),
                       status);
        remark(report, index, words);
}

/* One GPU into the report. What fails is said of it and costs no other its place. */
static int look_at(GpuDriver *driver, unsigned index, GpuReport *report, size_t n_max) {
        Gpu *gpu = &driver->gpus[index];
        GpuSample sample = { .index = index, .state = GPU_STATE_UNKNOWN };
        int status = NVML_SUCCESS;

        if (!gpu->device)
                status = identify(&driver->api, index, gpu);
        if (status == NVML_SUCCESS && is_listed(report, gpu->uuid))
                return 0;
        if (status == NVML_SUCCESS)
                status = measure(driver, gpu, report, n_max, &sample);
        if (status == NVML_E_UNINITIALIZED)
                return -EIO;
        if (status == NVML_E_GPU_IS_LOST) {
                driver->has_lost = true;
                sample.state = GPU_STATE_LOST;
        }
        if (status != NVML_SUCCESS) {
                gpu->device = NULL; /* it may be stale */
                remark_status(report, &driver->api, index, status);
        }

        /* One that never told its UUID can't be spoken of. */
        if (gpu->uuid[0] == '\0' || is_listed(report, gpu->uuid))
                return 0;
        (void)memcpy(sample.uuid, gpu->uuid, sizeof(sample.uuid));
        (void)memcpy(sample.name, gpu->name, sizeof(sample.name));
        report->gpus[report->n_gpus++] = sample;
        return 0;
}

static int reinitialise(GpuDriver *driver) {
        (void)driver->api.shutdown();
        forget_devices(driver);
        driver->initialised_at_us = clock_boottime_us();
        return driver->api.init() == NVML_SUCCESS ? 0 : -EIO;
}

static int nvml_look(GpuDriver *driver, GpuReport *report, size_t n_processes_max) {
        unsigned n_gpus = 0;
        int r;

        if (driver->has_lost &&
            clock_boottime_us() - driver->initialised_at_us >= driver->reopen_us) {
                r = reinitialise(driver);
                if (r < 0)
                        return r;
        }
        driver->has_lost = false;

        if (driver->api.device_count(&n_gpus) != NVML_SUCCESS)
                return -EIO;
        n_gpus = MIN(n_gpus, (unsigned)GPU_MAX - report->n_gpus);
        if (n_gpus != driver->n_gpus)
                forget_devices(driver); /* one came or went: the others may have moved */
        driver->n_gpus = n_gpus;

        for (unsigned i = 0; i < n_gpus; i++) {
                r = look_at(driver, i, report, n_processes_max);
                if (r < 0)
                        return r;
        }
        return 0;
}

void gpu_nvml_set_reopen_us(GpuDriver *driver, uint64_t us) {
        driver->reopen_us = us;
}

const GpuVendor gpu_nvml = {
        .kind = GPU_KIND_NVIDIA,
        .open = nvml_open,
        .look = nvml_look,
        .free = nvml_free,
};
