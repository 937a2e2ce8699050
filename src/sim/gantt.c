/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "sim/gantt.h"

#include <errno.h>
#include <stdlib.h>

#include "util/macro.h"

enum {
        LANES_MAX = 256, /* that share a band; what is more than can be told apart anyway */
        COLOURS = 8,     /* of gnuplot's own */
};

/* A task on a band. */
typedef struct Bar {
        uint64_t from_us, to_us;
        unsigned user;
        unsigned band;
        unsigned lane;
        size_t number; /* of the task in the trace */
} Bar;

typedef struct Chart {
        size_t n_bars;
        Bar *bars; /* owned; by band and time */
        unsigned n_bands;
        unsigned n_lanes[GPU_MAX + 1];
} Chart;

static int compare_bars(const void *a, const void *b) {
        const Bar *x = a, *y = b;

        if (x->band != y->band)
                return x->band < y->band ? -1 : 1;
        if (x->from_us != y->from_us)
                return x->from_us < y->from_us ? -1 : 1;
        return (x->number > y->number) - (x->number < y->number);
}

/* Each the first lane that is free by then. */
static void set_lanes(Chart *chart) {
        uint64_t free_us[LANES_MAX];
        unsigned band = UINT32_MAX;

        for (size_t i = 0; i < chart->n_bars; i++) {
                Bar *bar = &chart->bars[i];

                if (bar->band != band)
                        for (unsigned lane = 0; lane < LANES_MAX; lane++)
                                free_us[lane] = 0;
                band = bar->band;
                while (bar->lane + 1 < LANES_MAX && free_us[bar->lane] > bar->from_us)
                        bar->lane++;
                free_us[bar->lane] = bar->to_us;
                chart->n_lanes[band] = MAX(chart->n_lanes[band], bar->lane + 1);
        }
}

static void add_bar(Chart *chart, const Run *run, size_t i, unsigned band) {
        chart->bars[chart->n_bars++] = (Bar){
                .from_us = run->courses[i].start_us,
                .to_us = run->courses[i].end_us,
                .user = run->workload->jobs[i].user,
                .band = band,
                .number = run->workload->jobs[i].number,
        };
}

static int make_chart(Chart *chart, const Run *run) {
        size_t n = 1;

        for (size_t i = 0; i < run->workload->n_jobs; i++)
                n += MAX(run->workload->jobs[i].needs.n_gpus, 1U);
        *chart = (Chart){ .bars = calloc(n, sizeof(Bar)), .n_bands = run->machine->n_gpus + 1 };
        if (!chart->bars)
                return -ENOMEM;

        for (size_t i = 0; i < run->workload->n_jobs; i++) {
                const Job *job = &run->workload->jobs[i];

                if (run->courses[i].refused)
                        continue;
                if (job->needs.n_gpus == 0)
                        add_bar(chart, run, i, 0);
                for (unsigned k = 0; k < job->needs.n_gpus; k++)
                        add_bar(chart, run, i, run->courses[i].last->gpus[k] + 1);
        }
        qsort(chart->bars, chart->n_bars, sizeof(Bar), compare_bars);
        set_lanes(chart);
        return 0;
}

static double hours(uint64_t us) {
        return (double)us / 3600 / (double)US_PER_SEC;
}

/* In a text of gnuplot's in single quotes. */
static void put_title(FILE *f, const char *title) {
        for (const char *c = title; *c; c++) {
                if (*c == '\'')
                        (void)fputc('\'', f);
                (void)fputc(*c, f);
        }
}

static void put_bars(FILE *f, const Chart *chart) {
        (void)fputs("# task, user, from and to in hours, lower and upper edge\n$tasks << EOD\n", f);
        for (size_t i = 0; i < chart->n_bars; i++) {
                const Bar *bar = &chart->bars[i];
                double height = 0.9 / MAX(chart->n_lanes[bar->band], 1U);
                double lower = bar->band + 0.05 + height * bar->lane;

                (void)fprintf(f, "%zu %u %.6f %.6f %.4f %.4f\n", bar->number,
                              bar->user % COLOURS + 1, hours(bar->from_us), hours(bar->to_us),
                              lower, lower + height);
        }
        (void)fputs("EOD\n", f);
}

int gantt_write(FILE *f, const Run *run, const char *title) {
        Chart chart;

        if (make_chart(&chart, run) < 0)
                return -ENOMEM;
        (void)fputs("# A script for gnuplot: gnuplot -p FILE\n", f);
        put_bars(f, &chart);
        free(chart.bars);

        (void)fputs("set title '", f);
        put_title(f, title);
        (void)fputs("' noenhanced\nset xlabel 'hours'\nset key off\nset ytics (\"no GPU\" 0.5", f);
        for (unsigned i = 0; i < run->machine->n_gpus; i++)
                (void)fprintf(f, ", \"GPU %u\" %.1f", i, i + 1.5);
        (void)fprintf(
                f,
                ")\nset yrange [0:%u]\nset style fill solid 0.8 border -1\n"
                "plot $tasks using (($3+$4)/2):(($5+$6)/2):3:4:5:6:2 with boxxyerror lc variable\n",
                run->machine->n_gpus + 1);
        return ferror(f) ? -EIO : 0;
}
