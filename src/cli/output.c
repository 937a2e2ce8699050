/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "cli/output.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/command.h"
#include "util/cleanup.h"
#include "util/macro.h"
#include "util/text.h"
#include "util/units.h"

enum {
        WIDTH_DEFAULT = 80,
        WIDTH_MIN = 20, /* narrower ones get lines that the terminal breaks */
        WIDTH_MAX = 4096,
};

static const char *const tone_table[] = {
        [TONE_PLAIN] = NULL,      [TONE_STRONG] = "\033[1m",   [TONE_FAINT] = "\033[2m",
        [TONE_GOOD] = "\033[32m", [TONE_WAITING] = "\033[33m", [TONE_BAD] = "\033[31m",
};

bool output_is_terminal(void) {
        return isatty(STDOUT_FILENO) == 1;
}

bool output_has_colour(void) {
        const char *no_color = getenv("NO_COLOR");
        const char *term = getenv("TERM");

        if (no_color && no_color[0])
                return false;
        if (!term || !term[0] || strcmp(term, "dumb") == 0)
                return false;
        return output_is_terminal();
}

unsigned output_width(void) {
        const char *columns = getenv("COLUMNS");
        struct winsize size = { 0 };
        uint64_t width = WIDTH_DEFAULT;

        if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
                width = size.ws_col;
        else if (columns)
                (void)units_parse_uint(columns, 1, WIDTH_MAX, &width, NULL);
        return (unsigned)MAX(width, (uint64_t)WIDTH_MIN);
}

const char *output_tone_sequence(Tone tone) {
        return tone_table[tone];
}

const char *output_tone(Tone tone) {
        return tone != TONE_PLAIN && output_has_colour() ? tone_table[tone] : "";
}

const char *output_tone_end(Tone tone) {
        return tone != TONE_PLAIN && output_has_colour() ? "\033[0m" : "";
}

void output_text(const char *text) {
        _cleanup_free_ char *visible = text_visible(text);

        (void)fputs(visible ? visible : "(out of memory)", stdout);
}

/* Columns, taking each character for one: enough to break lines by. */
static unsigned n_columns(const char *s, size_t n) {
        unsigned columns = 0;

        for (size_t i = 0; i < n; i++)
                if (((unsigned char)s[i] & 0xc0) != 0x80)
                        columns++;
        return columns;
}

void output_wrapped(const char *text, unsigned indent, unsigned width) {
        _cleanup_free_ char *visible = text_visible(text);
        const char *word = visible ? visible : "(out of memory)";
        unsigned column = indent;

        while (*word) {
                size_t n = strcspn(word, " ");
                unsigned columns = n_columns(word, n);

                if (column > indent && column + 1 + columns > width) {
                        (void)printf("\n%*s", (int)indent, "");
                        column = indent;
                } else if (column > indent) {
                        (void)putchar(' ');
                        column++;
                }
                (void)fwrite(word, 1, n, stdout);
                column += columns;
                word += n;
                word += strspn(word, " ");
        }
        (void)putchar('\n');
}

int output_finish(int status) {
        if (fflush(stdout) != 0)
                return cli_fail(CLI_STATUS_REFUSED, "cannot write to stdout: %s", strerror(errno));
        if (ferror(stdout)) /* an earlier write, whose errno is gone */
                return cli_fail(CLI_STATUS_REFUSED, "cannot write all of it to stdout");
        return status;
}
