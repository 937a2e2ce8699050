/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Any text in place of /proc/meminfo, ZFS's arcstats or /proc/PID/cgroup: figures that make sense
 * come out, or none.
 */

#include <assert.h>
#include <string.h>

#include "probe/cgroup.h"
#include "probe/ram.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
        const char *text = (const char *)data;
        uint64_t total_bytes = 0;
        uint64_t available_bytes = 0;
        uint64_t reclaimable_bytes;
        CgroupPlace place;

        if (ram_parse_meminfo(text, n, &total_bytes, &available_bytes) == 0)
                assert(total_bytes > 0 && available_bytes <= total_bytes);
        else
                assert(total_bytes == 0 && available_bytes == 0);
        (void)ram_parse_arcstats(text, n, &reclaimable_bytes);
        if (cgroup_parse(text, n, &place) == 0) {
                assert(place.path[0] == '/' && strlen(place.path) < sizeof(place.path));
                assert(place.v2 == (place.controllers[0] == '\0'));
        }
        return 0;
}
