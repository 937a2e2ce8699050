/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * A /sys with any text in the files of its graphics cards. What is made of it is a report that the daemon takes.
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "probe/drm.h"
#include "probe/gpu-amd.h"
#include "probe/gpu-intel.h"
#include "probe/gpu-process.h"

#include "files.h"
#include "folder.h"
#include "fuzz.h"

enum {
        N_PROCESSES_MAX = 4,
};

static const char *const folders[] = {
        "class",
        "class/drm",
        "class/drm/card0",
        "class/drm/card1",
        "class/drm/card2",
        "class/kfd",
        "class/kfd/kfd",
        "class/kfd/kfd/proc",
        "class/kfd/kfd/proc/1",
        "class/kfd/kfd/proc/-2",
        "class/kfd/kfd/topology",
        "class/kfd/kfd/topology/nodes",
        "class/kfd/kfd/topology/nodes/0",
        "class/kfd/kfd/topology/nodes/1",
        "class/kfd/kfd/topology/nodes/x",
        "proc",
        "proc/1",
        "proc/1/fd",
        "proc/1/fdinfo",
        "devices",
        "devices/0000:03:00.0",
        "devices/0000:43:00.0",
        "devices/0000:00:02.0",
};

static const char *const links[][2] = {
        { "../../../devices/0000:03:00.0", "class/drm/card0/device" },
        { "../../../devices/0000:43:00.0", "class/drm/card1/device" },
        { "../../../devices/0000:00:02.0", "class/drm/card2/device" },
        { "../../drivers/amdgpu", "devices/0000:03:00.0/driver" },
        { "../../drivers/amdgpu", "devices/0000:43:00.0/driver" },
        { "../../drivers/i915", "devices/0000:00:02.0/driver" },
        { "/dev/dri/card0", "proc/1/fd/3" },
        { "/dev/dri/renderD128", "proc/1/fd/4" },
};

static const char *const names[] = {
        "devices/0000:03:00.0/vendor",
        "devices/0000:03:00.0/device",
        "devices/0000:03:00.0/unique_id",
        "devices/0000:03:00.0/product_name",
        "devices/0000:03:00.0/gpu_busy_percent",
        "devices/0000:03:00.0/mem_busy_percent",
        "devices/0000:03:00.0/mem_info_vram_total",
        "devices/0000:03:00.0/mem_info_vram_used",
        "devices/0000:43:00.0/vendor",
        "devices/0000:43:00.0/device",
        "devices/0000:43:00.0/unique_id",
        "devices/0000:43:00.0/current_compute_partition",
        "devices/0000:43:00.0/mem_info_vram_total",
        "devices/0000:43:00.0/mem_info_vram_used",
        "devices/0000:00:02.0/vendor",
        "devices/0000:00:02.0/device",
        "class/kfd/kfd/proc/1/vram_1",
        "class/kfd/kfd/proc/1/vram_4294967295",
        "class/kfd/kfd/proc/-2/vram_1",
        "class/kfd/kfd/topology/nodes/0/gpu_id",
        "class/kfd/kfd/topology/nodes/0/properties",
        "class/kfd/kfd/topology/nodes/1/gpu_id",
        "class/kfd/kfd/topology/nodes/1/properties",
        "class/kfd/kfd/topology/nodes/x/gpu_id",
        "proc/1/fdinfo/3",
        "proc/1/fdinfo/4",
        NULL,
};

static int folder_fd = -1;

static void make_folders(void) {
        folder_fd = open(folder(), O_PATH | O_DIRECTORY | O_CLOEXEC);
        assert(folder_fd >= 0);
        for (size_t i = 0; i < ELEMENTSOF(folders); i++)
                assert(mkdirat(folder_fd, folders[i], 0700) == 0);
        for (size_t i = 0; i < ELEMENTSOF(links); i++)
                assert(symlinkat(links[i][0], folder_fd, links[i][1]) == 0);
}

static void look(const GpuVendor *vendor, GpuReport *report) {
        char text[GPU_REPORT_TEXT_MAX] = "";
        const unsigned first = report->n_gpus;
        GpuDriver *driver = NULL;
        char proc[128];

        (void)snprintf(proc, sizeof(proc), "%s/proc", folder());
        assert(vendor->open(&driver, &(GpuSources){ .sysfs = folder(), .proc = proc }, text) == 0);
        if (!driver)
                return;
        assert(vendor->look(driver, report, N_PROCESSES_MAX) == 0);
        for (unsigned i = first; i < report->n_gpus; i++)
                report->gpus[i].kind = vendor->kind;
        vendor->free(driver);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
        GpuReport *report = calloc(1, sizeof(*report) + N_PROCESSES_MAX * sizeof(GpuProcess));
        char text[64] = "";
        PciAddress address;

        assert(report);
        if (folder_fd < 0)
                make_folders();
        files_put_all(folder_fd, names, (const char *)data, n);
        report->ok = true;
        look(&gpu_amd, report);
        look(&gpu_intel, report);
        assert(gpu_report_check(report,
                                sizeof(*report) + report->n_processes * sizeof(GpuProcess)) == 0);
        free(report);

        (void)memcpy(text, data, n < sizeof(text) ? n : sizeof(text) - 1);
        if (drm_parse_address(text, &address))
                assert(address.bus < 256 && address.device < 32 && address.function < 8);
        return 0;
}
