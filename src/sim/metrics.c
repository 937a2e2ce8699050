/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "sim/metrics.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "util/macro.h"
#include "util/units.h"

/* Feitelson's bound: what is shorter is not slowed down by a wait that nobody notices. */
#define SLOWDOWN_BOUND_US (10 * US_PER_SEC)

const MetricInfo metric_infos[N_METRICS] = {
        [METRIC_WAIT_MEAN] = { "wait_mean_seconds", "wait, mean", METRIC_UNIT_SECONDS },
        [METRIC_WAIT_MEDIAN] = { "wait_median_seconds", "  median", METRIC_UNIT_SECONDS },
        [METRIC_WAIT_P95] = { "wait_p95_seconds", "  95 %", METRIC_UNIT_SECONDS },
        [METRIC_WAIT_MAX] = { "wait_max_seconds", "  longest", METRIC_UNIT_SECONDS },
        [METRIC_SLOWDOWN_MEAN] = { "slowdown_mean", "slowdown, mean", METRIC_UNIT_FACTOR },
        [METRIC_SLOWDOWN_MEDIAN] = { "slowdown_median", "  median", METRIC_UNIT_FACTOR },
        [METRIC_SLOWDOWN_P95] = { "slowdown_p95", "  95 %", METRIC_UNIT_FACTOR },
        [METRIC_SLOWDOWN_MAX] = { "slowdown_max", "  largest", METRIC_UNIT_FACTOR },
        [METRIC_WIDE_WAIT_MEAN] = { "wide_wait_mean_seconds", "wait for all GPUs, mean",
                                    METRIC_UNIT_SECONDS },
        [METRIC_MEMORY] = { "memory_used", "RAM used", METRIC_UNIT_SHARE },
        [METRIC_GPU_MEMORY] = { "gpu_memory_used", "GPU memory used", METRIC_UNIT_SHARE },
        [METRIC_GPUS] = { "gpus_used", "GPUs used", METRIC_UNIT_SHARE },
        [METRIC_MAKESPAN] = { "makespan_seconds", "makespan", METRIC_UNIT_SECONDS },
        [METRIC_JAIN] = { "jain", "fairness (Jain)", METRIC_UNIT_FACTOR },
        [METRIC_WORST_USER] = { "worst_user", "worst user's slowdown / all", METRIC_UNIT_FACTOR },
        [METRIC_OUT_OF_MEMORY] = { "out_of_memory", "ran out of memory", METRIC_UNIT_COUNT },
        [METRIC_GIVEN_UP] = { "given_up", "  given up", METRIC_UNIT_COUNT },
        [METRIC_REFUSED] = { "refused", "refused", METRIC_UNIT_COUNT },
        [METRIC_DECISION_MEAN] = { "decision_mean_us", "a decision, mean",
                                   METRIC_UNIT_MICROSECONDS },
        [METRIC_DECISION_P95] = { "decision_p95_us", "  95 %", METRIC_UNIT_MICROSECONDS },
        [METRIC_DECISION_MAX] = { "decision_max_us", "  longest", METRIC_UNIT_MICROSECONDS },
};

static int compare_doubles(const void *a, const void *b) {
        double x = *(const double *)a, y = *(const double *)b;

        return (x > y) - (x < y);
}

/* What so many of a hundred do not exceed (nearest rank). */
static double percentile(const double *sorted, size_t n, unsigned pct) {
        size_t rank = (n * pct + 99) / 100;

        return n > 0 ? sorted[MAX(rank, (size_t)1) - 1] : NAN;
}

static double mean(const double *values, size_t n) {
        double sum = 0;

        for (size_t i = 0; i < n; i++)
                sum += values[i];
        return n > 0 ? sum / (double)n : NAN;
}

/* Sorts @values; @first is the mean, and median, 95 % and most follow. */
static void set_four(Metrics *ret, Metric first, double *values, size_t n) {
        qsort(values, n, sizeof(*values), compare_doubles);
        ret->values[first] = mean(values, n);
        ret->values[first + 1] = percentile(values, n, 50);
        ret->values[first + 2] = percentile(values, n, 95);
        ret->values[first + 3] = percentile(values, n, 100);
}

static double wait_us(const Run *run, size_t i) {
        const Course *course = &run->courses[i];
        uint64_t until_us = course->given_up ? course->end_us : course->start_us;

        return (double)(until_us - run->workload->jobs[i].arrival_us);
}

static double slowdown(const Run *run, size_t i) {
        const Job *job = &run->workload->jobs[i];
        double took_us = (double)(run->courses[i].end_us - job->arrival_us);
        double runs_us = (double)MAX(job->duration_us, SLOWDOWN_BOUND_US);

        return MAX(1.0, took_us / runs_us);
}

static int set_waits(const Run *run, Metrics *ret) {
        size_t n = 0, n_wide = 0, n_jobs = run->workload->n_jobs;
        double *waits = calloc(2 * n_jobs + 1, sizeof(*waits));
        double *slowdowns;
        double wide_sum = 0;

        if (!waits)
                return -ENOMEM;
        slowdowns = waits + n_jobs;
        for (size_t i = 0; i < n_jobs; i++) {
                const Job *job = &run->workload->jobs[i];

                if (run->courses[i].refused)
                        continue;
                waits[n] = wait_us(run, i) / (double)US_PER_SEC;
                slowdowns[n] = slowdown(run, i);
                if (run->machine->n_gpus > 0 && job->needs.n_gpus == run->machine->n_gpus) {
                        wide_sum += waits[n];
                        n_wide++;
                }
                n++;
        }
        set_four(ret, METRIC_WAIT_MEAN, waits, n);
        set_four(ret, METRIC_SLOWDOWN_MEAN, slowdowns, n);
        ret->values[METRIC_WIDE_WAIT_MEAN] = n_wide > 0 ? wide_sum / (double)n_wide : NAN;
        free(waits);
        return 0;
}

static int set_fairness(const Run *run, Metrics *ret) {
        unsigned n_users = run->workload->n_users;
        double *sums = calloc(2 * (size_t)n_users, sizeof(*sums));
        double *counts;
        double sum = 0, squares = 0, worst = 0, n = 0;

        if (!sums)
                return -ENOMEM;
        counts = sums + n_users;
        for (size_t i = 0; i < run->workload->n_jobs; i++) {
                unsigned user = run->workload->jobs[i].user;

                if (run->courses[i].refused)
                        continue;
                sums[user] += slowdown(run, i);
                counts[user]++;
        }
        for (unsigned i = 0; i < n_users; i++) {
                double of_user = counts[i] > 0 ? sums[i] / counts[i] : 0;

                n += counts[i] > 0;
                sum += of_user;
                squares += of_user * of_user;
                worst = MAX(worst, of_user);
        }
        ret->values[METRIC_JAIN] = n > 0 ? sum * sum / (n * squares) : NAN;
        ret->values[METRIC_WORST_USER] = n > 0 ? worst / ret->values[METRIC_SLOWDOWN_MEAN] : NAN;
        free(sums);
        return 0;
}

static void set_use(const Run *run, Metrics *ret) {
        uint64_t first_us = run->workload->jobs[0].arrival_us, last_us = first_us;
        const SimMachine *machine = run->machine;
        double span_us, gpu_bytes = 0;

        for (size_t i = 0; i < run->workload->n_jobs; i++)
                last_us = MAX(last_us, run->courses[i].end_us);
        for (unsigned i = 0; i < machine->n_gpus; i++)
                gpu_bytes += (double)machine->gpu_bytes[i];

        span_us = (double)(last_us - first_us);
        ret->values[METRIC_MAKESPAN] = span_us / (double)US_PER_SEC;
        ret->values[METRIC_MEMORY] =
                span_us > 0 ? run->world.memory_sum / span_us / (double)machine->memory_bytes : NAN;
        ret->values[METRIC_GPU_MEMORY] =
                span_us * gpu_bytes > 0 ? run->world.gpu_memory_sum / span_us / gpu_bytes : NAN;
        ret->values[METRIC_GPUS] = span_us * machine->n_gpus > 0 ?
                                           run->world.gpu_sum / span_us / machine->n_gpus :
                                           NAN;
}

static int set_decisions(const Run *run, Metrics *ret) {
        size_t n = MIN(run->n_passes, (size_t)RUN_PASSES_MAX);
        double *us = calloc(n + 1, sizeof(*us));

        if (!us)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++)
                us[i] = run->passes_ns[i] / 1000.0;
        qsort(us, n, sizeof(*us), compare_doubles);
        ret->values[METRIC_DECISION_MEAN] = mean(us, n);
        ret->values[METRIC_DECISION_P95] = percentile(us, n, 95);
        ret->values[METRIC_DECISION_MAX] = percentile(us, n, 100);
        free(us);
        return 0;
}

int metrics_of(const Run *run, Metrics *ret) {
        size_t n_given_up = 0, n_refused = 0;
        int r;

        for (size_t i = 0; i < run->workload->n_jobs; i++) {
                n_given_up += run->courses[i].given_up;
                n_refused += run->courses[i].refused;
        }
        ret->values[METRIC_OUT_OF_MEMORY] = (double)run->n_ooms;
        ret->values[METRIC_GIVEN_UP] = (double)n_given_up;
        ret->values[METRIC_REFUSED] = (double)n_refused;

        set_use(run, ret);
        r = set_waits(run, ret);
        if (r == 0)
                r = set_fairness(run, ret);
        return r == 0 ? set_decisions(run, ret) : r;
}

char *metric_format(Metric metric, double value, char buf[static METRIC_TEXT_MAX]) {
        if (isnan(value)) {
                (void)snprintf(buf, METRIC_TEXT_MAX, "-");
                return buf;
        }
        switch (metric_infos[metric].unit) {
        case METRIC_UNIT_SECONDS:
                return units_format_duration(buf, METRIC_TEXT_MAX,
                                             (uint64_t)(value * (double)US_PER_SEC));
        case METRIC_UNIT_FACTOR:
                (void)snprintf(buf, METRIC_TEXT_MAX, value < 100 ? "%.2f" : "%.0f", value);
                return buf;
        case METRIC_UNIT_SHARE:
                (void)snprintf(buf, METRIC_TEXT_MAX, "%.1f %%", value * 100);
                return buf;
        case METRIC_UNIT_COUNT:
                (void)snprintf(buf, METRIC_TEXT_MAX, "%.0f", value);
                return buf;
        case METRIC_UNIT_MICROSECONDS:
                (void)snprintf(buf, METRIC_TEXT_MAX, "%.1f us", value);
                return buf;
        }
        abort();
}

MetricSpread metric_spread(Metric metric, const Metrics *metrics, size_t n) {
        MetricSpread spread = { NAN, NAN, NAN };
        size_t n_below, n_equal;

        for (size_t i = 0; i < n; i++) {
                double value = metrics[i].values[metric];

                if (!(spread.least <= value))
                        spread.least = value;
                if (!(spread.most >= value))
                        spread.most = value;
        }
        /* there are few of them: the one that half of them do not exceed */
        for (size_t i = 0; i < n; i++) {
                n_below = n_equal = 0;
                for (size_t k = 0; k < n; k++) {
                        n_below += metrics[k].values[metric] < metrics[i].values[metric];
                        n_equal += metrics[k].values[metric] <= metrics[i].values[metric];
                }
                if (n_below <= (n - 1) / 2 && n_equal > (n - 1) / 2)
                        spread.median = metrics[i].values[metric];
        }
        return spread;
}
