#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Cleanup of what libc gave us
 *
 * A local variable marked with one of these is released when it goes out of scope. errno survives.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "util/fd.h"
#include "util/macro.h"

#define _cleanup_free_   _cleanup_(cleanup_free)
#define _cleanup_close_  _cleanup_(cleanup_close)
#define _cleanup_fclose_ _cleanup_(cleanup_fclose)

static inline void cleanup_free(void *p) {
        free(*(void **)p);
}

static inline void cleanup_close(const int *fd) {
        (void)fd_close(*fd);
}

static inline void cleanup_fclose(FILE **f) {
        int saved = errno;

        if (*f)
                (void)fclose(*f);
        errno = saved;
}
