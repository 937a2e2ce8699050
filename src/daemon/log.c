/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "daemon/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <systemd/sd-daemon.h>

enum {
        LINE_MAX_CHARS = 1024,
};

/* One write(), so that lines of several processes do not mix. */
_printf_(2, 0) static void log_line(const char *level, const char *fmt, va_list args) {
        char text[LINE_MAX_CHARS];

        (void)vsnprintf(text, sizeof(text), fmt, args);
        (void)fprintf(stderr, "%staskflowd: %s\n", getenv("JOURNAL_STREAM") ? level : "", text);
}

void log_error(const char *fmt, ...) {
        va_list args;

        va_start(args, fmt);
        log_line(SD_ERR, fmt, args);
        va_end(args);
}

void log_warning(const char *fmt, ...) {
        va_list args;

        va_start(args, fmt);
        log_line(SD_WARNING, fmt, args);
        va_end(args);
}

void log_info(const char *fmt, ...) {
        va_list args;

        va_start(args, fmt);
        log_line(SD_INFO, fmt, args);
        va_end(args);
}
