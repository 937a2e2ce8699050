#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * What a waiting taskflow says
 *
 * On a terminal one line, updated in place, that fits the width and is gone before the command starts; elsewhere a line when the
 * reason becomes another one, whatever the numbers in it. Nothing from the terminal's background.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/explain.h"

typedef struct WaitingLine {
        int fd;        /* where to; borrowed */
        bool quiet;    /* says nothing */
        bool terminal; /* in place */
        bool shown;    /* there is a line to be cleared */
        uint64_t said; /* not in place: the kind of reason said last; 0: none */
} WaitingLine;

/* What it tells. */
typedef struct WaitingNews {
        uint64_t task_id;
        const Explain *explain;
        uint64_t now_boot_us;
        uint64_t waited_us;
        explain_user_fn user_name;
} WaitingNews;

/* Looks what @fd is. */
WaitingLine waiting_line_make(int fd, bool quiet);

/* Whether anybody would read it now: worth asking the daemon why. */
bool waiting_line_is_wanted(const WaitingLine *line);

void waiting_line_show(WaitingLine *line, const WaitingNews *news);
void waiting_line_clear(WaitingLine *line);

/**
 * waiting_line_text() - the line itself
 * @columns:    width it must fit, the last one left free; 0: any
 * @buf:        written, always ended
 */
void waiting_line_text(const WaitingNews *news, unsigned columns, char *buf, size_t n);

/* The kind of reason: what is missing and where, not how much. Never 0. */
uint64_t waiting_line_kind(const Explain *explain);
