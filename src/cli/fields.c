/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "cli/fields.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
        VALUE_COLUMN = 14, /* the longest label is "submitted:" and there is room */
};

void field_tone(const char *label, const char *text, Tone tone) {
        int pad = VALUE_COLUMN - 1 - (int)strlen(label);

        if (!text || !text[0])
                return;

        (void)printf("%s%s:%s%*s%s", output_tone(TONE_STRONG), label, output_tone_end(TONE_STRONG),
                     pad, "", output_tone(tone));
        if (tone == TONE_PLAIN) {
                output_wrapped(text, VALUE_COLUMN,
                               output_is_terminal() ? output_width() : UINT_MAX);
                return;
        }
        output_text(text);
        (void)puts(output_tone_end(tone));
}

void field_text(const char *label, const char *text) {
        field_tone(label, text, TONE_PLAIN);
}

void field_printf(const char *label, const char *fmt, ...) {
        char text[2048];
        va_list ap;

        va_start(ap, fmt);
        (void)vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);
        field_text(label, text);
}
