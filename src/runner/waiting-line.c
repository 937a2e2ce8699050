/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "runner/waiting-line.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/macro.h"
#include "util/text.h"
#include "util/units.h"

enum {
        COLUMNS_DEFAULT = 80,
        TEXT_MAX = 4096,
};

WaitingLine waiting_line_make(int fd, bool quiet) {
        const char *term = getenv("TERM");

        return (WaitingLine){
                .fd = fd,
                .quiet = quiet,
                .terminal = !quiet && isatty(fd) && !(term && strcmp(term, "dumb") == 0),
        };
}

/* In the terminal's background a line in place would be written over what the user does there. A terminal that does not control
 * us has no background. */
static bool is_background(const WaitingLine *line) {
        pid_t foreground = line->terminal ? tcgetpgrp(line->fd) : -1;

        return foreground >= 0 && foreground != getpgrp();
}

bool waiting_line_is_wanted(const WaitingLine *line) {
        return !line->quiet && !is_background(line);
}

/* How many columns a character takes at most: without a locale we count the wide ranges as two, and only what joins others as
 * one too many. */
static unsigned n_columns_of(const char *s, size_t n) {
        return n >= 3 && (unsigned char)s[0] >= 0xe1 ? 2 : 1;
}

static size_t n_bytes_of(const char *s) {
        unsigned char c = (unsigned char)s[0];
        size_t n = c < 0xc0 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

        return strnlen(s, n);
}

/* Cuts to @max columns, with an ellipsis where it did. */
static void cut(char *s, unsigned max) {
        static const char ellipsis[] = "...";
        size_t last = 0; /* where the ellipsis fits */
        unsigned used = 0;

        for (size_t i = 0; s[i];) {
                size_t n = n_bytes_of(s + i);

                used += n_columns_of(s + i, n);
                if (used > max) {
                        s[last] = '\0';
                        if (max >= sizeof(ellipsis))
                                (void)memcpy(s + last, ellipsis, sizeof(ellipsis));
                        return;
                }
                i += n;
                if (used + sizeof(ellipsis) - 1 <= max)
                        last = i;
        }
}

void waiting_line_text(const WaitingNews *news, unsigned columns, char *buf, size_t n) {
        _cleanup_free_ char *visible = NULL;
        char waited[UNITS_FORMAT_MAX + 1] = "";
        char sentence[TEXT_MAX];
        char place[32] = "";
        const char *text;

        explain_sentence(news->explain, news->now_boot_us, news->user_name, NULL, sentence,
                         sizeof(sentence));
        visible = text_visible(sentence);
        if (news->explain->place > 0)
                (void)snprintf(place, sizeof(place), ", place %zu", news->explain->place);
        if (news->waited_us >= US_PER_SEC) {
                waited[0] = ' ';
                (void)units_format_duration(waited + 1, sizeof(waited) - 1, news->waited_us);
        }
        /* "waits 3m: for task 12 to succeed" */
        text = visible ? visible : "";
        if (strncmp(text, "waits ", 6) == 0)
                text += 6;
        (void)snprintf(buf, n, "taskflow: task %" PRIu64 " waits%s%s: %s", news->task_id, waited,
                       place, text);
        if (columns > 0)
                cut(buf, columns - 1);
}

static uint64_t mix(uint64_t x) {
        x ^= x >> 31;
        x *= UINT64_C(0x9e3779b97f4a7c15);
        return x ^ (x >> 29);
}

uint64_t waiting_line_kind(const Explain *explain) {
        uint64_t kind = 1;

        /* A sum: the same lacks in another order are the same kind. */
        for (size_t i = 0; i < explain->n_lacks; i++) {
                const Lack *lack = &explain->lacks[i];

                kind += mix(((uint64_t)lack->reason + 1) * 1024 + (uint64_t)(lack->gpu_index + 1));
        }
        return kind == 0 ? 1 : kind;
}

static void put(const WaitingLine *line, const char *text, size_t n) {
        ssize_t r;

        /* A reader that has gone is no reason to stop waiting. */
        r = write(line->fd, text, n);
        (void)r;
}

static unsigned n_columns(const WaitingLine *line) {
        struct winsize size;

        if (ioctl(line->fd, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
                return COLUMNS_DEFAULT;
        return size.ws_col;
}

void waiting_line_show(WaitingLine *line, const WaitingNews *news) {
        char text[TEXT_MAX + 128];
        char out[sizeof(text) + 16];
        uint64_t kind;
        int n;

        if (!waiting_line_is_wanted(line))
                return;

        if (line->terminal) {
                waiting_line_text(news, n_columns(line), text, sizeof(text));
                n = snprintf(out, sizeof(out), "\r%s\033[K", text);
                line->shown = true;
                put(line, out, (size_t)n);
                return;
        }

        kind = waiting_line_kind(news->explain);
        if (kind == line->said)
                return;
        line->said = kind;
        waiting_line_text(news, 0, text, sizeof(text));
        n = snprintf(out, sizeof(out), "%s\n", text);
        put(line, out, (size_t)n);
}

void waiting_line_clear(WaitingLine *line) {
        static const char clear[] = "\r\033[K";

        if (!line->shown)
                return;
        line->shown = false;
        if (!is_background(line))
                put(line, clear, sizeof(clear) - 1);
}
