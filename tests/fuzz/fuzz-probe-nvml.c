/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Any answers of NVIDIA's library, call by call: what the probe makes of them is either nothing or a
 * report that passes the check of those who get it.
 */

#include <assert.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "probe/gpu-nvml.h"
#include "probe/gpu-process.h"
#include "util/cleanup.h"

#include "fuzz.h"

/* tests/stand-in/nvml-nonsense.c */
#define LIBRARY STAND_IN "/libnvidia-ml-nonsense.so.1"

typedef void (*set_bytes_fn)(const uint8_t *data, size_t n);

enum {
        N_PROCESSES_MAX = 64, /* few, so that some have no room */
        N_LOOKS = 3,
};

static set_bytes_fn set_bytes(void) {
        static void *library; /* it stays where it is while the probe opens and closes it */
        static set_bytes_fn function;
        void *address;

        if (function)
                return function;
        library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
        assert(library);
        address = dlsym(library, "nonsense_set_bytes");
        assert(address);
        memcpy(&function, &address, sizeof(function));
        return function;
}

static void look(GpuDriver *driver, GpuReport *report) {
        *report = (GpuReport){};
        if (gpu_nvml.look(driver, report, N_PROCESSES_MAX) < 0)
                return;

        assert(memchr(report->text, '\0', sizeof(report->text)));
        memset(report->text, 0, sizeof(report->text)); /* the probe makes it harmless */
        report->ok = true;
        assert(report->n_processes <= N_PROCESSES_MAX);
        assert(gpu_report_check(report,
                                sizeof(*report) + report->n_processes * sizeof(GpuProcess)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
        const GpuSources sources = { .nvml_library = LIBRARY,
                                     .sysfs = "/no/such",
                                     .proc = "/no/such" };
        char text[GPU_REPORT_TEXT_MAX] = "";
        GpuDriver *driver = NULL;
        _cleanup_free_ GpuReport *report =
                calloc(1, sizeof(*report) + N_PROCESSES_MAX * sizeof(GpuProcess));

        assert(report);
        set_bytes()(data, n);
        if (gpu_nvml.open(&driver, &sources, text) < 0) {
                assert(memchr(text, '\0', sizeof(text)));
                assert(!driver);
                return 0;
        }
        assert(driver);
        gpu_nvml_set_reopen_us(driver, 0);
        for (unsigned i = 0; i < N_LOOKS; i++)
                look(driver, report);
        gpu_nvml.free(driver);
        return 0;
}
