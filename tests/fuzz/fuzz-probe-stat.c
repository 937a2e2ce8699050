/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Any text in place of /proc/PID/stat: a process may call itself whatever it likes.
 */

#include <assert.h>
#include <string.h>

#include "probe/tree.h"
#include "util/cleanup.h"
#include "util/proc-id.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
        _cleanup_free_ char *string = strndup((const char *)data, n);
        TreeStat stat = { .parent = -1 };
        uint64_t start_ticks;
        pid_t parent = -1;

        assert(string);
        if (tree_parse_stat((const char *)data, n, &stat) == 0)
                assert(stat.parent >= 0 && stat.state != '\0');
        else
                assert(stat.parent == -1);

        /* Two readers of the same line agree on who the parent is. */
        if (strlen(string) == n && stat.parent >= 0 &&
            proc_stat_parse(string, &start_ticks, &parent) == 0)
                assert(parent == stat.parent);
        return 0;
}
