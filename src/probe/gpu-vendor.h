#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * GPU vendors
 *
 * One file a vendor with one struct of functions, and one array of them: a row there is all that a
 * vendor needs. They run only inside the probe process (probe/gpu-process.h): a driver library that
 * hangs or crashes takes nobody else with it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/machine.h"

enum {
        GPU_REPORT_PROCESSES_MAX = 8192, /* over all GPUs; the driver lists at most 950 on each */
        GPU_REPORT_TEXT_MAX = 240,
};

/* A process on a GPU. */
typedef struct GpuProcess {
        pid_t pid;
        unsigned gpu;        /* index into GpuReport.gpus */
        uint64_t used_bytes; /* UINT64_MAX: the driver does not tell */
} GpuProcess;

/*
 * What one look brings. A value of fixed layout, sent over a pipe between two processes of the same
 * program.
 */
typedef struct GpuReport {
        bool ok; /* false: no driver answers; `text` says why */

        /* for people: "no NVIDIA driver", or a remark about one of the GPUs; one line of ASCII */
        char text[GPU_REPORT_TEXT_MAX];

        unsigned failed_kinds; /* a bit for each: its driver is there and does not answer */
        unsigned n_gpus;
        GpuSample gpus[GPU_MAX];
        unsigned n_processes;
        GpuProcess processes[]; /* read before the memory figures (decisions.md 2) */
} GpuReport;

/* Where vendors look for their drivers. */
typedef struct GpuSources {
        const char *nvml_library; /* the setting: a soname, found the loader's way, or a path */
        const char *sysfs;        /* GPU_SYSFS, but in tests; set in the probe itself */
        const char *proc;         /* GPU_PROC, likewise */
} GpuSources;

#define GPU_SYSFS "/sys"
#define GPU_PROC  "/proc"

typedef struct GpuDriver GpuDriver;

typedef struct GpuVendor {
        GpuKind kind;

        /*
         * 0 and a driver; 0 and NULL if there is none of this kind here; negative errno with @text
         * filled in
         */
        int (*open)(GpuDriver **ret,
                    const GpuSources *sources,
                    char text[static GPU_REPORT_TEXT_MAX]);

        /*
         * fills in gpus and processes of @report from their n_ on, but for the kind; negative
         * errno: reopen
         */
        int (*look)(GpuDriver *driver, GpuReport *report, size_t n_processes_max);

        void (*free)(GpuDriver *driver);
} GpuVendor;

/* What a process can have of a GPU without memory of its own, at most. */
uint64_t gpu_ram_total_bytes(void);

/* In the order in which people see their GPUs; ended by NULL. */
extern const GpuVendor *const gpu_vendors[];
