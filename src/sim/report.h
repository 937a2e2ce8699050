#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * What taskflow-sim prints: a table for people, or CSV
 */

#include <stdint.h>
#include <stdio.h>

#include "sim/metrics.h"

enum {
        REPORT_LABEL_MAX = 32,
};

/* All runs of a scheduler with its settings. */
typedef struct ReportRow {
        char label[REPORT_LABEL_MAX];
        Metrics *metrics; /* by seed */
} ReportRow;

/* The names of the columns. */
void report_csv_header(FILE *f);
void report_csv(FILE *f, const char *label, uint64_t seed, const Metrics *metrics);

/* A line for each metric, a column for each row; of several seeds the median, with the least and the most below. */
void report_table(FILE *f, const ReportRow *rows, size_t n_rows, size_t n_seeds);
