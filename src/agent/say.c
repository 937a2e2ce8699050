/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "agent/say.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <systemd/sd-daemon.h>

#include "util/clock.h"

enum {
        LINE_MAX_CHARS = 1024,
};

/* One write(), so that lines of several processes do not mix. The journal knows the time and wants the level. */
_printf_(2, 0) static void say_line(const char *level, const char *fmt, va_list args) {
        char text[LINE_MAX_CHARS], at[CLOCK_ISO_MAX];

        (void)vsnprintf(text, sizeof(text), fmt, args);
        if (getenv("JOURNAL_STREAM") || clock_format_iso(at, sizeof(at), clock_realtime_us()) < 0)
                (void)fprintf(stderr, "%staskflow-agent: %s\n", level, text);
        else
                (void)fprintf(stderr, "%s taskflow-agent: %s\n", at, text);
}

void say_error(const char *fmt, ...) {
        va_list args;

        va_start(args, fmt);
        say_line(SD_ERR, fmt, args);
        va_end(args);
}

void say_warning(const char *fmt, ...) {
        va_list args;

        va_start(args, fmt);
        say_line(SD_WARNING, fmt, args);
        va_end(args);
}

void say_info(const char *fmt, ...) {
        va_list args;

        va_start(args, fmt);
        say_line(SD_INFO, fmt, args);
        va_end(args);
}
