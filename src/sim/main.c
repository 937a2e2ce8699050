/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * taskflow-sim: what a day would have been like, had somebody else decided.
 *
 * Every scheduler gets the same workload, seed by seed.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/help-opts.h"
#include "cli/output.h"
#include "settings/settings.h"
#include "sim/completion.h"
#include "sim/gantt.h"
#include "sim/options.h"
#include "sim/report.h"
#include "util/cleanup.h"
#include "util/text.h"
#include "util/units.h"

#include "config.h"

enum {
        STATUS_FAILED = 1,
        STATUS_USAGE = 2,
        ROWS_MAX = OPTIONS_SCHEDULERS_MAX + OPTIONS_CONFIGS_MAX,
};

/* A scheduler, and (of taskflow) the settings that it goes by. */
typedef struct Contender {
        const Scheduler *scheduler;
        Settings settings;
} Contender;

typedef struct Simulation {
        const Options *options;
        WorkloadOptions workload; /* as said, with the tokens that there are */
        const char *name;         /* of the trace */
        Trace trace;
        size_t n_rows;
        Contender contenders[ROWS_MAX];
        ReportRow rows[ROWS_MAX];
} Simulation;

static int fail(int status, const char *fmt, ...) _printf_(2, 3);

static int fail(int status, const char *fmt, ...) {
        _cleanup_free_ char *visible = NULL;
        char text[1024];
        va_list ap;

        va_start(ap, fmt);
        (void)vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);
        visible = text_visible(text);
        (void)fprintf(stderr, "taskflow-sim: %s\n", visible ? visible : "out of memory");
        return status;
}

static void print_help(void) {
        (void)puts(
                "Usage: taskflow-sim [OPTION]... TRACE\n"
                "\n"
                "Replays a workload through taskflow's scheduler, or another one, on a machine that need\n"
                "not exist, and prints how long tasks waited.\n");
        output_wrapped(
                "TRACE is what 'taskflow history --export' prints, a list of openb or Tiresias, or "
                "a file in the Standard Workload Format; '-' is the standard input.",
                0, HELP_WIDTH);
        (void)putchar('\n');
        help_print_opts(options_opts);
        (void)puts("\nThe manual has all of it: man taskflow-sim");
}

static int finish_output(int status) {
        if (fflush(stdout) != 0 || ferror(stdout))
                return fail(STATUS_FAILED, "cannot write all of it to stdout");
        return status;
}

/* -- who is compared -- */

static const char *last_part(const char *path) {
        const char *slash = strrchr(path, '/');

        return slash ? slash + 1 : path;
}

static int add_contender(Simulation *simulation,
                         const Scheduler *scheduler,
                         const char *config,
                         Error *error) {
        Contender *contender = &simulation->contenders[simulation->n_rows];
        ReportRow *row = &simulation->rows[simulation->n_rows];
        int r;

        r = settings_load(&contender->settings, config, true, false, error);
        if (r < 0)
                return r;
        simulation->n_rows++;
        contender->scheduler = scheduler;

        (void)snprintf(row->label, sizeof(row->label), "%s",
                       config ? last_part(config) : scheduler->name);
        row->metrics = calloc(simulation->options->n_seeds, sizeof(*row->metrics));
        if (!row->metrics)
                return error_set(error, -ENOMEM, "out of memory");
        return 0;
}

static int add_contenders(Simulation *simulation, Error *error) {
        const Options *options = simulation->options;
        int r = 0;

        for (unsigned i = 0; i < options->n_schedulers && r == 0; i++) {
                const Scheduler *scheduler = options->schedulers[i];

                if (scheduler != &scheduler_core || options->n_configs == 0) {
                        r = add_contender(simulation, scheduler, NULL, error);
                        continue;
                }
                for (unsigned k = 0; k < options->n_configs && r == 0; k++)
                        r = add_contender(simulation, scheduler, options->configs[k], error);
        }
        return r;
}

/* -- running -- */

static int write_gantt(const Simulation *simulation, const Run *run, Error *error) {
        const char *path = simulation->options->gantt;
        _cleanup_fclose_ FILE *f = fopen(path, "we");
        char title[256];
        int r;

        if (!f)
                return error_set(error, -errno, "cannot write '%s': %s", path, strerror(errno));
        (void)snprintf(title, sizeof(title), "%s: %s", simulation->rows[0].label,
                       last_part(simulation->name));
        r = gantt_write(f, run, title);
        if (r == 0 && fflush(f) != 0)
                r = -errno;
        return r < 0 ? error_set(error, r, "cannot write '%s': %s", path, strerror(-r)) : 0;
}

static int run_one(Simulation *simulation,
                   size_t row,
                   const Workload *workload,
                   uint64_t i_seed,
                   Error *error) {
        const Options *options = simulation->options;
        const Contender *contender = &simulation->contenders[row];
        Metrics *metrics = &simulation->rows[row].metrics[i_seed];
        Run run;
        int r;

        r = run_all(&run, workload, &simulation->workload.machine, contender->scheduler,
                    &contender->settings, error);
        if (r < 0)
                return r;
        r = metrics_of(&run, metrics);
        if (r < 0)
                (void)error_set(error, r, "out of memory");
        if (r == 0 && options->gantt)
                r = write_gantt(simulation, &run, error);
        run_done(&run);
        if (r == 0 && options->csv)
                report_csv(stdout, simulation->rows[row].label, options->seed + i_seed, metrics);
        return r;
}

static int run_seed(Simulation *simulation, uint64_t i_seed, Error *error) {
        const Options *options = simulation->options;
        _cleanup_(workload_done) Workload workload = {};
        int r;

        r = workload_make(&workload, &simulation->trace, &simulation->workload,
                          options->seed + i_seed);
        if (r < 0)
                return error_set(error, r, "out of memory");
        if (i_seed == 0 && !options->csv)
                (void)printf("%s: %zu tasks of %u users, load %.2f, %" PRIu64 " seed%s\n\n",
                             last_part(simulation->name), workload.n_jobs, workload.n_users,
                             workload.load, options->n_seeds, options->n_seeds > 1 ? "s" : "");
        for (size_t row = 0; row < simulation->n_rows && r == 0; row++)
                r = run_one(simulation, row, &workload, i_seed, error);
        return r;
}

/* Where the command line says nothing, there is what one of the settings has most of. */
static void find_tokens(Simulation *simulation) {
        SimMachine *machine = &simulation->workload.machine;

        if (machine->n_tokens > 0)
                return;
        for (size_t row = 0; row < simulation->n_rows; row++) {
                const Policy *policy = &simulation->contenders[row].settings.policy;

                for (unsigned i = 0; i < policy->n_tokens; i++) {
                        const Token *token = &policy->tokens[i];
                        int at = token_find(machine->tokens, machine->n_tokens, token->name);

                        if (at >= 0)
                                machine->tokens[at].n = MAX(machine->tokens[at].n, token->n);
                        else if (machine->n_tokens < TOKENS_MAX)
                                machine->tokens[machine->n_tokens++] = *token;
                }
        }
}

/* Said once for each name: it would be easy to think that they counted. */
static void warn_of_tokens(const Simulation *simulation) {
        const SimMachine *machine = &simulation->workload.machine;
        Needs said = {};

        for (size_t i = 0; i < simulation->trace.n_tasks; i++) {
                const TraceTask *task = &simulation->trace.tasks[i];

                for (unsigned k = 0; k < task->n_tokens; k++)
                        if (token_find(machine->tokens, machine->n_tokens, task->tokens[k].name) <
                                    0 &&
                            needs_add_token(&said, &task->tokens[k]) == 0)
                                (void)fail(0,
                                           "how many tokens '%s' there are is not said (--token "
                                           "%s:N): they are not reckoned with",
                                           task->tokens[k].name, task->tokens[k].name);
        }
        needs_done(&said);
}

static bool asks_for_gpus(const Trace *trace) {
        for (size_t i = 0; i < trace->n_tasks; i++)
                if (trace->tasks[i].n_gpus > 0)
                        return true;
        return false;
}

static int load_trace(Simulation *simulation, Error *error) {
        const Options *options = simulation->options;
        int r;

        r = trace_load(&simulation->trace, simulation->name, options->format, error);
        if (r < 0)
                return r;
        trace_narrow(&simulation->trace, options->from_us, options->to_us, options->longest_us,
                     options->gpus_only);
        if (simulation->trace.n_tasks == 0)
                return error_set(error, -EINVAL, "'%s' has no task that ran, or none that is left",
                                 simulation->name);
        if (options->workload.machine.n_gpus == 0 && asks_for_gpus(&simulation->trace))
                return error_set(
                        error, -EINVAL,
                        "tasks of '%s' ask for GPUs: say what the machine has, for example "
                        "--gpus 4x24G",
                        simulation->name);
        return 0;
}

static void simulation_done(Simulation *simulation) {
        trace_done(&simulation->trace);
        for (size_t i = 0; i < simulation->n_rows; i++) {
                settings_done(&simulation->contenders[i].settings);
                free(simulation->rows[i].metrics);
        }
}

static int simulate(const Options *options, const char *name) {
        _cleanup_(simulation_done) Simulation simulation = { .options = options,
                                                             .name = name,
                                                             .workload = options->workload };
        Error error = { "" };
        int r;

        r = load_trace(&simulation, &error);
        if (r == 0)
                r = add_contenders(&simulation, &error);
        if (r == 0) {
                find_tokens(&simulation);
                warn_of_tokens(&simulation);
        }
        if (r == 0 && options->csv)
                report_csv_header(stdout);
        for (uint64_t i = 0; i < options->n_seeds && r == 0; i++)
                r = run_seed(&simulation, i, &error);
        if (r < 0)
                return fail(STATUS_FAILED, "%s", error.text);

        if (simulation.trace.n_left_out > 0)
                (void)fail(0, "%zu tasks of '%s' are left out: they did not run to an end",
                           simulation.trace.n_left_out, name);
        if (!options->csv)
                report_table(stdout, simulation.rows, simulation.n_rows, options->n_seeds);
        return finish_output(0);
}

int main(int argc, char **argv) {
        Error error = { "" };
        OptResult result;
        Options options;

        options_init(&options);
        if (opt_parse(options_opts, argc, argv, false, &options, &result, &error) < 0)
                return fail(STATUS_USAGE, "%s; see taskflow-sim --help", error.text);
        if (result.help) {
                print_help();
                return finish_output(0);
        }
        if (options.version) {
                (void)puts("taskflow-sim " TASKFLOW_VERSION);
                return finish_output(0);
        }
        if (options.completion) {
                if (completion_print(stdout, options.completion, options_opts) < 0)
                        return fail(STATUS_USAGE,
                                    "there is no completion for '%s', but for bash, "
                                    "zsh and fish",
                                    options.completion);
                return finish_output(0);
        }
        if (options_finish(&options, &error) < 0)
                return fail(STATUS_USAGE, "%s", error.text);
        if (result.n_operands != 1)
                return fail(STATUS_USAGE, "one trace is wanted; see taskflow-sim --help");
        return simulate(&options, result.operands[0]);
}
