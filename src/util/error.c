/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Errors for people
 */

#include "util/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int error_set(Error *error, int r, const char *fmt, ...) {
        Error fresh; /* the old text may be one of the arguments */
        va_list ap;

        if (!error)
                return r;

        va_start(ap, fmt);
        (void)vsnprintf(fresh.text, sizeof(fresh.text), fmt, ap);
        va_end(ap);

        *error = fresh;
        return r;
}

void error_prefix(Error *error, const char *fmt, ...) {
        Error fresh;
        size_t n;
        va_list ap;

        if (!error)
                return;

        va_start(ap, fmt);
        (void)vsnprintf(fresh.text, sizeof(fresh.text), fmt, ap);
        va_end(ap);

        n = strlen(fresh.text);
        (void)snprintf(fresh.text + n, sizeof(fresh.text) - n, "%s", error->text);
        *error = fresh;
}
