/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "probe/nvml-kernel.h"

#include <dirent.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

enum {
        ENTRIES_MAX = 256, /* of one folder; there are as many as GPUs */
};

static bool get_path(const char *proc, const char *name, char buf[static PATH_MAX]) {
        int n = snprintf(buf, PATH_MAX, "%s/driver/nvidia/%s", proc, name);

        return n > 0 && n < PATH_MAX;
}

bool nvml_kernel_is_loaded(const char *proc) {
        char path[PATH_MAX];

        return get_path(proc, "version", path) && access(path, F_OK) == 0;
}

/* FNV-1a */
static uint64_t hash(const char *s) {
        uint64_t h = UINT64_C(0xcbf29ce484222325);

        for (; *s; s++)
                h = (h ^ (unsigned char)*s) * UINT64_C(0x100000001b3);
        return h;
}

uint64_t nvml_kernel_gpus(const char *proc) {
        const struct dirent *entry;
        char path[PATH_MAX];
        uint64_t sum = NVML_KERNEL_NO_GPU; /* their order does not matter */
        DIR *dir;

        dir = get_path(proc, "gpus", path) ? opendir(path) : NULL;
        if (!dir)
                return 0;
        for (size_t i = 0; i < ENTRIES_MAX && (entry = readdir(dir)); i++)
                if (entry->d_name[0] != '.')
                        sum += hash(entry->d_name);
        (void)closedir(dir);
        return sum;
}
