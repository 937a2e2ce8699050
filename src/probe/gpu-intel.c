/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * What is used of their memory the kernel tells only to who has CAP_PERFMON, and only through calls on the device: to all others it
 * says that all of it is free. So their memory is not known, and they are given out whole.
 */

#include "probe/gpu-intel.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "probe/drm.h"
#include "util/cleanup.h"
#include "util/fd.h"
#include "util/macro.h"

enum {
        VENDOR_INTEL = 0x8086,
};

static const char *const drivers[] = { "i915", "xe", NULL };

struct GpuDriver {
        int sysfs_fd;
};

static void intel_free(GpuDriver *driver) {
        if (!driver)
                return;
        driver->sysfs_fd = fd_close(driver->sysfs_fd);
        free(driver);
}

static int intel_open(GpuDriver **ret,
                      const GpuSources *sources,
                      char text[static GPU_REPORT_TEXT_MAX]) {
        _cleanup_close_ int sysfs_fd = drm_open(sources->sysfs, VENDOR_INTEL, drivers);
        GpuDriver *driver;

        *ret = NULL;
        if (sysfs_fd < 0)
                return 0;
        driver = calloc(1, sizeof(*driver));
        if (!driver)
                return -ENOMEM;
        driver->sysfs_fd = TAKE_FD(sysfs_fd);
        *ret = driver;
        return 0;
}

static void put_sample(const DrmCard *card, unsigned index, GpuReport *report) {
        GpuSample *sample = &report->gpus[report->n_gpus++];

        *sample = (GpuSample){
                .index = index,
                .state = GPU_STATE_OK,
                .whole_only = true,
                .integrated = card->address.domain == 0 && card->address.bus == 0,
                .note = "how much of its memory is used can't be known: it is given out whole",
        };
        drm_format_uuid(&card->address, sample->uuid);
        (void)snprintf(sample->name, sizeof(sample->name), "Intel GPU %04x", card->device);
}

static int intel_look(GpuDriver *driver, GpuReport *report, _unused_ size_t n_processes_max) {
        _cleanup_(drm_cards_close) DrmCards cards = {};
        int r;

        r = drm_cards_open(driver->sysfs_fd, VENDOR_INTEL, drivers, &cards);
        if (r < 0 || cards.n == 0)
                return r < 0 ? r : -ENODEV;
        for (unsigned i = 0; i < cards.n && report->n_gpus < GPU_MAX; i++)
                put_sample(&cards.cards[i], i, report);
        return 0;
}

const GpuVendor gpu_intel = {
        .kind = GPU_KIND_INTEL,
        .open = intel_open,
        .look = intel_look,
        .free = intel_free,
};
