/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <stdarg.h>
#include <stdio.h>

#include "cli/command.h"
#include "util/cleanup.h"
#include "util/text.h"

int cli_fail(int status, const char *fmt, ...) {
        _cleanup_free_ char *visible = NULL;
        char text[2048];
        va_list ap;

        va_start(ap, fmt);
        (void)vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);

        /* In order with what was printed, where both go to the same place. */
        (void)fflush(stdout);
        visible = text_visible(text);
        (void)fprintf(stderr, "taskflow: %s\n", visible ? visible : "out of memory");
        return status;
}
