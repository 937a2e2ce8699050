/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Any text in place of /proc/pressure/memory: a share comes out, or none. */

#include <assert.h>

#include "probe/pressure.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
        unsigned permyriad = 77777;

        if (pressure_parse((const char *)data, n, &permyriad) == 0)
                assert(permyriad <= 10000);
        else
                assert(permyriad == 77777);
        return 0;
}
