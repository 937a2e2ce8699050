/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "sim/report.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum {
        LABEL_WIDTH = 28,
        CELL_WIDTH = 20,
        CELL_MAX = 2 * METRIC_TEXT_MAX + 4,
};

void report_csv_header(FILE *f) {
        (void)fputs("scheduler,seed", f);
        for (int i = 0; i < N_METRICS; i++)
                (void)fprintf(f, ",%s", metric_infos[i].name);
        (void)fputc('\n', f);
}

void report_csv(FILE *f, const char *label, uint64_t seed, const Metrics *metrics) {
        (void)fputs("\"", f);
        for (const char *c = label; *c; c++)
                (void)fprintf(f, "%s%c", *c == '"' ? "\"" : "", *c);
        (void)fprintf(f, "\",%" PRIu64, seed);
        for (int i = 0; i < N_METRICS; i++)
                if (isnan(metrics->values[i]))
                        (void)fputc(',', f);
                else
                        (void)fprintf(f, ",%.*f", metric_infos[i].unit == METRIC_UNIT_COUNT ? 0 : 6,
                                      metrics->values[i]);
        (void)fputc('\n', f);
}

/* Nothing to see where it is the same for all, and none. */
static bool is_shown(Metric metric, const ReportRow *rows, size_t n_rows, size_t n_seeds) {
        for (size_t i = 0; i < n_rows; i++) {
                MetricSpread spread = metric_spread(metric, rows[i].metrics, n_seeds);

                if (!isnan(spread.median) && (metric_infos[metric].unit != METRIC_UNIT_COUNT ||
                                              spread.most > 0 || metric == METRIC_OUT_OF_MEMORY))
                        return true;
        }
        return false;
}

static void put_line(FILE *f, Metric metric, const ReportRow *rows, size_t n_rows, size_t n_seeds) {
        char buf[METRIC_TEXT_MAX], other[METRIC_TEXT_MAX], cell[CELL_MAX];

        (void)fprintf(f, "%-*s", LABEL_WIDTH, metric_infos[metric].label);
        for (size_t i = 0; i < n_rows; i++) {
                MetricSpread spread = metric_spread(metric, rows[i].metrics, n_seeds);

                (void)fprintf(f, "%*s", CELL_WIDTH, metric_format(metric, spread.median, buf));
        }
        (void)fputc('\n', f);
        if (n_seeds == 1)
                return;

        (void)fprintf(f, "%-*s", LABEL_WIDTH, "");
        for (size_t i = 0; i < n_rows; i++) {
                MetricSpread spread = metric_spread(metric, rows[i].metrics, n_seeds);

                (void)snprintf(cell, sizeof(cell), "%s..%s",
                               metric_format(metric, spread.least, buf),
                               metric_format(metric, spread.most, other));
                (void)fprintf(f, "%*s", CELL_WIDTH, cell);
        }
        (void)fputc('\n', f);
}

void report_table(FILE *f, const ReportRow *rows, size_t n_rows, size_t n_seeds) {
        (void)fprintf(f, "%-*s", LABEL_WIDTH, "");
        for (size_t i = 0; i < n_rows; i++)
                (void)fprintf(f, "%*s", CELL_WIDTH, rows[i].label);
        (void)fputc('\n', f);
        for (int i = 0; i < N_METRICS; i++)
                if (is_shown((Metric)i, rows, n_rows, n_seeds))
                        put_line(f, (Metric)i, rows, n_rows, n_seeds);
}
