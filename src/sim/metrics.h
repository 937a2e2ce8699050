#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Metrics: what one simulation came to
 *
 * Wait is from the first submission to the start of the run that came to its end. Bounded slowdown (Feitelson) is
 * max(1, (end - submission) / max(run time, 10 s)). Fairness is between the mean slowdowns of the users: Jain's index
 * (sum x)^2 / (n sum x^2), 1 if all fare alike; and the worst user's in terms of everybody's.
 */

#include <stddef.h>

#include "sim/run.h"
#include "sim/workload.h"

typedef enum Metric {
        METRIC_WAIT_MEAN,
        METRIC_WAIT_MEDIAN,
        METRIC_WAIT_P95,
        METRIC_WAIT_MAX,
        METRIC_SLOWDOWN_MEAN,
        METRIC_SLOWDOWN_MEDIAN,
        METRIC_SLOWDOWN_P95,
        METRIC_SLOWDOWN_MAX,
        METRIC_WIDE_WAIT_MEAN, /* of those that ask for every GPU */
        METRIC_MEMORY,         /* taken, of what there is, on the average */
        METRIC_GPU_MEMORY,
        METRIC_GPUS, /* that somebody has */
        METRIC_MAKESPAN,
        METRIC_JAIN,
        METRIC_WORST_USER,
        METRIC_OUT_OF_MEMORY, /* tasks that took more than there was */
        METRIC_GIVEN_UP,
        METRIC_REFUSED,
        METRIC_DECISION_MEAN,
        METRIC_DECISION_P95,
        METRIC_DECISION_MAX,
} Metric;

enum {
        N_METRICS = METRIC_DECISION_MAX + 1,
        METRIC_TEXT_MAX = 32,
};

typedef enum MetricUnit {
        METRIC_UNIT_SECONDS,
        METRIC_UNIT_FACTOR,
        METRIC_UNIT_SHARE, /* 0 to 1 */
        METRIC_UNIT_COUNT,
        METRIC_UNIT_MICROSECONDS,
} MetricUnit;

typedef struct MetricInfo {
        const char *name;  /* of a column: "wait_mean_seconds" */
        const char *label; /* for people: "wait, mean" */
        MetricUnit unit;
} MetricInfo;

extern const MetricInfo metric_infos[N_METRICS];

/* What is not known (of no task, of no GPU) is NAN. */
typedef struct Metrics {
        double values[N_METRICS];
} Metrics;

/* Return: 0 or -ENOMEM. */
int metrics_of(const Run *run, Metrics *ret);

/* For people, rounded: "12m30s", "3.41", "62 %", "-". Returns @buf. */
char *metric_format(Metric metric, double value, char buf[static METRIC_TEXT_MAX]);

/* Of several runs. */
typedef struct MetricSpread {
        double median, least, most;
} MetricSpread;

MetricSpread metric_spread(Metric metric, const Metrics *metrics, size_t n);
