/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * This run of the machine
 */

#include "util/boot.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "util/cleanup.h"
#include "util/fd.h"

int boot_id_read(char ret[static BOOT_ID_SIZE]) {
        _cleanup_free_ char *text = NULL;
        int r;

        r = fd_read_file(AT_FDCWD, "/proc/sys/kernel/random/boot_id", &text, NULL, 64);
        if (r < 0)
                return r;

        if (strspn(text, "0123456789abcdef-") != BOOT_ID_SIZE - 1)
                return -EBADMSG;

        memcpy(ret, text, BOOT_ID_SIZE - 1);
        ret[BOOT_ID_SIZE - 1] = '\0';
        return 0;
}
