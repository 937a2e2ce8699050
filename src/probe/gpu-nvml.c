/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * NVML stays open between looks, and handles and names are fetched once: fetching a handle anew
 * initialises a GPU that nobody else uses, which takes seconds. A UUID is asked for each time, so
 * that a handle never speaks for another GPU than it is said to. Whatever fails on one GPU is said
 * of that GPU alone.
 *
 * The one figure that means the same in every version of the interface is `free`; `used` does not.
 *
 * The instances of a GPU that is split (MIG) come and go, and their handles are used again for
 * others: they are fetched at each look, and nothing is remembered of one that is gone.
 */

#include "probe/gpu-nvml.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "probe/nvml-api.h"
#include "probe/nvml-kernel.h"
#include "probe/nvml-processes.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/macro.h"

/*
 * A GPU that was lost is found again only after NVML was shut down and initialised. That may cost
 * seconds for each GPU, so not at every look.
 */
#define REOPEN_US (30 * US_PER_SEC)

typedef struct Gpu {
        NvmlDevice *device;      /* NULL: to be fetched */
        char uuid[GPU_UUID_MAX]; /* empty: never known; kept when the device is lost */
        char name[GPU_NAME_MAX];
        bool has_memory; /* of its own: it was told once */
} Gpu;

struct GpuDriver {
        NvmlApi api;
        bool is_wsl; /* lists there are empty or Windows' own */
        bool has_lost;
        bool is_empty; /* NVML did not start, for want of a GPU; one may come */
        char *proc;
        uint64_t kernel_gpus; /* nvml_kernel_gpus() when NVML was initialised */
        uint64_t reopen_us;
        uint64_t initialised_at_us; /* CLOCK_BOOTTIME */
        unsigned n_gpus;
        Gpu gpus[GPU_MAX];
        NvmlEntries entries;
};

static void stop(GpuDriver *driver) {
        if (driver->api.library && !driver->is_empty)
                (void)driver->api.shutdown();
}

static void nvml_free(GpuDriver *driver) {
        if (!driver)
                return;
        stop(driver);
        nvml_api_close(&driver->api);
        free(driver->proc);
        free(driver->entries.bytes);
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

static bool is_on_wsl(void) {
        return access("/dev/dxg", F_OK) == 0;
}

/*
 * The library says "not loaded" whenever it cannot open /dev/nvidiactl, so also where a container,
 * or a unit's DeviceAllow, keeps it from us.
 */
static void set_not_loaded_text(char text[static GPU_REPORT_TEXT_MAX], const char *proc) {
        if (is_on_wsl())
                set_text(text, "Windows has no NVIDIA driver that WSL can use: install or update "
                               "it there, then 'wsl --shutdown'");
        else if (nvml_kernel_is_loaded(proc))
                set_text(text, "the NVIDIA driver is loaded, but /dev/nvidiactl cannot be opened: "
                               "is this a container, or a unit, that was not given its devices? "
                               "Elsewhere 'nvidia-smi', as root, makes them");
        else
                set_text(text, "the NVIDIA driver is not loaded: 'modprobe nvidia' loads it");
}

/* What a person can do about a driver that does not start. */
static void set_init_text(char text[static GPU_REPORT_TEXT_MAX],
                          const NvmlApi *api,
                          const char *proc,
                          int status) {
        switch (status) {
        case NVML_E_DRIVER_NOT_LOADED:
                set_not_loaded_text(text, proc);
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

/* Before some release the library has no status of its own for that. */
static bool means_no_gpu(const GpuDriver *driver, int status) {
        return status == NVML_E_GPU_NOT_FOUND ||
               (status == NVML_E_UNKNOWN && driver->kernel_gpus == NVML_KERNEL_NO_GPU);
}

/* NVML's status; a machine whose last GPU has gone is no failure. */
static int start(GpuDriver *driver) {
        int status;

        driver->initialised_at_us = clock_boottime_us();
        driver->kernel_gpus = nvml_kernel_gpus(driver->proc);
        status = driver->api.init();
        driver->is_empty = means_no_gpu(driver, status);
        return driver->is_empty ? NVML_SUCCESS : status;
}

/*
 * Load one library and start it: 0, NVML_API_E_ABSENT, or NVML_API_E_BROKEN with @text filled in.
 */
static int start_library(GpuDriver *driver,
                         const char *library,
                         char text[static GPU_REPORT_TEXT_MAX]) {
        char words[GPU_REPORT_TEXT_MAX / 2];
        int r;

        r = nvml_api_open(&driver->api, library, words, sizeof(words));
        if (r == NVML_API_E_BROKEN)
                set_text(text, "cannot use NVIDIA's library '%.80s': %s", library, words);
        if (r != 0)
                return r;

        r = start(driver);
        if (r != NVML_SUCCESS) {
                set_init_text(text, &driver->api, driver->proc, r);
                nvml_api_close(&driver->api);
                return NVML_API_E_BROKEN;
        }
        return 0;
}

/*
 * Where the library is. The loader's way comes first, so that LD_LIBRARY_PATH works. On WSL a
 * distribution's own copy may be there that finds no driver, and the right one, whose words count,
 * lies elsewhere.
 */
static int start_any_library(GpuDriver *driver,
                             const char *library,
                             char text[static GPU_REPORT_TEXT_MAX]) {
        static const char *const elsewhere[] = { "/usr/lib/wsl/lib/" GPU_NVML_LIBRARY,
                                                 "/run/opengl-driver/lib/" GPU_NVML_LIBRARY };
        char other_text[GPU_REPORT_TEXT_MAX];
        int first;

        first = start_library(driver, library, text);
        if (first == 0 || strcmp(library, GPU_NVML_LIBRARY) != 0)
                return first;

        for (size_t i = 0; i < ELEMENTSOF(elsewhere); i++) {
                int r = start_library(driver, elsewhere[i], other_text);

                if (r == 0)
                        return 0;
                if (r == NVML_API_E_BROKEN && (first == NVML_API_E_ABSENT || is_on_wsl())) {
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
        driver->proc = strdup(sources->proc);
        if (!driver->proc)
                return -ENOMEM;

        r = start_any_library(driver, library, text);
        if (r == NVML_API_E_BROKEN)
                return -EIO;
        if (r == NVML_API_E_ABSENT && nvml_kernel_is_loaded(driver->proc)) {
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
        driver->is_wsl = is_on_wsl();
        *ret = TAKE_PTR(driver);
        return 0;
}

static bool is_uuid(const char *s) {
        for (const char *p = s; *p; p++)
                if (!isalnum((unsigned char)*p) && !strchr("./-", *p))
                        return false;
        return *s != '\0' && strlen(s) <= GPU_UUID_LONGEST;
}

/* What is shown to people and sent as JSON: no bytes that could harm either. */
static void clean_text(char *text) {
        for (char *p = text; *p; p++)
                if ((unsigned char)*p < 0x20 || (unsigned char)*p > 0x7e)
                        *p = '?';
}

static void forget_devices(GpuDriver *driver) {
        for (size_t i = 0; i < GPU_MAX; i++)
                driver->gpus[i].device = NULL;
}

/* A text that the library wrote, or did not end. */
static int read_uuid(const NvmlApi *api, NvmlDevice *device, char ret[static NVML_TEXT_MAX]) {
        int status;

        ret[0] = '\0';
        status = api->device_uuid(device, ret, NVML_TEXT_MAX);
        ret[NVML_TEXT_MAX - 1] = '\0';
        return status == NVML_SUCCESS && !is_uuid(ret) ? NVML_E_UNKNOWN : status;
}

/* Set UUID and name of a device: NVML's status. */
static int identify(const NvmlApi *api, NvmlDevice *device, Gpu *gpu) {
        char uuid[NVML_TEXT_MAX];
        char name[NVML_TEXT_MAX] = "";
        int status;

        status = read_uuid(api, device, uuid);
        if (status != NVML_SUCCESS)
                return status;
        if (gpu->device == device && strcmp(gpu->uuid, uuid) == 0)
                return NVML_SUCCESS;

        /* A name is for people only: without one the GPU is as good. */
        if (api->device_name(device, name, NVML_TEXT_MAX) != NVML_SUCCESS)
                name[0] = '\0';
        name[NVML_TEXT_MAX - 1] = '\0';
        clean_text(name);

        *gpu = (Gpu){ .device = device };
        (void)memcpy(gpu->uuid, uuid, sizeof(gpu->uuid));
        (void)memcpy(gpu->name, name, sizeof(gpu->name));
        return NVML_SUCCESS;
}
_Static_assert((int)GPU_UUID_MAX == (int)NVML_TEXT_MAX, "a UUID is copied whole");
_Static_assert((int)GPU_NAME_MAX == (int)NVML_TEXT_MAX, "a name is copied whole");

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

static bool is_split(const NvmlApi *api, NvmlDevice *device) {
        unsigned now = 0;
        unsigned pending = 0;

        return api->device_mig_mode &&
               api->device_mig_mode(device, &now, &pending) == NVML_SUCCESS &&
               now == NVML_MIG_ENABLED;
}

/* Who may use it. A driver that does not tell knows one way only. */
static GpuUse read_use(const NvmlApi *api, NvmlDevice *device) {
        int mode = 0;

        if (is_split(api, device))
                return GPU_USE_SPLIT;
        if (!api->device_compute_mode || api->device_compute_mode(device, &mode) != NVML_SUCCESS)
                return GPU_USE_SHARED;

        switch (mode) {
        case NVML_MODE_EXCLUSIVE_THREAD:
        case NVML_MODE_EXCLUSIVE_PROCESS:
                return GPU_USE_EXCLUSIVE;
        case NVML_MODE_PROHIBITED:
                return GPU_USE_PROHIBITED;
        default:
                return GPU_USE_SHARED;
        }
}

static void set_note(GpuSample *sample, const char *fmt, ...) _printf_(2, 3);
static void set_note(GpuSample *sample, const char *fmt, ...) {
        va_list args;

        va_start(args, fmt);
        (void)vsnprintf(sample->note, sizeof(sample->note), fmt, args);
        va_end(args);
        clean_text(sample->note);
}

/*
 * A GPU that has no memory of its own (Jetson, GB10, Grace) says that the question makes no sense;
 * one that told it once has some, whatever it says now.
 */
static int read_any_memory(const NvmlApi *api, Gpu *gpu, GpuSample *sample) {
        int status = read_memory(api, gpu->device, sample);

        if (status == NVML_SUCCESS)
                gpu->has_memory = true;
        if (status != NVML_E_NOT_SUPPORTED || gpu->has_memory || sample->part > 0)
                return status;

        sample->shares_ram = true;
        sample->total_bytes = 0;
        sample->free_bytes = 0;
        return NVML_SUCCESS;
}

/* Windows' numbers, which are others' here. */
static void drop_processes(GpuReport *report, size_t first, GpuSample *sample) {
        report->n_processes = (unsigned)first;
        sample->n_processes = 0;
        sample->n_computing = 0;
        sample->processes_known = false;
}

/*
 * Figures of one GPU that has a handle: NVML's status. The processes come first (decisions.md 2).
 */
static int measure(GpuDriver *driver,
                   Gpu *gpu,
                   GpuReport *report,
                   size_t n_max,
                   GpuSample *sample) {
        const size_t first = report->n_processes;
        int status;

        status = nvml_processes_read(&driver->api, &driver->entries, gpu->device, report, n_max,
                                     sample);
        if (status == NVML_SUCCESS)
                status = read_any_memory(&driver->api, gpu, sample);
        if (status != NVML_SUCCESS) {
                report->n_processes = (unsigned)first;
                return status;
        }

        nvml_processes_check(report, first,
                             sample->shares_ram ? gpu_ram_total_bytes() : sample->total_bytes,
                             sample);
        if (driver->is_wsl)
                drop_processes(report, first, sample);
        if (!sample->processes_known && sample->note[0] == '\0')
                set_note(sample, "the driver does not tell what each program uses of it");
        sample->state = GPU_STATE_OK;
        return NVML_SUCCESS;
}

static bool is_listed(const GpuReport *report, const char *uuid) {
        for (unsigned i = 0; i < report->n_gpus; i++)
                if (strcmp(report->gpus[i].uuid, uuid) == 0)
                        return true;
        return false;
}

/* What failed on one GPU is said of it, and costs no other its place. */
static void note_status(GpuDriver *driver, int status, GpuSample *sample) {
        if (status == NVML_E_GPU_IS_LOST) {
                driver->has_lost = true;
                sample->state = GPU_STATE_LOST;
        }
        set_note(sample, "%.80s (NVML error %d)", nvml_api_error(&driver->api, status), status);
}

/* One that never told its UUID can't be spoken of, but in words. */
static void put_sample(GpuReport *report, const Gpu *gpu, const GpuSample *sample) {
        GpuSample *to;

        if (gpu->uuid[0] == '\0') {
                if (report->text[0] == '\0')
                        set_text(report->text, "GPU %u: %s", sample->index, sample->note);
                return;
        }
        if (is_listed(report, gpu->uuid) || report->n_gpus == GPU_MAX)
                return;

        to = &report->gpus[report->n_gpus++];
        *to = *sample;
        (void)memcpy(to->uuid, gpu->uuid, sizeof(to->uuid));
        (void)memcpy(to->name, gpu->name, sizeof(to->name));
}

static int look_at_part(GpuDriver *driver,
                        NvmlDevice *device,
                        GpuSample *sample,
                        GpuReport *report,
                        size_t n_max) {
        Gpu gpu = {};
        int status;

        status = device ? identify(&driver->api, device, &gpu) : NVML_E_UNKNOWN;
        if (report->n_gpus == GPU_MAX || (status == NVML_SUCCESS && is_listed(report, gpu.uuid)))
                return 0;
        if (status == NVML_SUCCESS)
                status = measure(driver, &gpu, report, n_max, sample);
        if (status == NVML_E_UNINITIALIZED)
                return -EIO;
        if (status != NVML_SUCCESS)
                note_status(driver, status, sample);
        put_sample(report, &gpu, sample);
        return 0;
}

/* A GPU that is split, and its parts. Of the whole the driver tells no figures. */
static int look_at_parts(GpuDriver *driver,
                         const Gpu *gpu,
                         GpuSample *whole,
                         GpuReport *report,
                         size_t n_max) {
        const NvmlApi *api = &driver->api;
        unsigned n = 0, n_found = 0;

        whole->state = GPU_STATE_OK;
        if (!api->device_mig_count || !api->device_mig_by_index ||
            api->device_mig_count(gpu->device, &n) != NVML_SUCCESS) {
                set_note(whole, "the driver does not tell its instances");
                n = 0;
        }
        put_sample(report, gpu, whole);

        /*
         * One that came before those that went were missed has an index behind all that they had,
         * and keeps it.
         */
        n = MIN(n, (unsigned)GPU_PARTS_MAX / 2);
        for (unsigned i = 0; i < 2 * n && n_found < n; i++) {
                GpuSample sample = { .index = whole->index,
                                     .part = i + 1,
                                     .state = GPU_STATE_UNKNOWN };
                NvmlDevice *device = NULL;
                int r;

                if (api->device_mig_by_index(gpu->device, i, &device) != NVML_SUCCESS)
                        continue; /* there is none at this place */
                n_found++;
                r = look_at_part(driver, device, &sample, report, n_max);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Handle, UUID and name. */
static int find(const NvmlApi *api, unsigned index, Gpu *gpu) {
        NvmlDevice *device = gpu->device;
        int status;

        if (!device) {
                status = api->device_by_index(index, &device);
                if (status != NVML_SUCCESS)
                        return status;
        }
        return device ? identify(api, device, gpu) : NVML_E_UNKNOWN;
}

/* One GPU into the report. */
static int look_at(GpuDriver *driver, unsigned index, GpuReport *report, size_t n_max) {
        GpuSample sample = { .index = index, .state = GPU_STATE_UNKNOWN };
        Gpu *gpu = &driver->gpus[index];
        int status;

        status = find(&driver->api, index, gpu);
        if (report->n_gpus == GPU_MAX || (status == NVML_SUCCESS && is_listed(report, gpu->uuid)))
                return 0;
        if (status == NVML_SUCCESS)
                sample.use = read_use(&driver->api, gpu->device);
        if (status == NVML_SUCCESS && sample.use == GPU_USE_SPLIT)
                return look_at_parts(driver, gpu, &sample, report, n_max);
        if (status == NVML_SUCCESS)
                status = measure(driver, gpu, report, n_max, &sample);
        if (status == NVML_E_UNINITIALIZED)
                return -EIO;
        if (status != NVML_SUCCESS) {
                gpu->device = NULL; /* it may be stale */
                note_status(driver, status, &sample);
        }
        put_sample(report, gpu, &sample);
        return 0;
}

/* Whether NVML must be started anew to see the GPUs that there are. */
static bool is_outdated(const GpuDriver *driver) {
        if (nvml_kernel_gpus(driver->proc) != driver->kernel_gpus)
                return true;
        return (driver->has_lost || driver->is_empty) &&
               clock_boottime_us() - driver->initialised_at_us >= driver->reopen_us;
}

static int nvml_look(GpuDriver *driver, GpuReport *report, size_t n_processes_max) {
        unsigned n_gpus = 0;
        int r;

        if (is_outdated(driver)) {
                stop(driver);
                forget_devices(driver);
                if (start(driver) != NVML_SUCCESS)
                        return -EIO;
        }
        driver->has_lost = false;
        if (driver->is_empty)
                return 0;

        if (driver->api.device_count(&n_gpus) != NVML_SUCCESS)
                return -EIO;
        n_gpus = MIN(n_gpus, (unsigned)GPU_MAX);
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
