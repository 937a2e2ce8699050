/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "runner/own-room.h"

#include "probe/ram.h"

uint64_t own_room_bytes(const Task *task) {
        uint64_t room_bytes = UINT64_MAX;
        RamSource source;

        /* Only who asks for RAM pays for the look. */
        if (task->needs.memory_bytes == 0 || ram_source_open(&source) < 0)
                return UINT64_MAX;
        if (ram_read_own_cgroup(&source, &room_bytes) < 0)
                room_bytes = UINT64_MAX; /* unknown is no limit: the kernel is the judge then */
        ram_source_close(&source);
        return room_bytes;
}
